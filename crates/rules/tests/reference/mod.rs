//! `docs/rules.md` word by word: no index, no interval, every rule looked at for every group, every state for every
//! record. Slow and plain, to be compared with.

use std::collections::{BTreeMap, HashMap};

use model::proto::{Quality, reading::Value};

use crate::log::{TestReading, TestRecord};

/// A condition as the reference reads it.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Compare(&'static str, &'static str, f64),
    Text(&'static str, &'static str),
    Missing(&'static str),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
}

/// A rule as the reference reads it; times in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct ReferenceRule {
    pub(crate) id: String,
    pub(crate) when: Condition,
    pub(crate) clear: Option<Condition>,
    pub(crate) for_us: i64,
    pub(crate) clear_for_us: i64,
    pub(crate) max_age_us: i64,
    pub(crate) silence_grace_us: i64,
    pub(crate) takes_any: bool,
    pub(crate) domain: Option<&'static str>,
}

/// What is said, as far as it is compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    pub(crate) rule: String,
    pub(crate) device: String,
    pub(crate) started_us: i64,
    pub(crate) raised_us: i64,
    pub(crate) resolved_us: Option<i64>,
    pub(crate) reason: Option<String>,
    /// Offset and index of the reading in the alert id.
    pub(crate) cause: (i64, u32),
    /// Offset and index of each reading of the evidence.
    pub(crate) evidence: Vec<(i64, u32)>,
}

#[derive(Clone, Debug)]
struct Placed {
    at_us: i64,
    value: Value,
    offset: i64,
    index: u32,
}

#[derive(Clone, Debug)]
enum Phase {
    Pending(i64, i64),
    Firing,
    Clearing(i64, i64),
}

#[derive(Clone, Debug)]
struct State {
    phase: Phase,
    said: Said,
}

#[derive(Default)]
pub(crate) struct Reference {
    rules: BTreeMap<String, (ReferenceRule, i64)>,
    clock_us: i64,
    places: HashMap<(String, String, bool), Placed>,
    domains: HashMap<String, String>,
    states: BTreeMap<(String, String), State>,
    stamps: HashMap<(String, String), i64>,
    pub(crate) out: Vec<Said>,
}

impl Condition {
    pub(crate) fn text(&self) -> String {
        match self {
            Condition::Compare(metric, comparison, limit) => format!("{metric} {comparison} {limit}"),
            Condition::Text(metric, text) => format!("{metric} = '{text}'"),
            Condition::Missing(metric) => format!("{metric} is missing"),
            Condition::And(a, b) => format!("({}) and ({})", a.text(), b.text()),
            Condition::Or(a, b) => format!("({}) or ({})", a.text(), b.text()),
            Condition::Not(a) => format!("not ({})", a.text()),
        }
    }

    fn metrics(&self) -> Vec<&'static str> {
        match self {
            Condition::Compare(metric, ..) | Condition::Text(metric, _) | Condition::Missing(metric) => {
                vec![metric]
            }
            Condition::And(a, b) | Condition::Or(a, b) => [a.metrics(), b.metrics()].concat(),
            Condition::Not(a) => a.metrics(),
        }
    }

    fn truth(&self, value: &dyn Fn(&str) -> Option<Value>) -> Option<bool> {
        match self {
            Condition::Missing(metric) => Some(value(metric).is_none()),
            Condition::Text(metric, text) => match value(metric)? {
                Value::Text(found) => Some(found == *text),
                _ => None,
            },
            Condition::Compare(metric, comparison, limit) => {
                let Value::Number(number) = value(metric)? else { return None };
                Some(match *comparison {
                    ">" => number > *limit,
                    ">=" => number >= *limit,
                    "<" => number < *limit,
                    "<=" => number <= *limit,
                    "=" => number == *limit,
                    _ => number != *limit,
                })
            }
            Condition::And(a, b) => match (a.truth(value), b.truth(value)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Condition::Or(a, b) => match (a.truth(value), b.truth(value)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Condition::Not(a) => a.truth(value).map(|truth| !truth),
        }
    }
}

impl ReferenceRule {
    fn metrics(&self) -> Vec<&'static str> {
        let mut metrics = self.when.metrics();
        metrics.extend(self.clear.iter().flat_map(Condition::metrics));
        let mut seen = Vec::new();
        metrics.retain(|metric| {
            !seen.contains(metric) && {
                seen.push(*metric);
                true
            }
        });
        metrics
    }

    /// All but what describes it.
    fn meaning(&self) -> String {
        format!("{self:?}")
    }
}

