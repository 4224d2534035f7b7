//! The one writer of a topic: takes all that is queued, stamps it, writes it with one call, syncs it once, and only then
//! shows it to readers and tells appenders.
//!
//! Its work is a batch, never a message. The next commit begins as soon as the last one is done and takes whatever was
//! queued meanwhile, so batches grow with load by themselves.

use std::io::{IoSlice, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{error, info, warn};

use super::batch::{BatchHeader, HEADER_BYTES, SealedBatch};
use super::clock::LogClock;
use super::journal::{Journal, Submission};
use super::segment::{Segment, SegmentHeader, io};
use super::tail::TailBatch;
use crate::Error;

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The partition clock may be so far ahead of the wall before it is said.
const CLOCK_AHEAD_US_MAX: i64 = 5_000_000;

pub(super) struct Committer {
    journal: Arc<Journal>,
    active: Arc<Segment>,
    /// Where the next batch goes. Past it may stand what a failed write left.
    end: u64,
    is_dirty_past_end: bool,
    next: Vec<i64>,
    clock: LogClock,
    is_clock_ahead: bool,
}

impl Committer {
    /// Goes on where recovery ended.
    pub(super) fn new(journal: Arc<Journal>) -> Self {
        let published = journal.published.lock();
        let next = published.next.clone();
        let active = published.segments.back().map(Arc::clone).expect("a topic always has a segment");
        drop(published);
        let clock = LogClock::new(Arc::clone(&journal.config.clock), active.index().log_time_us);
        // A file that was just opened has its cursor at 0.
        let (end, is_dirty_past_end) = (active.durable_bytes(), true);
        Committer { journal, active, end, is_dirty_past_end, next, clock, is_clock_ahead: false }
    }

    /// Commits until the log closes or fails for good.
    pub(super) fn run(mut self) {
        while let Some(submissions) = self.journal.take_queued() {
            if let Err(error) = self.commit(&submissions) {
                let topic = self.journal.topic.name();
                error!(topic, %error, "the log failed, what is not durable will not be acknowledged");
                if !matches!(error, Error::Closed) {
                    (self.journal.config.fatal)(&error);
                }
                self.journal.end(Some(error.to_string()));
                submissions.iter().for_each(|submission| (submission.progress.wake)());
                return;
            }
        }
        self.journal.end(None);
    }

    /// # Errors
    /// An fdatasync failed, or the log closes while the disk takes nothing.
    fn commit(&mut self, submissions: &[Submission]) -> Result<(), Error> {
        let headers = self.write_until_taken(submissions)?;
        let synced = self.journal.failpoint("sync").and_then(|()| self.active.file.sync_data());
        synced.and_then(|()| self.journal.failpoint("after_sync")).map_err(io("sync", &self.active.path))?;
        self.publish(submissions, &headers);
        self.journal.failpoint("before_ack").map_err(io("acknowledge", &self.active.path))?;
        self.acknowledge(submissions);
        Ok(())
    }

    /// Tries until the disk takes it: a full disk is waited for, since nothing was acknowledged and nothing is lost.
    fn write_until_taken(&mut self, submissions: &[Submission]) -> Result<Vec<BatchHeader>, Error> {
        let mut pause = PAUSE_MIN;
        loop {
            match self.write(submissions) {
                Ok(headers) => {
                    if pause > PAUSE_MIN {
                        info!(topic = self.journal.topic.name(), "the log is written again");
                        self.journal.set_trouble(None);
                    }
                    return Ok(headers);
                }
                Err(error) => {
                    if pause == PAUSE_MIN {
                        warn!(topic = self.journal.topic.name(), %error, "the log cannot be written, trying again");
                    }
                    self.journal.set_trouble(Some(error.to_string()));
                    if self.journal.pause(pause) {
                        return Err(Error::Closed);
                    }
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    fn write(&mut self, submissions: &[Submission]) -> Result<Vec<BatchHeader>, Error> {
        let batches = || submissions.iter().flat_map(|submission| &submission.batches);
        let bytes: u64 = batches().map(|batch| (HEADER_BYTES + batch.body.len()) as u64).sum();
        self.check_bytes_max(bytes)?;
        if self.end > self.active.header.bytes() && self.end + bytes > self.journal.segment_bytes {
            self.roll()?;
        }
        self.cut_past_end()?;
        let headers = self.stamp(batches());
        let encoded: Vec<_> = headers.iter().map(BatchHeader::encode).collect();
        let mut slices: Vec<_> = encoded
            .iter()
            .zip(batches())
            .flat_map(|(header, batch)| [IoSlice::new(header), IoSlice::new(&batch.body)])
            .collect();
        self.is_dirty_past_end = true;
        let written = self.journal.failpoint("before_append");
        let written = written.and_then(|()| write_all(&self.active.file, &mut slices));
        written
            .and_then(|()| self.journal.failpoint("after_append"))
            .map_err(io("write", &self.active.path))?;
        self.is_dirty_past_end = false;
        Ok(headers)
    }

    fn check_bytes_max(&self, bytes: u64) -> Result<(), Error> {
        let held = self.journal.disk_bytes.load(Ordering::Relaxed);
        let max = self.journal.config.bytes_max;
        // The commit may begin a segment.
        if held + bytes + self.active.header.bytes() <= max {
            return Ok(());
        }
        self.journal.sweep.ask();
        let name = self.journal.topic.name();
        Err(Error::Refused(format!(
            "{name} holds {held} bytes, log.bytes_max is {max}, and no segment may be unlinked yet"
        )))
    }

    /// Removes what a failed write left, so that it is never taken for a batch.
    fn cut_past_end(&mut self) -> Result<(), Error> {
        if self.is_dirty_past_end {
            let mut file = &self.active.file;
            let cut = file.set_len(self.end).and_then(|()| file.seek(SeekFrom::Start(self.end)));
            cut.map_err(io("cut", &self.active.path))?;
        }
        Ok(())
    }

    fn stamp<'b>(&mut self, batches: impl Iterator<Item = &'b SealedBatch>) -> Vec<BatchHeader> {
        let ahead_us = self.clock.advance();
        self.note_clock(ahead_us);
        let mut next = self.next.clone();
        let headers = batches.map(|batch| {
            let next = &mut next[batch.log_partition as usize];
            let header = batch.header(*next, self.clock.stamp(), self.end);
            *next = header.next_offset();
            header
        });
        headers.collect()
    }

    fn note_clock(&mut self, ahead_us: i64) {
        self.journal.clock_ahead_us.store(ahead_us, Ordering::Relaxed);
        let is_ahead = ahead_us > CLOCK_AHEAD_US_MAX;
        if is_ahead && !self.is_clock_ahead {
            warn!(
                topic = self.journal.topic.name(),
                ahead_us, "the wall clock is behind the log's clock, which does not step back"
            );
        }
        self.is_clock_ahead = is_ahead;
    }

    /// Begins the next segment. All of this one is durable.
    fn roll(&mut self) -> Result<(), Error> {
        self.cut_past_end()?;
        self.journal.failpoint("before_roll").map_err(io("create", &self.journal.dir))?;
        let sequence = self.active.header.sequence + 1;
        let header = SegmentHeader {
            log_id: self.active.header.log_id,
            sequence,
            replaces_from: sequence,
            log_time_us: self.active.index().log_time_us,
            first: self.next.clone(),
        };
        let segment = Arc::new(Segment::create(&self.journal.dir, header, |_| Ok(()))?);
        self.end = segment.durable_bytes();
        self.journal.disk_bytes.fetch_add(self.end, Ordering::Relaxed);
        self.journal.published.lock().segments.push_back(Arc::clone(&segment));
        self.active = segment;
        self.is_dirty_past_end = true;
        self.journal.sweep.ask();
        Ok(())
    }

    fn publish(&mut self, submissions: &[Submission], headers: &[BatchHeader]) {
        let batches = submissions.iter().flat_map(|submission| &submission.batches);
        let begin = self.end;
        let mut published = self.journal.published.lock();
        for (header, batch) in headers.iter().zip(batches) {
            self.active.note(header, self.end);
            self.end += header.batch_bytes();
            self.next[header.log_partition as usize] = header.next_offset();
            published.tail.push(TailBatch { header: *header, body: batch.body.clone() });
        }
        self.active.set_durable_bytes(self.end);
        published.next.clone_from(&self.next);
        drop(published);
        self.journal.disk_bytes.fetch_add(self.end - begin, Ordering::Relaxed);
        self.journal.committed.notify_all();
    }

    fn acknowledge(&self, submissions: &[Submission]) {
        let mut woken: Vec<&Arc<_>> = Vec::new();
        for Submission { progress, ticket, bytes, .. } in submissions {
            progress.durable_bytes.fetch_add(*bytes, Ordering::Relaxed);
            progress.tickets[self.journal.topic as usize].store(*ticket, Ordering::Release);
            if !woken.iter().any(|known| Arc::ptr_eq(known, progress)) {
                woken.push(progress);
            }
        }
        woken.iter().for_each(|progress| (progress.wake)());
    }
}

/// One call where the kernel takes it all.
fn write_all(mut file: &std::fs::File, mut slices: &mut [IoSlice<'_>]) -> std::io::Result<()> {
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
