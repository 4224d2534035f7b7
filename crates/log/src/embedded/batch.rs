//! The stored form of a batch: a checked header, then the framed records of one log partition.
//!
//! The body is built by the appender thread exactly as it will stand on disk and in memory; the committer only adds the
//! header. It knows bytes, no file. Invariant: what decodes has been checked, so spans lie inside their body.
//!
//! Numbers are little-endian. Header: magic and version, crc of the rest of the header, body bytes, crc of the body, log
//! partition, count, base offset, log time, durable-before. Record: bytes of key, value (`u32::MAX`: tombstone) and
//! headers, then the three side by side.

use bytes::Bytes;
use model::record::RecordSpans;
use model::{RecordBatch, RecordBatchBuilder};

/// Bytes of [`BatchHeader`] as stored.
pub(super) const HEADER_BYTES: usize = 48;

/// "unb" and the version of the format.
pub(super) const MAGIC: [u8; 4] = *b"unb\x01";
const FRAME_BYTES: usize = 12;
const TOMBSTONE: u32 = u32::MAX;

/// What the committer knows of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchHeader {
    pub(super) body_bytes: u32,
    pub(super) body_crc: u32,
    pub(super) log_partition: u32,
    pub(super) count: u32,
    pub(super) base_offset: i64,
    pub(super) log_time_us: i64,
    /// Where the write that brought this batch began in its segment. Everything before that was durable, so a bad batch
    /// below it is damage and no torn tail.
    pub(super) durable_before: u64,
}

impl BatchHeader {
    /// The offset after the last record.
    pub(super) fn next_offset(&self) -> i64 {
        self.base_offset + i64::from(self.count)
    }

    /// Bytes of the whole batch.
    pub(super) fn batch_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.body_bytes)
    }

    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..4].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[12..16].copy_from_slice(&self.body_crc.to_le_bytes());
        out[16..20].copy_from_slice(&self.log_partition.to_le_bytes());
        out[20..24].copy_from_slice(&self.count.to_le_bytes());
        out[24..32].copy_from_slice(&self.base_offset.to_le_bytes());
        out[32..40].copy_from_slice(&self.log_time_us.to_le_bytes());
        out[40..48].copy_from_slice(&self.durable_before.to_le_bytes());
        let crc = crc32c::crc32c(&out[8..]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// # Errors
    /// What is wrong with the bytes.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut rest = bytes;
        if take(&mut rest)? != MAGIC {
            return Err("no batch begins here");
        }
        let crc = u32::from_le_bytes(take(&mut rest)?);
        if crc32c::crc32c(bytes.get(8..HEADER_BYTES).ok_or(CUT)?) != crc {
            return Err("the batch header does not check");
        }
        Ok(BatchHeader {
            body_bytes: u32::from_le_bytes(take(&mut rest)?),
            body_crc: u32::from_le_bytes(take(&mut rest)?),
            log_partition: u32::from_le_bytes(take(&mut rest)?),
            count: u32::from_le_bytes(take(&mut rest)?),
            base_offset: i64::from_le_bytes(take(&mut rest)?),
            log_time_us: i64::from_le_bytes(take(&mut rest)?),
            durable_before: u64::from_le_bytes(take(&mut rest)?),
        })
    }

    /// The records from offset `from` on. The builder is one that is used again, and empty.
    ///
    /// # Errors
    /// The body is not `count` whole records.
    pub(super) fn records(
        &self,
        builder: &mut RecordBatchBuilder,
        body: &Bytes,
        from: i64,
    ) -> Result<RecordBatch, &'static str> {
        let mut at = 0;
        for offset in self.base_offset..self.next_offset() {
            let spans = frame(body, at)?;
            at = spans.end as usize;
            if offset >= from {
                builder.push_span(offset, self.log_time_us, spans);
            }
        }
        if at != body.len() {
            return Err("the batch holds more than its records");
        }
        Ok(builder.finish_over(self.log_partition, self.next_offset(), body.clone()))
    }
}

const CUT: &str = "the batch is cut";

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], &'static str> {
    let (array, tail) = rest.split_first_chunk().ok_or(CUT)?;
    *rest = tail;
    Ok(*array)
}

fn frame(body: &[u8], at: usize) -> Result<RecordSpans, &'static str> {
    const BROKEN: &str = "a record does not fit its batch";
    let mut rest = body.get(at..).ok_or(BROKEN)?;
    let key_bytes = u32::from_le_bytes(take(&mut rest)?);
    let value_bytes = u32::from_le_bytes(take(&mut rest)?);
    let header_bytes = u32::from_le_bytes(take(&mut rest)?);
    let is_tombstone = value_bytes == TOMBSTONE;
    let key_start = (at + FRAME_BYTES) as u32;
    let value_start = key_start.checked_add(key_bytes).ok_or(BROKEN)?;
    let headers_start = value_start.checked_add(if is_tombstone { 0 } else { value_bytes }).ok_or(BROKEN)?;
    let end = headers_start.checked_add(header_bytes).ok_or(BROKEN)?;
    if end as usize > body.len() {
        return Err(BROKEN);
    }
    Ok(RecordSpans { key_start, value_start, headers_start, end, is_tombstone })
}

