//! How often somebody may fail before it is slowed down, for any number of names and addresses in a fixed table.
//!
//! Each failure fills the cells of its key, which drain at a steady rate. A key has two cells of random place and is slowed
//! when both are full: that two keys share both is rare, and cannot be aimed at.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Cells of a table, of eight bytes.
pub const CELLS: usize = 1 << 16;
const MINUTE_US: u64 = 60_000_000;

/// Counts failures by key.
pub struct FailureLimiter {
    started_at: Instant,
    /// When each cell is empty again, microseconds since the start.
    cells: Box<[AtomicU64]>,
    places: [RandomState; 2],
    /// What one failure fills, and what a cell holds.
    failure_us: u64,
}

impl FailureLimiter {
    /// So many failures at once, and as many again over each minute. Not 0.
    pub fn per_minute(failures: u32, now: Instant) -> Self {
        FailureLimiter {
            started_at: now,
            cells: (0..CELLS).map(|_| AtomicU64::new(0)).collect(),
            places: [RandomState::new(), RandomState::new()],
            failure_us: MINUTE_US / u64::from(failures.max(1)),
        }
    }

    /// Whether it has failed too often.
    pub fn is_slowed(&self, key: impl Hash, now: Instant) -> bool {
        let now_us = self.now_us(now);
        // One failure less than a minute's worth fits: then the next would be one too many.
        self.cells_of(key)
            .iter()
            .all(|cell| cell.load(Ordering::Relaxed).saturating_sub(now_us) + self.failure_us > MINUTE_US)
    }

    /// It failed once more.
    pub fn fail(&self, key: impl Hash, now: Instant) {
        let now_us = self.now_us(now);
        for cell in self.cells_of(key) {
            let fill = |full_until: u64| Some(full_until.max(now_us) + self.failure_us);
            // It always gives a value.
            cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fill).ok();
        }
    }

    fn now_us(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.started_at);
        u64::try_from(since.min(Duration::from_secs(1 << 40)).as_micros()).unwrap_or(u64::MAX / 2)
    }

    fn cells_of(&self, key: impl Hash) -> [&AtomicU64; 2] {
        // `CELLS` is a power of two.
        self.places.each_ref().map(|place| &self.cells[place.hash_one(&key) as usize & (CELLS - 1)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_minute_s_worth_at_once_and_then_one_at_a_time() {
        let start = Instant::now();
        let limiter = FailureLimiter::per_minute(10, start);
        for _ in 0..10 {
            assert!(!limiter.is_slowed("a", start));
            limiter.fail("a", start);
        }
        assert!(limiter.is_slowed("a", start) && !limiter.is_slowed("b", start));
        let later = start + Duration::from_secs(6);
        assert!(limiter.is_slowed("a", later - Duration::from_millis(1)) && !limiter.is_slowed("a", later));
        limiter.fail("a", later);
        assert!(limiter.is_slowed("a", later));
        assert!(!limiter.is_slowed("a", start + Duration::from_secs(600)));
    }

    #[test]
    fn many_who_fail_do_not_slow_those_who_do_not() {
        let start = Instant::now();
        let limiter = FailureLimiter::per_minute(5, start);
        for attacker in 0..2_000_u32 {
            (0..5).for_each(|_| limiter.fail(attacker, start));
        }
        assert!((0..2_000_u32).all(|attacker| limiter.is_slowed(attacker, start)));
        let slowed = (1_000_000..1_010_000_u32).filter(|other| limiter.is_slowed(other, start)).count();
        // Both cells of one are full by chance with (4000 / 65536)^2, 0.4 %.
        assert!(slowed < 150, "{slowed} of 10,000");
    }

    proptest! {
        /// Against a bucket that is counted step by step.
        #[test]
        fn drains_as_a_bucket(limit in 1_u32..50, steps in prop::collection::vec(0_u64..5_000, 1..80)) {
            let start = Instant::now();
            let limiter = FailureLimiter::per_minute(limit, start);
            let failure_us = MINUTE_US / u64::from(limit);
            let (mut now_us, mut filled_us) = (0, 0_u64);
            for pause_ms in steps {
                now_us += pause_ms * 1000;
                filled_us = filled_us.saturating_sub(pause_ms * 1000);
                let now = start + Duration::from_micros(now_us);
                prop_assert_eq!(limiter.is_slowed(7, now), filled_us + failure_us > MINUTE_US);
                limiter.fail(7, now);
                filled_us += failure_us;
            }
        }
    }
}
