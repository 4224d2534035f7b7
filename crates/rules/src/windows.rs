//! The readings of a series that window functions look back over, and the functions themselves.

use std::collections::VecDeque;

use crate::exact_sum::ExactSum;
use crate::plan::PlanId;
use crate::running_window::{RunningWindow, WindowKind, stddev};
use crate::window_function::WindowFunction;

/// One reading of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WindowReading {
    pub(crate) observed_at_us: i64,
    /// Not a number where the reading is none.
    pub(crate) value: f64,
    pub(crate) log_offset: i64,
}

/// The readings that were in place of one series in one view, by time, which is also by offset, and the windows that run
/// over them.
#[derive(Clone, Debug, Default)]
pub(crate) struct WindowReadings {
    readings: VecDeque<WindowReading>,
    running: Vec<RunningWindow>,
    /// Whose windows these are.
    plan: Option<PlanId>,
}

impl WindowReadings {
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &WindowReading> {
        self.readings.iter()
    }

    /// Takes a reading that is not late; one of the same time is replaced. Keeps what is younger than `span_us`, and of
    /// that the newest `readings_max`. Returns how many went for that limit.
    pub(crate) fn take(
        &mut self,
        reading: WindowReading,
        span_us: i64,
        readings_max: usize,
        (plan, windows): (PlanId, &[(WindowKind, i64)]),
    ) -> u64 {
        if self.plan != Some(plan) {
            self.running =
                windows.iter().map(|(kind, span_us)| RunningWindow::new(*kind, *span_us)).collect();
            self.plan = Some(plan);
            self.run_again();
        }
        match self.readings.back_mut() {
            Some(newest) if newest.observed_at_us == reading.observed_at_us => {
                *newest = reading;
                self.run_again();
            }
            _ => {
                self.readings.push_back(reading);
                self.add_newest();
            }
        }
        let oldest_us = reading.observed_at_us.saturating_sub(span_us);
        while self.readings.front().is_some_and(|oldest| oldest.observed_at_us <= oldest_us) {
            self.drop_oldest();
        }
        let mut dropped = 0;
        while self.readings.len() > readings_max {
            self.drop_oldest();
            dropped += 1;
        }
        dropped
    }

    fn add_newest(&mut self) {
        let newest = self.readings.len() - 1;
        for window in &mut self.running {
            let before = newest.checked_sub(1).filter(|before| *before >= window.start);
            let reading = &self.readings[newest];
            window.add(before.map(|before| &self.readings[before]), reading);
            let after_us = reading.observed_at_us.saturating_sub(window.span_us);
            while window.start < newest && self.readings[window.start].observed_at_us <= after_us {
                window.remove(&self.readings[window.start], self.readings.get(window.start + 1));
                window.start += 1;
            }
        }
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.readings.pop_front() else {
            return;
        };
        for window in &mut self.running {
            match window.start.checked_sub(1) {
                Some(start) => window.start = start,
                None => window.remove(&oldest, self.readings.front()),
            }
        }
    }

    /// Lets the windows run over all readings again.
    fn run_again(&mut self) {
        for window in &mut self.running {
            *window = RunningWindow::new(window.kind, window.span_us);
            let Some(newest) = self.readings.back() else {
                continue;
            };
            let after_us = newest.observed_at_us.saturating_sub(window.span_us);
            window.start = self.readings.partition_point(|reading| reading.observed_at_us <= after_us);
            let mut before = None;
            for reading in self.readings.range(window.start..) {
                window.add(before, reading);
                before = Some(reading);
            }
        }
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
        let kind = WindowKind::of(function);
        let is_it = |window: &&RunningWindow| window.span_us == span_us && window.kind == kind;
        if let Some(window) = self.running.iter().find(is_it).filter(|window| window.is_exact())
            && let (Some(oldest), Some(newest)) = (self.readings.get(window.start), self.readings.back())
            && (oldest.observed_at_us > after_us && oldest.log_offset >= since_offset)
            && (newest.observed_at_us == now_us)
        {
            return window.value(function, oldest, newest, self.readings.len() - window.start);
        }
        let from = self.readings.partition_point(|reading| {
            reading.observed_at_us <= after_us || reading.log_offset < since_offset
        });
        let to = self.readings.partition_point(|reading| reading.observed_at_us <= now_us);
        over(function, self.readings.range(from.min(to)..to))
    }
}

