//! Reads partitions of one topic, from offsets that the caller names, in batches that hold the records' only copy.
//!
//! Fetching stands apart from the group: a client without a group fetches what was started, and a [`Member`] beside it
//! says which partitions are this process's. So no committed offset can ever become a position.

use std::collections::VecDeque;
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::RecordBatchBuilder;
use model::record::put_header;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::control::c_name;
use super::member::{Change, Member};
use super::native::{Event, Handle, Incoming, IncomingRecord, Messages, Queue, TopicHandle};
use super::{Shared, closed_or};
use crate::{Consumer, Error, ReadEvent, Reader, Topic};

/// Messages taken from librdkafka at once; their bytes are bounded by what it fetches ahead.
const MESSAGES_MAX: usize = 4096;
/// The longest wait for messages before group events are looked at.
const WAIT_STEP: Duration = Duration::from_millis(50);

/// [`Reader`] over Kafka.
pub struct KafkaReader {
    shared: Arc<Shared>,
    topic: Topic,
    kafka_topic: CString,
    member: Option<(Consumer, Member)>,
    /// One for each partition of the topic; `None` while it is not started.
    partitions: Vec<Option<Reading>>,
    ready: VecDeque<Result<ReadEvent, Error>>,
    header_bytes: Vec<u8>,
    messages: Messages,
    fetched: Queue,
    events: Queue,
    topic_handle: TopicHandle,
    handle: Arc<Handle>,
}

/// A partition that is being read.
#[derive(Default)]
struct Reading {
    next: i64,
    /// The log's end when it was started.
    end_at_start: i64,
    builder: RecordBatchBuilder,
    /// `next` has moved since the last batch.
    has_moved: bool,
}

impl KafkaReader {
    pub(super) fn open(shared: Arc<Shared>, topic: Topic, consumer: Option<Consumer>) -> Result<Self, Error> {
        let source = |action| move |source| Error::Kafka { action, source };
        let kafka_topic = c_name(shared.config.topic_name(topic))?;
        let handle = Handle::consumer(&shared.config.fetcher()).map_err(source("make a consumer"))?;
        let member = consumer.map(|consumer| {
            let config = shared.config.member(consumer);
            let member = Member::join(&config, shared.config.topic_name(topic), Arc::clone(&shared.health))?;
            Ok((consumer, member))
        });
        let mut partitions = Vec::new();
        partitions.resize_with(topic.partition_count(shared.config.partitions) as usize, || None);
        Ok(KafkaReader {
            topic,
            member: member.transpose().map_err(source("join the group"))?,
            partitions,
            ready: VecDeque::new(),
            header_bytes: Vec::new(),
            messages: Messages::with_room(MESSAGES_MAX, &handle),
            fetched: Queue::new(&handle),
            events: Queue::main(&handle),
            topic_handle: TopicHandle::new(&handle, &kafka_topic).map_err(source("open a topic"))?,
            handle,
            kafka_topic,
            shared,
        })
    }

    fn change_of_group(&mut self) -> Result<Option<ReadEvent>, Error> {
        let Some((consumer, member)) = &mut self.member else { return Ok(None) };
        let change = member.poll().map_err(|source| Error::Kafka { action: "follow the group", source })?;
        let is_revoked = matches!(change, Some(Change::Revoked(_)));
        if is_revoked || member.is_commit_due() {
            member.commit(self.shared.take_released(*consumer));
        }
        Ok(match change {
            Some(Change::Assigned(partitions)) => Some(ReadEvent::Assigned(partitions)),
            Some(Change::Revoked(partitions)) => {
                for partition in &partitions {
                    self.stop(*partition)?;
                }
                Some(ReadEvent::Revoked(partitions))
            }
            None => None,
        })
    }

    fn serve_events(&self) {
        while let Some(event) = self.events.poll(Some(Duration::ZERO)) {
            match event {
                Event::Error { code, reason, .. } => self.shared.health.error(code, reason),
                Event::Log { level, facility, text } => self.shared.health.log(level, &facility, &text),
                _ => {}
            }
        }
    }

    /// Makes batches of what was fetched.
    fn sort_out(&mut self) {
        let mut failures = Vec::new();
        for incoming in self.messages.iter() {
            match incoming {
                Incoming::Record(record) => {
                    let has_headers = self.topic != Topic::Telemetry;
                    let headers = if has_headers { Some(&mut self.header_bytes) } else { None };
                    if let Some(Some(reading)) = self.partitions.get_mut(record.partition() as usize)
                        && let Err(error) = reading.take(&record, headers)
                    {
                        failures.push((record.partition(), record.offset(), error));
                    }
                }
                Incoming::End { partition, offset } => {
                    if let Some(Some(reading)) = self.partitions.get_mut(partition as usize) {
                        reading.pass_to(offset);
                    }
                }
                Incoming::Failed { partition, offset, code } => {
                    failures.push((partition, offset, Failure::Fetch(code)))
                }
            }
        }
        self.messages.clear();
        for (partition, reading) in self.partitions.iter_mut().enumerate() {
            if let Some(reading) = reading
                && std::mem::take(&mut reading.has_moved)
            {
                let batch = reading.builder.finish(partition as u32, reading.next);
                self.ready.push_back(Ok(ReadEvent::Records(batch)));
            }
        }
        for (partition, offset, failure) in failures {
            self.fail(partition, offset, failure);
        }
    }