impl Reference {
    pub(crate) fn apply(&mut self, offset: i64, record: &TestRecord, sets: &[Vec<ReferenceRule>]) {
        self.clock_us = self.clock_us.max(record.log_time_us());
        self.timers();
        match record {
            TestRecord::Telemetry { device, domain, readings, .. } => {
                self.domains.insert(device.clone(), domain.clone());
                self.telemetry(offset, device, readings);
            }
            TestRecord::RuleSet { n, .. } => self.rule_set(offset, &sets[*n as usize]),
            TestRecord::Tick { .. } | TestRecord::Heartbeat { .. } => {}
        }
    }

    fn timers(&mut self) {
        let mut due = Vec::new();
        for ((id, device), state) in &self.states {
            let rule = &self.rules[id].0;
            let (since_us, wait_us) = match state.phase {
                Phase::Pending(_, clock_us) => (clock_us, rule.for_us),
                Phase::Clearing(_, clock_us) => (clock_us, rule.clear_for_us),
                Phase::Firing => continue,
            };
            let due_us = since_us + wait_us + rule.silence_grace_us;
            if self.clock_us > due_us {
                due.push((due_us, id.clone(), device.clone()));
            }
        }
        due.sort();
        for (_, id, device) in due {
            self.speak(&id, &device);
        }
    }

    /// The raise or resolve that a pending or clearing state waits for.
    fn speak(&mut self, id: &str, device: &str) {
        let rule = self.rules[id].0.clone();
        match self.states[&key(id, device)].phase {
            Phase::Pending(t0, _) => self.raise(id, device, t0 + rule.for_us),
            Phase::Clearing(t1, _) => self.resolve(id, device, t1 + rule.clear_for_us, None),
            Phase::Firing => {}
        }
    }

    fn raise(&mut self, id: &str, device: &str, at_us: i64) {
        let last_us = self.stamps.get(&key(id, device)).copied().unwrap_or(i64::MIN);
        let state = self.states.get_mut(&key(id, device)).unwrap();
        state.phase = Phase::Firing;
        state.said.raised_us = at_us.max(last_us);
        self.out.push(state.said.clone());
    }

    fn resolve(&mut self, id: &str, device: &str, at_us: i64, reason: Option<&str>) {
        let mut said = self.states.remove(&key(id, device)).unwrap().said;
        let at_us = at_us.max(said.raised_us);
        said.resolved_us = Some(at_us);
        said.reason = reason.map(str::to_owned);
        self.stamps.insert(key(id, device), at_us);
        self.out.push(said);
    }

    fn telemetry(&mut self, offset: i64, device: &str, readings: &[TestReading]) {
        let mut times: Vec<i64> = readings.iter().map(|reading| reading.observed_at_us).collect();
        times.sort_unstable();
        times.dedup();
        for at_us in times {
            let mut placed: Vec<(String, bool, u32)> = Vec::new();
            for (index, reading) in
                readings.iter().enumerate().filter(|(_, reading)| reading.observed_at_us == at_us)
            {
                let Some(value) = reading.value.clone() else { continue };
                for is_any in [false, true] {
                    let place = (device.to_owned(), reading.metric.clone(), is_any);
                    let is_late = self.places.get(&place).is_some_and(|placed| at_us < placed.at_us);
                    if (is_any || reading.quality == Quality::Good) && !is_late {
                        let index = index as u32;
                        self.places.insert(place, Placed { at_us, value: value.clone(), offset, index });
                        placed.push((reading.metric.clone(), is_any, index));
                    }
                }
            }
            for id in self.rules.keys().cloned().collect::<Vec<_>>() {
                self.evaluate(&id, device, offset, &placed);
            }
        }
    }