impl FromIterator<WindowReading> for WindowReadings {
    fn from_iter<I: IntoIterator<Item = WindowReading>>(readings: I) -> Self {
        WindowReadings { readings: readings.into_iter().collect(), ..WindowReadings::default() }
    }
}

/// The function over these readings, all of them gone through.
fn over<'a>(
    function: WindowFunction,
    mut readings: impl ExactSizeIterator<Item = &'a WindowReading> + DoubleEndedIterator + Clone,
) -> Option<f64> {
    let count = readings.len();
    if function == WindowFunction::Count {
        return Some(count as f64);
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
        WindowFunction::Avg => (count > 0).then(|| sum(values).rounded() / count as f64),
        WindowFunction::Stddev => {
            let mut squares = ExactSum::default();
            values.clone().for_each(|value| squares.add_product(value, value));
            (count > 0).then(|| stddev(&sum(values), &squares, count))
        }
        WindowFunction::Delta | WindowFunction::Rate => {
            let (oldest, newest) = (readings.next()?, readings.next_back()?);
            let delta = newest.value - oldest.value;
            let seconds = (newest.observed_at_us - oldest.observed_at_us) as f64 / 1e6;
            Some(if function == WindowFunction::Delta { delta } else { delta / seconds })
        }
        WindowFunction::Increase => increase(values),
    }
}

fn sum(values: impl Iterator<Item = f64>) -> ExactSum {
    let mut sum = ExactSum::default();
    values.for_each(|value| sum.add(value));
    sum
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
    use proptest::prelude::*;

    use super::*;
    use WindowFunction::*;

    fn of(values: &[f64]) -> WindowReadings {
        let mut readings = WindowReadings::default();
        for (at, value) in values.iter().enumerate() {
            let reading =
                WindowReading { observed_at_us: at as i64 * 1_000_000, value: *value, log_offset: at as i64 };
            readings.take(reading, i64::MAX, 4_096, (0, &[]));
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
        assert_eq!(readings.take(newest, i64::MAX, 2, (0, &[])), 1);
        assert_eq!(readings.value(Sum, 2_000_000, 9_000_000, 0), Some(10.0));
    }

    /// Numbers, none, such as no sum of holds, and readings that are no numbers.
    fn any_value() -> impl Strategy<Value = f64> {
        let small = (-50..50_i32).prop_map(|number| f64::from(number) * 0.1);
        let rare = proptest::sample::select(vec![f64::NAN, 1e300, -1e300, 1e-300, 1e119, -1e-119, 1e16]);
        prop_oneof![30 => small, 1 => rare]
    }

    proptest! {
        /// A window that runs says what going through it says, to the bit, whatever the plan did meanwhile.
        #[test]
        fn running_is_going_through(
            readings in proptest::collection::vec((0..4_i64, any_value(), 0..40_u32), 1..80),
            span_us in 1..12_i64,
            since_offset in 0..40_i64,
            readings_max in 1..30_usize,
        ) {
            let kinds: Vec<_> = WindowFunction::ALL.map(|function| (WindowKind::of(function), span_us)).to_vec();
            let (mut running, mut plain) = (WindowReadings::default(), WindowReadings::default());
            let mut observed_at_us = 0;
            for (offset, (passed_us, value, plan)) in readings.into_iter().enumerate() {
                observed_at_us += passed_us;
                let reading = WindowReading { observed_at_us, value, log_offset: offset as i64 };
                let plan = u32::from(plan == 0);
                let dropped = running.take(reading, 20, readings_max, (plan, &kinds));
                prop_assert_eq!(dropped, plain.take(reading, 20, readings_max, (plan, &[])));
                for function in WindowFunction::ALL {
                    for now_us in [observed_at_us, observed_at_us + 3] {
                        let bits = |readings: &WindowReadings| readings.value(function, now_us, span_us, since_offset).map(|value| (value + 0.0).to_bits());
                        prop_assert_eq!(bits(&running), bits(&plain), "{}", function.name());
                    }
                }
            }
        }
    }
}
