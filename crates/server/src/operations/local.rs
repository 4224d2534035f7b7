//! The answers, from the log itself.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use log::{Log, ReadEvent, Reader, Topic};
use model::Alert;
use parking_lot::Mutex;
use tracing::warn;

use super::commanding;
use super::{LogDescription, OperationError, Operations, PartitionOffsets, TopicScan, scan};
use crate::alert_command::CommandDraft;
use crate::dead_letters::{self, DeadLetterFilter, DeadLetterSummary, DeadLetterView, RedriveOutcome};
use crate::decoders::Decoders;

/// How soon a watcher notices that nobody listens.
const WATCH_WAIT: Duration = Duration::from_millis(200);

/// Answers over a log that is open in this process.
pub struct LocalOperations<L> {
    log: L,
    decoders: Decoders,
    /// One redrive at a time, or two could miss each other's mark.
    redrive: Mutex<()>,
}

impl<L: Log> LocalOperations<L> {
    /// `decoders` makes the decoder of a redrive.
    pub fn new(log: L, decoders: Decoders) -> Self {
        LocalOperations { log, decoders, redrive: Mutex::new(()) }
    }
}

impl<L: Log> Operations for LocalOperations<L> {
    fn firing(&self) -> Result<Vec<Alert>, OperationError> {
        let mut firing = BTreeMap::new();
        for partition in 0..self.log.partitions() {
            // The topic is compacted behind its end, so a key may stand there more than once.
            scan(&self.log, &TopicScan::all(Topic::AlertsCurrent, partition), |record| {
                match parse(Topic::AlertsCurrent, partition, record) {
                    Some(alert) => firing.insert(record.key.to_vec(), alert),
                    None => firing.remove(record.key),
                };
                ControlFlow::Continue(())
            })?;
        }
        Ok(firing.into_values().collect())
    }

    fn alert_events(&self, alert_id: &str) -> Result<Vec<Alert>, OperationError> {
        let mut events = Vec::new();
        for partition in 0..self.log.partitions() {
            scan(&self.log, &TopicScan::all(Topic::Alerts, partition), |record| {
                let alert = parse(Topic::Alerts, partition, record);
                events.extend(alert.filter(|alert| alert.alert_id == alert_id));
                ControlFlow::Continue(())
            })?;
        }
        Ok(events)
    }

    fn command(&self, draft: CommandDraft) -> Result<Alert, OperationError> {
        commanding::command(&self.log, draft)
    }

    fn watch(&self, each: &mut dyn FnMut(Option<Alert>) -> ControlFlow<()>) -> Result<(), OperationError> {
        let mut starts = Vec::new();
        for partition in 0..self.log.partitions() {
            starts.push((partition, self.log.offsets(Topic::Alerts, partition)?.end));
        }
        let mut reader = self.log.reader(Topic::Alerts, &starts)?;
        loop {
            let event = match reader.poll(WATCH_WAIT) {
                Ok(event) => event,
                Err(log::Error::Closed) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let flow = match event {
                ReadEvent::Records(batch) => {
                    let mut alerts =
                        batch.iter().filter_map(|record| parse(Topic::Alerts, batch.log_partition, &record));
                    alerts.try_for_each(|alert| each(Some(alert)))
                }
                _ => each(None),
            };
            if flow.is_break() {
                return Ok(());
            }
        }
    }

    fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<Vec<DeadLetterSummary>, OperationError> {
        dead_letters::list(&self.log, filter)
    }

    fn dead_letter(&self, partition: u32, offset: i64) -> Result<DeadLetterView, OperationError> {
        dead_letters::find(&self.log, partition, offset)
    }

    fn redrive(&self, partition: u32, offset: i64) -> Result<RedriveOutcome, OperationError> {
        let _one_at_a_time = self.redrive.lock();
        dead_letters::redrive(&self.log, self.decoders.decoder().current(), partition, offset)
    }

    fn describe_log(&self) -> Result<LogDescription, OperationError> {
        let mut partitions = Vec::new();
        for topic in Topic::ALL {
            for log_partition in 0..topic.partition_count(self.log.partitions()) {
                let offsets = self.log.offsets(topic, log_partition)?;
                partitions.push(PartitionOffsets {
                    topic: topic.name().to_owned(),
                    log_partition,
                    first: offsets.start,
                    next: offsets.end,
                });
            }
        }
        Ok(LogDescription { log_id: self.log.log_id().to_string(), partitions, trouble: self.log.trouble() })
    }
}

/// The alert in a record; `None` for a tombstone, and for what no version of ours wrote.
pub(super) fn parse(topic: Topic, partition: u32, record: &model::Record<'_>) -> Option<Alert> {
    if record.is_tombstone {
        return None;
    }
    serde_json::from_slice(record.value)
        .inspect_err(
            |error| warn!(topic = topic.name(), partition, offset = record.offset, %error, "not an alert"),
        )
        .ok()
}
