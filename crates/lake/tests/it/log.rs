//! A log partition in memory, and how a worker lands it.

use std::time::SystemTime;

use model::RecordBatch;
use tempfile::TempDir;
use urban_neuron_lake::{CommitOutcome, Lake, PartitionLander, Pushed, verify};

use crate::city::{self, CityRecord, LOG_ID, PARTITION};
use crate::table;

/// A folder in memory where there is such a file system: that a disk's sync takes its time proves nothing more here.
pub(crate) fn folder() -> TempDir {
    let in_memory = std::path::Path::new("/dev/shm");
    if in_memory.is_dir() { tempfile::tempdir_in(in_memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

pub(crate) fn commit(lander: &mut PartitionLander) -> CommitOutcome {
    lander.commit(SystemTime::UNIX_EPOCH).unwrap()
}

/// Pushes a batch whatever it takes, and gives the offsets of the undecodable records.
pub(crate) fn push_all(lander: &mut PartitionLander, batch: &RecordBatch) -> Vec<i64> {
    let mut undecodable = Vec::new();
    loop {
        let pushed = lander.push(batch).unwrap();
        undecodable.extend(lander.take_undecodable().into_iter().map(|record| record.position.log_offset));
        match pushed {
            Pushed::All => return undecodable,
            Pushed::Full => assert!(matches!(commit(lander), CommitOutcome::Committed(_))),
        }
    }
}

/// A worker that reads `records` from where the lake says, with a commit every few batches.
pub(crate) struct Worker<'a> {
    pub(crate) lander: PartitionLander,
    records: &'a [CityRecord],
    batch: usize,
    at: usize,
}

impl<'a> Worker<'a> {
    pub(crate) fn assign(lake: &Lake, records: &'a [CityRecord], batch: usize) -> Self {
        let lander = lake.partition(LOG_ID, PARTITION, 0).unwrap();
        let mut worker = Worker { lander, records, batch, at: 0 };
        worker.seek();
        worker
    }

    fn seek(&mut self) {
        let start = self.lander.start().replay_from;
        self.at = self.records.partition_point(|record| record.offset < start);
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at == self.records.len()
    }

    /// Reads and pushes one batch; a full range is left to the next commit.
    pub(crate) fn read(&mut self) {
        let rest = &self.records[self.at..];
        let Some(batch) = city::batches(&rest[..rest.len().min(self.batch)], self.batch).pop() else {
            return;
        };
        let pushed = self.lander.push(&batch).unwrap();
        self.lander.take_undecodable();
        if pushed == Pushed::All {
            self.at += batch.len();
        }
    }

    /// Commits once, and follows where that leads.
    pub(crate) fn commit(&mut self) -> Result<CommitOutcome, urban_neuron_lake::Error> {
        let outcome = self.lander.commit(SystemTime::UNIX_EPOCH)?;
        if matches!(outcome, CommitOutcome::Restart(_)) {
            self.seek();
        }
        Ok(outcome)
    }

    /// Reads and commits until all is in the lake.
    pub(crate) fn finish(&mut self) {
        while !self.is_done() || self.lander.taken() > self.lander.next() {
            self.read();
            self.commit().unwrap();
        }
    }
}

/// The lake holds exactly what `records` must become.
pub(crate) fn assert_whole(root: &std::path::Path, records: &[CityRecord]) {
    let expected = city::expected(records);
    let (mut telemetry, mut control) = (expected.telemetry, expected.control);
    telemetry.sort();
    control.sort();
    assert_eq!(table::rows(root, "telemetry"), telemetry);
    assert_eq!(table::rows(root, "control"), control);
    let report = verify(root).unwrap();
    assert_eq!((report.problems, report.unpublished), (Vec::new(), 0));
    assert_eq!(report.counts.records(), records.len() as u64);
    assert_eq!(report.counts.repeats, expected.repeats);
    assert_eq!(report.counts.undecodable, expected.undecodable.len() as u64);
}
