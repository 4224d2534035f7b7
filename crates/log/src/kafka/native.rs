//! The part of librdkafka that rdkafka's safe clients do not reach, and all the unsafe code of this crate.
//!
//! It exists for speed: delivery reports and fetched messages come in arrays here and one by one there, which measured
//! 0.74 us of CPU a message against 1.25-1.48 to produce, and 0.28 us against 0.58 to consume; and a topic's id cannot be had
//! otherwise. Each type owns what it points to and keeps its client alive, so that none can outlive it; librdkafka's objects
//! may be used from any thread at once. Nothing here knows tickets, batches or the port.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaType};
use rdkafka::{ClientConfig, TopicPartitionList};

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
        // SAFETY: the queue is alive.
        let ptr = unsafe { rd::rd_kafka_queue_poll(self.ptr, wait.map_or(-1, millis)) };
        (!ptr.is_null()).then(|| NativeEvent { ptr, _handle: Arc::clone(&self.handle) }.read())
    }

    /// Makes one waiting, or the next, poll return with nothing.
    pub(super) fn wake(&self) {
        // SAFETY: the queue is alive.
        unsafe { rd::rd_kafka_queue_yield(self.ptr) };
    }

    /// Fills `messages`, which are of the same client, with what is there, waiting for the first of it.
    pub(super) fn consume(&self, wait: Duration, messages: &mut Messages) {
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

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: this was the only reference, and its client is still alive.
        unsafe { rd::rd_kafka_queue_destroy(self.ptr) };
    }
}

