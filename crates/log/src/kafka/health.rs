//! What librdkafka says beside its answers: its log lines and errors, and whether brokers answer at all.

use std::time::Instant;

use parking_lot::Mutex;
use rdkafka::types::RDKafkaErrorCode;

/// Shared by all clients of one log.
#[derive(Debug, Default)]
pub(super) struct Health {
    down: Mutex<Option<String>>,
    last: Mutex<Option<LastError>>,
}

/// The latest error that was no answer to a call.
#[derive(Clone, Debug)]
pub(super) struct LastError {
    pub(super) code: RDKafkaErrorCode,
    pub(super) reason: String,
    pub(super) at: Instant,
}

impl Health {
    /// An error that no call returned. librdkafka goes on trying.
    pub(super) fn error(&self, code: RDKafkaErrorCode, reason: String) {
        tracing::warn!(%code, reason, "kafka error");
        // Which broker and why is worth more than that all of them are.
        if code != RDKafkaErrorCode::AllBrokersDown {
            *self.last.lock() = Some(LastError { code, reason, at: Instant::now() });
        }
    }

    pub(super) fn last(&self) -> Option<LastError> {
        self.last.lock().clone()
    }

    pub(super) fn set_down(&self, cause: String) {
        let mut down = self.down.lock();
        if down.is_none() {
            tracing::warn!(cause, "no kafka broker answers");
        }
        *down = Some(cause);
    }

    pub(super) fn set_up(&self) {
        if self.down.lock().take().is_some() {
            tracing::info!("kafka answers again");
        }
        *self.last.lock() = None;
    }

    /// Why no broker answers, while none does.
    pub(super) fn down(&self) -> Option<String> {
        self.down.lock().clone()
    }

    /// A line of librdkafka's log; `level` is syslog's.
    pub(super) fn log(&self, level: i32, facility: &str, text: &str) {
        // None of its lines means data lost: what it cannot deliver or fetch comes as an error to who asked.
        match level {
            ..=4 => tracing::warn!(target: "librdkafka", facility, "{text}"),
            5..=6 => tracing::info!(target: "librdkafka", facility, "{text}"),
            _ => tracing::debug!(target: "librdkafka", facility, "{text}"),
        }
    }
}
