//! Which of the oldest segments are worth rewriting into one, and what of them is kept.
//!
//! A compacted topic keeps the newest record of each key. Telemetry keeps the log partitions that are still needed: one
//! that few devices write to would otherwise hold back all the others' segments. Offsets and times stay as they were.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Record, RecordBatchBuilder};

use super::batch::OpenBatch;
use super::journal::{Journal, Published};
use super::retention::Retention;
use super::segment::{BatchCursor, FoundBatch, Segment, SegmentDraft, SegmentHeader};
use crate::Error;

/// A rewrite of the oldest segments.
pub(super) struct Rewrite {
    /// From the oldest on, never the one that is written.
    pub(super) inputs: Vec<Arc<Segment>>,
    keep: Keep,
}

enum Keep {
    /// These log partitions whole, and of the others nothing: they begin at the offset given.
    Partitions(Vec<Option<i64>>),
    /// The newest record of each key, tombstones only when they are not older than this.
    Latest { tombstones_from_us: i64 },
}

/// The offset of the newest record of each key, by log partition.
type Latest = Vec<HashMap<Box<[u8]>, i64>>;

impl Rewrite {
    /// The rewrite that frees at least as much as it writes, where there is one.
    pub(super) fn due(journal: &Journal) -> Option<Rewrite> {
        let published = journal.published.lock();
        match &journal.retention {
            Retention::Released { .. } => Rewrite::of_released(journal, &published),
            Retention::Age(_) => None,
            Retention::Compacted => Rewrite::of_keys(journal, &published),
        }
    }

    fn of_released(journal: &Journal, published: &Published) -> Option<Rewrite> {
        let now_us = journal.config.clock.wall_us();
        let mut held: Vec<u64> = vec![0; published.next.len()];
        let mut best = None;
        for (at, (segment, following)) in
            published.segments.iter().zip(published.segments.iter().skip(1)).enumerate()
        {
            let index = segment.index();
            held.iter_mut().zip(&index.partitions).for_each(|(sum, partition)| *sum += partition.bytes);
            let ends = following.header.first.iter().enumerate();
            let begins: Vec<_> = ends
                .map(|(at, end)| {
                    journal.retention.allows(at, *end, index.log_time_us, now_us).then_some(*end)
                })
                .collect();
            let freed: u64 =
                held.iter().zip(&begins).filter(|(_, begin)| begin.is_some()).map(|(bytes, _)| bytes).sum();
            if freed >= journal.segment_bytes && 2 * freed >= held.iter().sum() {
                best = Some((at + 1, begins));
            }
        }
        let (count, begins) = best?;
        Some(Rewrite {
            inputs: published.segments.range(..count).cloned().collect(),
            keep: Keep::Partitions(begins),
        })
    }

    /// The first segment is what the last rewrite left, so the others are what has come since.
    fn of_keys(journal: &Journal, published: &Published) -> Option<Rewrite> {
        let sealed = published.segments.len() - 1;
        let mut bytes = published.segments.range(..sealed).map(|segment| segment.durable_bytes());
        let (oldest, others) = (bytes.next()?, bytes.sum::<u64>());
        let tombstones = i64::try_from(journal.config.tombstone_retention.as_micros()).unwrap_or(i64::MAX);
        let tombstones_from_us = journal.config.clock.wall_us().saturating_sub(tombstones);
        (others >= oldest.max(journal.segment_bytes)).then(|| Rewrite {
            inputs: published.segments.range(..sealed).cloned().collect(),
            keep: Keep::Latest { tombstones_from_us },
        })
    }

    /// Writes the new segment; it is durable, and stands for its inputs at the next open.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Damaged`]; nothing has changed then.
    pub(super) fn write(&self, journal: &Journal) -> Result<Segment, Error> {
        let (oldest, newest) = (&self.inputs[0].header, &self.inputs[self.inputs.len() - 1].header);
        let mut header = SegmentHeader {
            replaces_from: oldest.replaces_from,
            sequence: newest.sequence,
            ..oldest.clone()
        };
        match &self.keep {
            Keep::Partitions(begins) => {
                for (first, begin) in header.first.iter_mut().zip(begins) {
                    *first = begin.unwrap_or(*first);
                }
                let is_kept = |partition: u32| begins[partition as usize].is_none();
                Segment::create(&journal.dir, header, |draft| self.copy(draft, is_kept, |_, _| true))
            }
            Keep::Latest { tombstones_from_us } => {
                let (latest, next) = latest(journal)?;
                let is_kept = |partition: u32, record: &Record<'_>| {
                    let (keys, next) = (&latest[partition as usize], next[partition as usize]);
                    // The last record of a log partition stays, so that reading to its end comes to the end.
                    keys.get(record.key) == Some(&record.offset)
                        && (!record.is_tombstone
                            || record.log_time_us >= *tombstones_from_us
                            || record.offset + 1 == next)
                };
                Segment::create(&journal.dir, header, |draft| self.copy(draft, |_| true, is_kept))
            }
        }
    }

    fn copy(
        &self,
        draft: &mut SegmentDraft,
        keeps_partition: impl Fn(u32) -> bool,
        keeps: impl Fn(u32, &Record<'_>) -> bool,
    ) -> Result<(), Error> {
        for input in &self.inputs {
            let mut cursor = BatchCursor::new(input.header.bytes());
            let wants = |partition| keeps_partition(partition);
            while let Some(found) =
                cursor.next(input, input.durable_bytes(), |header| wants(header.log_partition))?
            {
                copy_batch(draft, input, &found, &keeps)?;
            }
        }
        Ok(())
    }
}

/// Copies what is kept of one batch: a batch for each run without a hole.
fn copy_batch(
    draft: &mut SegmentDraft,
    input: &Segment,
    found: &FoundBatch,
    keeps: impl Fn(u32, &Record<'_>) -> bool,
) -> Result<(), Error> {
    let Some(body) = &found.body else { return Ok(()) };
    let log_partition = found.header.log_partition;
    let mut builder = RecordBatchBuilder::default();
    let records = found
        .header
        .records(&mut builder, body, found.header.base_offset)
        .map_err(|what| input.damaged(found.at, what))?;
    let mut run = OpenBatch::default();
    let mut begin = found.header.base_offset;
    for record in records.iter() {
        if keeps(log_partition, &record) {
            run.push(record.key, (!record.is_tombstone).then_some(record.value), record.header_bytes());
        } else {
            if !run.is_empty() {
                draft.push(&run.seal(log_partition), begin, found.header.log_time_us)?;
            }
            begin = record.offset + 1;
        }
    }
    if run.is_empty() {
        Ok(())
    } else {
        draft.push(&run.seal(log_partition), begin, found.header.log_time_us)
    }
}

/// Of all that is durable now. What comes later only makes more of it superfluous.
fn latest(journal: &Journal) -> Result<(Latest, Vec<i64>), Error> {
    let (segments, next) = {
        let published = journal.published.lock();
        (published.segments.clone(), published.next.clone())
    };
    let mut builder = RecordBatchBuilder::default();
    let mut latest: Latest = vec![HashMap::new(); next.len()];
    for segment in segments {
        let end = segment.durable_bytes();
        let mut cursor = BatchCursor::new(segment.header.bytes());
        while let Some(found) = cursor.next(&segment, end, |_| true)? {
            let Some(body) = &found.body else { continue };
            let records = found.header.records(&mut builder, body, found.header.base_offset);
            let keys = &mut latest[found.header.log_partition as usize];
            for record in records.map_err(|what| segment.damaged(found.at, what))?.iter() {
                keys.insert(record.key.into(), record.offset);
            }
        }
    }
    Ok((latest, next))
}
