//! Records that were appended and not yet given to librdkafka: one log partition's, in one buffer.

use super::native::Outgoing;

/// Owns the bytes; a record costs no allocation of its own.
#[derive(Debug, Default)]
pub(super) struct OpenBatch {
    data: Vec<u8>,
    spans: Vec<Span>,
}

/// Lengths of one record's parts, which stand side by side in the order of the fields.
#[derive(Clone, Copy, Debug)]
struct Span {
    key: u32,
    value: u32,
    headers: u32,
    is_tombstone: bool,
}

/// One record of the batch.
pub(super) struct OpenRecord<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: &'a [u8],
}

impl OpenBatch {
    /// Parts are bounded by `record_bytes_max`, far below 4 GiB.
    pub(super) fn push(&mut self, record: &OpenRecord<'_>) {
        let value = record.value.unwrap_or_default();
        for part in [record.key, value, record.headers] {
            self.data.extend_from_slice(part);
        }
        self.spans.push(Span {
            key: record.key.len() as u32,
            value: value.len() as u32,
            headers: record.headers.len() as u32,
            is_tombstone: record.value.is_none(),
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = OpenRecord<'_>> {
        let mut rest = self.data.as_slice();
        self.spans.iter().map(move |span| {
            let mut take = |len: u32| {
                let (part, tail) = rest.split_at(len as usize);
                rest = tail;
                part
            };
            let (key, value, headers) = (take(span.key), take(span.value), take(span.headers));
            OpenRecord { key, value: (!span.is_tombstone).then_some(value), headers }
        })
    }

    /// Forgets the records and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.data.clear();
        self.spans.clear();
    }
}

impl<'a> OpenRecord<'a> {
    /// As Kafka knows it: an empty key is none, which is how control records stand in the log.
    pub(super) fn outgoing(&self) -> Outgoing<'a> {
        Outgoing { key: (!self.key.is_empty()).then_some(self.key), value: self.value }
    }

    /// Bytes of key and value, which delivery reports tell too.
    pub(super) fn bytes(&self) -> usize {
        self.key.len() + self.value.map_or(0, <[u8]>::len)
    }
}
