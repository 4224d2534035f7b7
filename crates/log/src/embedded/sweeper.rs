//! The thread that frees the disk: unlinks segments that may go, and rewrites those that mostly may.
//!
//! It works beside the committers and never on the segment that is written. Invariants: the oldest segments go first, so
//! that what is left has no hole; a crash at any point leaves either the old segments or the new one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing::{debug, warn};

use super::journal::Journal;
use super::rewrite::Rewrite;
use super::segment::{Segment, io, sync_dir};
use crate::Error;

/// How often it looks for what has become old.
const IDLE: Duration = Duration::from_secs(60);

/// Asks the sweeper for a round.
#[derive(Default)]
pub(super) struct SweepSignal {
    asked: Mutex<Asked>,
    changed: Condvar,
}

#[derive(Default)]
struct Asked {
    is_wanted: bool,
    is_closing: bool,
}

impl SweepSignal {
    pub(super) fn ask(&self) {
        self.asked.lock().is_wanted = true;
        self.changed.notify_one();
    }

    pub(super) fn begin_close(&self) {
        self.asked.lock().is_closing = true;
        self.changed.notify_one();
    }

    /// Waits for the next round; false when the log closes.
    fn wait(&self) -> bool {
        let mut asked = self.asked.lock();
        if !asked.is_wanted && !asked.is_closing {
            self.changed.wait_for(&mut asked, IDLE);
        }
        asked.is_wanted = false;
        !asked.is_closing
    }
}

/// Sweeps until the log closes. What fails is said and tried again in the next round: it costs disk, never a record.
pub(super) fn run(signal: &SweepSignal, journals: &[Arc<Journal>]) {
    while signal.wait() {
        for journal in journals {
            if let Err(error) = sweep(journal) {
                warn!(topic = journal.topic.name(), %error, "segments that are not needed any more stay");
            }
        }
    }
}

fn sweep(journal: &Journal) -> Result<(), Error> {
    while let Some(segment) = expendable(journal) {
        journal.failpoint("before_unlink").map_err(io("unlink", &segment.path))?;
        segment.unlink()?;
        // Before the next: a later segment must never go first.
        sync_dir(&journal.dir)?;
        journal.published.lock().segments.pop_front();
        journal.disk_bytes.fetch_sub(segment.durable_bytes(), Ordering::Relaxed);
        debug!(topic = journal.topic.name(), sequence = segment.header.sequence, "segment unlinked");
    }
    if let Some(rewrite) = Rewrite::due(journal) {
        replace(journal, &rewrite)?;
    }
    let mut sealed: Vec<_> = journal.published.lock().segments.iter().cloned().collect();
    sealed.pop();
    sealed.iter().try_for_each(|segment| segment.save_index())
}

/// The oldest segment, where nothing in it is needed.
fn expendable(journal: &Journal) -> Option<Arc<Segment>> {
    let published = journal.published.lock();
    let (oldest, following) = (published.segments.front()?, published.segments.get(1)?);
    let now_us = journal.config.clock.wall_us();
    let log_time_us = oldest.index().log_time_us;
    let mut ends = following.header.first.iter().enumerate();
    let may_go = ends.all(|(at, end)| journal.retention.allows(at, *end, log_time_us, now_us));
    may_go.then(|| Arc::clone(oldest))
}

/// Puts one new segment in the place of the oldest ones. It takes the name of the last of them and says which it stands
/// for, so that the others are known to be leftovers from then on.
fn replace(journal: &Journal, rewrite: &Rewrite) -> Result<(), Error> {
    journal.failpoint("before_compact").map_err(io("compact", &journal.dir))?;
    let segment = Arc::new(rewrite.write(journal)?);
    let before: u64 = rewrite.inputs.iter().map(|input| input.durable_bytes()).sum();
    let after = segment.durable_bytes();
    {
        let mut published = journal.published.lock();
        published.segments.drain(..rewrite.inputs.len());
        published.segments.push_front(segment);
    }
    journal.disk_bytes.fetch_add(after, Ordering::Relaxed);
    journal.disk_bytes.fetch_sub(before, Ordering::Relaxed);
    journal.failpoint("after_compact").map_err(io("compact", &journal.dir))?;
    let (_, leftovers) = rewrite.inputs.split_last().expect("a rewrite has inputs");
    leftovers.iter().try_for_each(|input| input.unlink())?;
    sync_dir(&journal.dir)?;
    debug!(topic = journal.topic.name(), before, after, "segments rewritten into one");
    Ok(())
}
