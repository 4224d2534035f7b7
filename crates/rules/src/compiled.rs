//! A rule set in the form in which it is evaluated: metrics by number, selectors matched by profile, and for each
//! (profile, metric) a plan that finds the rules whose truth a new value may change.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::condition::Condition;
use crate::intervals::Intervals;
use crate::life::Timing;
use crate::matching::{Matching, ProfileId, SelectorId};
use crate::metrics::Metrics;
use crate::reading::MetricId;
use crate::rule::{Absent, Meaning, QualityFilter, Rule};
use crate::rule_set::RuleSet;
use crate::running_window::WindowKind;
use crate::series::View;
use crate::states::RuleId;
use crate::window_function::Window;
use crate::zone::Polygons;

/// Number of a plan.
pub(crate) type PlanId = u32;

/// One rule, ready to be evaluated.
#[derive(Debug)]
pub(crate) struct CompiledRule {
    /// Its place in the order of ids.
    pub(crate) number: RuleId,
    pub(crate) rule: Arc<Rule>,
    pub(crate) id: Arc<str>,
    pub(crate) digest: Arc<str>,
    pub(crate) condition: Arc<str>,
    pub(crate) metrics: Box<[MetricId]>,
    pub(crate) timing: Timing,
    pub(crate) view: View,
    pub(crate) selector: SelectorId,
    pub(crate) shape: Shape,
    /// The offset at which it took effect: it knows no reading from before.
    pub(crate) since_offset: i64,
}

/// How a rule is evaluated.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Numbers of one metric: true inside a set. `clear` is the complement where there is none.
    Band { raise: Intervals, clear: Option<Intervals> },
    /// Anything else, on the readings in place.
    General { when: Condition, clear: Option<Condition>, zones: Vec<Polygons> },
    /// Nothing of the device, or of one metric of it, for a span.
    DeadMan { span_us: i64, metric: Option<MetricId> },
}

/// One end of one interval of one rule's raise set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    pub(crate) start: f64,
    pub(crate) end: f64,
    pub(crate) rule: RuleId,
}

/// The rules that name one metric and match the devices of one profile.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Intervals of band rules by their start.
    pub(crate) starts: Vec<Edge>,
    /// The same by their end.
    pub(crate) ends: Vec<Edge>,
    /// Rules of the general shape, rising.
    pub(crate) generals: Vec<RuleId>,
    /// The windows over the metric that these look at.
    pub(crate) windows: Vec<(WindowKind, i64)>,
}

impl Plan {
    pub(crate) fn is_empty(&self) -> bool {
        self.starts.is_empty() && self.generals.is_empty()
    }

    /// The intervals that hold `value`; where `quiet` held the value before it, those that did not hold that one suffice.
    pub(crate) fn begun(&self, quiet: Option<(f64, f64)>, value: f64) -> impl Iterator<Item = Edge> {
        let upto = |value| self.starts.partition_point(|edge| edge.start <= value);
        let from = |value| self.ends.partition_point(|edge| edge.end < value);
        let edges = match quiet {
            None => &self.starts[..upto(value)],
            Some((_, high)) if value > high => &self.starts[upto(high)..upto(value)],
            Some((low, _)) if value < low => &self.ends[from(value)..from(low)],
            Some(_) => &[],
        };
        edges.iter().copied().filter(move |edge| edge.start <= value && value <= edge.end)
    }
}

/// The rules in force. A rule's number is its place in the order of ids.
#[derive(Debug, Default)]
pub(crate) struct CompiledRules {
    pub(crate) rules: Vec<CompiledRule>,
    pub(crate) matching: Matching,
    /// By view: a rule takes the readings that are in place there.
    views: [bool; 2],
    /// Metrics whose readings in place are kept, since a rule of the general shape looks at them, and the longest span
    /// that a window of them looks back over.
    kept: HashMap<MetricId, Option<i64>>,
    by_metric: HashMap<(MetricId, SelectorId), Vec<RuleId>>,
    /// Rules whose conditions name no metric: any reading evaluates them.
    unnamed: Vec<RuleId>,
    pub(crate) dead_men: Vec<RuleId>,
    plans: Vec<Plan>,
    /// Numbers of plans go on from rule set to rule set: a lower one is of an earlier set, and no longer one.
    first_plan: PlanId,
    plan_ids: HashMap<(ProfileId, MetricId), PlanId>,
}

impl CompiledRules {
    pub(crate) fn new(rule_set: &RuleSet, metrics: &mut Metrics, since_offset: i64) -> Self {
        let mut compiled = CompiledRules::default();
        for rule in rule_set.rules() {
            let id = compiled.rules.len() as RuleId;
            let rule = compile(
                id,
                rule,
                rule_set,
                metrics,
                compiled.matching.add(rule.meaning.selector.as_ref()),
                since_offset,
            );
            compiled.views[rule.view as usize] = true;
            compiled.index(id, &rule);
            compiled.rules.push(rule);
        }
        compiled
    }

    fn index(&mut self, id: RuleId, rule: &CompiledRule) {
        match rule.shape {
            Shape::DeadMan { .. } => return self.dead_men.push(id),
            Shape::General { .. } => {
                rule.metrics.iter().for_each(|metric| {
                    self.kept.entry(*metric).or_default();
                });
                for Window { metric, span_us, .. } in rule.rule.meaning.windows() {
                    let longest_us = self.kept.entry(rule.metrics[metric]).or_default();
                    *longest_us = (*longest_us).max(Some(span_us));
                }
                if rule.metrics.is_empty() {
                    self.unnamed.push(id);
                }
            }
            Shape::Band { .. } => {}
        }
        for metric in &rule.metrics {
            self.by_metric.entry((*metric, rule.selector)).or_default().push(id);
        }
    }

