//! The part of librdkafka that rdkafka's safe clients do not reach, and all the unsafe code of this crate.
//!
//! It exists for speed: delivery reports and fetched messages come in arrays here and one by one there, which measured
//! 0.74 us of CPU a message against 1.25-1.48 to produce, and 0.28 us against 0.58 to consume; and a topic's id cannot be had
//! otherwise. Each type owns what it points to and keeps its client alive, so that none can outlive it; librdkafka's objects
//! may be used from any thread at once. Nothing here knows tickets, batches or the port.

mod describe;
mod event;
mod messages;
mod topic;

use std::ffi::{CStr, c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaType};
use rdkafka::{ClientConfig, TopicPartitionList};

pub(super) use self::describe::{TopicDescription, describe_topics};
use self::event::NativeEvent;
pub(super) use self::event::{Deliveries, Event};
pub(super) use self::messages::{Incoming, IncomingRecord, Messages};
pub(super) use self::topic::{Outgoing, ProduceArray, TopicHandle};

/// One librdkafka client: its threads and its connections.
pub(super) struct Handle {
    client: Client<DefaultClientContext>,
}

impl Handle {
    /// A client that appends, or asks only.
    pub(super) fn producer(config: &ClientConfig) -> KafkaResult<Arc<Handle>> {
        Self::new(config, RDKafkaType::RD_KAFKA_PRODUCER, rd::RD_KAFKA_EVENT_DR | rd::RD_KAFKA_EVENT_ERROR)
    }

    pub(super) fn consumer(config: &ClientConfig) -> KafkaResult<Arc<Handle>> {
        let events =
            rd::RD_KAFKA_EVENT_REBALANCE | rd::RD_KAFKA_EVENT_OFFSET_COMMIT | rd::RD_KAFKA_EVENT_ERROR;
        Self::new(config, RDKafkaType::RD_KAFKA_CONSUMER, events)
    }

    fn new(config: &ClientConfig, kind: RDKafkaType, events: i32) -> KafkaResult<Arc<Handle>> {
        let native = config.create_native_config()?;
        // SAFETY: the configuration is alive and this thread's alone until the client takes it.
        unsafe { rd::rd_kafka_conf_set_events(native.ptr(), events) };
        let client = Client::new(config, native, kind, DefaultClientContext)?;
        Ok(Arc::new(Handle { client }))
    }

    /// What rdkafka's safe client can do.
    pub(super) fn client(&self) -> &Client<DefaultClientContext> {
        &self.client
    }

    /// First kept and next offset of a partition as of its last fetch, if there was one.
    pub(super) fn cached_watermarks(&self, topic: &CStr, partition: u32) -> Option<(i64, i64)> {
        let (mut first, mut next) = (-1, -1);
        // SAFETY: all pointers are to live locals or the live client.
        let code = unsafe {
            rd::rd_kafka_get_watermark_offsets(
                self.ptr(),
                topic.as_ptr(),
                partition as i32,
                &mut first,
                &mut next,
            )
        };
        (code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && next >= 0).then_some((first, next))
    }

    /// Waits until every produced record has been reported and its event has been dropped; another thread polls.
    pub(super) fn flush(&self, wait: Duration) -> KafkaResult<()> {
        // SAFETY: the client is alive.
        check(unsafe { rd::rd_kafka_flush(self.ptr(), millis(wait)) }).map_err(KafkaError::Flush)
    }

    /// Joins the client's group as a reader of these topics.
    pub(super) fn subscribe(&self, topics: &TopicPartitionList) -> KafkaResult<()> {
        // SAFETY: client and list are alive; the list is copied. From here on the main queue's events come through the
        // group's, which is the one that is polled.
        unsafe {
            check(rd::rd_kafka_poll_set_consumer(self.ptr())).map_err(KafkaError::Global)?;
            check(rd::rd_kafka_subscribe(self.ptr(), topics.ptr())).map_err(KafkaError::Global)
        }
    }

    /// Agrees to the assignment that an [`Event::Assigned`] told, without fetching any of it.
    pub(super) fn accept_assignment(&self) -> KafkaResult<()> {
        let none = TopicPartitionList::new();
        // SAFETY: client and list are alive; the list is copied.
        check_error(unsafe { rd::rd_kafka_incremental_assign(self.ptr(), none.ptr()) })
    }

