//! What a client has to say beside its answers: delivery reports, group changes, errors, log lines.

use std::ptr;
use std::sync::Arc;

use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaErrorCode;

use super::{Handle, check, text};

/// What a client has to say.
pub(in crate::kafka) enum Event {
    Deliveries(Deliveries),
    Assigned(Vec<u32>),
    Revoked(Vec<u32>),
    Error {
        code: RDKafkaErrorCode,
        reason: String,
        is_fatal: bool,
    },
    Log {
        level: i32,
        facility: String,
        text: String,
    },
    CommitFailed(RDKafkaErrorCode),
    /// Nothing that anyone here waits for.
    Other,
}

pub(super) struct NativeEvent {
    pub(super) ptr: *mut rd::rd_kafka_event_t,
    // Dropped after the event is destroyed.
    _handle: Arc<Handle>,
}

// SAFETY: an event is owned by who polled it.
unsafe impl Send for NativeEvent {}

impl NativeEvent {
    /// # Safety
    /// `ptr` is an event of a queue of this client, and nobody else's.
    pub(super) unsafe fn new(ptr: *mut rd::rd_kafka_event_t, handle: &Arc<Handle>) -> Self {
        NativeEvent { ptr, _handle: Arc::clone(handle) }
    }

    pub(super) fn read(self) -> Event {
        // SAFETY: the event is alive until `self` is dropped; what it lends is copied before. Each accessor is called for
        // the event types that it is documented for.
        unsafe {
            match rd::rd_kafka_event_type(self.ptr) {
                rd::RD_KAFKA_EVENT_DR => Event::Deliveries(Deliveries(self)),
                rd::RD_KAFKA_EVENT_ERROR => Event::Error {
                    code: rd::rd_kafka_event_error(self.ptr).into(),
                    reason: text(rd::rd_kafka_event_error_string(self.ptr)),
                    is_fatal: rd::rd_kafka_event_error_is_fatal(self.ptr) != 0,
                },
                rd::RD_KAFKA_EVENT_LOG => self.read_log(),
                rd::RD_KAFKA_EVENT_REBALANCE => self.read_rebalance(),
                rd::RD_KAFKA_EVENT_OFFSET_COMMIT => match check(rd::rd_kafka_event_error(self.ptr)) {
                    Err(code) => Event::CommitFailed(code),
                    Ok(()) => Event::Other,
                },
                _ => Event::Other,
            }
        }
    }

    fn read_log(&self) -> Event {
        let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the event is a log event and alive; the strings are its own and copied.
        unsafe {
            match rd::rd_kafka_event_log(self.ptr, &mut facility, &mut line, &mut level) {
                0 => Event::Log { level, facility: text(facility), text: text(line) },
                _ => Event::Other,
            }
        }
    }

    fn read_rebalance(&self) -> Event {
        // SAFETY: the event is a rebalance event and alive; the list is its own, and `cnt` elements long.
        let (code, partitions) = unsafe {
            let list = rd::rd_kafka_event_topic_partition_list(self.ptr);
            let partitions = list.as_ref().map_or_else(Vec::new, |list| {
                (0..list.cnt as usize).map(|index| (*list.elems.add(index)).partition as u32).collect()
            });
            (rd::rd_kafka_event_error(self.ptr), partitions)
        };
        match code {
            rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Event::Assigned(partitions),
            _ => Event::Revoked(partitions),
        }
    }
}

impl Drop for NativeEvent {
    fn drop(&mut self) {
        // SAFETY: the event is owned and destroyed once.
        unsafe { rd::rd_kafka_event_destroy(self.ptr) };
    }
}

/// Delivery reports of one producer.
pub(in crate::kafka) struct Deliveries(NativeEvent);

/// What became of one record.
pub(in crate::kafka) struct Delivery {
    /// As it was given to [`TopicHandle::produce`].
    pub(in crate::kafka) tag: u64,
    /// Bytes of key and value.
    pub(in crate::kafka) bytes: usize,
    pub(in crate::kafka) outcome: Result<(), RDKafkaErrorCode>,
}

impl Deliveries {
    pub(in crate::kafka) fn for_each(&mut self, mut report: impl FnMut(Delivery)) {
        const CHUNK: usize = 1024;
        let mut chunk = [ptr::null(); CHUNK];
        loop {
            // SAFETY: the event is a delivery event and alive, and the call fills at most `CHUNK` pointers, to messages
            // that live as long as the event.
            let found = unsafe { rd::rd_kafka_event_message_array(self.0.ptr, chunk.as_mut_ptr(), CHUNK) };
            for message in &chunk[..found] {
                // SAFETY: as above; librdkafka writes a message no more once it is reported.
                let message: &rd::rd_kafka_message_t = unsafe { &**message };
                report(Delivery {
                    tag: message._private as u64,
                    bytes: message.len + message.key_len,
                    outcome: check(message.err),
                });
            }
            if found < CHUNK {
                return;
            }
        }
    }
}
