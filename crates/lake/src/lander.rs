//! Landing one log partition exactly once: records in, ranges decided, files published.
//!
//! Owns where the partition stands: the open range, the partition clock and the repeat window. The truth of what has
//! landed is the chain of commit records (`chain.rs`), never here: losing to a rival, and any doubt about a file, ends in
//! reading the chain again and going on where it ends.
//!
//! Invariants: a record is put only after all files of its range are whole and synced, and only at the `next` of a
//! record that was read; an offset below the open range makes no row; a message makes all of its rows or none.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use model::envelope::LogRecordError;
use model::repeat::{REPEAT_WINDOW_OFFSETS, RepeatWindow, WARM_RECORDS};
use model::{LogRecordView, Position, ReadingView, Record, RecordBatch, TelemetryView};

use crate::chain::Chain;
use crate::commit_record::{COMMIT_RECORD_VERSION, CommitRecord, Counts, RangeKind};
use crate::config::Step;
use crate::control_rows::ControlRow;
use crate::disk::random_name;
use crate::error::Error;
use crate::lake::{Shared, micros};
use crate::layout::{Layout, Source, StagedName, Table};
use crate::open_range::{OpenRange, Refused};

/// Bytes of records after which the memory is looked at again.
const MEMORY_CHECK_BYTES: usize = 64 << 10;

/// Where to read the log from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The first record to push: from here to `next` they only rebuild the repeat window.
    pub replay_from: i64,
    /// The first record that lands.
    pub next: i64,
}

/// What [`PartitionLander::push`] did with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is all taken.
    All,
    /// The range is full: commit, then push the same batch again. What was taken of it is passed over.
    Full,
}

/// What a commit came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// There was nothing to commit.
    Nothing,
    Committed(Committed),
    /// The range is another's, or a file of it is in doubt: what was pushed is forgotten, read the log again from here.
    Restart(Start),
}

/// A range that is in the lake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub first: i64,
    pub next: i64,
    pub counts: Counts,
    pub files: usize,
    pub bytes: u64,
    /// The partition clock at `next`, microseconds since 1970-01-01T00:00:00Z.
    pub clock_us: i64,
}

/// A record that cannot become rows: copy it to the dead letters before its range is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecodable {
    pub position: Position,
    pub log_time_us: i64,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    /// What is wrong, naming the field where there is one.
    pub detail: String,
}

/// How far the open range is on its way into the lake.
enum Phase {
    Open,
    /// A commit has begun: nothing more is taken.
    Closed,
    /// Its files are staged.
    Staged(CommitRecord),
    /// Its record is put.
    Decided(CommitRecord),
    /// It is given up; the chain has to be read again.
    GivenUp,
}

/// Lands one log partition. For one thread.
pub struct PartitionLander {
    shared: Arc<Shared>,
    source: Source,
    /// Random per assignment: tells its staged files and records from a rival's, in another process or in this one.
    writer: String,
    log_first_offset: i64,
    /// First offset of the open range.
    next: i64,
    /// The offset after the last record taken.
    taken: i64,
    replay_from: i64,
    clock_us: i64,
    window: RepeatWindow,
    range: OpenRange,
    phase: Phase,
    opened_at: Option<Instant>,
    bytes_since_check: usize,
    is_full: bool,
    undecodable: Vec<Undecodable>,
    /// Staged files that others left; they go once the chain has passed them.
    left_behind: Vec<(i64, PathBuf)>,
}

impl PartitionLander {
    pub(crate) fn take(shared: Arc<Shared>, source: Source, log_first_offset: i64) -> Result<Self, Error> {
        let writer = random_name();
        let range = OpenRange::try_new(&shared.config, source, &writer)?;
        shared.landers.fetch_add(1, Ordering::Relaxed);
        let mut lander = PartitionLander {
            shared,
            source,
            writer,
            log_first_offset,
            next: 0,
            taken: 0,
            replay_from: 0,
            clock_us: 0,
            window: RepeatWindow::default(),
            range,
            phase: Phase::GivenUp,
            opened_at: None,
            bytes_since_check: 0,
            is_full: false,
            undecodable: Vec::new(),
            left_behind: Vec::new(),
        };
        lander.recover()?;
        Ok(lander)
    }

