//! Which records may go: what is old enough, or what every consumer has released and no repeat window reaches.
//!
//! It decides and touches no file; it never knows what a record means.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::config::EmbeddedConfig;
use crate::{Consumer, Topic};

/// When a segment of one topic may go.
pub(super) enum Retention {
    /// When every registered consumer has passed it by the repeat window and, where an age is given, it is so old.
    Released { consumers: Vec<Released>, kept_records: i64, age: Option<Duration> },
    /// When it is so old.
    Age(Duration),
    /// Never: compaction keeps the topic small.
    Compacted,
}

/// What one consumer will not read again: by log partition the first offset that it may.
pub(super) struct Released {
    consumer: Consumer,
    offsets: Vec<AtomicI64>,
}

impl Retention {
    pub(super) fn of(topic: Topic, config: &EmbeddedConfig) -> Self {
        match topic {
            Topic::Telemetry => {
                let offsets = || (0..config.partitions).map(|_| AtomicI64::new(0)).collect();
                let consumers =
                    config.consumers.iter().map(|&consumer| Released { consumer, offsets: offsets() });
                let is_landed = config.consumers.contains(&Consumer::Lake);
                Retention::Released {
                    consumers: consumers.collect(),
                    kept_records: config.kept_records,
                    age: (!is_landed).then_some(config.retention),
                }
            }
            Topic::DeadLetter => Retention::Age(config.dead_letter_retention),
            Topic::Alerts | Topic::AlertsShadow | Topic::AlertCommands => {
                Retention::Age(config.alerts_retention)
            }
            Topic::AlertsCurrent | Topic::Sessions => Retention::Compacted,
        }
    }

    /// Notes a release; offsets never step back.
    pub(super) fn release(&self, consumer: Consumer, log_partition: u32, offset: i64) {
        let Retention::Released { consumers, .. } = self else { return };
        for released in consumers.iter().filter(|released| released.consumer == consumer) {
            released.offsets[log_partition as usize].fetch_max(offset, Ordering::Relaxed);
        }
    }

    /// Whether a log partition's records below `end` may go, the newest of which was stamped at `log_time_us`.
    pub(super) fn allows(&self, log_partition: usize, end: i64, log_time_us: i64, now_us: i64) -> bool {
        let is_old = |age: &Duration| i128::from(now_us) - i128::from(log_time_us) > age.as_micros() as i128;
        match self {
            Retention::Released { consumers, kept_records, age } => {
                let is_passed = |released: &Released| {
                    let offset = released.offsets[log_partition].load(Ordering::Relaxed);
                    // A segment without records of this log partition ends at offset 0 at the least.
                    end <= (offset - kept_records).max(0)
                };
                age.as_ref().is_none_or(is_old) && consumers.iter().all(is_passed)
            }
            Retention::Age(age) => is_old(age),
            Retention::Compacted => false,
        }
    }
}
