//! The reading side: batches from memory where a log partition keeps up, from the segment files where it does not.
//!
//! One pass over the files serves all log partitions that lag, in file order. Invariants: only what is durable is given;
//! the records of a log partition come in offset order, each once; a lagging log partition does not hold up the others,
//! nor they it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{RecordBatch, RecordBatchBuilder};

use super::journal::{Journal, Published};
use super::segment::{BatchCursor, Segment};
use super::tail::TailBatch;
use crate::{Error, ReadEvent, Reader};

/// Reads log partitions of one topic of the embedded log.
pub struct EmbeddedReader {
    journal: Arc<Journal>,
    /// Given by the next poll.
    assigned: Option<Vec<u32>>,
    /// By log partition, the offset to deliver next; `None` is silent.
    positions: Vec<Option<i64>>,
    /// Where the pass over the files stands, and by log partition whether it is for it.
    pass: Option<Pass>,
    /// The log partition that is looked at first, so that none is starved.
    turn: usize,
    is_pass_next: bool,
    builder: RecordBatchBuilder,
}

const FRUITLESS_PASSES_MAX: usize = 1000;

struct Pass {
    segment: Arc<Segment>,
    cursor: BatchCursor,
    serves: Vec<bool>,
}

/// What a look at the published state says to do.
enum Step {
    Deliver(TailBatch, i64),
    Pass,
    Wait,
}

impl EmbeddedReader {
    /// A member of a group is assigned all log partitions at once, and keeps them.
    pub(super) fn of_group(journal: Arc<Journal>) -> Self {
        let assigned = (0..journal.config.partitions).collect();
        EmbeddedReader { assigned: Some(assigned), ..EmbeddedReader::new(journal) }
    }

    pub(super) fn new(journal: Arc<Journal>) -> Self {
        let count = journal.topic.partition_count(journal.config.partitions) as usize;
        let positions = vec![None; count];
        let builder = RecordBatchBuilder::default();
        EmbeddedReader {
            journal,
            assigned: None,
            positions,
            pass: None,
            turn: 0,
            is_pass_next: false,
            builder,
        }
    }

    fn next_batch(&mut self, wait: Duration) -> Result<Option<RecordBatch>, Error> {
        let deadline = Instant::now() + wait;
        // A pass ends without a batch when segments were replaced under it, which does not go on for long.
        for _ in 0..FRUITLESS_PASSES_MAX {
            match self.await_step(deadline)? {
                Step::Deliver(batch, from) => {
                    let records = batch.header.records(&mut self.builder, &batch.body, from);
                    return records.map(Some).map_err(|what| self.damaged(what));
                }
                Step::Pass => {
                    if let Some(batch) = self.read_on()? {
                        return Ok(Some(batch));
                    }
                }
                Step::Wait => return Ok(None),
            }
        }
        Err(self.damaged("the segments do not hold an offset that the log has"))
    }

    /// What can be done now, or after waiting for a commit; [`Step::Wait`] when there was none before the deadline.
    fn await_step(&mut self, deadline: Instant) -> Result<Step, Error> {
        let journal = Arc::clone(&self.journal);
        let mut published = journal.published.lock();
        let mut is_late = false;
        loop {
            if journal.is_closed() {
                return Err(Error::Closed);
            }
            let step = self.step(&published)?;
            if is_late || !matches!(step, Step::Wait) {
                return Ok(step);
            }
            is_late = journal.committed.wait_until(&mut published, deadline).timed_out();
        }
    }

    fn step(&mut self, published: &Published) -> Result<Step, Error> {
        let count = self.positions.len();
        let mut lags = false;
        let mut in_memory = None;
        for partition in (0..count).map(|step| (self.turn + step) % count) {
            let Some(position) = self.positions[partition].filter(|at| *at < published.next[partition])
            else {
                continue;
            };
            match published.tail.get(partition as u32, position) {
                Some(batch) => in_memory = in_memory.or(Some((partition, position, batch))),
                None => lags = true,
            }
        }
        self.is_pass_next = lags && (in_memory.is_none() || !self.is_pass_next);
        if self.is_pass_next {
            self.prepare_pass(published)?;
            return Ok(Step::Pass);
        }
        let Some((partition, position, batch)) = in_memory else { return Ok(Step::Wait) };
        self.positions[partition] = Some(batch.header.next_offset());
        self.turn = (partition + 1) % count;
        if let Some(pass) = &mut self.pass {
            pass.serves[partition] = false;
        }
        Ok(Step::Deliver(batch.clone(), position))
    }

