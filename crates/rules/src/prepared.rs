//! Of a rule set what is the same in every log partition: made once, as the set is loaded or opened, and shared, so that to
//! put it in force takes a moment only.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::condition::Condition;
use crate::intervals::Intervals;
use crate::known_registry::KnownRegistry;
use crate::life::Timing;
use crate::matching::{SelectorId, Selectors};
use crate::rule::{Absent, Meaning, QualityFilter, Rule};
use crate::series::View;
use crate::states::RuleId;
use crate::window_function::Window;
use crate::zone::Polygons;

/// Number of a metric among those that the rules of one set name.
pub(crate) type NamedMetric = usize;

/// One rule, ready but for the numbers that an evaluator has for its metrics.
#[derive(Debug)]
pub(crate) struct PreparedRule {
    pub(crate) rule: Arc<Rule>,
    pub(crate) id: Arc<str>,
    pub(crate) digest: Arc<str>,
    pub(crate) condition: Arc<str>,
    /// In the order of the rule's list.
    pub(crate) named: Box<[NamedMetric]>,
    pub(crate) timing: Timing,
    pub(crate) view: View,
    pub(crate) selector: SelectorId,
    pub(crate) shape: Shape,
}

/// How a rule is evaluated.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Numbers of one metric: true inside a set. `clear` is the complement where there is none.
    Band { raise: Intervals, clear: Option<Intervals> },
    /// Anything else, on the readings in place.
    General { when: Condition, clear: Option<Condition>, zones: Vec<Polygons> },
    /// Nothing of the device, or of one metric of it, for a span.
    DeadMan { span_us: i64, metric: Option<Arc<str>> },
}

/// The rules of a set. A rule's number is its place in the order of ids.
#[derive(Debug, Default)]
pub(crate) struct PreparedRules {
    pub(crate) rules: Vec<Arc<PreparedRule>>,
    /// Of each rule what [`PreparedRule::digest`] says, side by side: most rules of the next set are found to be the same
    /// without a look at more.
    pub(crate) digests: Vec<[u8; 32]>,
    pub(crate) selectors: Arc<Selectors>,
    pub(crate) metrics: Vec<Arc<str>>,
    /// By [`NamedMetric`]: a rule of the general shape names it, and the longest span that a window of it looks back over.
    pub(crate) kept: Vec<Option<Option<i64>>>,
    /// By view: a rule takes the readings that are in place there.
    pub(crate) views: [bool; 2],
    pub(crate) by_metric: HashMap<(NamedMetric, SelectorId), Vec<RuleId>>,
    /// Rules whose conditions name no metric: any reading evaluates them.
    pub(crate) unnamed: Vec<RuleId>,
    pub(crate) dead_men: Vec<RuleId>,
}

impl PreparedRules {
    /// `rules` are in the order of their ids.
    pub(crate) fn new(rules: &[Rule], registry: &KnownRegistry) -> Self {
        let mut prepared = PreparedRules::default();
        let mut selectors = Selectors::default();
        let mut numbers = HashMap::new();
        for (id, rule) in rules.iter().enumerate() {
            let named = rule.meaning.metrics.iter().map(|name| {
                *numbers.entry(name.clone()).or_insert_with(|| {
                    prepared.metrics.push(name.as_str().into());
                    prepared.metrics.len() - 1
                })
            });
            let named = named.collect();
            let digest = rule.digest_bytes();
            let rule = prepare(rule, named, selectors.add(rule.meaning.selector.as_ref()), digest, registry);
            prepared.kept.resize(prepared.metrics.len(), None);
            prepared.index(id as RuleId, &rule);
            prepared.rules.push(Arc::new(rule));
            prepared.digests.push(digest);
        }
        prepared.selectors = Arc::new(selectors);
        prepared
    }

    fn index(&mut self, id: RuleId, rule: &PreparedRule) {
        self.views[rule.view as usize] = true;
        match rule.shape {
            Shape::DeadMan { .. } => return self.dead_men.push(id),
            Shape::General { .. } => {
                rule.named.iter().for_each(|metric| {
                    self.kept[*metric].get_or_insert_default();
                });
                for Window { metric, span_us, .. } in rule.rule.meaning.windows() {
                    let longest_us = self.kept[rule.named[metric]].get_or_insert_default();
                    *longest_us = (*longest_us).max(Some(span_us));
                }
                if rule.named.is_empty() {
                    self.unnamed.push(id);
                }
            }
            Shape::Band { .. } => {}
        }
        for metric in &rule.named {
            self.by_metric.entry((*metric, rule.selector)).or_default().push(id);
        }
    }
}

fn prepare(
    rule: &Rule,
    named: Box<[NamedMetric]>,
    selector: SelectorId,
    digest: [u8; 32],
    registry: &KnownRegistry,
) -> PreparedRule {
    let meaning = &rule.meaning;
    PreparedRule {
        id: rule.id.as_str().into(),
        digest: crate::rule::hex(&digest).into(),
        condition: rule.condition_text().into(),
        named,
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
        shape: shape(meaning, registry),
        rule: Arc::new(rule.clone()),
    }
}

fn shape(meaning: &Meaning, registry: &KnownRegistry) -> Shape {
    let Some(when) = &meaning.when else {
        let Absent { span_us, metric } = meaning.absent.clone().expect("a rule without `when` has `absent`");
        return Shape::DeadMan { span_us, metric: metric.map(Arc::from) };
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
                .map(|name| registry.zone(name).cloned().unwrap_or_default())
                .collect(),
        },
    }
}
