//! The MQTT sessions that the log says exist, for an endpoint that starts.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use log::{Log, Topic};
use model::proto::Session;
use prost::Message;
use tracing::warn;

use crate::operations::{OperationError, TopicScan, scan};

/// Client id and session, in the order of client ids.
///
/// # Errors
/// The log does not answer.
pub fn read<L: Log>(log: &L) -> Result<Vec<(String, Session)>, OperationError> {
    let mut sessions = BTreeMap::new();
    for partition in 0..Topic::Sessions.partition_count(log.partitions()) {
        scan(log, &TopicScan::all(Topic::Sessions, partition), |record| {
            let client_id = String::from_utf8_lossy(record.key).into_owned();
            if record.is_tombstone {
                sessions.remove(&client_id);
            } else {
                match Session::decode(record.value) {
                    Ok(session) => drop(sessions.insert(client_id, session)),
                    Err(error) => warn!(client_id, offset = record.offset, %error, "not a session"),
                }
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(sessions.into_iter().collect())
}
