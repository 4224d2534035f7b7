//! One lake on local disk: opening it, what is wrong with it, and handing out its log partitions.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::SystemTime;

use model::LogId;

use crate::chain::Chain;
use crate::commit_record::{COMMIT_RECORD_VERSION, CommitRecord, Counts, RangeKind};
use crate::config::LakeConfig;
use crate::disk::{Disk, random_name};
use crate::error::Error;
use crate::lander::PartitionLander;
use crate::layout::Source;

/// A lake. Clones share it.
#[derive(Clone)]
pub struct Lake {
    shared: Arc<Shared>,
}

/// What the landers of one process share.
pub(crate) struct Shared {
    pub(crate) disk: Disk,
    pub(crate) config: LakeConfig,
    /// Log partitions that share the memory.
    pub(crate) landers: AtomicUsize,
}

impl Lake {
    /// Opens the lake at `config.root`, making what is not there.
    ///
    /// # Errors
    /// The root cannot be written, or does not refuse a second file of the same name.
    pub fn open(config: LakeConfig) -> Result<Self, Error> {
        let disk = Disk::open(&config.root, config.failpoint.clone())?;
        disk.probe(&random_name())?;
        Ok(Lake { shared: Arc::new(Shared { disk, config, landers: AtomicUsize::new(0) }) })
    }

    pub fn root(&self) -> &Path {
        &self.shared.config.root
    }

    /// Why nothing lands, as far as the last commit or probe says; `None` while all is well.
    pub fn trouble(&self) -> Option<String> {
        self.shared.disk.trouble()
    }

    /// Tries whether the root can be written now, and notes the answer for [`Lake::trouble`].
    ///
    /// # Errors
    /// It cannot.
    pub fn probe(&self) -> Result<(), Error> {
        let disk = &self.shared.disk;
        disk.note(disk.probe(&random_name()))
    }

    /// Takes a log partition: publishes what its newest commit record has not brought into the tables and finds where
    /// landing goes on. `log_first_offset` is the first offset that the log still holds.
    ///
    /// # Errors
    /// [`Error::Gap`] where the log does not hold what comes next; [`Error::BrokenRecord`], [`Error::MissingFile`]; or
    /// the disk's.
    pub fn partition(
        &self,
        log_id: LogId,
        log_partition: u32,
        log_first_offset: i64,
    ) -> Result<PartitionLander, Error> {
        let source = Source { log_id, log_partition };
        self.shared.disk.note(PartitionLander::take(self.shared.clone(), source, log_first_offset))
    }

    /// Records that the offsets from where landing stopped up to `log_first_offset` are lost, so that it can go on.
    /// Answers with them, or `None` where nothing is missing.
    ///
    /// # Errors
    /// As [`Lake::partition`], but for the gap.
    pub fn accept_gap(
        &self,
        log_id: LogId,
        log_partition: u32,
        log_first_offset: i64,
    ) -> Result<Option<Range<i64>>, Error> {
        let source = Source { log_id, log_partition };
        let newest = Chain::new(&self.shared.disk, source).published_newest()?;
        let next = newest.as_ref().map_or(0, |record| record.next);
        if log_first_offset <= next {
            return Ok(None);
        }
        self.shared.put_gap(source, &random_name(), newest.as_ref(), log_first_offset)?;
        Ok(Some(next..log_first_offset))
    }
}

impl Shared {
    /// Puts a gap record after `newest`. Another writer may put its own record there: then that one stands.
    pub(crate) fn put_gap(
        &self,
        source: Source,
        writer: &str,
        newest: Option<&CommitRecord>,
        log_first_offset: i64,
    ) -> Result<(), Error> {
        let record = CommitRecord {
            version: COMMIT_RECORD_VERSION,
            kind: RangeKind::Gap,
            log_id: source.log_id,
            log_partition: source.log_partition,
            first: newest.map_or(0, |record| record.next),
            next: log_first_offset,
            writer: writer.to_owned(),
            clock_us: newest.map_or(0, |record| record.clock_us),
            committed_at_us: micros(SystemTime::now()),
            counts: Counts::default(),
            files: Vec::new(),
        };
        let standing = Chain::new(&self.disk, source).put(&record)?;
        tracing::warn!(
            log_id = %source.log_id,
            log_partition = source.log_partition,
            first = standing.first,
            next = standing.next,
            kind = ?standing.kind,
            "a gap of the log is recorded"
        );
        Ok(())
    }
}

/// Microseconds since 1970; 0 before.
pub(crate) fn micros(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}
