//! Reading what a log partition holds at this moment, from one offset to the end that it has when the scan begins.

use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use log::{Log, ReadEvent, Reader, Topic};
use model::Record;

use super::OperationError;

/// Longest silence of the log before a scan gives up.
const SILENCE_MAX: Duration = Duration::from_secs(15);
const POLL_WAIT: Duration = Duration::from_millis(100);

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicScan {
    pub topic: Topic,
    pub partition: u32,
    /// Offsets that the log does not hold are skipped.
    pub offsets: Range<i64>,
}

impl TopicScan {
    /// All that the partition holds.
    pub fn all(topic: Topic, partition: u32) -> Self {
        TopicScan { topic, partition, offsets: 0..i64::MAX }
    }
}

/// Calls `visit` with each record until it breaks or the end is reached.
///
/// # Errors
/// The log fails, or falls silent before the end.
pub fn scan<L: Log>(
    log: &L,
    wanted: &TopicScan,
    mut visit: impl FnMut(&Record<'_>) -> ControlFlow<()>,
) -> Result<(), OperationError> {
    let TopicScan { topic, partition, ref offsets } = *wanted;
    let held = log.offsets(topic, partition)?;
    let (first, end) = (held.start.max(offsets.start), held.end.min(offsets.end));
    if first >= end {
        return Ok(());
    }
    let mut reader = log.reader(topic, &[(partition, first)])?;
    let mut heard_at = Instant::now();
    let mut next = first;
    while next < end {
        match reader.poll(POLL_WAIT)? {
            ReadEvent::Records(batch) => {
                heard_at = Instant::now();
                next = batch.next;
                for record in batch.iter().take_while(|record| record.offset < end) {
                    if visit(&record).is_break() {
                        return Ok(());
                    }
                }
            }
            _ if heard_at.elapsed() > SILENCE_MAX => {
                let seconds = SILENCE_MAX.as_secs();
                return Err(OperationError::Stalled { topic: topic.name(), partition, seconds });
            }
            _ => {}
        }
    }
    Ok(())
}
