//! The Kafka log on a real Apache Kafka. One broker serves the tests that leave it alone; those that kill one have their
//! own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod conformance;
mod crash;
mod groups;
mod security;
mod topics;

#[path = "../support/kafka_broker.rs"]
mod kafka_broker;
#[path = "../support/conformance.rs"]
mod suite;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use urban_neuron_log::kafka::{KafkaAppender, KafkaConfig, KafkaLog, KafkaReader};
use urban_neuron_log::{Appender, Log, ReadEvent, Reader, Ticket, Topic};

use kafka_broker::KafkaBroker;

/// The longest wait for anything that must happen; the machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

fn shared_broker() -> &'static KafkaBroker {
    static BROKER: OnceLock<KafkaBroker> = OnceLock::new();
    BROKER.get_or_init(|| KafkaBroker::start_secure().expect("a real Kafka"))
}

/// A log of its own on this broker.
fn config(broker: &KafkaBroker, name: &str, partitions: u32) -> KafkaConfig {
    let mut config = KafkaConfig::new(&broker.plain);
    config.topic_prefix = format!("{name}.");
    config.partitions = partitions;
    config.record_bytes_max = 256 * 1024;
    config.request_wait_max = PATIENCE;
    config
}

fn appender(log: &KafkaLog) -> KafkaAppender {
    log.appender(Arc::new(|| {})).unwrap()
}

fn append(appender: &mut KafkaAppender, partition: u32, value: &str) {
    appender.append(Topic::Telemetry, partition, b"device", Some(value.as_bytes()), &[]).unwrap();
}

fn until_durable(appender: &mut KafkaAppender, ticket: Ticket) {
    until("the ticket is durable", || (appender.durable().unwrap() >= ticket).then_some(()));
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} until {what}");
        std::thread::yield_now();
    }
}

/// The values of each partition from the first on, up to the log's end.
fn read_all(log: &KafkaLog) -> BTreeMap<u32, Vec<String>> {
    let held: Vec<_> = (0..log.partitions())
        .map(|partition| (partition, log.offsets(Topic::Telemetry, partition).unwrap()))
        .collect();
    let starts: Vec<_> = held.iter().map(|(partition, held)| (*partition, held.start)).collect();
    let mut missing: BTreeMap<_, _> = held
        .iter()
        .filter(|(_, held)| !held.is_empty())
        .map(|(partition, held)| (*partition, held.end))
        .collect();
    let mut reader = log.reader(Topic::Telemetry, &starts).unwrap();
    let mut values: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    until("everything is read", || {
        if let Some(batch) = next_batch(&mut reader) {
            if missing.get(&batch.log_partition).is_some_and(|end| batch.next >= *end) {
                missing.remove(&batch.log_partition);
            }
            let read = batch.iter().map(|record| String::from_utf8(record.value.to_vec()).unwrap());
            values.entry(batch.log_partition).or_default().extend(read);
        }
        missing.is_empty().then_some(())
    });
    values
}

fn next_batch(reader: &mut KafkaReader) -> Option<model::RecordBatch> {
    match reader.poll(POLL).unwrap() {
        ReadEvent::Records(batch) => Some(batch),
        ReadEvent::Idle => None,
        other => panic!("{other:?}"),
    }
}
