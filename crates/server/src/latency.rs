//! How long something took, for quantiles over a whole run: counts in buckets whose widths grow with the value.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Each power of two of microseconds is cut into this many buckets: a quantile is at most 1/16 too high.
const PARTS: u64 = 16;
const BUCKETS: usize = 64 * PARTS as usize;

/// Counts of durations; shared by threads.
#[derive(Debug)]
pub struct Latency {
    counts: Box<[AtomicU64]>,
}

impl Default for Latency {
    fn default() -> Self {
        Latency { counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Latency {
    pub fn record(&self, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(took_us)].fetch_add(1, Ordering::Relaxed);
    }

    /// The duration that a share (0 to 1) of all recorded ones did not exceed; `None` when nothing was recorded.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let counts: Vec<u64> = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let wanted = ((total as f64 * share).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        for (at, count) in counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && total > 0 {
                return Some(Duration::from_micros(upper_bound(at)));
            }
        }
        None
    }
}

fn bucket(us: u64) -> usize {
    if us < PARTS {
        return us as usize;
    }
    let power = u64::from(us.ilog2());
    let part = (us >> (power - 4)) - PARTS;
    ((power - 3) * PARTS + part) as usize
}

fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < PARTS {
        return bucket;
    }
    let (power, part) = (bucket / PARTS + 3, bucket % PARTS);
    let width = 1u64 << (power - 4);
    ((PARTS + part) * width).saturating_add(width - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_below_the_bound_of_its_bucket_and_near_it() {
        for us in (0..100_000).chain([u64::from(u32::MAX), 1 << 40, u64::MAX >> 4]) {
            let bound = upper_bound(bucket(us));
            assert!(us <= bound && bound - us <= us / 16, "{us} in a bucket up to {bound}");
        }
    }

    #[test]
    fn quantiles_are_of_what_was_recorded() {
        let latency = Latency::default();
        assert_eq!(latency.quantile(0.5), None);
        for ms in 1..=100 {
            latency.record(Duration::from_millis(ms));
        }
        let p50 = latency.quantile(0.5).unwrap().as_micros();
        let p99 = latency.quantile(0.99).unwrap().as_micros();
        assert!((50_000..=53_200).contains(&p50) && (99_000..=105_200).contains(&p99), "{p50} {p99}");
    }
}