/// A batch of one log partition that is still being filled.
#[derive(Debug, Default)]
pub(super) struct OpenBatch {
    body: Vec<u8>,
    count: u32,
    /// Of the batch before, so that the next one seldom grows.
    expected_bytes: usize,
}

impl OpenBatch {
    /// Adds a record; the bytes that it takes. The caller keeps a body far below 4 GiB.
    #[inline]
    pub(super) fn push(&mut self, key: &[u8], value: Option<&[u8]>, headers: &[u8]) -> usize {
        let before = self.body.len();
        if before == 0 {
            self.body.reserve(self.expected_bytes);
        }
        let mut frame = [0; FRAME_BYTES];
        frame[..4].copy_from_slice(&(key.len() as u32).to_le_bytes());
        frame[4..8].copy_from_slice(&value.map_or(TOMBSTONE, |value| value.len() as u32).to_le_bytes());
        frame[8..].copy_from_slice(&(headers.len() as u32).to_le_bytes());
        self.body.extend_from_slice(&frame);
        self.body.extend_from_slice(key);
        self.body.extend_from_slice(value.unwrap_or_default());
        self.body.extend_from_slice(headers);
        self.count += 1;
        self.body.len() - before
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes what was filled; the batch is empty again.
    pub(super) fn seal(&mut self, log_partition: u32) -> SealedBatch {
        let body = std::mem::take(&mut self.body);
        self.expected_bytes = body.len();
        SealedBatch {
            log_partition,
            count: std::mem::take(&mut self.count),
            body_crc: crc32c::crc32c(&body),
            // Without the spare capacity, because the tail in memory keeps it.
            body: Bytes::from(body.into_boxed_slice()),
        }
    }
}

/// A batch that waits for its header.
#[derive(Clone, Debug)]
pub(super) struct SealedBatch {
    pub(super) log_partition: u32,
    pub(super) count: u32,
    pub(super) body_crc: u32,
    pub(super) body: Bytes,
}

impl SealedBatch {
    pub(super) fn header(&self, base_offset: i64, log_time_us: i64, durable_before: u64) -> BatchHeader {
        BatchHeader {
            body_bytes: self.body.len() as u32,
            body_crc: self.body_crc,
            log_partition: self.log_partition,
            count: self.count,
            base_offset,
            log_time_us,
            durable_before,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (Vec<u8>, Option<Vec<u8>>, Vec<u8>);

    fn record() -> impl Strategy<Value = Owned> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
        (bytes(), proptest::option::of(bytes()), bytes())
    }

    proptest! {
        #[test]
        fn a_batch_gives_back_its_records(
            records in proptest::collection::vec(record(), 1..20),
            base in 0..1000i64,
            skip in 0..20usize,
        ) {
            let mut open = OpenBatch::default();
            for (key, value, headers) in &records {
                open.push(key, value.as_deref(), headers);
            }
            let sealed = open.seal(5);
            let header = sealed.header(base, 77, 4096);
            prop_assert_eq!(BatchHeader::decode(&header.encode()), Ok(header));
            let mut builder = RecordBatchBuilder::default();
            let batch = header.records(&mut builder, &sealed.body, base + skip as i64).unwrap();
            let found: Vec<Owned> = batch
                .iter()
                .map(|record| {
                    let value = (!record.is_tombstone).then(|| record.value.to_vec());
                    (record.key.to_vec(), value, record.header_bytes().to_vec())
                })
                .collect();
            prop_assert_eq!(&found[..], records.get(skip..).unwrap_or_default());
            prop_assert_eq!((batch.log_partition, batch.next), (5, base + records.len() as i64));
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(
            body in proptest::collection::vec(any::<u8>(), 0..80),
            count in 0..6u32,
        ) {
            let header = BatchHeader { count, ..OpenBatch::default().seal(0).header(0, 0, 0) };
            let mut builder = RecordBatchBuilder::default();
            if let Ok(batch) = header.records(&mut builder, &Bytes::from(body.clone()), 0) {
                prop_assert_eq!(batch.iter().count(), count as usize);
            }
            prop_assert!(BatchHeader::decode(&body).is_err());
        }
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_found() {
        let bytes = OpenBatch::default().seal(1).header(3, 4, 5).encode();
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(BatchHeader::decode(&bytes).is_err(), "bit {bit}");
        }
    }
}
