//! One topic of one client: producing to it, and starting and stopping to fetch from it.

use std::ffi::{CStr, c_void};
use std::ptr;
use std::sync::Arc;

use rdkafka::bindings as rd;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;

use super::event::Delivery;
use super::{Handle, Queue, check, last_error};

/// One topic of one client.
pub(in crate::kafka) struct TopicHandle {
    ptr: *mut rd::rd_kafka_topic_t,
    handle: Arc<Handle>,
}

// SAFETY: librdkafka locks its topics itself.
unsafe impl Send for TopicHandle {}
// SAFETY: as above.
unsafe impl Sync for TopicHandle {}

/// A record to produce.
pub(in crate::kafka) struct Outgoing<'a> {
    pub(in crate::kafka) key: Option<&'a [u8]>,
    pub(in crate::kafka) value: Option<&'a [u8]>,
}

/// The array that [`TopicHandle::produce`] hands over, kept to be used again; empty between calls.
#[derive(Default)]
pub(in crate::kafka) struct ProduceArray(Vec<rd::rd_kafka_message_t>);

// SAFETY: it holds no pointer between calls.
unsafe impl Send for ProduceArray {}

impl TopicHandle {
    pub(in crate::kafka) fn new(handle: &Arc<Handle>, name: &CStr) -> KafkaResult<TopicHandle> {
        // SAFETY: client and name are alive; without a configuration of its own the topic has the client's.
        let ptr = unsafe { rd::rd_kafka_topic_new(handle.ptr(), name.as_ptr(), ptr::null_mut()) };
        if ptr.is_null() {
            return Err(KafkaError::Global(last_error()));
        }
        Ok(TopicHandle { ptr, handle: Arc::clone(handle) })
    }

    /// Queues records for a partition, copying them. Those that cannot be queued are told to `refused`, as if they had
    /// been reported.
    pub(in crate::kafka) fn produce<'a>(
        &self,
        partition: u32,
        tag: u64,
        records: impl Iterator<Item = Outgoing<'a>>,
        array: &mut ProduceArray,
        mut refused: impl FnMut(Delivery),
    ) {
        array.0.clear();
        array.0.extend(records.map(|record| native_message(&record, tag)));
        let count = array.0.len();
        // SAFETY: topic and array are alive, and so are the records that the array points to. With F_COPY nothing of
        // theirs is kept, and nothing is written to but the array.
        let queued = unsafe {
            rd::rd_kafka_produce_batch(
                self.ptr,
                partition as i32,
                rd::RD_KAFKA_MSG_F_COPY,
                array.0.as_mut_ptr(),
                count as i32,
            )
        };
        if queued as usize != count {
            for message in array.0.iter().filter(|message| check(message.err).is_err()) {
                refused(Delivery { tag, bytes: message.len + message.key_len, outcome: check(message.err) });
            }
        }
        array.0.clear();
    }

    /// Queues one record with headers, copying it.
    pub(in crate::kafka) fn produce_with_headers<'a>(
        &self,
        partition: u32,
        tag: u64,
        record: &Outgoing<'_>,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<(), RDKafkaErrorCode> {
        use rd::rd_kafka_vtype_t as Kind;
        let native = native_message(record, tag);
        // SAFETY: topic and record are alive. Header names and values are copied as they are added. The array holds one
        // value for each kind, in the member of the union that the kind stands for. librdkafka takes the headers when it
        // takes the record, else they are ours to destroy; so is the error.
        unsafe {
            let list = rd::rd_kafka_headers_new(8);
            for (name, value) in headers {
                rd::rd_kafka_header_add(
                    list,
                    name.as_ptr().cast(),
                    name.len() as isize,
                    value.as_ptr().cast(),
                    value.len() as isize,
                );
            }
            let parts = [
                part(Kind::RD_KAFKA_VTYPE_RKT, |u| u.rkt = self.ptr),
                part(Kind::RD_KAFKA_VTYPE_PARTITION, |u| u.i32_ = partition as i32),
                part(Kind::RD_KAFKA_VTYPE_MSGFLAGS, |u| u.i = rd::RD_KAFKA_MSG_F_COPY),
                part(Kind::RD_KAFKA_VTYPE_KEY, |u| u.mem = memory(native.key, native.key_len)),
                part(Kind::RD_KAFKA_VTYPE_VALUE, |u| u.mem = memory(native.payload, native.len)),
                part(Kind::RD_KAFKA_VTYPE_HEADERS, |u| u.headers = list),
                part(Kind::RD_KAFKA_VTYPE_OPAQUE, |u| u.ptr = native._private),
            ];
            let error = rd::rd_kafka_produceva(self.handle.ptr(), parts.as_ptr(), parts.len());
            if error.is_null() {
                return Ok(());
            }
            let code = rd::rd_kafka_error_code(error);
            rd::rd_kafka_error_destroy(error);
            rd::rd_kafka_headers_destroy(list);
            Err(code.into())
        }
    }

    /// Begins to fetch a partition into `queue`.
    pub(in crate::kafka) fn start(&self, partition: u32, offset: i64, queue: &Queue) -> KafkaResult<()> {
        debug_assert!(Arc::ptr_eq(&self.handle, &queue.handle));
        // SAFETY: topic and queue are alive and of one client.
        match unsafe { rd::rd_kafka_consume_start_queue(self.ptr, partition as i32, offset, queue.ptr) } {
            0 => Ok(()),
            _ => Err(KafkaError::MessageConsumption(last_error())),
        }
    }

    /// Ends it; what was fetched and not consumed is thrown away.
    pub(in crate::kafka) fn stop(&self, partition: u32) -> KafkaResult<()> {
        // SAFETY: the topic is alive.
        match unsafe { rd::rd_kafka_consume_stop(self.ptr, partition as i32) } {
            0 => Ok(()),
            _ => Err(KafkaError::MessageConsumption(last_error())),
        }
    }
}

impl Drop for TopicHandle {
    fn drop(&mut self) {
        // SAFETY: this was our only reference, and its client is still alive.
        unsafe { rd::rd_kafka_topic_destroy(self.ptr) };
    }
}

fn native_message(record: &Outgoing<'_>, tag: u64) -> rd::rd_kafka_message_t {
    // An empty slice points to no memory but is not null: an empty value stays other than none.
    let start =
        |part: Option<&[u8]>| part.map_or(ptr::null_mut(), |part| part.as_ptr().cast_mut().cast::<c_void>());
    let len = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    rd::rd_kafka_message_t {
        err: rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
        rkt: ptr::null_mut(),
        partition: 0,
        payload: start(record.value),
        len: len(record.value),
        key: start(record.key),
        key_len: len(record.key),
        offset: 0,
        // Pointers have 64 bits on every machine that this runs on, and librdkafka never follows this one.
        _private: tag as usize as *mut c_void,
    }
}

fn part(
    kind: rd::rd_kafka_vtype_t,
    set: impl FnOnce(&mut rd::rd_kafka_vu_s__bindgen_ty_1),
) -> rd::rd_kafka_vu_t {
    let mut part = rd::rd_kafka_vu_t { vtype: kind, u: rd::rd_kafka_vu_s__bindgen_ty_1 { _pad: [0; 64] } };
    set(&mut part.u);
    part
}

fn memory(ptr: *mut c_void, size: usize) -> rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
    rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size }
}
