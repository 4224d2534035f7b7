//! A process's membership in a consumer group: which partitions it is given, and the offsets that lag tools read.
//!
//! It fetches nothing. Positions are the callers', and what is committed here is never read back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::health::Health;
use super::native::{Event, Handle, Queue};

const COMMIT_INTERVAL: Duration = Duration::from_secs(5);

/// What changed in the group.
pub(super) enum Change {
    Assigned(Vec<u32>),
    Revoked(Vec<u32>),
}

pub(super) struct Member {
    events: Queue,
    handle: Arc<Handle>,
    health: Arc<Health>,
    kafka_topic: String,
    is_giving_up: bool,
    committed_at: Instant,
}

impl Member {
    pub(super) fn join(
        config: &ClientConfig,
        kafka_topic: String,
        health: Arc<Health>,
    ) -> KafkaResult<Member> {
        let handle = Handle::consumer(config)?;
        let mut topics = TopicPartitionList::new();
        topics.add_topic_unassigned(&kafka_topic);
        handle.subscribe(&topics)?;
        let events = Queue::group(&handle).expect("a client that has a group has its queue");
        Ok(Member { events, handle, health, kafka_topic, is_giving_up: false, committed_at: Instant::now() })
    }

    /// The next change, without waiting. Called again after one that revokes, it gives the partitions up.
    pub(super) fn poll(&mut self) -> KafkaResult<Option<Change>> {
        if std::mem::take(&mut self.is_giving_up) {
            self.handle.accept_revocation()?;
        }
        while let Some(event) = self.events.poll(Some(Duration::ZERO)) {
            match event {
                Event::Assigned(partitions) => {
                    self.handle.accept_assignment()?;
                    if !partitions.is_empty() {
                        return Ok(Some(Change::Assigned(partitions)));
                    }
                }
                Event::Revoked(partitions) => {
                    self.is_giving_up = true;
                    return Ok(Some(Change::Revoked(partitions)));
                }
                Event::Error { code, reason, .. } => self.health.error(code, reason),
                Event::Log { level, facility, text } => self.health.log(level, &facility, &text),
                Event::CommitFailed(RDKafkaErrorCode::NoOffset) | Event::Deliveries(_) | Event::Other => {}
                Event::CommitFailed(code) => tracing::debug!(%code, "offsets for lag tools were not taken"),
            }
        }
        Ok(None)
    }

    pub(super) fn is_commit_due(&self) -> bool {
        self.committed_at.elapsed() >= COMMIT_INTERVAL
    }

    /// Notes offsets in the group, without waiting for it.
    pub(super) fn commit(&mut self, offsets: impl Iterator<Item = (u32, i64)>) {
        self.committed_at = Instant::now();
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            if let Err(error) =
                list.add_partition_offset(&self.kafka_topic, partition as i32, Offset::Offset(offset))
            {
                tracing::debug!(%error, partition, offset, "no offset for lag tools");
            }
        }
        if list.count() > 0
            && let Err(error) = self.handle.commit(&list)
        {
            tracing::debug!(%error, "offsets for lag tools were not sent");
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Without it the others wait for the session to expire.
        if let Err(error) = self.handle.leave_group() {
            tracing::warn!(%error, "the consumer group was not left");
        }
    }
}
