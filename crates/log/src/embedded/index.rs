//! Where the batches of one segment stand, by log partition: enough of them to begin reading near any offset.
//!
//! Of a segment that is written no more it is kept in a file beside it, which only saves the next open from reading the
//! whole segment: one that is missing, torn or of another segment is not used.

use super::batch::BatchHeader;

/// Batches of one log partition nearer than this share an entry: a 64 MiB segment of 8 log partitions has at most 2,048.
const STEP_BYTES: u64 = 256 << 10;
const MAGIC: [u8; 8] = *b"unbidx\x00\x01";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentIndex {
    /// The greatest time stamped up to the end of the segment, microseconds.
    pub(super) log_time_us: i64,
    pub(super) partitions: Vec<PartitionIndex>,
}

/// What a segment holds of one log partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PartitionIndex {
    /// The offset after the last record up to the end of the segment.
    pub(super) next: i64,
    /// Of its batches.
    pub(super) bytes: u64,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    offset: i64,
    at: u64,
}

/// Which segment an index is of, and of how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexKey {
    pub(super) segment_crc: u32,
    pub(super) segment_bytes: u64,
}

impl SegmentIndex {
    /// Of a segment without batches.
    pub(super) fn new(first: &[i64], log_time_us: i64) -> Self {
        let partitions = first.iter().map(|next| PartitionIndex { next: *next, ..PartitionIndex::default() });
        SegmentIndex { log_time_us, partitions: partitions.collect() }
    }

    /// Notes the batch that stands at byte `at`.
    pub(super) fn note(&mut self, header: &BatchHeader, at: u64) {
        self.log_time_us = self.log_time_us.max(header.log_time_us);
        let partition = &mut self.partitions[header.log_partition as usize];
        partition.next = header.next_offset();
        partition.bytes += header.batch_bytes();
        if partition.entries.last().is_none_or(|last| at - last.at >= STEP_BYTES) {
            partition.entries.push(Entry { offset: header.base_offset, at });
        }
    }

    /// A batch at or before that of `offset`; `None` where reading begins at the first batch.
    pub(super) fn locate(&self, log_partition: u32, offset: i64) -> Option<u64> {
        let entries = &self.partitions[log_partition as usize].entries;
        let after = entries.partition_point(|entry| entry.offset <= offset);
        Some(entries[after.checked_sub(1)?].at)
    }

    pub(super) fn encode(&self, key: IndexKey) -> Vec<u8> {
        let mut words = vec![u64::from(key.segment_crc), key.segment_bytes, self.log_time_us as u64];
        for partition in &self.partitions {
            words.extend([partition.next as u64, partition.bytes, partition.entries.len() as u64]);
            words.extend(partition.entries.iter().flat_map(|entry| [entry.offset as u64, entry.at]));
        }
        let body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        [&MAGIC[..], &crc32c::crc32c(&body).to_le_bytes(), &body].concat()
    }

    /// `None` where the bytes are no index of that segment.
    pub(super) fn decode(bytes: &[u8], key: IndexKey, partitions: usize) -> Option<Self> {
        let (crc, body) = bytes.strip_prefix(&MAGIC)?.split_first_chunk()?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut words =
            body.chunks_exact(8).map(|word| u64::from_le_bytes(std::array::from_fn(|at| word[at])));
        let found =
            IndexKey { segment_crc: u32::try_from(words.next()?).ok()?, segment_bytes: words.next()? };
        if found != key {
            return None;
        }
        let mut index = SegmentIndex { log_time_us: words.next()? as i64, partitions: Vec::new() };
        for _ in 0..partitions {
            let (next, bytes, count) = (words.next()? as i64, words.next()?, words.next()?);
            let entry = |_| Some(Entry { offset: words.next()? as i64, at: words.next()? });
            index.partitions.push(PartitionIndex {
                next,
                bytes,
                entries: (0..count).map(entry).collect::<Option<_>>()?,
            });
        }
        words.next().is_none().then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_index_finds_every_batch_and_survives_its_file(
            batches in proptest::collection::vec((0..3u32, 1..50u32, 0..400_000u32), 0..80),
            flip in any::<proptest::sample::Index>(),
        ) {
            let mut index = SegmentIndex::new(&[5, 0, 1000], 7);
            let (mut next, mut at) = ([5i64, 0, 1000], 88u64);
            let mut stand = Vec::new();
            for (log_partition, count, body_bytes) in batches {
                let base_offset = next[log_partition as usize];
                let (body_crc, log_time_us, durable_before) = (0, at as i64, 0);
                let header = BatchHeader {
                    body_bytes, body_crc, log_partition, count, base_offset, log_time_us, durable_before,
                };
                index.note(&header, at);
                stand.push((header, at));
                next[log_partition as usize] = header.next_offset();
                at += header.batch_bytes();
            }
            for (header, at) in &stand {
                let found = index.locate(header.log_partition, header.next_offset() - 1).unwrap_or(88);
                prop_assert!(found <= *at && *at - found < STEP_BYTES, "{found} for a batch at {at}");
            }
            prop_assert!(index.partitions.iter().map(|partition| partition.next).eq(next));
            let key = IndexKey { segment_crc: 9, segment_bytes: at };
            let bytes = index.encode(key);
            prop_assert_eq!(SegmentIndex::decode(&bytes, key, 3), Some(index));
            prop_assert_eq!(SegmentIndex::decode(&bytes, IndexKey { segment_crc: 8, ..key }, 3), None);
            prop_assert_eq!(SegmentIndex::decode(&bytes[..flip.index(bytes.len())], key, 3), None);
            let mut flipped = bytes.clone();
            flipped[flip.index(bytes.len())] ^= 4;
            prop_assert_eq!(SegmentIndex::decode(&flipped, key, 3), None);
        }
    }
}