    /// Stops a partition for good, and says why after what came before.
    fn fail(&mut self, partition: u32, offset: i64, failure: Failure) {
        let Some(reading) = self.partitions.get_mut(partition as usize).and_then(Option::take) else {
            return;
        };
        let error = match failure {
            Failure::Fetch(RDKafkaErrorCode::AutoOffsetReset) => self.out_of_range(partition, reading.next),
            Failure::Fetch(code) => {
                Error::Kafka { action: "fetch", source: KafkaError::MessageConsumption(code) }
            }
            Failure::NotAppendTime => Error::Refused(format!(
                "offset {offset} of {}/{partition} has no append time: message.timestamp.type was changed",
                self.topic.name()
            )),
        };
        if let Err(error) = self.topic_handle.stop(partition) {
            tracing::warn!(%error, partition, "a partition that failed was not stopped");
        }
        self.ready.push_back(Err(error));
    }

    fn out_of_range(&self, partition: u32, offset: i64) -> Error {
        match self.shared.offsets(self.topic, partition) {
            Ok(held) => self.outside(partition, offset, &held),
            Err(error) => error,
        }
    }

    fn outside(&self, partition: u32, offset: i64, held: &std::ops::Range<i64>) -> Error {
        let topic = self.topic.name();
        Error::OutOfRange { topic, partition, offset, first: held.start, next: held.end }
    }
}

impl Reader for KafkaReader {
    fn poll(&mut self, wait: Duration) -> Result<ReadEvent, Error> {
        let deadline = Instant::now() + wait;
        loop {
            closed_or(&self.shared)?;
            self.serve_events();
            if let Some(change) = self.change_of_group()? {
                return Ok(change);
            }
            if let Some(ready) = self.ready.pop_front() {
                return ready;
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            self.fetched.consume(rest.min(WAIT_STEP), &mut self.messages);
            self.sort_out();
            if self.ready.is_empty() && rest.is_zero() {
                return Ok(ReadEvent::Idle);
            }
        }
    }

    fn start(&mut self, partition: u32, offset: i64) -> Result<(), Error> {
        let held = self.shared.offsets(self.topic, partition)?;
        self.stop(partition)?;
        if offset < held.start || offset > held.end {
            return Err(self.outside(partition, offset, &held));
        }
        self.topic_handle
            .start(partition, offset, &self.fetched)
            .map_err(|source| Error::Kafka { action: "start to fetch", source })?;
        self.partitions[partition as usize] =
            Some(Reading { next: offset, end_at_start: held.end, ..Reading::default() });
        Ok(())
    }

    fn stop(&mut self, partition: u32) -> Result<(), Error> {
        if self.partitions.get_mut(partition as usize).and_then(Option::take).is_none() {
            return Ok(());
        }
        self.ready.retain(
            |ready| !matches!(ready, Ok(ReadEvent::Records(batch)) if batch.log_partition == partition),
        );
        self.topic_handle.stop(partition).map_err(|source| Error::Kafka { action: "stop to fetch", source })
    }

    fn end(&mut self, partition: u32) -> Result<i64, Error> {
        closed_or(&self.shared)?;
        let Some(Some(reading)) = self.partitions.get(partition as usize) else {
            return Ok(self.shared.offsets(self.topic, partition)?.end);
        };
        let cached = self.handle.cached_watermarks(&self.kafka_topic, partition).map_or(0, |(_, next)| next);
        Ok(cached.max(reading.end_at_start).max(reading.next))
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        if let Some((consumer, member)) = &mut self.member {
            member.commit(self.shared.take_released(*consumer));
        }
    }
}

enum Failure {
    Fetch(RDKafkaErrorCode),
    NotAppendTime,
}

impl Reading {
    fn take(&mut self, record: &IncomingRecord<'_>, headers: Option<&mut Vec<u8>>) -> Result<(), Failure> {
        let log_time_us = record.append_time_ms().ok_or(Failure::NotAppendTime)? * 1000;
        let headers = match headers {
            Some(stored) => {
                stored.clear();
                record.each_header(|name, value| put_header(stored, name, value));
                stored.as_slice()
            }
            None => &[],
        };
        self.builder.push(record.offset(), log_time_us, record.key(), record.value(), headers);
        self.pass_to(record.offset() + 1);
        Ok(())
    }

    /// Everything below `next` was given, or is no record.
    fn pass_to(&mut self, next: i64) {
        self.has_moved |= next > self.next;
        self.next = self.next.max(next);
    }
}
