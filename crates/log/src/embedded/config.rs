//! What an embedded log is opened with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::clock::{Clock, SystemClock};
use crate::{Consumer, Error};

/// Called with the error when an fdatasync failed: what the kernel then holds is unknown, so the process must end without
/// acknowledging. If it returns, the log has failed for good.
pub type Fatal = Arc<dyn Fn(&Error) + Send + Sync>;

/// Called at the points named in [`super::POINTS`]; an error stands for one of the disk at that point.
pub type Failpoint = Arc<dyn Fn(&'static str) -> std::io::Result<()> + Send + Sync>;

/// Settings of [`super::EmbeddedLog`].
#[derive(Clone)]
pub struct EmbeddedConfig {
    /// Holds `lock`, `log_id` and `log/{topic}/`; made when it does not exist.
    pub data_dir: PathBuf,
    /// Log partitions of `telemetry.v1`, alerts and current; part of the log, 1 to 4096. Default 8.
    pub partitions: u32,
    /// Key, value and headers of one record, bytes. Default 4 MiB.
    pub record_bytes_max: usize,
    /// An appender sends by itself what it holds when that is so many bytes. Default 1 MiB.
    pub batch_bytes_max: usize,
    /// Appended and not yet durable, bytes an appender, before it has no room. Default 32 MiB.
    pub appender_bytes_max: usize,
    /// A segment file that has so many bytes is followed by another. Default 64 MiB; compacted topics an eighth of it.
    pub segment_bytes: u64,
    /// Newest batches kept in memory for readers, bytes over all topics. Default 64 MiB, three quarters for telemetry.
    pub tail_bytes_max: usize,
    /// Segment files of one topic, bytes, before the log takes nothing until retention has freed some. Default 8 GiB.
    pub bytes_max: u64,
    /// Who reads telemetry in this process, and so must have released a segment before it is unlinked. Default both.
    pub consumers: Vec<Consumer>,
    /// Records of a log partition kept before what its consumers released, for the repeat window. Default 262,144.
    pub kept_records: i64,
    /// How long telemetry is kept at least where no lake lands it. Default 7 days.
    pub retention: Duration,
    /// How long dead letters are kept. Default 30 days.
    pub dead_letter_retention: Duration,
    /// How long the history of alerts is kept. Default 90 days.
    pub alerts_retention: Duration,
    /// How long a tombstone of a compacted topic is kept for readers that have its key. Default 1 day.
    pub tombstone_retention: Duration,
    pub clock: Arc<dyn Clock>,
    pub fatal: Fatal,
    /// For crash tests. Default none.
    pub failpoint: Option<Failpoint>,
}

const MIB: usize = 1 << 20;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl EmbeddedConfig {
    /// The defaults, for a log in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>, fatal: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        EmbeddedConfig {
            data_dir: data_dir.into(),
            partitions: 8,
            record_bytes_max: 4 * MIB,
            batch_bytes_max: MIB,
            appender_bytes_max: 16 * MIB,
            segment_bytes: 64 << 20,
            tail_bytes_max: 32 * MIB,
            bytes_max: 8 << 30,
            consumers: vec![Consumer::Lake, Consumer::Rules],
            kept_records: 262_144,
            retention: 7 * DAY,
            dead_letter_retention: 30 * DAY,
            alerts_retention: 90 * DAY,
            tombstone_retention: DAY,
            clock: Arc::new(SystemClock::default()),
            fatal: Arc::new(fatal),
            failpoint: None,
        }
    }

    /// # Errors
    /// [`Error::Refused`] with the first setting that cannot be.
    pub(super) fn validate(&self) -> Result<(), Error> {
        // A stored length is a u32: an open batch may be one record longer than its limit.
        const BODY_BYTES_MAX: usize = 1 << 30;
        let checks = [
            ((1..=4096).contains(&self.partitions), "log.partitions must be 1 to 4096"),
            (self.record_bytes_max <= BODY_BYTES_MAX, "log.record_bytes_max must be at most 1 GiB"),
            (self.batch_bytes_max <= BODY_BYTES_MAX, "log.batch_bytes_max must be at most 1 GiB"),
            (
                self.appender_bytes_max >= self.record_bytes_max,
                "log.appender_bytes_max must hold the largest record",
            ),
            (self.bytes_max >= 4 * self.segment_bytes, "log.bytes_max must hold four segments"),
        ];
        match checks.iter().find(|(holds, _)| !holds) {
            Some((_, what)) => Err(Error::Refused((*what).to_owned())),
            None => Ok(()),
        }
    }
}