    /// Rules that any reading of a device of a profile evaluates.
    pub(crate) fn unnamed_of(&self, profile: ProfileId) -> impl Iterator<Item = RuleId> {
        let matches = move |rule: &RuleId| self.matching.is_in(profile, self.get(*rule).selector);
        self.unnamed.iter().copied().filter(matches)
    }

    pub(crate) fn has_unnamed(&self) -> bool {
        !self.unnamed.is_empty()
    }

    /// The longest span that a window of a metric looks back over.
    pub(crate) fn window_span_us(&self, metric: MetricId) -> Option<i64> {
        self.kept.get(&metric).copied().flatten()
    }

    /// The views that rules look at.
    pub(crate) fn views(&self) -> impl Iterator<Item = View> {
        View::BOTH.into_iter().filter(|view| self.views[*view as usize])
    }

    #[inline]
    pub(crate) fn get(&self, rule: RuleId) -> &CompiledRule {
        &self.rules[rule as usize]
    }

    /// Whether readings in place of a metric are kept, of every device: one that does not match now may do so by its next
    /// message.
    pub(crate) fn keeps(&self, metric: MetricId) -> bool {
        self.kept.contains_key(&metric) || self.has_unnamed()
    }

    pub(crate) fn plan(&self, plan: PlanId) -> &Plan {
        &self.plans[(plan - self.first_plan) as usize]
    }

    pub(crate) fn is_of_this_set(&self, plan: PlanId) -> bool {
        plan >= self.first_plan
    }

    /// Numbers plans and profiles on from those of the rules in force before, before the first is made.
    pub(crate) fn number_on(&mut self, before: &CompiledRules) {
        self.first_plan = before.first_plan + before.plans.len() as PlanId;
        self.matching.number_on(&before.matching);
    }

    /// The plan of a metric of devices of a profile, made when it is first asked for.
    pub(crate) fn plan_of(&mut self, profile: ProfileId, metric: MetricId) -> PlanId {
        if let Some(plan) = self.plan_ids.get(&(profile, metric)) {
            return *plan;
        }
        let plan = self.make_plan(profile, metric);
        let id = self.first_plan + self.plans.len() as PlanId;
        self.plans.push(plan);
        self.plan_ids.insert((profile, metric), id);
        id
    }

    fn make_plan(&self, profile: ProfileId, metric: MetricId) -> Plan {
        let mut plan = Plan::default();
        let selectors = self.matching.selectors_of(profile).iter();
        for id in selectors.filter_map(|selector| self.by_metric.get(&(metric, *selector))).flatten().copied()
        {
            match &self.get(id).shape {
                Shape::Band { raise, .. } => {
                    plan.starts.extend(raise.iter().map(|(start, end)| Edge { start, end, rule: id }));
                }
                Shape::General { .. } => {
                    plan.generals.push(id);
                    let rule = self.get(id);
                    let windows = rule.rule.meaning.windows().into_iter();
                    let of_metric = windows.filter(|window| rule.metrics[window.metric] == metric);
                    plan.windows
                        .extend(of_metric.map(|window| (WindowKind::of(window.function), window.span_us)));
                }
                Shape::DeadMan { .. } => {}
            }
        }
        plan.generals.sort_unstable();
        plan.windows.sort_unstable();
        plan.windows.dedup();
        plan.ends = plan.starts.clone();
        plan.starts.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.rule.cmp(&b.rule)));
        plan.ends.sort_by(|a, b| a.end.total_cmp(&b.end).then(a.rule.cmp(&b.rule)));
        plan
    }
}

fn compile(
    number: RuleId,
    rule: &Rule,
    rule_set: &RuleSet,
    metrics: &mut Metrics,
    selector: SelectorId,
    since_offset: i64,
) -> CompiledRule {
    let meaning = &rule.meaning;
    CompiledRule {
        number,
        id: rule.id.as_str().into(),
        digest: rule.digest().into(),
        condition: rule.condition_text().into(),
        metrics: meaning.metrics.iter().map(|name| metrics.find_or_add(name)).collect(),
        timing: Timing {
            for_us: meaning.for_us,
            clear_for_us: meaning.clear_for_us,
            silence_grace_us: meaning.silence_grace_us,
        },
        view: match meaning.quality {
            QualityFilter::Good => View::Good,
            QualityFilter::Any => View::Any,
        },
        selector,
        shape: shape(meaning, rule_set, metrics),
        since_offset,
        rule: Arc::new(rule.clone()),
    }
}

fn shape(meaning: &Meaning, rule_set: &RuleSet, metrics: &mut Metrics) -> Shape {
    let Some(when) = &meaning.when else {
        let Absent { span_us, metric } = meaning.absent.clone().expect("a rule without `when` has `absent`");
        return Shape::DeadMan { span_us, metric: metric.map(|name| metrics.find_or_add(&name)) };
    };
    // Counted hits and masked alerts depend on every evaluation.
    let is_plain = meaning.metrics.len() == 1 && meaning.hits.is_none() && meaning.active.is_none();
    let numbers = |condition: &Condition| condition.numbers(0).filter(|_| is_plain);
    match (numbers(when), meaning.clear.as_ref().map(numbers)) {
        (Some(raise), None) => Shape::Band { raise, clear: None },
        (Some(raise), Some(Some(clear))) => Shape::Band { raise, clear: Some(clear) },
        _ => Shape::General {
            when: when.clone(),
            clear: meaning.clear.clone(),
            zones: meaning
                .zones
                .iter()
                .map(|name| rule_set.registry().zone(name).cloned().unwrap_or_default())
                .collect(),
        },
    }
}
