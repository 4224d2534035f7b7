//! A rule set takes effect at its record: what keeps its meaning keeps its state, everything else starts idle and
//! knows no earlier reading, and what fired of it resolves with its reason.

use std::sync::Arc;

use hashbrown::HashSet;

use crate::compiled::{CompiledRules, Shape};
use crate::evaluator::Core;
use crate::life::{Phase, Turn};
use crate::rule_set::RuleSet;
use crate::said::Sink;
use crate::states::{RuleId, StateId};

/// What becomes of an old rule.
enum Fate {
    Kept(RuleId),
    Ends(&'static str),
}

impl Core {
    pub(crate) fn change_rules(
        &mut self,
        rule_set: Arc<RuleSet>,
        offset: i64,
        clock_us: i64,
        sink: &mut impl Sink,
    ) {
        let mut next = CompiledRules::new(&rule_set, &mut self.metrics, offset);
        let fates: Vec<Fate> =
            (0..self.rules.rules.len()).map(|rule| self.fate(rule as RuleId, &next)).collect();
        for (rule, fate) in self.rules.rules.iter().zip(&fates) {
            if let Fate::Kept(kept) = fate {
                next.rules[*kept as usize].since_offset = rule.since_offset;
            }
        }
        self.end_states(&fates, clock_us, sink);
        for id in self.states.ids().collect::<Vec<_>>() {
            let state = self.states.get_mut(id);
            if let Fate::Kept(kept) = fates[state.rule as usize] {
                state.rule = kept;
            }
        }
        self.keep_places(&fates);
        self.set_rules(rule_set, next);
    }

    /// Takes compiled rules into force: every timer, profile, plan and quiet interval is of the old ones.
    pub(crate) fn set_rules(&mut self, rule_set: Arc<RuleSet>, rules: CompiledRules) {
        self.metrics.set_units(|name| rule_set.unit(name).map(Arc::from));
        self.rule_set = rule_set;
        self.rules = rules;
        self.states.reset_timers(|rule| self.rules.get(rule).timing);
        self.devices.iter_mut().for_each(|device| device.profile = None);
        self.series.iter_mut().for_each(|series| series.plan = None);
        self.entries.iter_mut().for_each(|entry| entry.disturb());
    }

    fn fate(&self, rule: RuleId, next: &CompiledRules) -> Fate {
        let rule = self.rules.get(rule);
        match next.rules.binary_search_by(|one| one.id.cmp(&rule.id)) {
            Ok(at) if next.rules[at].digest == rule.digest => Fate::Kept(at as RuleId),
            Ok(_) => Fate::Ends("rule_changed"),
            Err(_) => Fate::Ends("rule_removed"),
        }
    }

    /// Ends what does not keep its state, saying what fired of it in the order of rule id and device id.
    fn end_states(&mut self, fates: &[Fate], clock_us: i64, sink: &mut impl Sink) {
        let mut ending: Vec<(RuleId, StateId, &'static str)> = Vec::new();
        for id in self.states.ids() {
            let state = self.states.get(id);
            match fates[state.rule as usize] {
                Fate::Kept(_) if self.is_matching(state.rule, state.device) => {}
                Fate::Kept(_) => ending.push((state.rule, id, "no_longer_matches")),
                Fate::Ends(reason) => ending.push((state.rule, id, reason)),
            }
        }
        let device_id = |id: StateId| &self.devices.get(self.states.get(id).device).id;
        ending.sort_unstable_by(|a, b| (a.0, device_id(a.1)).cmp(&(b.0, device_id(b.1))));
        for (_, id, reason) in ending {
            match self.states.get(id).phase {
                Phase::Firing | Phase::Clearing { .. } => {
                    self.say(id, Turn::Resolve { at_us: clock_us }, Some(reason), clock_us, sink);
                }
                Phase::Idle | Phase::Pending { .. } => self.remove_state(id),
            }
        }
    }

    fn is_matching(&self, rule: RuleId, device: u32) -> bool {
        let selector = self.rules.get(rule).rule.meaning.selector.as_ref();
        selector.is_none_or(|selector| selector.matches(self.devices.get(device)))
    }

    /// Readings in place stay only where a rule that keeps its state looks at them.
    fn keep_places(&mut self, fates: &[Fate]) {
        let is_kept = |(rule, fate): &(&crate::compiled::CompiledRule, &Fate)| {
            matches!(fate, Fate::Kept(_)) && matches!(rule.shape, Shape::General { .. })
        };
        let kept: HashSet<u32> = self
            .rules
            .rules
            .iter()
            .zip(fates)
            .filter(is_kept)
            .flat_map(|(rule, _)| rule.metrics.iter().copied())
            .collect();
        let series = &self.series;
        self.places.retain(|at, _| kept.contains(&series[*at as usize].metric));
    }
}
