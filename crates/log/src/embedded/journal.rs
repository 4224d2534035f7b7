//! One topic of the log: what its appenders queue, what its committer has published, and what its readers wait for.
//!
//! It is the meeting place of those threads and does no I/O itself. Invariant: what stands in [`Published`] is durable.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::batch::SealedBatch;
use super::config::EmbeddedConfig;
use super::recovery::Recovered;
use super::retention::Retention;
use super::segment::Segment;
use super::sweeper::SweepSignal;
use super::tail::Tail;
use crate::{Error, Topic, Wake};

pub(super) struct Journal {
    pub(super) topic: Topic,
    pub(super) dir: PathBuf,
    pub(super) config: EmbeddedConfig,
    pub(super) segment_bytes: u64,
    pub(super) retention: Retention,
    queue: Mutex<Queue>,
    queued: Condvar,
    pub(super) published: Mutex<Published>,
    pub(super) committed: Condvar,
    pub(super) disk_bytes: AtomicU64,
    pub(super) sweep: Arc<SweepSignal>,
    /// How far the log's clock is ahead of the wall, microseconds.
    pub(super) clock_ahead_us: AtomicI64,
    state: AtomicU8,
    trouble: Mutex<Option<String>>,
}

/// What waits for the committer.
#[derive(Default)]
struct Queue {
    submissions: VecDeque<Submission>,
    is_closing: bool,
}

/// What one appender flushed to one topic.
pub(super) struct Submission {
    pub(super) progress: Arc<Progress>,
    pub(super) ticket: u64,
    pub(super) batches: Vec<SealedBatch>,
    /// Of keys, values and headers with their frames.
    pub(super) bytes: u64,
}

/// How far one appender's submissions are durable, by topic.
pub(super) struct Progress {
    pub(super) tickets: [AtomicU64; Topic::ALL.len()],
    pub(super) durable_bytes: AtomicU64,
    pub(super) wake: Wake,
}

/// What readers see.
pub(super) struct Published {
    /// Oldest first, never empty; the last is being written.
    pub(super) segments: VecDeque<Arc<Segment>>,
    /// For each log partition the offset after its last durable record.
    pub(super) next: Vec<i64>,
    pub(super) tail: Tail,
}

const OPEN: u8 = 0;
const ENDED: u8 = 1;
const CLOSED: u8 = 2;

impl Journal {
    pub(super) fn new(
        topic: Topic,
        dir: PathBuf,
        config: EmbeddedConfig,
        sweep: Arc<SweepSignal>,
        recovered: Recovered,
    ) -> Self {
        let disk_bytes = recovered.segments.iter().map(|segment| segment.durable_bytes()).sum();
        let tail = Tail::new(recovered.next.len(), tail_bytes_max(topic, config.tail_bytes_max));
        Journal {
            topic,
            dir,
            segment_bytes: if topic.is_compacted() { config.segment_bytes / 8 } else { config.segment_bytes },
            retention: Retention::of(topic, &config),
            config,
            queue: Mutex::default(),
            queued: Condvar::new(),
            published: Mutex::new(Published { segments: recovered.segments, next: recovered.next, tail }),
            committed: Condvar::new(),
            disk_bytes: AtomicU64::new(disk_bytes),
            sweep,
            clock_ahead_us: AtomicI64::new(0),
            state: AtomicU8::new(OPEN),
            trouble: Mutex::new(None),
        }
    }

    pub(super) fn submit(&self, submission: Submission) {
        let progress = Arc::clone(&submission.progress);
        self.queue.lock().submissions.push_back(submission);
        self.queued.notify_one();
        if self.check_open().is_err() {
            // Nobody will take it: its appender must come and hear.
            (progress.wake)();
        }
    }

    /// All that is queued and fits a segment, once something is; `None` when the log closes and nothing is left.
    pub(super) fn take_queued(&self) -> Option<Vec<Submission>> {
        let mut queue = self.queue.lock();
        while queue.submissions.is_empty() && !queue.is_closing {
            self.queued.wait(&mut queue);
        }
        let mut bytes = 0;
        let fits = queue.submissions.iter().take_while(|submission| {
            bytes += submission.bytes;
            bytes <= self.segment_bytes
        });
        let count = fits.count().max(1).min(queue.submissions.len());
        let taken: Vec<_> = queue.submissions.drain(..count).collect();
        (!taken.is_empty()).then_some(taken)
    }

    /// Waits before another try; true when the log closes, and there will be none.
    pub(super) fn pause(&self, wait: Duration) -> bool {
        let mut queue = self.queue.lock();
        let deadline = std::time::Instant::now() + wait;
        // What is queued meanwhile wakes it too, and changes nothing.
        while !queue.is_closing && !self.queued.wait_until(&mut queue, deadline).timed_out() {}
        queue.is_closing
    }

    /// Tells the committer to end once the queue is empty.
    pub(super) fn begin_close(&self) {
        self.queue.lock().is_closing = true;
        self.queued.notify_one();
    }

    /// Nothing more becomes durable: appenders get to know. `trouble` is why, where the log did not just close.
    pub(super) fn end(&self, trouble: Option<String>) {
        self.state.store(ENDED, Ordering::Release);
        if trouble.is_some() {
            self.set_trouble(trouble);
        }
        let left = std::mem::take(&mut self.queue.lock().submissions);
        left.iter().for_each(|submission| (submission.progress.wake)());
    }

    /// After the end: readers get to know too.
    pub(super) fn close(&self) {
        self.state.store(CLOSED, Ordering::Release);
        // With the lock that a reader holds between its look and its wait, or the reader sleeps on.
        let published = self.published.lock();
        self.committed.notify_all();
        drop(published);
    }

    /// # Errors
    /// [`Error::Closed`] when nothing more will become durable.
    pub(super) fn check_open(&self) -> Result<(), Error> {
        if self.state.load(Ordering::Acquire) == OPEN { Ok(()) } else { Err(Error::Closed) }
    }

    /// Where the disk has failed, readers still get what is durable; after a close nothing.
    pub(super) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) == CLOSED
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock() = trouble;
    }

    /// # Errors
    /// What the crash test's hook says.
    pub(super) fn failpoint(&self, point: &'static str) -> std::io::Result<()> {
        self.config.failpoint.as_ref().map_or(Ok(()), |hook| hook(point))
    }

    /// # Errors
    /// [`Error::Refused`] where the topic has no such log partition.
    pub(super) fn check_partition(&self, log_partition: u32) -> Result<(), Error> {
        let count = self.topic.partition_count(self.config.partitions);
        if log_partition < count {
            return Ok(());
        }
        let name = self.topic.name();
        Err(Error::Refused(format!("{name} has {count} log partitions, there is no {log_partition}")))
    }
}

impl Published {
    /// The offsets held of one log partition.
    pub(super) fn offsets(&self, log_partition: u32) -> std::ops::Range<i64> {
        let at = log_partition as usize;
        let next = self.next[at];
        self.segments.front().map_or(next, |segment| segment.header.first[at])..next
    }

    /// The segment that holds `offset`, and where in it to begin.
    pub(super) fn locate(&self, log_partition: u32, offset: i64) -> Option<(Arc<Segment>, u64)> {
        let after =
            self.segments.partition_point(|segment| segment.header.first[log_partition as usize] <= offset);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        Some((Arc::clone(segment), segment.locate(log_partition, offset)))
    }
}

/// Telemetry is what readers follow; the six others share a quarter.
fn tail_bytes_max(topic: Topic, all: usize) -> usize {
    if topic == Topic::Telemetry { all / 4 * 3 } else { all / 24 }
}
