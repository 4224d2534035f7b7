//! The rules that name one metric and match the devices of one profile, so that those whose truth a new value may change
//! are found in a few lines of memory.

use crate::matching::ProfileId;
use crate::running_window::WindowKind;
use crate::states::RuleId;

/// Number of a plan.
pub(crate) type PlanId = u32;

/// One interval of one rule's raise set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    pub(crate) start: f64,
    pub(crate) end: f64,
    pub(crate) rule: RuleId,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) profile: ProfileId,
    /// Where intervals of band rules start, rising: a search in these alone is one in few lines of memory.
    starts: Vec<f64>,
    by_start: Vec<Edge>,
    /// The same for those that end; most never do.
    ends: Vec<f64>,
    by_end: Vec<Edge>,
    /// Rules of the general shape, rising.
    pub(crate) generals: Vec<RuleId>,
    /// The windows over the metric that these look at.
    pub(crate) windows: Vec<(WindowKind, i64)>,
}

impl Plan {
    pub(crate) fn new(profile: ProfileId) -> Self {
        Plan {
            profile,
            starts: Vec::new(),
            by_start: Vec::new(),
            ends: Vec::new(),
            by_end: Vec::new(),
            generals: Vec::new(),
            windows: Vec::new(),
        }
    }

    pub(crate) fn set_edges(&mut self, edges: Vec<Edge>) {
        self.by_end = edges.iter().copied().filter(|edge| edge.end < f64::INFINITY).collect();
        self.by_end.sort_by(|a, b| a.end.total_cmp(&b.end).then(a.rule.cmp(&b.rule)));
        self.ends = self.by_end.iter().map(|edge| edge.end).collect();
        self.by_start = edges;
        self.by_start.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.rule.cmp(&b.rule)));
        self.starts = self.by_start.iter().map(|edge| edge.start).collect();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.starts.is_empty() && self.generals.is_empty()
    }

    /// The intervals that hold `value`; where `quiet` held the value before it, those that did not hold that one suffice.
    pub(crate) fn begun(&self, quiet: Option<(f64, f64)>, value: f64) -> impl Iterator<Item = Edge> {
        let edges = match quiet {
            None => &self.by_start[..self.started(value)],
            Some((_, high)) if value > high => &self.by_start[self.started(high)..self.started(value)],
            Some((low, _)) if value < low => &self.by_end[self.ended(value)..self.ended(low)],
            Some(_) => &[],
        };
        edges.iter().copied().filter(move |edge| edge.start <= value && value <= edge.end)
    }

    /// The numbers around `value` up to the next interval that starts or ends there, of those of rules that count.
    pub(crate) fn gap_around(&self, value: f64, counts: impl Fn(RuleId) -> bool) -> (f64, f64) {
        let above = self.by_start[self.started(value)..].iter().find(|edge| counts(edge.rule));
        let below = self.by_end[..self.ended(value)].iter().rev().find(|edge| counts(edge.rule));
        let low = below.map_or(f64::NEG_INFINITY, |edge| edge.end.next_up());
        let high = above.map_or(f64::INFINITY, |edge| edge.start.next_down());
        (low, high)
    }

    fn started(&self, value: f64) -> usize {
        self.starts.partition_point(|start| *start <= value)
    }

    fn ended(&self, value: f64) -> usize {
        self.ends.partition_point(|end| *end < value)
    }
}
