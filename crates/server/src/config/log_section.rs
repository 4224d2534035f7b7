//! `[log]`: which stream, and its limits.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::Section;
use super::secret::Secret;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    Embedded,
    Kafka,
}

/// `[log]`.
#[derive(Clone, Debug)]
pub struct LogSection {
    pub kind: LogKind,
    pub partitions: u32,
    pub topic_prefix: String,
    pub record_bytes_max: u64,
    pub retention: Duration,
    pub dead_letter_retention: Duration,
    pub alerts_retention: Duration,
    pub appender_bytes_max: u64,
    /// Embedded only.
    pub bytes_max: u64,
    /// Embedded only.
    pub segment_bytes: u64,
    /// Embedded only.
    pub tail_bytes_max: u64,
    /// Kafka only.
    pub bootstrap_servers: Vec<String>,
    /// Kafka only; 0 leaves it to the broker.
    pub replication_factor: u32,
    /// Kafka only.
    pub appender_records_max: u32,
    /// Kafka only.
    pub tls: TlsSection,
    /// Kafka only.
    pub sasl: Option<SaslSection>,
}

/// TLS towards a server: used when `enabled`.
#[derive(Clone, Debug)]
pub struct TlsSection {
    pub enabled: bool,
    pub ca_path: Option<PathBuf>,
    pub certificate_path: Option<PathBuf>,
    pub key_path: Option<PathBuf>,
    pub verify: bool,
}

/// `[log.sasl]`.
#[derive(Clone, Debug)]
pub struct SaslSection {
    /// As Kafka names it: `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`.
    pub mechanism: &'static str,
    pub username: String,
    pub password: Secret,
}

impl LogSection {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        let kinds = [("embedded", LogKind::Embedded), ("kafka", LogKind::Kafka)];
        let section = LogSection {
            kind: s.choice("kind", &kinds, "Where the stream lives: segment files below data_dir, or Apache Kafka."),
            partitions: s.count("partitions", 8, 1..=1024, "Log partitions of telemetry and alerts. Part of the log: another count than it was made with does not start."),
            topic_prefix: s.text("topic_prefix", "urban-neuron.", "Start of every topic and consumer group; keeps deployments on one Kafka apart."),
            record_bytes_max: s.size("record_bytes_max", "4MiB", "128KiB"..="64MiB", "Largest record. Every inbound limit and 64KiB must fit."),
            retention: s.duration("retention", "7d", "1h"..="3650d", "How long telemetry is kept: in Kafka, and in an embedded log without a lake. With a lake, an embedded log keeps what has not landed."),
            dead_letter_retention: s.duration("dead_letter_retention", "30d", "1h"..="3650d", "How long dead letters are kept."),
            alerts_retention: s.duration("alerts_retention", "90d", "1h"..="3650d", "How long alert events are kept; what fires now is kept for as long as it does."),
            appender_bytes_max: s.size("appender_bytes_max", "16MiB", "1MiB"..="1GiB", "What one gateway thread may have appended and not durable; past it sockets are not read."),
            bytes_max: s.size("bytes_max", "8GiB", "16MiB"..="64TiB", "Embedded: the log refuses past this many bytes on disk until retention frees some."),
            segment_bytes: s.size("segment_bytes", "64MiB", "1MiB"..="1GiB", "Embedded: a segment file is closed at this size."),
            tail_bytes_max: s.size("tail_bytes_max", "32MiB", "1MiB"..="4GiB", "Embedded: newest batches kept in memory for readers."),
            bootstrap_servers: s.texts("bootstrap_servers", "Kafka: brokers to begin with, host:port."),
            replication_factor: s.count("replication_factor", 0, 0..=16, "Kafka: replicas of topics made here; 0 leaves it to the broker."),
            appender_records_max: s.count("appender_records_max", 20_000, 100..=10_000_000, "Kafka: records that one gateway thread may have appended and not durable."),
            tls: s.section("tls", TlsSection::read),
            sasl: s.section("sasl", SaslSection::read),
        };
        s.section("spool", |s| {
            if s.flag(
                "enabled",
                false,
                "Over Kafka, acknowledge from an embedded log and forward. Not supported by this version.",
            ) {
                s.error("enabled", "the spool is not supported yet: leave it off");
            }
        });
        section
    }
}

impl TlsSection {
    fn read(s: &mut Section<'_>) -> Self {
        TlsSection {
            enabled: s.flag("enabled", false, "Speak TLS to the brokers."),
            ca_path: s.path(
                "ca_path",
                "",
                "PEM file of the authorities to trust; the system's when not set.",
            ),
            certificate_path: s.path(
                "certificate_path",
                "",
                "PEM file of our own certificate, where the brokers want one.",
            ),
            key_path: s.path("key_path", "", "PEM file of its key."),
            verify: s.flag("verify", true, "Check the brokers' certificates and names."),
        }
    }
}

impl SaslSection {
    fn read(s: &mut Section<'_>) -> Option<Self> {
        let mechanisms = [
            ("", ""),
            ("PLAIN", "PLAIN"),
            ("SCRAM-SHA-256", "SCRAM-SHA-256"),
            ("SCRAM-SHA-512", "SCRAM-SHA-512"),
        ];
        let mechanism =
            s.choice("mechanism", &mechanisms, "How to authenticate to the brokers; not at all when empty.");
        let username = s.text("username", "", "Who we are.");
        let password = s.secret("password", "password_path", "Its password.");
        if mechanism.is_empty() {
            return None;
        }
        if username.is_empty() {
            s.error("username", "is wanted with a mechanism");
        }
        if password.is_none() {
            s.error(
                "password",
                "is wanted with a mechanism: set URBAN_NEURON__LOG__SASL__PASSWORD or password_path",
            );
        }
        Some(SaslSection { mechanism, username, password: password? })
    }
}
