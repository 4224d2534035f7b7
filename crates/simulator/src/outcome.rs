//! What was sent and what was acknowledged: while it runs, and in the end.

use std::time::Duration;

use crate::Latencies;

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub elapsed: Duration,
    /// Messages sent, each counted once however often it was sent again.
    pub sent: u64,
    pub acknowledged: u64,
    /// Messages sent again after a lost connection.
    pub resent: u64,
    pub connected: u32,
    /// Connections lost so far.
    pub reconnects: u64,
}

/// What became of it.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub elapsed: Duration,
    pub sent: u64,
    pub acknowledged: u64,
    pub resent: u64,
    pub reconnects: u64,
    /// From the first sending of a message to its PUBACK.
    pub latencies: Latencies,
}

impl Summary {
    pub fn unacknowledged(&self) -> u64 {
        self.sent - self.acknowledged
    }

    /// Acknowledged messages a second.
    pub fn rate(&self) -> f64 {
        self.acknowledged as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    pub fn p50(&self) -> Duration {
        self.latencies.quantile(0.5)
    }

    pub fn p99(&self) -> Duration {
        self.latencies.quantile(0.99)
    }
}
