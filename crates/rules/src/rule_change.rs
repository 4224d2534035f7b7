//! A rule set takes effect at its record: a (rule, device) that is about the same as before keeps its state, every other
//! starts idle and knows no earlier reading, and what fired of it resolves with its reason.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::compiled::{CompiledRule, CompiledRules, Shape};
use crate::dead_man::WatchKey;
use crate::devices::{DeviceAttributes, DeviceId};
use crate::evaluator::Core;
use crate::life::Phase;
use crate::rule_set::RuleSet;
use crate::said::{EvaluatorConfig, Sink};
use crate::states::{RuleId, StateId};

/// What becomes of an old rule, or of it for one device.
#[derive(Clone, Copy)]
enum Fate {
    Kept(RuleId),
    Ends(&'static str),
}

/// What ends at the rule set.
#[derive(Clone, Copy)]
enum Ending {
    State(StateId),
    Watch(WatchKey),
}

impl Core {
    pub(crate) fn change_rules(
        &mut self,
        rule_set: Arc<RuleSet>,
        offset: i64,
        clock_us: i64,
        config: &EvaluatorConfig,
        sink: &mut impl Sink,
    ) {
        let mut next = CompiledRules::new(&rule_set, &mut self.metrics, offset);
        let fates = self.fates(&next, &rule_set);
        for (rule, fate) in self.rules.rules.iter().zip(&fates) {
            if let Fate::Kept(kept) = fate {
                next.rules[*kept as usize].since_offset = rule.since_offset;
            }
        }
        self.end_what_is_not_kept(&fates, &rule_set, clock_us, sink);
        for id in self.states.ids().collect::<Vec<_>>() {
            let state = self.states.get_mut(id);
            if let Fate::Kept(kept) = fates[state.rule as usize] {
                state.rule = kept;
            }
        }
        self.keep_pairs(&fates, &rule_set, offset);
        self.keep_places(&fates);
        self.keep_watches(&fates, &next);
        self.set_rules(rule_set, next);
        self.watch_registered(clock_us, config);
    }

    /// Takes compiled rules into force: every timer, profile, plan and quiet interval is of the old ones.
    pub(crate) fn set_rules(&mut self, rule_set: Arc<RuleSet>, mut rules: CompiledRules) {
        rules.number_on(&self.rules);
        self.metrics.set_units(|name| rule_set.unit(name).map(Arc::from));
        self.rule_set = rule_set;
        self.rules = rules;
        self.thresholds.clear();
        self.states.reset_timers(|rule| self.rules.get(rule).timing);
        self.entries.iter_mut().for_each(|entry| entry.disturb());
    }

    /// What becomes of each rule whatever the device: its meaning and its zones are the same, or it ends.
    fn fates(&self, next: &CompiledRules, rule_set: &RuleSet) -> Vec<Fate> {
        let (old, new) = (self.rule_set.registry(), rule_set.registry());
        let are_zones_same = old.has_zones_of(new);
        let has_same_zones = |rule: usize| {
            let zones = &self.rules.rules[rule].rule.meaning.zones;
            are_zones_same || zones.iter().all(|zone| old.zone(zone) == new.zone(zone))
        };
        let (digests, next_digests) = (&self.rules.prepared.digests, &next.prepared.digests);
        // Both sets are in the order of ids, and a digest is over the id too.
        let mut at = 0;
        let fate = |rule: usize| {
            let mut is_same = next_digests.get(at) == Some(&digests[rule]);
            if !is_same {
                let id = &self.rules.rules[rule].id;
                at += next.rules[at..].partition_point(|one| one.id < *id);
                if next.rules.get(at).is_none_or(|one| one.id != *id) {
                    return Fate::Ends("rule_removed");
                }
                is_same = next_digests[at] == digests[rule];
            }
            at += 1;
            if is_same && has_same_zones(rule) {
                Fate::Kept(at as RuleId - 1)
            } else {
                Fate::Ends("rule_changed")
            }
        };
        (0..digests.len()).map(fate).collect()
    }

    /// What becomes of a (rule, device): the first reason that holds.
    fn fate_of_pair(&self, fates: &[Fate], rule: RuleId, device: DeviceId, rule_set: &RuleSet) -> Fate {
        let fate = fates[rule as usize];
        let Fate::Kept(_) = fate else {
            return fate;
        };
        let (rule, device) = (self.rules.get(rule), self.devices.get(device));
        let (old, new) = (self.rule_set.registry(), rule_set.registry());
        let limit_changed = rule.rule.meaning.thresholds.iter().any(|threshold| {
            old.in_force(threshold, &device.id).value != new.in_force(threshold, &device.id).value
        });
        let selector = rule.rule.meaning.selector.as_ref();
        if limit_changed {
            Fate::Ends("rule_changed")
        } else if old.device(&device.id).is_some() && new.device(&device.id).is_none() {
            Fate::Ends("device_removed")
        } else if selector.is_some_and(|selector| !selector.matches(&DeviceAttributes::of(device, rule_set)))
        {
            Fate::Ends("no_longer_matches")
        } else {
            fate
        }
    }

