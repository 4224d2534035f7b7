//! The quiet interval of a series: set from the value in place and the states reached, whatever the number of rules.

use crate::compiled::Shape;
use crate::devices::SeriesId;
use crate::evaluator::Core;
use crate::life::{Phase, due_us};
use crate::placing::Touched;
use crate::taking::{Group, TakenValue};

impl Core {
    /// Sets the quiet interval of a series from the value now in place and the states now reached.
    pub(crate) fn settle(&mut self, touched: &Touched, cause: &Group<'_>) {
        let series = &self.series[touched.series as usize];
        let (Some(good), Some(any)) = (touched.by_view[0], touched.by_view[1]) else {
            return;
        };
        let TakenValue::Number(value) = cause.readings[good as usize].value else {
            return;
        };
        if good != any || self.rules.keeps(series.metric) {
            return;
        }
        if let Some((quiet, due_us)) = self.quiet(touched.series, value) {
            self.entries[touched.series as usize].calm(quiet, due_us);
        }
    }

    /// The interval around a value in which no rule of the series changes state, and the event time until which.
    fn quiet(&self, series: SeriesId, value: f64) -> Option<((f64, f64), i64)> {
        let series = &self.series[series as usize];
        let plan = self.rules.plan(series.plan?);
        let (mut low, mut high, mut due) = (f64::NEG_INFINITY, f64::INFINITY, i64::MAX);
        for id in self.states.list(series.states) {
            let state = self.states.get(id);
            let rule = self.rules.get(state.rule);
            if !self.rules.matching.is_in(plan.profile, rule.selector) {
                continue;
            }
            let (from, to) = steady(&rule.shape, state.phase, value)?;
            (low, high) = (low.max(from), high.min(to));
            due = due.min(due_us(state.phase, &rule.timing).unwrap_or(i64::MAX));
        }
        let is_idle = |rule| self.states.list(series.states).all(|id| self.states.get(id).rule != rule);
        let (from, to) = plan.gap_around(value, is_idle);
        Some(((low.max(from), high.min(to)), due))
    }
}

/// The interval around a value in which a phase lasts, as far as values decide.
fn steady(shape: &Shape, phase: Phase, value: f64) -> Option<(f64, f64)> {
    let Shape::Band { raise, clear } = shape else {
        return None;
    };
    match (phase, clear) {
        (Phase::Idle, _) => raise.gap_around(value),
        (Phase::Pending { .. }, _) | (Phase::Firing, None) => raise.part_around(value),
        (Phase::Clearing { .. }, None) => raise.gap_around(value),
        (Phase::Firing, Some(clear)) => clear.gap_around(value),
        (Phase::Clearing { .. }, Some(clear)) => clear.part_around(value),
    }
}
