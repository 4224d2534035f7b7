//! Messages that were fetched, in arrays.

use std::ffi::CStr;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaErrorCode;

use super::{Handle, Queue, bytes, check, millis};

/// Messages that a consumer was given.
pub(in crate::kafka) struct Messages {
    held: Vec<*mut rd::rd_kafka_message_t>,
    room: usize,
    // Dropped after the messages are destroyed.
    _handle: Arc<Handle>,
}

// SAFETY: messages are owned by who consumed them.
unsafe impl Send for Messages {}

/// One of them.
pub(in crate::kafka) enum Incoming<'a> {
    Record(IncomingRecord<'a>),
    /// Everything below `offset` was given.
    End {
        partition: u32,
        offset: i64,
    },
    /// Nothing more comes of this partition.
    Failed {
        partition: u32,
        offset: i64,
        code: RDKafkaErrorCode,
    },
}

/// A record as it was fetched.
pub(in crate::kafka) struct IncomingRecord<'a> {
    message: &'a rd::rd_kafka_message_t,
}

impl Messages {
    /// At most `room` of this client's at a time.
    pub(in crate::kafka) fn with_room(room: usize, handle: &Arc<Handle>) -> Messages {
        Messages { held: Vec::with_capacity(room), room, _handle: Arc::clone(handle) }
    }

    pub(in crate::kafka) fn iter(&self) -> impl Iterator<Item = Incoming<'_>> {
        self.held.iter().map(|message| {
            // SAFETY: a held message is alive, and nobody writes it.
            let message = unsafe { &**message };
            let (partition, offset) = (message.partition as u32, message.offset);
            match check(message.err) {
                Ok(()) => Incoming::Record(IncomingRecord { message }),
                Err(RDKafkaErrorCode::PartitionEOF) => Incoming::End { partition, offset },
                Err(code) => Incoming::Failed { partition, offset, code },
            }
        })
    }

    /// Gives the messages back to librdkafka.
    pub(in crate::kafka) fn clear(&mut self) {
        for message in self.held.drain(..) {
            // SAFETY: a held message is owned and destroyed once.
            unsafe { rd::rd_kafka_message_destroy(message) };
        }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.clear();
    }
}

impl IncomingRecord<'_> {
    pub(in crate::kafka) fn partition(&self) -> u32 {
        self.message.partition as u32
    }

    pub(in crate::kafka) fn offset(&self) -> i64 {
        self.message.offset
    }

    /// When the broker appended it, milliseconds since 1970; `None` where the topic keeps the producer's time instead.
    pub(in crate::kafka) fn append_time_ms(&self) -> Option<i64> {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive.
        let time = unsafe { rd::rd_kafka_message_timestamp(self.message, &mut kind) };
        (kind == rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME).then_some(time)
    }

    /// Empty where it has none.
    pub(in crate::kafka) fn key(&self) -> &[u8] {
        bytes(self.message.key, self.message.key_len, self.message).unwrap_or_default()
    }

    /// `None` for a tombstone.
    pub(in crate::kafka) fn value(&self) -> Option<&[u8]> {
        bytes(self.message.payload, self.message.len, self.message)
    }

    pub(in crate::kafka) fn each_header(&self, mut visit: impl FnMut(&str, &[u8])) {
        let mut list = ptr::null_mut();
        // SAFETY: the message is alive and keeps its headers; name and value of each are theirs.
        unsafe {
            if check(rd::rd_kafka_message_headers(self.message, &mut list)).is_err() {
                return;
            }
            let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
            let mut index = 0;
            while check(rd::rd_kafka_header_get_all(list, index, &mut name, &mut value, &mut len)).is_ok() {
                let name = CStr::from_ptr(name).to_string_lossy();
                visit(&name, bytes(value.cast_mut(), len, self.message).unwrap_or_default());
                index += 1;
            }
        }
    }
}

impl Queue {
    /// Fills `messages`, which are of the same client, with what is there, waiting for the first of it.
    pub(in crate::kafka) fn consume(&self, wait: Duration, messages: &mut Messages) {
        messages.clear();
        // Asked for many, the call waits until it has them all: so it is asked for one first.
        if self.consume_up_to(1, wait, messages) == 1 {
            self.consume_up_to(messages.room - 1, Duration::ZERO, messages);
        }
    }

    fn consume_up_to(&self, count: usize, wait: Duration, messages: &mut Messages) -> usize {
        let held = messages.held.len();
        messages.held.reserve(count);
        // SAFETY: the queue is alive, and the array has room for `count` more pointers, of which the call fills as many
        // as it returns; -1 is an error and fills none.
        unsafe {
            let end = messages.held.as_mut_ptr().add(held);
            let found = rd::rd_kafka_consume_batch_queue(self.ptr, millis(wait), end, count);
            let found = usize::try_from(found).unwrap_or(0);
            messages.held.set_len(held + found);
            found
        }
    }
}
