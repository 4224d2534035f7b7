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
///
/// What elapsed is added to the time that was read last and not to the last stamp: the microseconds between the batches of
/// one commit would add up to minutes a day.
pub(super) struct LogClock {
    source: Arc<dyn Clock>,
    read_us: i64,
    read_at: Duration,
    last_us: i64,
}

impl LogClock {
    /// Goes on after `last_us`, the greatest time that the log has stamped.
    pub(super) fn new(source: Arc<dyn Clock>, last_us: i64) -> Self {
        let read_at = source.monotonic();
        LogClock { source, read_us: last_us, read_at, last_us }
    }

    /// Reads the time, once a commit; how far it is ahead of the wall, microseconds.
    pub(super) fn advance(&mut self) -> i64 {
        let (wall_us, monotonic) = (self.source.wall_us(), self.source.monotonic());
        let elapsed_us =
            i64::try_from(monotonic.saturating_sub(self.read_at).as_micros()).unwrap_or(i64::MAX);
        self.read_at = monotonic;
        self.read_us = self.read_us.saturating_add(elapsed_us).max(wall_us);
        self.read_us.saturating_sub(wall_us)
    }

    pub(super) fn stamp(&mut self) -> i64 {
        self.last_us = self.read_us.max(self.last_us + 1);
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
            let (mut read, mut last) = (1_000_000, 1_000_000);
            for (wall_step, elapsed) in steps {
                let wall = {
                    let mut now = source.0.lock();
                    now.0 += wall_step;
                    now.1 += Duration::from_micros(elapsed);
                    now.0
                };
                read = wall.max(read + elapsed as i64);
                prop_assert_eq!(clock.advance(), read - wall);
                for _ in 0..3 {
                    last = read.max(last + 1);
                    prop_assert_eq!(clock.stamp(), last);
                }
            }
        }
    }

    /// Four thousand batches a second for ten minutes leave the clock where the wall is.
    #[test]
    fn many_batches_do_not_make_it_fast() {
        let source = Arc::new(Steps::default());
        let mut clock = LogClock::new(source.clone(), 0);
        for _ in 0..250 * 600 {
            let mut now = source.0.lock();
            *now = (now.0 + 4_000, now.1 + Duration::from_millis(4));
            drop(now);
            assert_eq!(clock.advance(), 0);
            (0..16).for_each(|_| _ = clock.stamp());
        }
        assert_eq!(clock.stamp() - source.wall_us(), 16);
    }
}
