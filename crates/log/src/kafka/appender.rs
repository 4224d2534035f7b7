//! Appends from one thread through a producer of its own, whose delivery reports a second thread turns into tickets.
//!
//! Invariants: a ticket is durable only when every record of it was reported as acknowledged by all in-sync replicas; what
//! librdkafka holds is bounded by the caller obeying [`Appender::has_room`], and by nothing that would refuse a record.

use std::ffi::CString;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;

use model::record::read_headers;

use super::config::KafkaConfig;
use super::health::Health;
use super::native::{Deliveries, Event, Handle, ProduceArray, Queue, TopicHandle};
use super::open_batch::{OpenBatch, OpenRecord};
use super::tickets::Tickets;
use crate::{Appender, Error, Ticket, Topic, Wake};

/// Bytes appended that are sent without waiting for a flush: one produce batch of every log partition would be far more.
const OPEN_BYTES_MAX: usize = 1024 * 1024;

/// [`Appender`] over Kafka.
pub struct KafkaAppender {
    producer: Arc<Producer>,
    topics: Vec<OpenTopic>,
    /// Open batches that hold something, as (topic, partition).
    filled: Vec<(usize, u32)>,
    open_records: usize,
    open_bytes: usize,
    array: ProduceArray,
    record_bytes_max: usize,
    in_flight_records_max: usize,
    in_flight_bytes_max: usize,
    reports: Option<JoinHandle<()>>,
}

struct OpenTopic {
    topic: Topic,
    handle: TopicHandle,
    batches: Vec<OpenBatch>,
}

impl KafkaAppender {
    pub(super) fn connect(config: &KafkaConfig, health: Arc<Health>, wake: Wake) -> Result<Self, Error> {
        let source = |action| move |source| Error::Kafka { action, source };
        let handle = Handle::producer(&config.producer()).map_err(source("make a producer"))?;
        let topics = Topic::ALL.map(|topic| OpenTopic::new(&handle, topic, config));
        let topics = topics.into_iter().collect::<KafkaResult<_>>().map_err(source("open a topic"))?;
        let producer = Arc::new(Producer::new(handle, health, wake));
        let reports = std::thread::Builder::new()
            .name("kafka-reports".into())
            .spawn({
                let producer = Arc::clone(&producer);
                move || producer.run()
            })
            .map_err(|source| Error::Io {
                action: "start a thread for",
                path: "kafka-reports".into(),
                source,
            })?;
        Ok(KafkaAppender {
            producer,
            topics,
            filled: Vec::new(),
            open_records: 0,
            open_bytes: 0,
            array: ProduceArray::default(),
            record_bytes_max: config.record_bytes_max,
            in_flight_records_max: config.in_flight_records_max,
            in_flight_bytes_max: config.in_flight_bytes_max,
            reports: Some(reports),
        })
    }

    pub(super) fn producer(&self) -> &Arc<Producer> {
        &self.producer
    }

    /// Gives librdkafka all that is open, under the next ticket.
    fn send(&mut self) {
        if self.filled.is_empty() {
            return;
        }
        let tag = self.producer.sending(self.open_records, self.open_bytes);
        for (topic, partition) in self.filled.drain(..) {
            let OpenTopic { topic, handle, batches } = &mut self.topics[topic];
            let batch = &mut batches[partition as usize];
            if *topic == Topic::Telemetry {
                let records = batch.iter().map(|record| record.outgoing());
                handle.produce(partition, tag, records, &mut self.array, |refused| {
                    self.producer.fail(refused.outcome, "a record was refused by librdkafka".into());
                });
            } else {
                for record in batch.iter() {
                    let headers = read_headers(record.headers);
                    let sent = handle.produce_with_headers(partition, tag, &record.outgoing(), headers);
                    self.producer.fail(sent, "a record was refused by librdkafka".into());
                }
            }
            batch.clear();
        }
        (self.open_records, self.open_bytes) = (0, 0);
    }
}

impl OpenTopic {
    fn new(handle: &Arc<Handle>, topic: Topic, config: &KafkaConfig) -> KafkaResult<OpenTopic> {
        let name = CString::new(config.topic_name(topic))?;
        let mut batches = Vec::new();
        batches.resize_with(topic.partition_count(config.partitions) as usize, OpenBatch::default);
        Ok(OpenTopic { topic, handle: TopicHandle::new(handle, &name)?, batches })
    }
}

impl Appender for KafkaAppender {
    fn append(
        &mut self,
        topic: Topic,
        partition: u32,
        key: &[u8],
        value: Option<&[u8]>,
        headers: &[u8],
    ) -> Result<(), Error> {
        if self.producer.is_closed() {
            return Err(Error::Closed);
        }
        let bytes = key.len() + value.map_or(0, <[u8]>::len) + headers.len();
        if bytes > self.record_bytes_max {
            return Err(Error::RecordTooLarge { bytes, max: self.record_bytes_max });
        }
        if topic == Topic::Telemetry && !headers.is_empty() {
            return Err(Error::Refused("telemetry.v1 takes no headers".into()));
        }
        let index = topic as usize;
        let Some(batch) = self.topics[index].batches.get_mut(partition as usize) else {
            return Err(Error::Refused(format!("{} has no partition {partition}", topic.name())));
        };
        if batch.is_empty() {
            self.filled.push((index, partition));
        }
        let record = OpenRecord { key, value, headers };
        batch.push(&record);
        self.open_records += 1;
        self.open_bytes += record.bytes();
        if self.open_bytes >= OPEN_BYTES_MAX {
            self.send();
        }
        Ok(())
    }

