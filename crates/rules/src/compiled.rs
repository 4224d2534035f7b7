//! A rule set in the form in which it is evaluated: metrics by number, selectors matched by profile, and for each
//! (profile, metric) a plan that finds the rules whose truth a new value may change.

use std::ops::Deref;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::matching::{Matching, ProfileId};
use crate::metrics::Metrics;
use crate::plan::{Edge, Plan, PlanId};
use crate::prepared::{NamedMetric, PreparedRule, PreparedRules};
use crate::reading::MetricId;
use crate::rule_set::RuleSet;
use crate::running_window::WindowKind;
use crate::series::View;
use crate::states::RuleId;

pub(crate) use crate::prepared::Shape;

/// One rule, ready to be evaluated: as it is prepared, with the numbers that the evaluator has for its metrics.
#[derive(Debug)]
pub(crate) struct CompiledRule {
    /// Its place in the order of ids.
    pub(crate) number: RuleId,
    prepared: Arc<PreparedRule>,
    pub(crate) metrics: Box<[MetricId]>,
    /// The offset at which it took effect: it knows no reading from before.
    pub(crate) since_offset: i64,
}

impl Deref for CompiledRule {
    type Target = PreparedRule;

    fn deref(&self) -> &PreparedRule {
        &self.prepared
    }
}

/// The rules in force. A rule's number is its place in the order of ids.
#[derive(Debug, Default)]
pub(crate) struct CompiledRules {
    pub(crate) prepared: Arc<PreparedRules>,
    pub(crate) rules: Vec<CompiledRule>,
    pub(crate) matching: Matching,
    /// By the evaluator's number of a metric; a shorter list, and `None`, where no rule names it.
    named: Vec<Option<NamedMetric>>,
    plans: Vec<Plan>,
    /// Numbers of plans go on from rule set to rule set: a lower one is of an earlier set, and no longer one.
    first_plan: PlanId,
    plan_ids: HashMap<(ProfileId, MetricId), PlanId>,
    /// Dead-men that match the devices of a profile, made as they are first asked for.
    dead_men: HashMap<ProfileId, Box<[RuleId]>>,
}

impl CompiledRules {
    pub(crate) fn new(rule_set: &RuleSet, metrics: &mut Metrics, since_offset: i64) -> Self {
        let prepared = Arc::clone(rule_set.prepared());
        let numbers: Vec<MetricId> = prepared.metrics.iter().map(|name| metrics.find_or_add(name)).collect();
        let mut named = vec![None; metrics.len()];
        for (name, number) in numbers.iter().enumerate() {
            named[*number as usize] = Some(name);
        }
        let compile = |(number, rule): (usize, &Arc<PreparedRule>)| CompiledRule {
            number: number as RuleId,
            prepared: Arc::clone(rule),
            metrics: rule.named.iter().map(|name| numbers[*name]).collect(),
            since_offset,
        };
        CompiledRules {
            rules: prepared.rules.iter().enumerate().map(compile).collect(),
            matching: Matching::new(Arc::clone(&prepared.selectors)),
            named,
            prepared,
            ..CompiledRules::default()
        }
    }

    /// Rules that any reading of a device of a profile evaluates.
    pub(crate) fn unnamed_of(&self, profile: ProfileId) -> impl Iterator<Item = RuleId> {
        let matches = move |rule: &RuleId| self.matching.is_in(profile, self.get(*rule).selector);
        self.prepared.unnamed.iter().copied().filter(matches)
    }

    pub(crate) fn has_unnamed(&self) -> bool {
        !self.prepared.unnamed.is_empty()
    }

    /// Every dead-man, in the order of rule ids.
    pub(crate) fn dead_men(&self) -> &[RuleId] {
        &self.prepared.dead_men
    }

    /// Those that match the devices of a profile.
    pub(crate) fn dead_men_of(&mut self, profile: ProfileId) -> &[RuleId] {
        let CompiledRules { prepared, matching, dead_men, .. } = self;
        dead_men.entry(profile).or_insert_with(|| {
            let matches = |rule: &RuleId| matching.is_in(profile, prepared.rules[*rule as usize].selector);
            prepared.dead_men.iter().copied().filter(matches).collect()
        })
    }

    fn named(&self, metric: MetricId) -> Option<NamedMetric> {
        self.named.get(metric as usize).copied().flatten()
    }

    /// The longest span that a window of a metric looks back over.
    pub(crate) fn window_span_us(&self, metric: MetricId) -> Option<i64> {
        self.prepared.kept[self.named(metric)?].flatten()
    }

    /// The views that rules look at.
    pub(crate) fn views(&self) -> impl Iterator<Item = View> {
        View::BOTH.into_iter().filter(|view| self.prepared.views[*view as usize])
    }

    #[inline]
    pub(crate) fn get(&self, rule: RuleId) -> &CompiledRule {
        &self.rules[rule as usize]
    }

    /// Whether readings in place of a metric are kept, of every device: one that does not match now may do so by its next
    /// message.
    pub(crate) fn keeps(&self, metric: MetricId) -> bool {
        self.named(metric).is_some_and(|metric| self.prepared.kept[metric].is_some()) || self.has_unnamed()
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
        let mut plan = Plan::new(profile);
        let mut edges = Vec::new();
        let Some(named) = self.named(metric) else {
            return plan;
        };
        let selectors = self.matching.selectors_of(profile).iter();
        let rules = selectors.filter_map(|selector| self.prepared.by_metric.get(&(named, *selector)));
        for id in rules.flatten().copied() {
            match &self.get(id).shape {
                Shape::Band { raise, .. } => {
                    edges.extend(raise.iter().map(|(start, end)| Edge { start, end, rule: id }));
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
        plan.set_edges(edges);
        plan
    }
}
