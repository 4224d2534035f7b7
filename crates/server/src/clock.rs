//! `received_at`: the wall clock, never stepping back within a process.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Shared by every adapter thread of a process.
#[derive(Clone, Debug, Default)]
pub struct ReceiveClock {
    latest_us: Arc<AtomicI64>,
}

impl ReceiveClock {
    /// Now, microseconds since 1970-01-01T00:00:00Z; not before any earlier answer.
    pub fn now_us(&self) -> i64 {
        let wall_us = wall_us();
        self.latest_us.fetch_max(wall_us, Ordering::Relaxed).max(wall_us)
    }
}

/// The wall clock, microseconds since 1970-01-01T00:00:00Z; 0 for a machine whose clock stands before that.
pub fn wall_us() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_steps_back() {
        let clock = ReceiveClock::default();
        clock.latest_us.store(i64::MAX - 1, Ordering::Relaxed);
        assert_eq!(clock.now_us(), i64::MAX - 1);
    }
}