    /// Where to read from, as long as nothing has been pushed.
    pub fn start(&self) -> Start {
        Start { replay_from: self.replay_from, next: self.next }
    }

    /// First offset that is not in the lake.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// The offset after the last record taken.
    pub fn taken(&self) -> i64 {
        self.taken
    }

    /// The partition clock, microseconds since 1970-01-01T00:00:00Z; 0 before the first record.
    pub fn clock_us(&self) -> i64 {
        self.clock_us
    }

    /// What the open range holds so far.
    pub fn open_counts(&self) -> Counts {
        self.range.counts
    }

    /// Bytes of rows in memory, and the share that this log partition may hold.
    pub fn memory(&self) -> (usize, usize) {
        (self.range.memory_bytes(), self.memory_share())
    }

    /// How far the repeat window reaches back, for the metric of that name.
    pub fn window(&self) -> &RepeatWindow {
        &self.window
    }

    /// Takes the records of a batch, those below [`PartitionLander::taken`] excepted. Batches come in offset order.
    ///
    /// # Errors
    /// [`Error::NewerMajor`]: the records before it are taken and may be committed. [`Error::Parquet`]. The disk's errors
    /// come from [`PartitionLander::commit`].
    pub fn push(&mut self, batch: &RecordBatch) -> Result<Pushed, Error> {
        let mut readings = Vec::new();
        for (n, record) in batch.iter().enumerate() {
            if n.is_multiple_of(WARM_RECORDS) {
                self.window.warm(batch.iter().skip(n));
            }
            if record.offset < self.taken {
                continue;
            }
            if self.is_full
                || !matches!(self.phase, Phase::Open)
                || !self.take_record(&record, &mut readings)?
            {
                return Ok(Pushed::Full);
            }
            self.taken = record.offset + 1;
            self.is_full |=
                self.range.counts.rows + self.range.counts.control >= self.shared.config.roll_rows;
            self.bytes_since_check += record.value.len() + size_of::<Record<'_>>();
            if self.bytes_since_check >= MEMORY_CHECK_BYTES {
                self.check_limits()?;
            }
        }
        self.taken = self.taken.max(batch.next);
        self.check_limits()?;
        Ok(Pushed::All)
    }

    /// The records of the open range that cannot become rows, once each.
    pub fn take_undecodable(&mut self) -> Vec<Undecodable> {
        std::mem::take(&mut self.undecodable)
    }

    /// True when the open range should be committed: it is full, old enough, or already on its way.
    pub fn should_roll(&mut self, now: Instant) -> bool {
        if self.is_full || !matches!(self.phase, Phase::Open) {
            return true;
        }
        if self.taken <= self.next {
            self.opened_at = None;
            return false;
        }
        let age = now.saturating_duration_since(*self.opened_at.get_or_insert(now));
        let config = &self.shared.config;
        age >= if self.range.counts.rows > 0 { config.roll_age } else { config.roll_age_without_rows }
    }

