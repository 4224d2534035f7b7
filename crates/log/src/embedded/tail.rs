//! The newest durable batches in memory, for the readers that keep up.
//!
//! It knows no file. Invariants: it holds a stretch of each log partition without a hole that ends at the log's end, and
//! never more than its limit, except for one batch.

use std::collections::VecDeque;

use bytes::Bytes;

use super::batch::BatchHeader;

/// What a batch costs beside its body: both queues and the allocation.
const BATCH_BYTES: usize = 128;

#[derive(Clone, Debug)]
pub(super) struct TailBatch {
    pub(super) header: BatchHeader,
    pub(super) body: Bytes,
}

#[derive(Debug)]
pub(super) struct Tail {
    partitions: Vec<VecDeque<TailBatch>>,
    /// The log partition of each batch, oldest first.
    order: VecDeque<u32>,
    bytes: usize,
    bytes_max: usize,
}

impl Tail {
    pub(super) fn new(partitions: usize, bytes_max: usize) -> Self {
        Tail { partitions: vec![VecDeque::new(); partitions], order: VecDeque::new(), bytes: 0, bytes_max }
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, batch: TailBatch) {
        let log_partition = batch.header.log_partition;
        self.bytes += batch.body.len() + BATCH_BYTES;
        self.partitions[log_partition as usize].push_back(batch);
        self.order.push_back(log_partition);
        while self.bytes > self.bytes_max && self.order.len() > 1 {
            let oldest =
                self.order.pop_front().and_then(|partition| self.partitions[partition as usize].pop_front());
            self.bytes -= oldest.map_or(0, |batch| batch.body.len() + BATCH_BYTES);
        }
    }

    /// The batch that holds `offset`; `None` where only the files have it.
    pub(super) fn get(&self, log_partition: u32, offset: i64) -> Option<&TailBatch> {
        let batches = &self.partitions[log_partition as usize];
        if batches.front()?.header.base_offset > offset {
            return None;
        }
        batches.get(batches.partition_point(|batch| batch.header.next_offset() <= offset))
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::OpenBatch;
    use super::*;

    #[test]
    fn the_oldest_batches_leave_at_the_limit_and_the_rest_has_no_hole() {
        let mut tail = Tail::new(2, 10 * (200 + BATCH_BYTES));
        let mut next = [0i64; 2];
        for round in 0..100usize {
            let partition = usize::from(round % 3 == 0);
            let mut open = OpenBatch::default();
            (0..2).for_each(|_| _ = open.push(b"", Some(&[0; 88]), b""));
            let sealed = open.seal(partition as u32);
            tail.push(TailBatch { header: sealed.header(next[partition], 0, 0), body: sealed.body });
            next[partition] += 2;
            assert!(tail.bytes() <= tail.bytes_max);
        }
        let mut held = 0;
        for partition in 0..2 {
            let end = next[partition as usize];
            let first =
                (0..end).find(|offset| tail.get(partition, *offset).is_some()).expect("it holds something");
            for offset in first..end {
                let batch = tail.get(partition, offset).expect("no hole");
                assert!((batch.header.base_offset..batch.header.next_offset()).contains(&offset));
            }
            assert!(tail.get(partition, end).is_none());
            held += (end - first) / 2;
        }
        assert_eq!(held, 10);
    }
}
