//! The Kafka log on a real Apache Kafka. One broker serves the tests that leave it alone; those that kill one have their
//! own.

mod conformance;

#[path = "../support/kafka_broker.rs"]
mod kafka_broker;

use std::sync::OnceLock;
use std::time::Duration;

use urban_neuron_log::kafka::KafkaConfig;

use kafka_broker::KafkaBroker;

/// The longest wait for anything that must happen; the machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

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
    config
}
