//! What can go wrong with the log, by what the caller does about it.

use std::path::PathBuf;

/// Failures of the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// For its content: make it a dead letter.
    #[error("the record has {bytes} bytes, log.record_bytes_max is {max}")]
    RecordTooLarge { bytes: usize, max: usize },
    /// The position is not in the log: that log partition stops, it is never reset.
    #[error("offset {offset} of {topic}/{partition} is outside the log, which holds {first}..{next}")]
    OutOfRange { topic: &'static str, partition: u32, offset: i64, first: i64, next: i64 },
    #[error("the log is closed")]
    Closed,
    /// The log cannot be used as it is configured; it does not start.
    #[error("{0}")]
    Refused(String),
    /// A batch that was durable does not check any more.
    #[error("{path} is damaged at byte {at}: {what}")]
    Damaged { path: PathBuf, at: u64, what: &'static str },
    #[error("{action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("kafka, {action}: {source}")]
    Kafka { action: &'static str, source: rdkafka::error::KafkaError },
}

/// What a loop does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Try again, with backoff.
    Retry,
    /// Set this record aside.
    DeadLetter,
    /// Stop and say why.
    Stop,
}

impl Error {
    pub fn disposition(&self) -> Disposition {
        match self {
            Error::RecordTooLarge { .. } => Disposition::DeadLetter,
            Error::Kafka { source, .. } if is_transient(source) => Disposition::Retry,
            _ => Disposition::Stop,
        }
    }
}

fn is_transient(error: &rdkafka::error::KafkaError) -> bool {
    use rdkafka::types::RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::NotCoordinator
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::QueueFull
                | Code::MessageTimedOut
                | Code::Resolve
        )
    )
}
