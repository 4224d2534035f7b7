//! Where Kafka is and how it is spoken to: what an operator sets, and the librdkafka properties that carry guarantees,
//! which nobody sets.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::{Consumer, Topic};

/// Headers, keys and framing of a record batch beside the largest record, bytes.
const BATCH_OVERHEAD_BYTES: usize = 64 * 1024;
/// A produce batch of 16 KB halves the rate and costs the broker 2.4 times the CPU.
const PRODUCE_BATCH_BYTES: usize = 1_000_000;
const LINGER_MS: u32 = 2;
/// What the broker keeps the order of for an idempotent producer.
const REQUESTS_IN_FLIGHT_MAX: u32 = 5;
/// Back within a second of a broker that is back; librdkafka's own limit is ten.
const RECONNECT_BACKOFF_MAX_MS: u32 = 1_000;

/// Kafka as the log.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// `host:port`, comma-separated.
    pub bootstrap_servers: String,
    /// Before each topic and group name; keeps deployments apart.
    pub topic_prefix: String,
    /// Log partitions of telemetry and alerts; part of the log, see [`Topic::partition_count`].
    pub partitions: u32,
    /// Largest record, bytes of key, value and headers.
    pub record_bytes_max: usize,
    /// Replicas of topics that are created here; `None` is the broker's default.
    pub replication_factor: Option<u16>,
    /// How long topics that are created here keep records; an existing topic that keeps less is named in a WARN.
    pub retention: Duration,
    pub tls: Option<TlsConfig>,
    pub sasl: Option<SaslConfig>,
    /// How the broker's logs and quotas name this process.
    pub client_id: String,
    /// Records of one appender that may be appended and not durable before it has no room.
    pub in_flight_records_max: usize,
    /// Bytes of the same.
    pub in_flight_bytes_max: usize,
    /// Bytes that one reader fetches ahead.
    pub fetch_ahead_bytes_max: usize,
    /// The longest wait for an answer to a question, such as the offsets of a partition.
    pub request_wait_max: Duration,
    /// The longest wait of [`crate::Log::close`] for what was flushed.
    pub close_wait_max: Duration,
}

impl KafkaConfig {
    /// The defaults, over these brokers.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        KafkaConfig {
            bootstrap_servers: bootstrap_servers.into(),
            topic_prefix: "urban-neuron.".into(),
            partitions: 8,
            record_bytes_max: 4 * 1024 * 1024,
            replication_factor: None,
            retention: Duration::from_secs(7 * 24 * 3600),
            tls: None,
            sasl: None,
            client_id: "urban-neuron".into(),
            in_flight_records_max: 20_000,
            in_flight_bytes_max: 16 * 1024 * 1024,
            fetch_ahead_bytes_max: 16 * 1024 * 1024,
            request_wait_max: Duration::from_secs(10),
            close_wait_max: Duration::from_secs(10),
        }
    }

    /// A topic's name in Kafka.
    pub fn topic_name(&self, topic: Topic) -> String {
        format!("{}{}", self.topic_prefix, topic.name())
    }

    /// A consumer group's name in Kafka.
    pub fn group_name(&self, consumer: Consumer) -> String {
        format!("{}{}", self.topic_prefix, consumer.name())
    }

    /// `max.message.bytes` of the topics: a batch of one record of the largest size.
    pub(super) fn batch_bytes_max(&self) -> usize {
        self.record_bytes_max + BATCH_OVERHEAD_BYTES
    }

    /// What every client has in common.
    pub(super) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", &self.client_id)
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", RECONNECT_BACKOFF_MAX_MS.to_string())
            .set("socket.keepalive.enable", "true")
            .set_log_level(RDKafkaLogLevel::Info);
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        client.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            tls.apply(&mut client);
        }
        if let Some(sasl) = &self.sasl {
            client
                .set("sasl.mechanisms", sasl.mechanism.name())
                .set("sasl.username", &sasl.username)
                .set("sasl.password", &sasl.password);
        }
        client
    }

    /// Idempotent, acknowledged by all in-sync replicas, and never giving a record up.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut client = self.client();
        client
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("max.in.flight.requests.per.connection", REQUESTS_IN_FLIGHT_MAX.to_string())
            // A broker that is away for an hour costs an hour, no record: 0 is for ever.
            .set("message.timeout.ms", "0")
            .set("linger.ms", LINGER_MS.to_string())
            .set("batch.size", PRODUCE_BATCH_BYTES.to_string())
            .set("compression.codec", "lz4")
            .set("message.max.bytes", self.batch_bytes_max().to_string())
            // The appender bounds what is in flight; a second limit here would refuse what it has taken.
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", i32::MAX.to_string());
        client
    }

    /// Fetches named partitions, outside any group.
    pub(super) fn fetcher(&self) -> ClientConfig {
        let mut client = self.client();
        client
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // A position outside the log stops its partition; it is never reset.
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_uncommitted")
            .set("enable.partition.eof", "true")
            .set("check.crcs", "true")
            .set("fetch.error.backoff.ms", "100")
            // A second's pause each time the reader is behind would make it fall behind.
            .set("fetch.queue.backoff.ms", "5")
            .set("queued.min.messages", "100000")
            .set("queued.max.messages.kbytes", (self.fetch_ahead_bytes_max / 1024).max(1).to_string());
        client
    }

    /// A member of a group, which fetches nothing.
    pub(super) fn member(&self, consumer: Consumer) -> ClientConfig {
        let mut client = self.client();
        client
            .set("group.id", self.group_name(consumer))
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("session.timeout.ms", "15000")
            .set("heartbeat.interval.ms", "1000");
        client
    }
}