    fn evaluate(&mut self, id: &str, device: &str, offset: i64, placed: &[(String, bool, u32)]) {
        let (rule, since) = self.rules[id].clone();
        let metrics = rule.metrics();
        let is_named = |(metric, is_any, _): &&(String, bool, u32)| {
            *is_any == rule.takes_any && metrics.contains(&metric.as_str())
        };
        let Some(lowest) = placed.iter().filter(is_named).map(|(_, _, index)| *index).min() else { return };
        if rule.domain.is_some_and(|domain| self.domains[device] != domain) {
            return;
        }
        let known = |metric: &str| {
            let placed = self.places.get(&(device.to_owned(), metric.to_owned(), rule.takes_any));
            placed.filter(|placed| placed.offset >= since)
        };
        let now_us =
            metrics.iter().filter_map(|metric| known(metric)).map(|placed| placed.at_us).max().unwrap();
        let fresh = |metric: &str| {
            known(metric)
                .filter(|placed| now_us - placed.at_us <= rule.max_age_us)
                .map(|placed| placed.value.clone())
        };
        let r = rule.when.truth(&fresh);
        let c = match &rule.clear {
            Some(clear) => clear.truth(&fresh),
            None => r.map(|r| !r),
        };
        let evidence =
            metrics.iter().filter_map(|metric| known(metric)).map(|placed| (placed.offset, placed.index));
        let evidence: Vec<_> = evidence.collect();
        self.due_before(id, device, &rule, now_us);
        self.in_the_state_reached(id, device, &rule, now_us, r, c, (offset, lowest), evidence);
    }

    fn due_before(&mut self, id: &str, device: &str, rule: &ReferenceRule, t: i64) {
        match self.states.get(&key(id, device)).map(|state| state.phase.clone()) {
            Some(Phase::Pending(t0, _)) if t - t0 > rule.for_us => self.speak(id, device),
            Some(Phase::Clearing(t1, _)) if t - t1 > rule.clear_for_us => self.speak(id, device),
            _ => {}
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn in_the_state_reached(
        &mut self,
        id: &str,
        device: &str,
        rule: &ReferenceRule,
        t: i64,
        r: Option<bool>,
        c: Option<bool>,
        cause: (i64, u32),
        evidence: Vec<(i64, u32)>,
    ) {
        let clock_us = self.clock_us;
        let Some(state) = self.states.get_mut(&key(id, device)) else {
            if r == Some(true) {
                let (rule_id, device_id) = key(id, device);
                let said = Said {
                    rule: rule_id,
                    device: device_id,
                    started_us: t,
                    raised_us: t,
                    resolved_us: None,
                    reason: None,
                    cause,
                    evidence,
                };
                self.states.insert(key(id, device), State { phase: Phase::Pending(t, clock_us), said });
                if rule.for_us == 0 {
                    self.raise(id, device, t);
                }
            }
            return;
        };
        match state.phase {
            Phase::Pending(..) if r == Some(false) => {
                self.states.remove(&key(id, device));
            }
            Phase::Pending(t0, _) if r == Some(true) && t - t0 == rule.for_us => self.raise(id, device, t),
            Phase::Firing if c == Some(true) && rule.clear_for_us == 0 => self.resolve(id, device, t, None),
            Phase::Firing if c == Some(true) => state.phase = Phase::Clearing(t, clock_us),
            Phase::Clearing(..) if c == Some(false) => state.phase = Phase::Firing,
            Phase::Clearing(t1, _) if c == Some(true) && t - t1 == rule.clear_for_us => {
                self.resolve(id, device, t, None)
            }
            Phase::Pending(..) | Phase::Firing | Phase::Clearing(..) => {}
        }
    }

    fn rule_set(&mut self, offset: i64, rules: &[ReferenceRule]) {
        let next: BTreeMap<String, ReferenceRule> =
            rules.iter().map(|rule| (rule.id.clone(), rule.clone())).collect();
        for (id, device) in self.states.keys().cloned().collect::<Vec<_>>() {
            let reason = match next.get(&id) {
                None => "rule_removed",
                Some(rule) if rule.meaning() != self.rules[&id].0.meaning() => "rule_changed",
                Some(rule) if rule.domain.is_some_and(|domain| self.domains[&device] != domain) => {
                    "no_longer_matches"
                }
                Some(_) => continue,
            };
            if matches!(self.states[&key(&id, &device)].phase, Phase::Pending(..)) {
                self.states.remove(&key(&id, &device));
            } else {
                self.resolve(&id, &device, self.clock_us, Some(reason));
            }
        }
        let since_of = |id: &String, rule: &ReferenceRule| match self.rules.get(id) {
            Some((old, since)) if old.meaning() == rule.meaning() => *since,
            _ => offset,
        };
        self.rules = next.iter().map(|(id, rule)| (id.clone(), (rule.clone(), since_of(id, rule)))).collect();
    }
}

fn key(id: &str, device: &str) -> (String, String) {
    (id.to_owned(), device.to_owned())
}
