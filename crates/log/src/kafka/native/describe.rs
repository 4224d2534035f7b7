//! What the cluster says of topics.

use std::ffi::{CString, c_char};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;

use super::event::NativeEvent;
use super::{Handle, Queue, check, millis};

/// What the cluster says of a topic.
#[derive(Debug)]
pub(in crate::kafka) struct TopicDescription {
    /// The topic's own id, which a topic of the same name made later does not have.
    pub(in crate::kafka) id: [u8; 16],
    pub(in crate::kafka) partitions: u32,
    /// The least of its partitions.
    pub(in crate::kafka) replicas: usize,
    /// Partitions that have a leader now.
    pub(in crate::kafka) led: u32,
}

/// Describes topics, each found or not. rdkafka's admin client cannot ask for a topic's id.
pub(in crate::kafka) fn describe_topics(
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
        let answer = NativeEvent::new(rd::rd_kafka_queue_poll(queue.ptr, -1), handle);
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
