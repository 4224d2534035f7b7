//! Series, one a (device, metric): the small entry that answers for nearly every reading, and what stands behind it.
//!
//! The quiet interval: the numbers for which no rule changes state, whatever the number of rules. A reading inside it,
//! not older than the last and before anything is due, changes nothing but the newest time.

use crate::devices::DeviceId;
use crate::plan::PlanId;
use crate::reading::{MetricId, PlacedReading};
use crate::states::StateId;
use crate::windows::WindowReadings;

/// Half of a cache line: what the test of a reading needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    low: f64,
    high: f64,
    /// Newest time of a good reading.
    pub(crate) newest_us: i64,
    /// Event time before which no rule has anything due.
    due_us: i64,
}

impl Entry {
    pub(crate) const NEW: Entry =
        Entry { low: f64::INFINITY, high: f64::NEG_INFINITY, newest_us: i64::MIN, due_us: i64::MIN };

    /// Takes a good number if it changes nothing.
    #[inline]
    pub(crate) fn is_quiet(&mut self, observed_at_us: i64, value: f64) -> bool {
        let is_quiet = self.low <= value
            && value <= self.high
            && self.newest_us <= observed_at_us
            && observed_at_us < self.due_us;
        if is_quiet {
            self.newest_us = observed_at_us;
        }
        is_quiet
    }

    /// The interval, where there is one.
    pub(crate) fn quiet(&self) -> Option<(f64, f64)> {
        (self.low <= self.high).then_some((self.low, self.high))
    }

    /// From now on every reading is looked at.
    pub(crate) fn disturb(&mut self) {
        (self.low, self.high) = (f64::INFINITY, f64::NEG_INFINITY);
    }

    pub(crate) fn calm(&mut self, (low, high): (f64, f64), due_us: i64) {
        (self.low, self.high, self.due_us) = (low, high, due_us);
    }
}

/// What is behind an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Series {
    pub(crate) device: DeviceId,
    pub(crate) metric: MetricId,
    /// `None`, or of an earlier rule set, until it is asked for under the one in force.
    pub(crate) plan: Option<PlanId>,
    /// First of the states of its band rules.
    pub(crate) states: Option<StateId>,
    /// Where what a rule of the general shape looks at is kept.
    pub(crate) kept: Option<KeptId>,
}

/// The two ways in which readings are in place: the good ones alone, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Good,
    Any,
}

impl View {
    pub(crate) const BOTH: [View; 2] = [View::Good, View::Any];
}

/// Number of a [`Kept`].
pub(crate) type KeptId = u32;

/// What is kept of a series of which a rule of the general shape names the metric. Views that no rule looks at are empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    good: KeptView,
    /// Rules with `quality = "any"` are few.
    any: Option<Box<KeptView>>,
}

impl Kept {
    pub(crate) fn get(&self, view: View) -> Option<&KeptView> {
        match view {
            View::Good => Some(&self.good),
            View::Any => self.any.as_deref(),
        }
    }

    pub(crate) fn get_mut(&mut self, view: View) -> &mut KeptView {
        match view {
            View::Good => &mut self.good,
            View::Any => self.any.get_or_insert_default(),
        }
    }

    pub(crate) fn has_place(&self) -> bool {
        View::BOTH.into_iter().filter_map(|view| self.get(view)).any(|view| view.place.is_some())
    }

    pub(crate) fn has_window(&self) -> bool {
        View::BOTH.into_iter().filter_map(|view| self.get(view)).any(|view| view.window.iter().len() > 0)
    }
}

/// The reading in place, and those that windows look back over.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptView {
    pub(crate) place: Option<PlacedReading>,
    pub(crate) window: WindowReadings,
}
