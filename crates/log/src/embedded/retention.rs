//! Which segments may go. The oldest go first, and never the one that is written.
//!
//! It knows ages and what consumers released, never what a record means.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tracing::{debug, warn};

use super::config::EmbeddedConfig;
use super::journal::Journal;
use super::segment::{Segment, io, sync_dir};
use crate::{Consumer, Error, Topic};

/// Records before a consumer's position that its repeat window reads again at a start.
const REPEAT_WINDOW_RECORDS: i64 = 262_144;

/// When a segment of one topic may go.
pub(super) enum Retention {
    /// When every registered consumer has passed it by the repeat window and, where an age is given, it is so old.
    Released { consumers: Vec<Released>, age: Option<Duration> },
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
                    age: (!is_landed).then_some(config.retention),
                }
            }
            Topic::DeadLetter => Retention::Age(config.dead_letter_retention),
            Topic::Alerts => Retention::Age(config.alerts_retention),
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

    /// Whether a segment with this newest record, up to these offsets, may go.
    fn allows(&self, log_time_us: i64, ends: &[i64], now_us: i64) -> bool {
        let is_old = |age: &Duration| now_us.saturating_sub(log_time_us) as i128 > age.as_micros() as i128;
        match self {
            Retention::Released { consumers, age } => {
                age.as_ref().is_none_or(is_old)
                    && consumers.iter().flat_map(|released| released.offsets.iter().zip(ends)).all(
                        |(released, end)| {
                            // A log partition without records in this log keeps nothing.
                            *end <= (released.load(Ordering::Relaxed) - REPEAT_WINDOW_RECORDS).max(0)
                        },
                    )
            }
            Retention::Age(age) => is_old(age),
            Retention::Compacted => false,
        }
    }
}

impl Journal {
    /// Unlinks every segment that may go. One that cannot be unlinked is said, and tried again the next time.
    pub(super) fn trim(&self) {
        if let Err(error) = self.unlink_expendable() {
            warn!(topic = self.topic.name(), %error, "a segment that is not needed any more stays");
        }
    }

    fn unlink_expendable(&self) -> Result<(), Error> {
        let _one_at_a_time = self.trimming.lock();
        while let Some(segment) = self.expendable() {
            self.failpoint("before_unlink").map_err(io("unlink", &segment.path))?;
            match std::fs::remove_file(&segment.path) {
                // Gone already when only the sync failed the last time.
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(io("unlink", &segment.path)(error));
                }
                _ => {}
            }
            // Before the next: a later segment must never go first.
            sync_dir(&self.dir)?;
            self.published.lock().segments.pop_front();
            self.disk_bytes.fetch_sub(segment.durable_bytes(), Ordering::Relaxed);
            debug!(topic = self.topic.name(), sequence = segment.header.sequence, "segment unlinked");
        }
        Ok(())
    }

    fn expendable(&self) -> Option<Arc<Segment>> {
        let published = self.published.lock();
        let (oldest, following) = (published.segments.front()?, published.segments.get(1)?);
        let now_us = self.config.clock.wall_us();
        let may_go = self.retention.allows(oldest.log_time_us(), &following.header.first, now_us);
        may_go.then(|| Arc::clone(oldest))
    }
}
