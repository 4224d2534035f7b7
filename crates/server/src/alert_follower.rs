//! Alerts as the log tells them: what fires when the process starts, then every event, from whichever process it came.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use log::{Error, Log, ReadEvent, Reader, Topic};
use model::Alert;
use tracing::warn;

use crate::alert_stream::AlertStream;
use crate::operations::{OperationError, TopicScan, scan};

/// Longest wait for an event, so that a stop is noticed.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// Where following begins: the end of each partition of `alerts.v1` before the states were read.
pub type Ends = Vec<(u32, i64)>;

/// Reads `alerts.current.v1` to its end. Done before the evaluator of this process speaks, so that nothing older than what
/// it says can come after.
///
/// # Errors
/// The log does not answer.
pub fn catch_up<L: Log>(log: &L, stream: &AlertStream) -> Result<Ends, OperationError> {
    // The ends of the events come first: what is said while the states are read is then heard twice, never missed.
    let mut ends = Ends::new();
    for partition in 0..log.partitions() {
        ends.push((partition, log.offsets(Topic::Alerts, partition)?.end));
    }
    read_current(log, stream)?;
    Ok(ends)
}

/// Follows `alerts.v1` until `stop`.
///
/// # Errors
/// The log failed for good.
pub fn follow<L: Log>(log: &L, stream: &AlertStream, from: &Ends, stop: &AtomicBool) -> Result<(), Error> {
    let mut reader = log.reader(Topic::Alerts, from)?;
    while !stop.load(Ordering::Relaxed) {
        match reader.poll(POLL_WAIT) {
            Ok(ReadEvent::Records(batch)) => {
                for record in batch.iter() {
                    if let Some(alert) = parse(batch.log_partition, record.offset, record.value) {
                        stream.say(batch.log_partition, &alert);
                    }
                }
            }
            Ok(_) => {}
            Err(error) if error.disposition() == log::Disposition::Retry => warn!(%error, "following alerts"),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn read_current<L: Log>(log: &L, stream: &AlertStream) -> Result<(), OperationError> {
    let mut newest = BTreeMap::new();
    for partition in 0..log.partitions() {
        scan(log, &TopicScan::all(Topic::AlertsCurrent, partition), |record| {
            if record.is_tombstone {
                newest.remove(record.key);
            } else if let Some(alert) = parse(partition, record.offset, record.value) {
                newest.insert(record.key.to_vec(), (partition, alert));
            }
            ControlFlow::Continue(())
        })?;
    }
    newest.values().for_each(|(partition, alert)| stream.restore(*partition, alert));
    Ok(())
}

fn parse(partition: u32, offset: i64, value: &[u8]) -> Option<Alert> {
    match serde_json::from_slice(value) {
        Ok(alert) => Some(alert),
        Err(error) => {
            warn!(partition, offset, %error, "not an alert");
            None
        }
    }
}
