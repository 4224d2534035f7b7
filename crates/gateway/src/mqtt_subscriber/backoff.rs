//! How long to wait before connecting again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Doubles from the shortest wait to the longest; each wait is shortened by up to half at random, so that the
/// subscribers of a broker that comes back do not all come at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
    random: RandomState,
    draws: u64,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Backoff { min, max, next: min, random: RandomState::new(), draws: 0 }
    }

    /// The last connection was of use: begin anew.
    pub(crate) fn reset(&mut self) {
        self.next = self.min;
    }

    pub(crate) fn wait(&mut self) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(self.max);
        self.draws += 1;
        let unit = (self.random.hash_one(self.draws) >> 11) as f64 / (1u64 << 53) as f64;
        full.mul_f64(0.5 + 0.5 * unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(500));
        for full in [100, 200, 400, 500, 500] {
            let wait = backoff.wait();
            assert!(wait >= ms(full) / 2 && wait <= ms(full), "{wait:?} of {full} ms");
        }
        backoff.reset();
        assert!(backoff.wait() <= ms(100));
    }
}
