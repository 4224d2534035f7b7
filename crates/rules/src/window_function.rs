//! The functions that look back over the readings of a span.

use serde::{Deserialize, Serialize};

/// A function over the readings in place with times in (now - span, now].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Window {
    pub(crate) function: WindowFunction,
    /// Index into the rule's metrics.
    pub(crate) metric: usize,
    pub(crate) span_us: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WindowFunction {
    Avg,
    Min,
    Max,
    Sum,
    Count,
    Stddev,
    Delta,
    Rate,
    Increase,
}

impl WindowFunction {
    pub(crate) const ALL: [WindowFunction; 9] = [
        WindowFunction::Avg,
        WindowFunction::Min,
        WindowFunction::Max,
        WindowFunction::Sum,
        WindowFunction::Count,
        WindowFunction::Stddev,
        WindowFunction::Delta,
        WindowFunction::Rate,
        WindowFunction::Increase,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            WindowFunction::Avg => "avg",
            WindowFunction::Min => "min",
            WindowFunction::Max => "max",
            WindowFunction::Sum => "sum",
            WindowFunction::Count => "count",
            WindowFunction::Stddev => "stddev",
            WindowFunction::Delta => "delta",
            WindowFunction::Rate => "rate",
            WindowFunction::Increase => "increase",
        }
    }

    /// Its value where no reading is in the window.
    pub(crate) const fn of_nothing(self) -> Option<f64> {
        match self {
            WindowFunction::Count | WindowFunction::Sum => Some(0.0),
            _ => None,
        }
    }

    /// Its values are differences: limits convert without the zero point of their unit.
    pub(crate) const fn is_of_differences(self) -> bool {
        matches!(
            self,
            WindowFunction::Delta | WindowFunction::Rate | WindowFunction::Increase | WindowFunction::Stddev
        )
    }
}