    /// Ends what does not keep its state, saying what fired of it in the order of rule id and device id.
    fn end_what_is_not_kept(
        &mut self,
        fates: &[Fate],
        rule_set: &RuleSet,
        clock_us: i64,
        sink: &mut impl Sink,
    ) {
        let states = self.states.ids().map(|id| {
            let state = self.states.get(id);
            (state.rule, state.device, Ending::State(id))
        });
        let watches = self.dead_men.iter().map(|(key, _)| (key.0, key.1, Ending::Watch(key)));
        let mut ending: Vec<(RuleId, DeviceId, Ending, &'static str)> = states
            .chain(watches)
            .filter_map(|(rule, device, what)| match self.fate_of_pair(fates, rule, device, rule_set) {
                Fate::Kept(_) => None,
                Fate::Ends(reason) => Some((rule, device, what, reason)),
            })
            .collect();
        let device_id = |device| &self.devices.get(device).id;
        ending.sort_unstable_by(|a, b| (a.0, device_id(a.1)).cmp(&(b.0, device_id(b.1))));
        for (_, _, what, reason) in ending {
            match what {
                Ending::State(id) => {
                    if matches!(self.states.get(id).phase, Phase::Firing | Phase::Clearing { .. }) {
                        self.resolve(id, clock_us, Some(reason), clock_us, sink);
                    }
                    self.remove_state(id);
                }
                Ending::Watch(key) => {
                    self.end_silence(key, clock_us, Some(reason), clock_us, sink);
                    self.dead_men.remove(key);
                }
            }
        }
    }

    /// What is kept of (rule, device) that may be idle: counted hits, and from where on readings are known.
    fn keep_pairs(&mut self, fates: &[Fate], rule_set: &RuleSet, offset: i64) {
        let kept = |core: &Core, rule: RuleId, device: DeviceId| match core
            .fate_of_pair(fates, rule, device, rule_set)
        {
            Fate::Kept(rule) => Some((rule, device)),
            Fate::Ends(_) => None,
        };
        let hits = self.hits.iter();
        let hits: HashMap<_, _> =
            hits.filter_map(|((rule, device), hits)| Some((kept(self, *rule, *device)?, *hits))).collect();
        let since = self.since.iter();
        let mut since: HashMap<_, _> =
            since.filter_map(|((rule, device), since)| Some((kept(self, *rule, *device)?, *since))).collect();
        let (old, new) = (self.rule_set.registry(), rule_set.registry());
        if old != new {
            let generals: Vec<(RuleId, RuleId)> = self
                .rules
                .rules
                .iter()
                .filter(|rule| matches!(rule.shape, Shape::General { .. }))
                .filter_map(|rule| match fates[rule.number as usize] {
                    Fate::Kept(kept) => Some((rule.number, kept)),
                    Fate::Ends(_) => None,
                })
                .collect();
            for (device, known) in self.devices.iter().enumerate() {
                let is_same = old.device(&known.id) == new.device(&known.id) && old.has_models_of(new);
                let device = device as DeviceId;
                for (rule, next) in generals.iter().filter(|_| !is_same) {
                    if kept(self, *rule, device).is_none() || !self.is_matching(*rule, device) {
                        since.insert((*next, device), offset);
                    }
                }
            }
        }
        (self.hits, self.since) = (hits, since);
    }

    /// Whether a rule was about a device until now.
    fn is_matching(&self, rule: RuleId, device: DeviceId) -> bool {
        let selector = self.rules.get(rule).rule.meaning.selector.as_ref();
        let attributes = DeviceAttributes::of(self.devices.get(device), &self.rule_set);
        selector.is_none_or(|selector| selector.matches(&attributes))
    }

    /// Watches go on under the rule's new number.
    fn keep_watches(&mut self, fates: &[Fate], next: &CompiledRules) {
        for (key, watch) in self.dead_men.take_all() {
            let Fate::Kept(rule) = fates[key.0 as usize] else {
                continue;
            };
            if let Shape::DeadMan { span_us, .. } = next.get(rule).shape {
                self.dead_men.add((rule, key.1), watch, span_us);
            }
        }
        let renumbered =
            self.silences.drain().filter_map(|((rule, device), episode)| match fates[rule as usize] {
                Fate::Kept(rule) => Some(((rule, device), episode)),
                Fate::Ends(_) => None,
            });
        self.silences = renumbered.collect();
    }

    /// Readings in place stay only where a rule that keeps its state looks at them.
    fn keep_places(&mut self, fates: &[Fate]) {
        let is_kept = |(rule, fate): &(&CompiledRule, &Fate)| {
            matches!(fate, Fate::Kept(_)) && matches!(rule.shape, Shape::General { .. })
        };
        let kept: Vec<&CompiledRule> =
            self.rules.rules.iter().zip(fates).filter(is_kept).map(|(rule, _)| rule).collect();
        if kept.iter().any(|rule| rule.metrics.is_empty()) {
            return;
        }
        let metrics: HashSet<u32> = kept.iter().flat_map(|rule| rule.metrics.iter().copied()).collect();
        let mut kept = Vec::new();
        for series in self.series.iter_mut().filter(|series| series.kept.is_some()) {
            let stays = series.kept.take().filter(|_| metrics.contains(&series.metric));
            series.kept = stays.map(|at| {
                kept.push(std::mem::take(&mut self.kept[at as usize]));
                kept.len() as u32 - 1
            });
        }
        self.kept = kept;
    }
}