    /// Makes sure that the pass has not gone by what a lagging log partition needs.
    fn prepare_pass(&mut self, published: &Published) -> Result<(), Error> {
        let lags = |(partition, position): (usize, &Option<i64>)| {
            position.is_some_and(|at| {
                at < published.next[partition] && published.tail.get(partition as u32, at).is_none()
            })
        };
        let lagging: Vec<bool> = self.positions.iter().enumerate().map(lags).collect();
        if self
            .pass
            .as_ref()
            .is_some_and(|pass| lagging.iter().zip(&pass.serves).all(|(lags, served)| *served || !lags))
        {
            return Ok(());
        }
        let mut begin: Option<(Arc<Segment>, u64)> = None;
        for partition in (0..lagging.len()).filter(|partition| lagging[*partition]) {
            let position = self.positions[partition].unwrap_or_default();
            let Some((segment, at)) = published.locate(partition as u32, position) else {
                return Err(self.out_of_range(published, partition, position));
            };
            let is_earlier = |(earliest, earliest_at): &(Arc<Segment>, u64)| {
                (segment.header.sequence, at) < (earliest.header.sequence, *earliest_at)
            };
            if begin.as_ref().is_none_or(is_earlier) {
                begin = Some((segment, at));
            }
        }
        self.pass =
            begin.map(|(segment, at)| Pass { segment, cursor: BatchCursor::new(at), serves: lagging });
        Ok(())
    }

    /// Goes on in the files to the next batch that is to be delivered; `None` when the way there must be looked up again.
    fn read_on(&mut self) -> Result<Option<RecordBatch>, Error> {
        while let Some(pass) = &mut self.pass {
            let positions = &self.positions;
            let position = |partition: u32| positions[partition as usize];
            let found = pass.cursor.next(&pass.segment, pass.segment.durable_bytes(), |header| {
                position(header.log_partition).is_some_and(|at| at < header.next_offset())
            })?;
            let Some(found) = found else {
                self.pass = self.following_segment();
                continue;
            };
            let (Some(body), Some(from)) = (found.body, position(found.header.log_partition)) else {
                continue;
            };
            let records = found.header.records(&mut self.builder, &body, from);
            let records = records.map_err(|what| pass.segment.damaged(found.at, what))?;
            self.positions[found.header.log_partition as usize] = Some(found.header.next_offset());
            return Ok(Some(records));
        }
        Ok(None)
    }

    /// The pass in the segment after this one; none at the end of the log, or where a log partition has lost records on
    /// the way because they were not needed any more. Compaction leaves holes that are none.
    fn following_segment(&mut self) -> Option<Pass> {
        let pass = self.pass.take()?;
        let published = self.journal.published.lock();
        let sequence = pass.segment.header.sequence;
        let after = published.segments.partition_point(|segment| segment.header.sequence <= sequence);
        let segment = Arc::clone(published.segments.get(after)?);
        let served = self.positions.iter().zip(&pass.serves).zip(&segment.header.first);
        // Compaction leaves holes that lose nothing.
        let has_hole = !self.journal.topic.is_compacted()
            && served.into_iter().any(|((at, served), first)| *served && at.is_some_and(|at| at < *first));
        (!has_hole).then(|| Pass {
            cursor: BatchCursor::new(segment.header.bytes()),
            segment,
            serves: pass.serves,
        })
    }

    fn out_of_range(&mut self, published: &Published, partition: usize, offset: i64) -> Error {
        self.positions[partition] = None;
        let held = published.offsets(partition as u32);
        let topic = self.journal.topic.name();
        Error::OutOfRange { topic, partition: partition as u32, offset, first: held.start, next: held.end }
    }

    fn damaged(&self, what: &'static str) -> Error {
        Error::Damaged { path: self.journal.dir.clone(), at: 0, what }
    }
}

impl Reader for EmbeddedReader {
    fn poll(&mut self, wait: Duration) -> Result<ReadEvent, Error> {
        if let Some(assigned) = self.assigned.take() {
            return Ok(ReadEvent::Assigned(assigned));
        }
        Ok(self.next_batch(wait)?.map_or(ReadEvent::Idle, ReadEvent::Records))
    }

    fn start(&mut self, partition: u32, offset: i64) -> Result<(), Error> {
        self.journal.check_partition(partition)?;
        let journal = Arc::clone(&self.journal);
        let published = journal.published.lock();
        let held = published.offsets(partition);
        if offset < held.start || offset > held.end {
            return Err(self.out_of_range(&published, partition as usize, offset));
        }
        self.positions[partition as usize] = Some(offset);
        if let Some(pass) = &mut self.pass {
            pass.serves[partition as usize] = false;
        }
        Ok(())
    }

    fn stop(&mut self, partition: u32) -> Result<(), Error> {
        self.journal.check_partition(partition)?;
        self.positions[partition as usize] = None;
        Ok(())
    }

    fn end(&mut self, partition: u32) -> Result<i64, Error> {
        self.journal.check_partition(partition)?;
        if self.journal.is_closed() {
            return Err(Error::Closed);
        }
        Ok(self.journal.published.lock().next[partition as usize])
    }
}
