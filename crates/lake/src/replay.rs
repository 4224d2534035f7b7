//! A log partition again, from the lake: its records in the order of their offsets, as one who reads the log is given
//! them. What a message says beside the columns (codec, topic, redelivery key) is not in the lake and not given.
//!
//! Invariant: memory is bounded by [`WINDOW_ROWS_MAX`] however large a range is; a large one is read in several passes.

use std::ops::{ControlFlow, Range};
use std::path::Path;

use model::{LogRecordView, Record};

use crate::chain::Chain;
use crate::commit_record::CommitRecord;
use crate::disk::Disk;
use crate::error::Error;
use crate::layout::Source;
use crate::replay_message::MessageWriter;
use crate::replay_rows::ReplayRows;

/// Rows that are in memory at once; a message with more is there whole.
pub const WINDOW_ROWS_MAX: u64 = 500_000;

/// What of a log partition is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplaySpan {
    pub offsets: Range<i64>,
    /// Of the partition clock, microseconds since 1970-01-01T00:00:00Z.
    pub clock_us: Range<i64>,
    /// Ticks, heartbeats and rule sets only; telemetry is not read.
    pub is_control_only: bool,
}

impl ReplaySpan {
    /// All that has landed.
    pub const ALL: ReplaySpan =
        ReplaySpan { offsets: 0..i64::MAX, clock_us: i64::MIN..i64::MAX, is_control_only: false };
}

/// Whose messages are wanted; a message of any other device is given as a heartbeat of its gateway, which is all that
/// rules of one device see of it.
pub type DeviceFilter<'a> = &'a dyn Fn(&str) -> bool;

/// Log partitions that have landed in the lake at `root`, in order.
///
/// # Errors
/// The root cannot be read.
pub fn sources(root: &Path) -> Result<Vec<Source>, Error> {
    Chain::sources(&Disk::read_only(root))
}

/// Gives `visit` each landed record of a log partition, until it breaks. The record carries offset and clock; what it
/// says is in the view. The number of a rule set is not in the lake and is 0.
///
/// # Errors
/// The root cannot be read, or a commit record or file is broken.
pub fn replay(
    root: &Path,
    source: Source,
    span: &ReplaySpan,
    devices: Option<DeviceFilter<'_>>,
    visit: &mut dyn FnMut(&Record<'_>, &LogRecordView<'_>) -> ControlFlow<()>,
) -> Result<(), Error> {
    let disk = Disk::read_only(root);
    let chain = Chain::new(&disk, source);
    let firsts = chain.firsts()?;
    let holding = firsts.partition_point(|first| *first <= span.offsets.start).saturating_sub(1);
    let mut window = Window { rows: ReplayRows::default(), writer: MessageWriter::default() };
    for first in firsts.into_iter().skip(holding) {
        let Some(range) = chain.read(first)? else { continue };
        if range.first >= span.offsets.end {
            break;
        }
        // Its clock is the one at its end.
        if range.clock_us < span.clock_us.start {
            continue;
        }
        if window.replay_range(&disk, &range, span, devices, visit)?.is_break() {
            break;
        }
    }
    Ok(())
}

struct Window {
    rows: ReplayRows,
    writer: MessageWriter,
}

impl Window {
    fn replay_range(
        &mut self,
        disk: &Disk,
        range: &CommitRecord,
        span: &ReplaySpan,
        devices: Option<DeviceFilter<'_>>,
        visit: &mut dyn FnMut(&Record<'_>, &LogRecordView<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Error> {
        let passes = (range.counts.rows / WINDOW_ROWS_MAX + 1).cast_signed();
        let step = ((range.next - range.first) / passes).max(1);
        let mut first = range.first;
        while first < range.next {
            let next = if range.next - first < 2 * step { range.next } else { first + step };
            let offsets = first.max(span.offsets.start)..next.min(span.offsets.end);
            if !offsets.is_empty() {
                self.rows.read(disk, range, &offsets, span.is_control_only)?;
                if self.give(span, devices, visit).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            first = next;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn give(
        &mut self,
        span: &ReplaySpan,
        devices: Option<DeviceFilter<'_>>,
        visit: &mut dyn FnMut(&Record<'_>, &LogRecordView<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for message in self.rows.messages() {
            if message.log_time_us() >= span.clock_us.end {
                return ControlFlow::Break(());
            }
            if message.log_time_us() < span.clock_us.start {
                continue;
            }
            let record = Record::new(message.log_offset(), message.log_time_us(), b"", b"");
            let is_wanted = devices.is_none_or(|is_wanted| message.device_id().is_none_or(is_wanted));
            let view = if is_wanted {
                self.writer.view(&message)
            } else {
                LogRecordView::Heartbeat { instance: "" }
            };
            visit(&record, &view)?;
        }
        ControlFlow::Continue(())
    }
}