    fn flush(&mut self) -> Ticket {
        self.send();
        self.producer.give_ticket()
    }

    fn durable(&mut self) -> Result<Ticket, Error> {
        self.producer.durable()
    }

    fn has_room(&self) -> bool {
        let (bytes, max) = self.fill();
        let records = self.open_records + self.producer.in_flight_records.load(Ordering::Relaxed);
        bytes < max && records < self.in_flight_records_max
    }

    fn fill(&self) -> (usize, usize) {
        let bytes = self.open_bytes + self.producer.in_flight_bytes.load(Ordering::Relaxed);
        (bytes, self.in_flight_bytes_max)
    }
}

impl Drop for KafkaAppender {
    /// What is in flight and not reported is abandoned: nobody was told that it is durable.
    fn drop(&mut self) {
        self.producer.stop();
        if let Some(reports) = self.reports.take()
            && reports.join().is_err()
        {
            tracing::error!("the thread of delivery reports panicked");
        }
    }
}

/// What the appender, its reporting thread and the log share.
pub(super) struct Producer {
    events: Queue,
    handle: Arc<Handle>,
    health: Arc<Health>,
    wake: Wake,
    tickets: Mutex<Tickets>,
    durable: AtomicU64,
    in_flight_records: AtomicUsize,
    in_flight_bytes: AtomicUsize,
    failure: OnceLock<(RDKafkaErrorCode, String)>,
    is_closed: AtomicBool,
    is_stopped: AtomicBool,
}

impl Producer {
    fn new(handle: Arc<Handle>, health: Arc<Health>, wake: Wake) -> Producer {
        Producer {
            events: Queue::main(&handle),
            handle,
            health,
            wake,
            tickets: Mutex::default(),
            durable: AtomicU64::new(0),
            in_flight_records: AtomicUsize::new(0),
            in_flight_bytes: AtomicUsize::new(0),
            failure: OnceLock::new(),
            is_closed: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
        }
    }

    /// Takes no more records, and waits until those that it has are reported.
    pub(super) fn close(&self, wait: Duration) {
        self.is_closed.store(true, Ordering::SeqCst);
        if let Err(error) = self.handle.flush(wait) {
            tracing::warn!(%error, ?wait, "closed before every record was reported; its senders get no answer");
        }
        (self.wake)();
    }

    /// Since when the oldest record under way is.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.tickets.lock().waiting_since()
    }

    pub(super) fn failure(&self) -> Option<&(RDKafkaErrorCode, String)> {
        self.failure.get()
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// The tag of records that are about to be sent.
    fn sending(&self, records: usize, bytes: usize) -> u64 {
        self.in_flight_records.fetch_add(records, Ordering::Relaxed);
        self.in_flight_bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut tickets = self.tickets.lock();
        tickets.sent(records as u64, Instant::now());
        tickets.next()
    }

    fn give_ticket(&self) -> Ticket {
        let mut tickets = self.tickets.lock();
        let ticket = tickets.give();
        // The reports may have come before the ticket was given.
        self.durable.store(tickets.durable().0, Ordering::Release);
        ticket
    }

    fn durable(&self) -> Result<Ticket, Error> {
        if let Some((code, _)) = self.failure.get() {
            return Err(Error::Kafka { action: "append", source: KafkaError::MessageProduction(*code) });
        }
        let durable = Ticket(self.durable.load(Ordering::Acquire));
        if self.is_closed() && self.in_flight_records.load(Ordering::Acquire) > 0 {
            return Err(Error::Closed);
        }
        Ok(durable)
    }

    /// The first failure stays: nothing that was appended since can be answered.
    fn fail(&self, outcome: Result<(), RDKafkaErrorCode>, reason: String) {
        if let Err(code) = outcome
            && self.failure.set((code, reason.clone())).is_ok()
        {
            tracing::error!(%code, reason, "a record could not be appended; its senders get no answer");
        }
    }

    fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        self.events.wake();
    }

    /// The reporting thread.
    fn run(&self) {
        while !self.is_stopped.load(Ordering::SeqCst) {
            match self.events.poll(None) {
                Some(Event::Deliveries(mut deliveries)) => self.report(&mut deliveries),
                Some(Event::Error { code, reason, is_fatal }) => {
                    if is_fatal {
                        self.fail(Err(code), reason.clone());
                        (self.wake)();
                    }
                    self.health.error(code, reason);
                }
                Some(Event::Log { level, facility, text }) => self.health.log(level, &facility, &text),
                _ => {}
            }
        }
    }

    fn report(&self, deliveries: &mut Deliveries) {
        let (mut run, mut records, mut bytes) = (Run::default(), 0, 0);
        {
            let mut tickets = self.tickets.lock();
            deliveries.for_each(|delivery| {
                records += 1;
                bytes += delivery.bytes;
                if delivery.outcome.is_err() {
                    self.fail(delivery.outcome, "the broker refused it".into());
                } else if !run.extend(delivery.tag) {
                    tickets.delivered(run.ticket, run.count);
                    run = Run { ticket: delivery.tag, count: 1 };
                }
            });
            tickets.delivered(run.ticket, run.count);
            self.durable.store(tickets.durable().0, Ordering::Release);
        }
        self.in_flight_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.in_flight_records.fetch_sub(records, Ordering::Release);
        (self.wake)();
    }
}

/// Reports in a row that are of one ticket, as most are: a produce batch is of one flush or a few.
#[derive(Default)]
struct Run {
    ticket: u64,
    count: u64,
}

impl Run {
    fn extend(&mut self, ticket: u64) -> bool {
        let is_same = self.ticket == ticket;
        self.count += u64::from(is_same);
        is_same
    }
}
