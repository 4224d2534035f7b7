//! A histogram of durations in fixed buckets: 1 us wide below 64 us, then 32 to each doubling, so that a quantile is at
//! most 3 % too high.

use std::time::Duration;

const SUB_BITS: u32 = 5;
/// Values below this have a bucket of their own.
const LINEAR: u64 = 2 << SUB_BITS;
/// Longer ones count as this long: 2^37 us are a day and a half.
const EXPONENT_MAX: u32 = 36;
const BUCKETS: usize = LINEAR as usize + (((EXPONENT_MAX - SUB_BITS) as usize) << SUB_BITS);

/// Counts durations, from 1 us to a day.
#[derive(Clone, Debug)]
pub struct Latencies {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies { counts: vec![0; BUCKETS], total: 0 }
    }
}

impl Latencies {
    pub fn record(&mut self, latency: Duration) {
        self.record_many(latency, 1);
    }

    /// The same latency for several messages.
    pub fn record_many(&mut self, latency: Duration, count: u64) {
        self.counts[bucket(latency.as_micros().min(u128::from(u64::MAX)) as u64)] += count;
        self.total += count;
    }

    pub fn merge(&mut self, other: &Latencies) {
        self.total += other.total;
        self.counts.iter_mut().zip(&other.counts).for_each(|(own, others)| *own += others);
    }

    pub fn count(&self) -> u64 {
        self.total
    }

    /// A duration that `quantile` (0 to 1) of all do not exceed; zero when there are none.
    pub fn quantile(&self, quantile: f64) -> Duration {
        let rank = ((quantile.clamp(0.0, 1.0) * self.total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        found.map_or(Duration::ZERO, |at| Duration::from_micros(upper_end(at)))
    }
}

fn bucket(us: u64) -> usize {
    if us < LINEAR {
        return us as usize;
    }
    let us = us.min((2 << EXPONENT_MAX) - 1);
    let exponent = us.ilog2();
    let within = (us >> (exponent - SUB_BITS)) as usize & ((1 << SUB_BITS) - 1);
    LINEAR as usize + (((exponent - SUB_BITS - 1) as usize) << SUB_BITS) + within
}

/// The greatest value that falls into a bucket.
fn upper_end(bucket: usize) -> u64 {
    let Some(above) = bucket.checked_sub(LINEAR as usize) else { return bucket as u64 };
    let shift = (above >> SUB_BITS) as u32 + 1;
    let within = (above & ((1 << SUB_BITS) - 1)) as u64;
    (((1 << SUB_BITS) + within + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_the_bucket_whose_end_is_near() {
        for us in
            (0..5_000).chain((1..37).flat_map(|e| [(1u64 << e) - 1, 1 << e, (1 << e) + 1, (2 << e) - 1]))
        {
            let end = upper_end(bucket(us));
            assert!(end >= us && end - us <= us / 32, "{us}: {end}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_of_what_was_recorded() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), Duration::ZERO);
        (1..=50).for_each(|us| latencies.record(Duration::from_micros(us)));
        latencies.record_many(Duration::from_micros(60), 50);
        let mut other = Latencies::default();
        other.record(Duration::from_secs(2));
        latencies.merge(&other);
        assert_eq!(latencies.count(), 101);
        assert_eq!(latencies.quantile(0.25), Duration::from_micros(26));
        assert_eq!(latencies.quantile(0.9), Duration::from_micros(60));
        assert!((2.0..2.07).contains(&latencies.quantile(1.0).as_secs_f64()));
    }
}