    /// Gives up what an [`Event::Revoked`] told.
    pub(super) fn accept_revocation(&self) -> KafkaResult<()> {
        let none = TopicPartitionList::new();
        // SAFETY: client and list are alive; the list is copied.
        check_error(unsafe { rd::rd_kafka_incremental_unassign(self.ptr(), none.ptr()) })
    }

    /// Writes the group's offsets, without waiting.
    pub(super) fn commit(&self, offsets: &TopicPartitionList) -> KafkaResult<()> {
        // SAFETY: client and list are alive; the list is copied.
        check(unsafe { rd::rd_kafka_commit(self.ptr(), offsets.ptr(), 1) })
            .map_err(KafkaError::ConsumerCommit)
    }

    /// Leaves the group, which hands its partitions to others at once.
    pub(super) fn leave_group(&self) -> KafkaResult<()> {
        // SAFETY: the client is alive.
        check(unsafe { rd::rd_kafka_consumer_close(self.ptr()) }).map_err(KafkaError::Global)
    }

    fn ptr(&self) -> *mut rd::rd_kafka_t {
        self.client.native_ptr()
    }
}

/// A queue of events or messages.
pub(super) struct Queue {
    ptr: *mut rd::rd_kafka_queue_t,
    // Dropped after the queue is destroyed.
    handle: Arc<Handle>,
}

// SAFETY: librdkafka locks its queues itself.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// Where the client's own events come: delivery reports, errors, log lines.
    pub(super) fn main(handle: &Arc<Handle>) -> Queue {
        // SAFETY: the client is alive; it always has a main queue.
        Queue { ptr: unsafe { rd::rd_kafka_queue_get_main(handle.ptr()) }, handle: Arc::clone(handle) }
    }

    /// Where a group member's events come, its main queue's among them; `None` for a client without a group.
    pub(super) fn group(handle: &Arc<Handle>) -> Option<Queue> {
        // SAFETY: the client is alive.
        let ptr = unsafe { rd::rd_kafka_queue_get_consumer(handle.ptr()) };
        (!ptr.is_null()).then(|| Queue { ptr, handle: Arc::clone(handle) })
    }

    pub(super) fn new(handle: &Arc<Handle>) -> Queue {
        // SAFETY: the client is alive; the call never fails.
        Queue { ptr: unsafe { rd::rd_kafka_queue_new(handle.ptr()) }, handle: Arc::clone(handle) }
    }

    /// The next event; `wait` `None` is until there is one or [`Queue::wake`] is called.
    pub(super) fn poll(&self, wait: Option<Duration>) -> Option<Event> {
        // SAFETY: the queue is alive, and an event is owned by who polled it.
        unsafe {
            let ptr = rd::rd_kafka_queue_poll(self.ptr, wait.map_or(-1, millis));
            (!ptr.is_null()).then(|| NativeEvent::new(ptr, &self.handle).read())
        }
    }

    /// Makes one waiting, or the next, poll return with nothing.
    pub(super) fn wake(&self) {
        // SAFETY: the queue is alive.
        unsafe { rd::rd_kafka_queue_yield(self.ptr) };
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: this was the only reference, and its client is still alive.
        unsafe { rd::rd_kafka_queue_destroy(self.ptr) };
    }
}

/// A part of `_owner`, `None` where librdkafka has none.
fn bytes(start: *mut c_void, len: usize, _owner: &rd::rd_kafka_message_t) -> Option<&[u8]> {
    // SAFETY: the part lies in memory that the message owns and nobody writes.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) })
}

/// # Safety
/// `text` is null or a C string that is alive.
unsafe fn text(text: *const c_char) -> String {
    // SAFETY: the caller's promise.
    if text.is_null() {
        String::new()
    } else {
        unsafe { CStr::from_ptr(text) }.to_string_lossy().trim().to_owned()
    }
}

fn check(code: rd::rd_kafka_resp_err_t) -> Result<(), RDKafkaErrorCode> {
    match code {
        rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(code.into()),
    }
}

/// Takes an error object, null for none.
fn check_error(error: *mut rd::rd_kafka_error_t) -> KafkaResult<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the error is ours and destroyed once.
    let code = unsafe {
        let code = rd::rd_kafka_error_code(error);
        rd::rd_kafka_error_destroy(error);
        code
    };
    Err(KafkaError::Global(code.into()))
}

fn last_error() -> RDKafkaErrorCode {
    // SAFETY: reads a value of this thread.
    unsafe { rd::rd_kafka_last_error() }.into()
}

fn millis(wait: Duration) -> i32 {
    i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)
}
