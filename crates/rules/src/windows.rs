//! The readings of a series that window functions look back over, and the functions themselves.

use std::collections::VecDeque;

use crate::exact_sum::ExactSum;
use crate::window_function::WindowFunction;

/// One reading of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WindowReading {
    pub(crate) observed_at_us: i64,
    /// Not a number where the reading is none.
    pub(crate) value: f64,
    pub(crate) log_offset: i64,
}

/// The readings that were in place of one series in one view, by time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WindowReadings(pub(crate) VecDeque<WindowReading>);

/// By view.
#[derive(Clone, Debug, Default)]
pub(crate) struct Windows {
    pub(crate) by_view: [WindowReadings; 2],
}

impl WindowReadings {
    /// Takes a reading that is not late; one of the same time is replaced. Keeps what is younger than `span_us`, and of
    /// that the newest `readings_max`. Returns how many went for that limit.
    pub(crate) fn take(&mut self, reading: WindowReading, span_us: i64, readings_max: usize) -> u64 {
        match self.0.back_mut() {
            Some(newest) if newest.observed_at_us == reading.observed_at_us => *newest = reading,
            _ => self.0.push_back(reading),
        }
        let oldest_us = reading.observed_at_us.saturating_sub(span_us);
        while self.0.front().is_some_and(|oldest| oldest.observed_at_us <= oldest_us) {
            self.0.pop_front();
        }
        let mut dropped = 0;
        while self.0.len() > readings_max {
            self.0.pop_front();
            dropped += 1;
        }
        dropped
    }

    /// The function over the readings with times in (now - span, now], of those from `since_offset` on.
    pub(crate) fn value(
        &self,
        function: WindowFunction,
        now_us: i64,
        span_us: i64,
        since_offset: i64,
    ) -> Option<f64> {
        let after_us = now_us.saturating_sub(span_us);
        let from = self.0.partition_point(|reading| reading.observed_at_us <= after_us);
        let to = self.0.partition_point(|reading| reading.observed_at_us <= now_us);
        let readings = self.0.range(from.min(to)..to).filter(|reading| reading.log_offset >= since_offset);
        if function == WindowFunction::Count {
            return Some(readings.count() as f64);
        }
        let values = readings.clone().map(|reading| reading.value);
        if values.clone().any(f64::is_nan) {
            return None;
        }
        match function {
            WindowFunction::Count => None,
            WindowFunction::Sum => Some(sum(values).rounded()),
            WindowFunction::Min => values.reduce(f64::min),
            WindowFunction::Max => values.reduce(f64::max),
            WindowFunction::Avg => {
                let count = values.clone().count();
                (count > 0).then(|| sum(values).rounded() / count as f64)
            }
            WindowFunction::Stddev => stddev(values),
            WindowFunction::Delta | WindowFunction::Rate => {
                let mut readings = readings;
                let (oldest, newest) = (readings.next()?, readings.next_back()?);
                let delta = newest.value - oldest.value;
                if function == WindowFunction::Delta {
                    return Some(delta);
                }
                Some(delta / ((newest.observed_at_us - oldest.observed_at_us) as f64 / 1e6))
            }
            WindowFunction::Increase => increase(values),
        }
    }
}

fn sum(values: impl Iterator<Item = f64>) -> ExactSum {
    let mut sum = ExactSum::default();
    values.for_each(|value| sum.add(value));
    sum
}

/// Of the whole population: the square root of n times the sum of squares less the square of the sum, over n squared,
/// exact up to the division.
fn stddev(values: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let count = values.clone().count() as f64;
    if count == 0.0 {
        return None;
    }
    let mut squares = ExactSum::default();
    values.clone().for_each(|value| squares.add_product(value, value));
    let sum = sum(values);
    let mut spread = ExactSum::default();
    squares.parts().iter().for_each(|part| spread.add_product(*part, count));
    for a in sum.parts() {
        sum.parts().iter().for_each(|b| spread.add_product(-a, *b));
    }
    Some((spread.rounded() / (count * count)).sqrt())
}

/// The rises from each reading to the next; after a fall the counter began again at zero.
fn increase(mut values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut before = values.next()?;
    let mut sum = ExactSum::default();
    let mut has_two = false;
    for value in values {
        has_two = true;
        sum.add(value);
        if value >= before {
            sum.add(-before);
        }
        before = value;
    }
    has_two.then(|| sum.rounded())
}

#[cfg(test)]
mod tests {
    use super::*;
    use WindowFunction::*;

    fn of(values: &[f64]) -> WindowReadings {
        let mut readings = WindowReadings::default();
        for (at, value) in values.iter().enumerate() {
            let reading =
                WindowReading { observed_at_us: at as i64 * 1_000_000, value: *value, log_offset: at as i64 };
            readings.take(reading, i64::MAX, 4_096);
        }
        readings
    }

    #[test]
    fn each_function() {
        let cases: [(&[f64], WindowFunction, Option<f64>); 19] = [
            (&[], Count, Some(0.0)),
            (&[], Sum, Some(0.0)),
            (&[], Avg, None),
            (&[], Min, None),
            (&[], Stddev, None),
            (&[1.0], Delta, None),
            (&[1.0], Rate, None),
            (&[1.0], Increase, None),
            (&[1.0], Stddev, Some(0.0)),
            (&[0.1, 0.2, 0.3], Sum, Some(0.6)),
            (&[0.1; 10], Avg, Some(0.1)),
            (&[0.7; 7], Stddev, Some(0.0)),
            (&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], Stddev, Some(2.0)),
            (&[3.0, -1.0, 5.0], Min, Some(-1.0)),
            (&[3.0, -1.0, 5.0], Max, Some(5.0)),
            (&[3.0, 9.0, 5.0], Delta, Some(2.0)),
            (&[3.0, 9.0, 5.0], Rate, Some(1.0)),
            (&[3.0, 9.0, 5.0, 6.0], Increase, Some(12.0)),
            (&[3.0, f64::NAN, 5.0], Max, None),
        ];
        for (values, function, expected) in cases {
            assert_eq!(
                of(values).value(function, 60_000_000, i64::MAX / 2, 0),
                expected,
                "{} {values:?}",
                function.name()
            );
        }
        assert_eq!(of(&[3.0, f64::NAN, 5.0]).value(Count, 60_000_000, i64::MAX / 2, 0), Some(3.0));
    }

    #[test]
    fn the_span_is_open_at_its_old_end_and_the_limit_takes_the_oldest() {
        let readings = of(&[1.0, 2.0, 4.0]);
        assert_eq!(readings.value(Sum, 2_000_000, 2_000_000, 0), Some(6.0));
        assert_eq!(readings.value(Sum, 2_000_000, 2_000_001, 0), Some(7.0));
        assert_eq!(readings.value(Sum, 2_000_000, 9_000_000, 2), Some(4.0));
        let mut readings = readings;
        let newest = WindowReading { observed_at_us: 2_000_000, value: 8.0, log_offset: 3 };
        assert_eq!(readings.take(newest, i64::MAX, 2), 1);
        assert_eq!(readings.value(Sum, 2_000_000, 9_000_000, 0), Some(10.0));
    }
}