    /// False when the record needs room that the range has not.
    fn take_record<'a>(
        &mut self,
        record: &Record<'a>,
        readings: &mut Vec<ReadingView<'a>>,
    ) -> Result<bool, Error> {
        let is_replay = record.offset < self.next;
        let clock_us = self.clock_us.max(record.log_time_us);
        match LogRecordView::parse(record.value) {
            Ok(LogRecordView::Telemetry(view)) if is_replay => {
                self.window.check_and_insert(record.offset, record.log_time_us, &view);
            }
            Ok(LogRecordView::Telemetry(view)) => {
                let readings = view.readings_in(readings);
                if !self.take_telemetry(record, clock_us, &view, readings) {
                    return Ok(false);
                }
            }
            Err(LogRecordError::NewerMajor { found }) => {
                return Err(Error::NewerMajor { position: self.position(record.offset), found });
            }
            _ if is_replay => {}
            Ok(other) => {
                let row = ControlRow::of(&other, record.offset, clock_us);
                row.into_iter().for_each(|row| self.range.push_control(row));
            }
            Err(error @ LogRecordError::Undecodable) => self.set_aside(record, error.to_string()),
        }
        if !is_replay {
            self.clock_us = clock_us;
        }
        Ok(true)
    }

    fn take_telemetry(
        &mut self,
        record: &Record<'_>,
        clock_us: i64,
        view: &TelemetryView<'_>,
        readings: &[ReadingView<'_>],
    ) -> bool {
        let room = self.range.make_room(view, readings);
        if matches!(room, Err(Refused::NoRoom)) {
            self.is_full = true;
            return false;
        }
        // The window takes every message that parses, as the rules' does: both must know the same repeats.
        if self.window.check_and_insert(record.offset, record.log_time_us, view) {
            self.range.counts.repeats += 1;
        } else if let Err(Refused::Unfit(detail)) = room {
            self.set_aside(record, detail);
        } else {
            self.range.push(record.offset, clock_us, view, readings);
        }
        true
    }

    fn set_aside(&mut self, record: &Record<'_>, detail: String) {
        self.range.counts.undecodable += 1;
        self.undecodable.push(Undecodable {
            position: self.position(record.offset),
            log_time_us: record.log_time_us,
            key: record.key.to_vec(),
            value: record.value.to_vec(),
            detail,
        });
    }

    fn position(&self, log_offset: i64) -> Position {
        Position { log_id: self.source.log_id, log_partition: self.source.log_partition, log_offset }
    }

    fn memory_share(&self) -> usize {
        self.shared.config.memory_bytes_max / self.shared.landers.load(Ordering::Relaxed).max(1)
    }

    /// Stages rows beyond the memory share, and sees whether the range is full.
    fn check_limits(&mut self) -> Result<(), Error> {
        self.bytes_since_check = 0;
        let share = self.memory_share();
        if self.range.is_over(share) {
            let disk = &self.shared.disk;
            match disk.note(self.range.spill(disk, share)) {
                // The commit meets the same trouble and says it; until then nothing more is taken.
                Err(Error::Io { .. }) => self.is_full = true,
                other => other?,
            }
        }
        self.is_full |=
            self.range.staged_bytes() >= self.shared.config.roll_bytes || self.range.memory_bytes() > share;
        Ok(())
    }

    /// Brings what was taken into the lake: stages it, decides it, publishes it. After an error that may be retried, call
    /// again: it goes on where it was.
    ///
    /// # Errors
    /// [`Error::UndecodableNotTaken`]; those of the disk; see [`Error::disposition`].
    pub fn commit(&mut self, now: SystemTime) -> Result<CommitOutcome, Error> {
        if !self.undecodable.is_empty() {
            return Err(Error::UndecodableNotTaken { count: self.undecodable.len() });
        }
        let outcome = self.advance(now);
        self.shared.disk.note(outcome)
    }

    /// The steps of the protocol, each taken once.
    fn advance(&mut self, now: SystemTime) -> Result<CommitOutcome, Error> {
        let shared = self.shared.clone();
        let chain = Chain::new(&shared.disk, self.source);
        loop {
            match &self.phase {
                Phase::Open if self.taken <= self.next => return Ok(CommitOutcome::Nothing),
                Phase::Open => self.phase = Phase::Closed,
                Phase::Closed => self.stage(now)?,
                Phase::Staged(record) => {
                    let is_mine = chain.put(record)?.writer == record.writer;
                    self.phase = if is_mine { Phase::Decided(record.clone()) } else { Phase::GivenUp };
                    shared.disk.reach(Step::AfterRecord)?;
                }
                Phase::Decided(record) => {
                    let record = record.clone();
                    chain.publish(&record)?;
                    shared.disk.reach(Step::AfterPublish)?;
                    return Ok(CommitOutcome::Committed(self.settle(&record)));
                }
                Phase::GivenUp => {
                    self.range.remove_staged(&shared.disk)?;
                    self.recover()?;
                    tracing::warn!(
                        log_id = %self.source.log_id,
                        log_partition = self.source.log_partition,
                        next = self.next,
                        "the range was given up, landing goes on where the chain ends"
                    );
                    return Ok(CommitOutcome::Restart(self.start()));
                }
            }
        }
    }

    fn stage(&mut self, now: SystemTime) -> Result<(), Error> {
        let disk = &self.shared.disk;
        disk.reach(Step::BeforeStage)?;
        let files = match self.range.stage(disk, self.taken) {
            Ok(files) => files,
            Err(error) => {
                if matches!(error, Error::NotSynced { .. }) {
                    self.phase = Phase::GivenUp;
                }
                return Err(error);
            }
        };
        disk.reach(Step::AfterStage)?;
        self.phase = Phase::Staged(CommitRecord {
            version: COMMIT_RECORD_VERSION,
            kind: RangeKind::Landed,
            log_id: self.source.log_id,
            log_partition: self.source.log_partition,
            first: self.next,
            next: self.taken,
            writer: self.writer.clone(),
            clock_us: self.clock_us,
            committed_at_us: micros(now),
            counts: self.range.counts,
            files,
        });
        Ok(())
    }

    /// The range is in the lake: opens the next one.
    fn settle(&mut self, record: &CommitRecord) -> Committed {
        self.range.reset(record.next, self.memory_share());
        self.next = record.next;
        self.phase = Phase::Open;
        self.opened_at = None;
        self.is_full = false;
        self.remove_left_behind(record.first);
        Committed {
            first: record.first,
            next: record.next,
            counts: record.counts,
            files: record.files.len(),
            bytes: record.files.iter().map(|file| file.bytes).sum(),
            clock_us: record.clock_us,
        }
    }

    /// Reads the chain and starts anew where it ends.
    fn recover(&mut self) -> Result<(), Error> {
        let chain = Chain::new(&self.shared.disk, self.source);
        let mut newest = chain.published_newest()?;
        if newest.is_none() && self.log_first_offset > 0 {
            self.shared.put_gap(self.source, &self.writer, None, self.log_first_offset)?;
            newest = chain.published_newest()?;
        }
        let (next, clock_us) = newest.as_ref().map_or((0, 0), |record| (record.next, record.clock_us));
        if self.log_first_offset > next {
            let Source { log_id, log_partition } = self.source;
            return Err(Error::Gap { log_id, log_partition, missing: next..self.log_first_offset });
        }
        self.range.reset(next, self.memory_share());
        self.window = RepeatWindow::default();
        self.next = next;
        self.replay_from = (next - REPEAT_WINDOW_OFFSETS).max(self.log_first_offset).max(0);
        self.taken = self.replay_from;
        self.clock_us = clock_us;
        self.is_full = false;
        self.opened_at = None;
        self.undecodable.clear();
        self.phase = Phase::Open;
        self.find_left_behind(newest.as_ref().map_or(0, |record| record.first))
    }

    /// Notes what other writers left in `_staging` and removes what the chain has passed.
    fn find_left_behind(&mut self, newest_first: i64) -> Result<(), Error> {
        self.left_behind.clear();
        for directory in
            [Layout::staging(Table::Telemetry), Layout::staging(Table::Control), Layout::ASIDE.into()]
        {
            for name in self.shared.disk.list(&directory)? {
                let is_left =
                    |staged: &StagedName| staged.source == self.source && staged.writer != self.writer;
                if let Some(staged) = StagedName::parse(&name).filter(is_left) {
                    self.left_behind.push((staged.first, directory.join(name)));
                }
            }
        }
        self.remove_left_behind(newest_first);
        Ok(())
    }

    /// Removes other writers' staged files that start before the newest record: it does not use them, and those that an
    /// older record used are published. They are in nobody's way, so a failure waits for the next commit.
    fn remove_left_behind(&mut self, newest_first: i64) {
        let disk = &self.shared.disk;
        self.left_behind.retain(|(first, path)| {
            let is_passed = *first < newest_first;
            let removed = if is_passed { disk.remove(path) } else { Ok(()) };
            if let Err(error) = &removed {
                tracing::warn!(%error, "a staged file of an earlier process stays");
            }
            !is_passed || removed.is_err()
        });
    }
}

impl Drop for PartitionLander {
    fn drop(&mut self) {
        self.shared.landers.fetch_sub(1, Ordering::Relaxed);
    }
}
