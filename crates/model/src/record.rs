//! Records as a log gives them to its readers: offset, append time, key, value and headers, in batches that
//! share one buffer.

use bytes::Bytes;

/// One record of a log partition, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub offset: i64,
    /// Append time stamped by the log, microseconds since 1970-01-01T00:00:00Z.
    pub log_time_us: i64,
    pub key: &'a [u8],
    pub value: &'a [u8],
    /// The record erases its key (compacted topics only); `value` is empty then.
    pub is_tombstone: bool,
    headers: &'a [u8],
}

impl<'a> Record<'a> {
    /// A record without headers, as tests and replays make them.
    pub fn new(offset: i64, log_time_us: i64, key: &'a [u8], value: &'a [u8]) -> Self {
        Record { offset, log_time_us, key, value, is_tombstone: false, headers: &[] }
    }

    /// Name and value of each header, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        read_headers(self.headers)
    }

    /// The headers in their stored form, see [`put_header`].
    pub fn header_bytes(&self) -> &'a [u8] {
        self.headers
    }
}

/// Appends one header in the stored form: length (u32 little-endian) and bytes of the name, then of the value.
pub fn put_header(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), value] {
        // A header is bounded by log.record_bytes_max, far below 4 GiB.
        out.extend_from_slice(&(part.len() as u32).to_le_bytes());
        out.extend_from_slice(part);
    }
}

/// Name and value of each header of the stored form, in order; bytes that are no header end them.
pub fn read_headers(mut stored: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    std::iter::from_fn(move || {
        let name = std::str::from_utf8(take(&mut stored)?).ok()?;
        Some((name, take(&mut stored)?))
    })
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, tail) = rest.split_first_chunk::<4>()?;
    let (part, tail) = tail.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *rest = tail;
    Some(part)
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: i64,
    log_time_us: i64,
    key_start: u32,
    value_start: u32,
    headers_start: u32,
    end: u32,
    is_tombstone: bool,
}

/// Records of one log partition in offset order, over one buffer. Cloning shares the buffer.
#[derive(Clone, Debug)]
pub struct RecordBatch {
    pub log_partition: u32,
    /// The offset to read from next: past the last record and past what a log keeps for itself (Kafka control
    /// records), never inside.
    pub next: i64,
    entries: std::sync::Arc<[Entry]>,
    data: Bytes,
}

impl RecordBatch {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of keys, values and headers.
    pub fn data_bytes(&self) -> usize {
        self.data.len()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> + Clone {
        self.entries.iter().map(|entry| Record {
            offset: entry.offset,
            log_time_us: entry.log_time_us,
            key: &self.data[entry.key_start as usize..entry.value_start as usize],
            value: &self.data[entry.value_start as usize..entry.headers_start as usize],
            headers: &self.data[entry.headers_start as usize..entry.end as usize],
            is_tombstone: entry.is_tombstone,
        })
    }
}

/// Fills a [`RecordBatch`] over a buffer that already holds the bytes, or by copying them in.
#[derive(Debug, Default)]
pub struct RecordBatchBuilder {
    entries: Vec<Entry>,
    data: Vec<u8>,
}

impl RecordBatchBuilder {
    /// Copies one record in. A batch holds at most 4 GiB.
    pub fn push(&mut self, offset: i64, log_time_us: i64, key: &[u8], value: Option<&[u8]>, headers: &[u8]) {
        let key_start = self.data.len();
        self.data.extend_from_slice(key);
        let value_start = self.data.len();
        self.data.extend_from_slice(value.unwrap_or_default());
        let headers_start = self.data.len();
        self.data.extend_from_slice(headers);
        self.entries.push(Entry {
            offset,
            log_time_us,
            key_start: key_start as u32,
            value_start: value_start as u32,
            headers_start: headers_start as u32,
            end: self.data.len() as u32,
            is_tombstone: value.is_none(),
        });
    }

    /// Notes one record whose key, value and headers already stand one after the other in the buffer that
    /// [`RecordBatchBuilder::finish_over`] is given.
    pub fn push_span(&mut self, offset: i64, log_time_us: i64, spans: RecordSpans) {
        self.entries.push(Entry {
            offset,
            log_time_us,
            key_start: spans.key_start,
            value_start: spans.value_start,
            headers_start: spans.headers_start,
            end: spans.end,
            is_tombstone: spans.is_tombstone,
        });
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes copied in so far.
    pub fn data_bytes(&self) -> usize {
        self.data.len()
    }

    /// The batch of what was copied in; the builder is empty again.
    pub fn finish(&mut self, log_partition: u32, next: i64) -> RecordBatch {
        let data = Bytes::from(std::mem::take(&mut self.data));
        self.finish_over(log_partition, next, data)
    }

    /// The batch over `data`, which the spans point into; the builder is empty again.
    ///
    /// # Panics
    /// Never here; reading a span outside `data` panics in [`RecordBatch::iter`], so give only checked spans.
    pub fn finish_over(&mut self, log_partition: u32, next: i64, data: Bytes) -> RecordBatch {
        let entries = self.entries.as_slice().into();
        // Keeps its room for the next batch.
        self.entries.clear();
        RecordBatch { log_partition, next, entries, data }
    }
}

/// Where one record's parts stand in a shared buffer: key, value and headers side by side.
#[derive(Clone, Copy, Debug)]
pub struct RecordSpans {
    pub key_start: u32,
    pub value_start: u32,
    pub headers_start: u32,
    pub end: u32,
    pub is_tombstone: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_what_was_pushed() {
        let mut headers = Vec::new();
        put_header(&mut headers, "ce_id", b"x/raised");
        put_header(&mut headers, "ce_type", b"");
        let mut builder = RecordBatchBuilder::default();
        builder.push(7, 1000, b"k", Some(b"value"), &headers);
        builder.push(9, 1001, b"gone", None, &[]);
        let batch = builder.finish(3, 12);
        assert!(builder.is_empty());

        let records: Vec<_> = batch.iter().collect();
        assert_eq!((batch.log_partition, batch.next, records.len()), (3, 12, 2));
        assert_eq!((records[0].offset, records[0].log_time_us), (7, 1000));
        assert_eq!(
            (records[0].key, records[0].value, records[0].is_tombstone),
            (&b"k"[..], &b"value"[..], false)
        );
        let headers: Vec<_> = records[0].headers().collect();
        assert_eq!(headers, [("ce_id", &b"x/raised"[..]), ("ce_type", &b""[..])]);
        assert_eq!(
            (records[1].key, records[1].value, records[1].is_tombstone),
            (&b"gone"[..], &b""[..], true)
        );
    }

    #[test]
    fn broken_header_bytes_end_the_headers() {
        let record = Record { headers: &[200, 0, 0, 0, b'x'], ..Record::new(0, 0, b"", b"") };
        assert_eq!(record.headers().count(), 0);
    }
}