/// TLS to the brokers.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// PEM file of authorities; `None` is the system's.
    pub ca: Option<PathBuf>,
    /// PEM file of the client's certificate, for brokers that ask for one.
    pub certificate: Option<PathBuf>,
    /// PEM file of its key.
    pub key: Option<PathBuf>,
    /// Whether the broker's certificate and its name are checked.
    pub verify: bool,
}

impl TlsConfig {
    fn apply(&self, client: &mut ClientConfig) {
        let files = [
            ("ssl.ca.location", &self.ca),
            ("ssl.certificate.location", &self.certificate),
            ("ssl.key.location", &self.key),
        ];
        for (property, path) in files {
            if let Some(path) = path {
                client.set(property, path.to_string_lossy());
            }
        }
        client.set("enable.ssl.certificate.verification", self.verify.to_string());
        client.set("ssl.endpoint.identification.algorithm", if self.verify { "https" } else { "none" });
    }
}

/// SASL to the brokers.
#[derive(Clone)]
pub struct SaslConfig {
    pub mechanism: SaslMechanism,
    pub username: String,
    pub password: String,
}

impl fmt::Debug for SaslConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaslConfig")
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .field("password", &"<redacted>")
            .finish()
    }
}

/// How a username and password are proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl SaslMechanism {
    /// Its registered name.
    pub const fn name(self) -> &'static str {
        match self {
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
            SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn librdkafka_takes_every_property() {
        let mut config = KafkaConfig::new("127.0.0.1:9092");
        config.tls = Some(TlsConfig { ca: None, certificate: None, key: None, verify: true });
        config.sasl = Some(SaslConfig {
            mechanism: SaslMechanism::ScramSha512,
            username: "urban".into(),
            password: "neuron".into(),
        });
        for client in [config.client(), config.producer(), config.fetcher(), config.member(Consumer::Lake)] {
            client.create_native_config().unwrap();
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let mut config = KafkaConfig::new("127.0.0.1:9092");
        config.sasl = Some(SaslConfig {
            mechanism: SaslMechanism::Plain,
            username: "urban".into(),
            password: "secret-word".into(),
        });
        let printed = format!("{config:?} {:?}", config.client());
        assert!(printed.contains("urban") && !printed.contains("secret-word"), "{printed}");
    }
}
