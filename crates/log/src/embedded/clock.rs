//! The time that the log stamps. It never steps back, whatever the wall clock does, and it never stands still while
//! time passes.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where a log gets its time.
pub trait Clock: Send + Sync {
    /// Microseconds since 1970-01-01T00:00:00Z, which may step either way.
    fn wall_us(&self) -> i64;

    /// Time since some moment of this process; never steps back.
    fn monotonic(&self) -> Duration;
}

/// The clocks of the machine.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn wall_us(&self) -> i64 {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(wall.as_micros()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Stamps batches with max(last + 1 us, wall, last + monotonic elapsed).
pub(super) struct LogClock {
    source: Arc<dyn Clock>,
    last_us: i64,
    read_at: Duration,
}

impl LogClock {
    /// Goes on after `last_us`, the greatest time that the log has stamped.
    pub(super) fn new(source: Arc<dyn Clock>, last_us: i64) -> Self {
        let read_at = source.monotonic();
        LogClock { source, last_us, read_at }
    }

    /// Lets the clock catch up with time, once a commit; how far the next stamp is ahead of the wall, microseconds.
    pub(super) fn advance(&mut self) -> i64 {
        let (wall_us, monotonic) = (self.source.wall_us(), self.source.monotonic());
        let elapsed_us =
            i64::try_from(monotonic.saturating_sub(self.read_at).as_micros()).unwrap_or(i64::MAX);
        self.read_at = monotonic;
        let next_us = self.last_us.saturating_add(elapsed_us.max(1)).max(wall_us);
        self.last_us = next_us - 1;
        next_us.saturating_sub(wall_us)
    }

    pub(super) fn stamp(&mut self) -> i64 {
        self.last_us += 1;
        self.last_us
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Steps(Mutex<(i64, Duration)>);

    impl Clock for Steps {
        fn wall_us(&self) -> i64 {
            self.0.lock().0
        }

        fn monotonic(&self) -> Duration {
            self.0.lock().1
        }
    }

    proptest! {
        #[test]
        fn stamps_follow_the_rule(steps in proptest::collection::vec((-50_000i64..50_000, 0u64..20_000), 1..50)) {
            let source = Arc::new(Steps::default());
            source.0.lock().0 = 1_000_000;
            let mut clock = LogClock::new(source.clone(), 1_000_000);
            let mut last = 1_000_000;
            for (wall_step, elapsed) in steps {
                let wall = {
                    let mut now = source.0.lock();
                    now.0 += wall_step;
                    now.1 += Duration::from_micros(elapsed);
                    now.0
                };
                let expected = (last + 1).max(wall).max(last + elapsed as i64);
                prop_assert_eq!(clock.advance(), expected - wall);
                prop_assert_eq!(clock.stamp(), expected);
                prop_assert_eq!(clock.stamp(), expected + 1);
                last = expected + 1;
            }
        }
    }
}