/// What a client has to say.
pub(super) enum Event {
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

struct NativeEvent {
    ptr: *mut rd::rd_kafka_event_t,
    // Dropped after the event is destroyed.
    _handle: Arc<Handle>,
}

// SAFETY: an event is owned by who polled it.
unsafe impl Send for NativeEvent {}

impl NativeEvent {
    fn read(self) -> Event {
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
pub(super) struct Deliveries(NativeEvent);

/// What became of one record.
pub(super) struct Delivery {
    /// As it was given to [`TopicHandle::produce`].
    pub(super) tag: u64,
    /// Bytes of key and value.
    pub(super) bytes: usize,
    pub(super) outcome: Result<(), RDKafkaErrorCode>,
}

impl Deliveries {
    pub(super) fn for_each(&mut self, mut report: impl FnMut(Delivery)) {
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

/// One topic of one client.
pub(super) struct TopicHandle {
    ptr: *mut rd::rd_kafka_topic_t,
    handle: Arc<Handle>,
}

// SAFETY: librdkafka locks its topics itself.
unsafe impl Send for TopicHandle {}
// SAFETY: as above.
unsafe impl Sync for TopicHandle {}

/// A record to produce.
pub(super) struct Outgoing<'a> {
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
}

/// The array that [`TopicHandle::produce`] hands over, kept to be used again; empty between calls.
#[derive(Default)]
pub(super) struct ProduceArray(Vec<rd::rd_kafka_message_t>);

// SAFETY: it holds no pointer between calls.
unsafe impl Send for ProduceArray {}

impl TopicHandle {
    pub(super) fn new(handle: &Arc<Handle>, name: &CStr) -> KafkaResult<TopicHandle> {
        // SAFETY: client and name are alive; without a configuration of its own the topic has the client's.
        let ptr = unsafe { rd::rd_kafka_topic_new(handle.ptr(), name.as_ptr(), ptr::null_mut()) };
        if ptr.is_null() {
            return Err(KafkaError::Global(last_error()));
        }
        Ok(TopicHandle { ptr, handle: Arc::clone(handle) })
    }

    /// Queues records for a partition, copying them. Those that cannot be queued are told to `refused`, as if they had
    /// been reported.
    pub(super) fn produce<'a>(
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
    pub(super) fn produce_with_headers<'a>(
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
    pub(super) fn start(&self, partition: u32, offset: i64, queue: &Queue) -> KafkaResult<()> {
        debug_assert!(Arc::ptr_eq(&self.handle, &queue.handle));
        // SAFETY: topic and queue are alive and of one client.
        match unsafe { rd::rd_kafka_consume_start_queue(self.ptr, partition as i32, offset, queue.ptr) } {
            0 => Ok(()),
            _ => Err(KafkaError::MessageConsumption(last_error())),
        }
    }

    /// Ends it; what was fetched and not consumed is thrown away.
    pub(super) fn stop(&self, partition: u32) -> KafkaResult<()> {
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

/// Messages that a consumer was given.
pub(super) struct Messages {
    held: Vec<*mut rd::rd_kafka_message_t>,
    room: usize,
    // Dropped after the messages are destroyed.
    _handle: Arc<Handle>,
}

// SAFETY: messages are owned by who consumed them.
unsafe impl Send for Messages {}

/// One of them.
pub(super) enum Incoming<'a> {
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
pub(super) struct IncomingRecord<'a> {
    message: &'a rd::rd_kafka_message_t,
}

impl Messages {
    /// At most `room` of this client's at a time.
    pub(super) fn with_room(room: usize, handle: &Arc<Handle>) -> Messages {
        Messages { held: Vec::with_capacity(room), room, _handle: Arc::clone(handle) }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Incoming<'_>> {
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
    pub(super) fn clear(&mut self) {
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
    pub(super) fn partition(&self) -> u32 {
        self.message.partition as u32
    }

    pub(super) fn offset(&self) -> i64 {
        self.message.offset
    }

    /// When the broker appended it, milliseconds since 1970; `None` where the topic keeps the producer's time instead.
    pub(super) fn append_time_ms(&self) -> Option<i64> {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive.
        let time = unsafe { rd::rd_kafka_message_timestamp(self.message, &mut kind) };
        (kind == rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME).then_some(time)
    }

    /// Empty where it has none.
    pub(super) fn key(&self) -> &[u8] {
        bytes(self.message.key, self.message.key_len, self.message).unwrap_or_default()
    }

    /// `None` for a tombstone.
    pub(super) fn value(&self) -> Option<&[u8]> {
        bytes(self.message.payload, self.message.len, self.message)
    }

    pub(super) fn each_header(&self, mut visit: impl FnMut(&str, &[u8])) {
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

/// What the cluster says of a topic.
#[derive(Debug)]
pub(super) struct TopicDescription {
    /// The topic's own id, which a topic of the same name made later does not have.
    pub(super) id: [u8; 16],
    pub(super) partitions: u32,
    /// The least of its partitions.
    pub(super) replicas: usize,
    /// Partitions that have a leader now.
    pub(super) led: u32,
}

/// Describes topics, each found or not. rdkafka's admin client cannot ask for a topic's id.
pub(super) fn describe_topics(
    handle: &Arc<Handle>,
    names: &[CString],
    wait: Duration,
) -> KafkaResult<Vec<Result<TopicDescription, RDKafkaErrorCode>>> {
    let queue = Queue::new(handle);
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: client, queue and names are alive. The names are copied into the collection, which, like the options, is
    // destroyed once the request is made; the answer comes as an event on the queue, which owns the descriptions.
    unsafe {
        let options = rd::rd_kafka_AdminOptions_new(
            handle.ptr(),
            rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        // Refused only for a wait outside of what librdkafka knows; it then has its own.
        rd::rd_kafka_AdminOptions_set_request_timeout(options, millis(wait), ptr::null_mut(), 0);
        let topics = rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        rd::rd_kafka_DescribeTopics(handle.ptr(), topics, options, queue.ptr);
        rd::rd_kafka_TopicCollection_destroy(topics);
        rd::rd_kafka_AdminOptions_destroy(options);
        let answer = rd::rd_kafka_queue_poll(queue.ptr, -1);
        let answer = NativeEvent { ptr: answer, _handle: Arc::clone(handle) };
        check(rd::rd_kafka_event_error(answer.ptr)).map_err(KafkaError::Global)?;
        let mut count = 0;
        let result = rd::rd_kafka_event_DescribeTopics_result(answer.ptr);
        let found = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        Ok((0..count).map(|index| read_description(*found.add(index))).collect())
    }
}

/// # Safety
/// `topic` is alive.
unsafe fn read_description(
    topic: *const rd::rd_kafka_TopicDescription_t,
) -> Result<TopicDescription, RDKafkaErrorCode> {
    // SAFETY: all that is read belongs to the description and is copied.
    unsafe {
        check(rd::rd_kafka_error_code(rd::rd_kafka_TopicDescription_error(topic)))?;
        let id = rd::rd_kafka_TopicDescription_topic_id(topic);
        let high = rd::rd_kafka_Uuid_most_significant_bits(id) as u64;
        let low = rd::rd_kafka_Uuid_least_significant_bits(id) as u64;
        let mut count = 0;
        let partitions = rd::rd_kafka_TopicDescription_partitions(topic, &mut count);
        let partitions = (0..count).map(|index| *partitions.add(index));
        let replicas = partitions.clone().map(|partition| {
            let mut count = 0;
            rd::rd_kafka_TopicPartitionInfo_replicas(partition, &mut count);
            count
        });
        let led =
            partitions.filter(|partition| !rd::rd_kafka_TopicPartitionInfo_leader(*partition).is_null());
        Ok(TopicDescription {
            id: (u128::from(high) << 64 | u128::from(low)).to_be_bytes(),
            partitions: count as u32,
            replicas: replicas.min().unwrap_or(0),
            led: led.count() as u32,
        })
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
