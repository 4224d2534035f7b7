//! One window kept running over the readings of a series: what comes is added, what leaves is taken away, exactly, so that it
//! gives what going through all of it would.

use std::collections::VecDeque;

use crate::exact_sum::ExactSum;
use crate::window_function::WindowFunction;
use crate::windows::WindowReading;

/// Sizes of numbers whose sums, squares and products of sums are exact: none that is not 0 leaves the doubles, with as many
/// readings as a window may have. A window that holds others is gone through each time.
const TAME_MIN: f64 = 1e-120;
const TAME_MAX: f64 = 1e120;

/// What is kept, by function: those of one kind share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WindowKind {
    Sum,
    Squares,
    Least,
    Greatest,
    Rises,
    /// Nothing but where it begins.
    Ends,
}

impl WindowKind {
    pub(crate) const fn of(function: WindowFunction) -> Self {
        match function {
            WindowFunction::Avg | WindowFunction::Sum => WindowKind::Sum,
            WindowFunction::Stddev => WindowKind::Squares,
            WindowFunction::Min => WindowKind::Least,
            WindowFunction::Max => WindowKind::Greatest,
            WindowFunction::Increase => WindowKind::Rises,
            WindowFunction::Count | WindowFunction::Delta | WindowFunction::Rate => WindowKind::Ends,
        }
    }
}

/// The readings from `start` to the newest, those of the last `span_us` before its time.
#[derive(Clone, Debug)]
pub(crate) struct RunningWindow {
    pub(crate) kind: WindowKind,
    pub(crate) span_us: i64,
    /// Place of the oldest among the readings of the series.
    pub(crate) start: usize,
    not_numbers: u32,
    wild: u32,
    sum: ExactSum,
    squares: ExactSum,
    /// Of the readings, oldest first, those that no later one undercuts or outdoes: (time, value).
    extremes: VecDeque<(i64, f64)>,
}

impl RunningWindow {
    pub(crate) fn new(kind: WindowKind, span_us: i64) -> Self {
        RunningWindow {
            kind,
            span_us,
            start: 0,
            not_numbers: 0,
            wild: 0,
            sum: ExactSum::default(),
            squares: ExactSum::default(),
            extremes: VecDeque::new(),
        }
    }

    /// Takes the newest reading in; `before` is the one before it, where it is in the window.
    pub(crate) fn add(&mut self, before: Option<&WindowReading>, reading: &WindowReading) {
        let value = reading.value;
        self.count(value, 1);
        if value.is_nan() {
            return;
        }
        match self.kind {
            WindowKind::Ends => {}
            WindowKind::Sum => self.sum.add(value),
            WindowKind::Squares => {
                self.sum.add(value);
                self.squares.add_product(value, value);
            }
            WindowKind::Rises => self.add_rise(before, value, 1.0),
            WindowKind::Least | WindowKind::Greatest => {
                let is_least = self.kind == WindowKind::Least;
                let is_beaten =
                    |(_, known): &(i64, f64)| if is_least { *known >= value } else { *known <= value };
                while self.extremes.back().is_some_and(is_beaten) {
                    self.extremes.pop_back();
                }
                self.extremes.push_back((reading.observed_at_us, value));
            }
        }
    }

    /// Takes the oldest reading out; `after` is the one after it.
    pub(crate) fn remove(&mut self, reading: &WindowReading, after: Option<&WindowReading>) {
        let value = reading.value;
        self.count(value, u32::MAX);
        if value.is_nan() {
            return;
        }
        match self.kind {
            WindowKind::Ends => {}
            WindowKind::Sum => self.sum.add(-value),
            WindowKind::Squares => {
                self.sum.add(-value);
                self.squares.add_product(-value, value);
            }
            WindowKind::Rises => {
                if let Some(after) = after {
                    self.add_rise(Some(reading), after.value, -1.0);
                }
            }
            WindowKind::Least | WindowKind::Greatest => {
                if self.extremes.front().is_some_and(|(at_us, _)| *at_us == reading.observed_at_us) {
                    self.extremes.pop_front();
                }
            }
        }
    }

    fn count(&mut self, value: f64, one: u32) {
        let is_tame = value == 0.0 || (TAME_MIN..=TAME_MAX).contains(&value.abs());
        let counted = if value.is_nan() { &mut self.not_numbers } else { &mut self.wild };
        if !is_tame {
            *counted = counted.wrapping_add(one);
        }
    }

    /// The rise from a reading to the next; after a fall the counter began again at zero.
    fn add_rise(&mut self, before: Option<&WindowReading>, value: f64, sign: f64) {
        let Some(before) = before.filter(|before| !before.value.is_nan() && !value.is_nan()) else {
            return;
        };
        self.sum.add(sign * value);
        if value >= before.value {
            self.sum.add(-sign * before.value);
        }
    }

    /// Its value says what going through the window would.
    pub(crate) fn is_exact(&self) -> bool {
        self.wild == 0
    }

    /// The function over the window, which holds these readings at its ends and so many.
    pub(crate) fn value(
        &self,
        function: WindowFunction,
        oldest: &WindowReading,
        newest: &WindowReading,
        count: usize,
    ) -> Option<f64> {
        if function == WindowFunction::Count {
            return Some(count as f64);
        }
        if self.not_numbers > 0 {
            return None;
        }
        match function {
            WindowFunction::Count => None,
            WindowFunction::Sum => Some(self.sum.rounded()),
            WindowFunction::Avg => Some(self.sum.rounded() / count as f64),
            WindowFunction::Stddev => Some(stddev(&self.sum, &self.squares, count)),
            WindowFunction::Min | WindowFunction::Max => self.extremes.front().map(|(_, value)| *value),
            WindowFunction::Increase => (count > 1).then(|| self.sum.rounded()),
            WindowFunction::Delta => (count > 1).then_some(newest.value - oldest.value),
            WindowFunction::Rate => {
                let seconds = (newest.observed_at_us - oldest.observed_at_us) as f64 / 1e6;
                (count > 1).then(|| (newest.value - oldest.value) / seconds)
            }
        }
    }
}

/// Of the whole population: the square root of n times the sum of squares less the square of the sum, over n squared,
/// exact up to the division.
pub(crate) fn stddev(sum: &ExactSum, squares: &ExactSum, count: usize) -> f64 {
    let count = count as f64;
    let mut spread = ExactSum::default();
    squares.parts().iter().for_each(|part| spread.add_product(*part, count));
    for a in sum.parts() {
        sum.parts().iter().for_each(|b| spread.add_product(-a, *b));
    }
    (spread.rounded() / (count * count)).sqrt()
}
