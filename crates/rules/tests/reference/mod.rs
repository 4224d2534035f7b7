//! `docs/rules.md` word by word: no index, no interval, every rule looked at for every group, every state for every
//! record. Slow and plain, to be compared with.

use std::collections::{BTreeMap, HashMap};

use model::proto::{Quality, reading::Value};

use crate::log::{EPOCH_US, TestReading, TestRecord};

/// A condition as the reference reads it.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Compare(&'static str, &'static str, f64),
    Text(&'static str, &'static str),
    Missing(&'static str),
    /// Metric, comparison, name of a threshold, its default.
    Threshold(&'static str, &'static str, &'static str, f64),
    /// Inside of `ZONE`, or outside.
    Zone(bool),
    /// Function, metric, span in seconds, comparison, limit.
    Window(&'static str, &'static str, i64, &'static str, f64),
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
    /// `where` asks for this `tag.t`.
    pub(crate) tag: Option<&'static str>,
    /// Needed, of.
    pub(crate) hits: (usize, usize),
    /// Minutes of Monday, UTC; always where there are none.
    pub(crate) active: Vec<(i64, i64)>,
    /// A dead-man: its span and metric; then nothing above but the domain counts.
    pub(crate) absent: Option<(i64, Option<&'static str>)>,
}

/// What the alert id is made of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cause {
    /// Offset and index.
    Reading(i64, u32),
    Silence(i64),
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
    pub(crate) cause: Cause,
    /// The opening edge in the alert id.
    pub(crate) edge_us: Option<i64>,
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
    is_said: bool,
    /// Edges up to here are passed.
    cursor_us: i64,
    evaluated_us: i64,
}

/// The registered device: its domain, its `tag.t`, and its thresholds, the second of which is its model's. The other
/// device of the tests is what its messages say.
pub(crate) const REGISTERED: (&str, &str, &str) = ("a", "p", "u");
pub(crate) const THRESHOLDS: [(&str, f64); 2] = [("own", 3.0), ("of-model", 1.0)];
/// West, south, east, north.
pub(crate) const ZONE: [f64; 4] = [0.0, 0.0, 4.0, 4.0];

/// What a condition is evaluated on.
struct Seen<'a> {
    device: &'a str,
    /// Latitude, longitude.
    place: Option<(f64, f64)>,
    value: &'a dyn Fn(&str) -> Option<Value>,
    window: &'a dyn Fn(&str, &str, i64) -> Option<f64>,
}

#[derive(Default)]
pub(crate) struct Reference {
    rules: BTreeMap<String, (ReferenceRule, i64)>,
    clock_us: i64,
    places: HashMap<(String, String, bool), Placed>,
    domains: HashMap<String, String>,
    states: BTreeMap<(String, String), State>,
    stamps: HashMap<(String, String), i64>,
    /// Every reading that was in place, by (device, metric, any).
    history: HashMap<(String, String, bool), Vec<Placed>>,
    hits: HashMap<(String, String), Vec<bool>>,
    /// Clocks at the records of gateways.
    gateways: Vec<i64>,
    /// By (rule, device): the clock of the last sign of life, and what is said to be missed.
    watches: BTreeMap<(String, String), (i64, Option<Said>)>,
    pub(crate) out: Vec<Said>,
}

impl Condition {
    pub(crate) fn text(&self) -> String {
        match self {
            Condition::Compare(metric, comparison, limit) => format!("{metric} {comparison} {limit}"),
            Condition::Text(metric, text) => format!("{metric} = '{text}'"),
            Condition::Missing(metric) => format!("{metric} is missing"),
            Condition::Threshold(metric, comparison, name, default) => {
                format!("{metric} {comparison} threshold('{name}', {default})")
            }
            Condition::Zone(true) => "inside zone('z')".into(),
            Condition::Zone(false) => "outside zone('z')".into(),
            Condition::Window(function, metric, span_s, comparison, limit) => {
                format!("{function}({metric}, {span_s}s) {comparison} {limit}")
            }
            Condition::And(a, b) => format!("({}) and ({})", a.text(), b.text()),
            Condition::Or(a, b) => format!("({}) or ({})", a.text(), b.text()),
            Condition::Not(a) => format!("not ({})", a.text()),
        }
    }

    fn metrics(&self) -> Vec<&'static str> {
        match self {
            Condition::Compare(metric, ..)
            | Condition::Text(metric, _)
            | Condition::Missing(metric)
            | Condition::Threshold(metric, ..)
            | Condition::Window(_, metric, ..) => vec![metric],
            Condition::Zone(_) => vec![],
            Condition::And(a, b) | Condition::Or(a, b) => [a.metrics(), b.metrics()].concat(),
            Condition::Not(a) => a.metrics(),
        }
    }

    fn truth(&self, seen: &Seen<'_>) -> Option<bool> {
        match self {
            Condition::Missing(metric) => Some((seen.value)(metric).is_none()),
            Condition::Text(metric, text) => match (seen.value)(metric)? {
                Value::Text(found) => Some(found == *text),
                _ => None,
            },
            Condition::Compare(metric, comparison, limit) => {
                let Value::Number(number) = (seen.value)(metric)? else { return None };
                Some(compare(number, comparison, *limit))
            }
            Condition::Threshold(metric, comparison, name, default) => {
                let Value::Number(number) = (seen.value)(metric)? else { return None };
                let of_device =
                    THRESHOLDS.iter().find(|(known, _)| known == name && seen.device == REGISTERED.0);
                Some(compare(number, comparison, of_device.map_or(*default, |(_, limit)| *limit)))
            }
            Condition::Zone(is_inside) => {
                let ((latitude, longitude), [west, south, east, north]) = (seen.place?, ZONE);
                let is_in = (south..=north).contains(&latitude) && (west..=east).contains(&longitude);
                Some(is_in == *is_inside)
            }
            Condition::Window(function, metric, span_s, comparison, limit) => {
                let number = (seen.window)(function, metric, span_s * 1_000_000)?;
                Some(compare(number, comparison, *limit))
            }
            Condition::And(a, b) => match (a.truth(seen), b.truth(seen)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Condition::Or(a, b) => match (a.truth(seen), b.truth(seen)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Condition::Not(a) => a.truth(seen).map(|truth| !truth),
        }
    }
}

fn compare(number: f64, comparison: &str, limit: f64) -> bool {
    match comparison {
        ">" => number > limit,
        ">=" => number >= limit,
        "<" => number < limit,
        "<=" => number <= limit,
        "=" => number == limit,
        _ => number != limit,
    }
}

/// A window function over (time, value) in order of time; the numbers of the tests are halves, so sums are exact.
fn window(function: &str, readings: &[(i64, Value)]) -> Option<f64> {
    if function == "count" {
        return Some(readings.len() as f64);
    }
    let number = |value: &Value| match value {
        Value::Number(number) => Some(*number),
        _ => None,
    };
    let numbers = readings.iter().map(|(_, value)| number(value)).collect::<Option<Vec<f64>>>()?;
    let sum: f64 = numbers.iter().sum();
    let (first, last) = (numbers.first().copied(), numbers.last().copied());
    match function {
        "sum" => Some(sum),
        "avg" => first.map(|_| sum / numbers.len() as f64),
        // Of halves below 6 every product here is exact.
        "stddev" if !numbers.is_empty() => {
            let (n, squares) =
                (numbers.len() as f64, numbers.iter().map(|number| number * number).sum::<f64>());
            Some(((n * squares - sum * sum) / (n * n)).sqrt())
        }
        "min" => numbers.iter().copied().reduce(f64::min),
        "max" => numbers.iter().copied().reduce(f64::max),
        "delta" if numbers.len() > 1 => Some(last? - first?),
        "rate" if numbers.len() > 1 => {
            Some((last? - first?) / ((readings.last()?.0 - readings.first()?.0) as f64 / 1e6))
        }
        "increase" if numbers.len() > 1 => {
            let rises =
                numbers.windows(2).map(|pair| if pair[1] < pair[0] { pair[1] } else { pair[1] - pair[0] });
            Some(rises.sum())
        }
        _ => None,
    }
}

impl ReferenceRule {
    /// Every edge near the time of the tests, as (instant, opening).
    fn edges(&self) -> Vec<(i64, bool)> {
        const WEEK_US: i64 = 7 * 86_400_000_000;
        let in_week = self.active.iter().flat_map(|(from, to)| [(*from, true), (*to, false)]);
        let in_week: Vec<_> = in_week.collect();
        let instant = |week: i64, minute: i64| EPOCH_US + week * WEEK_US + minute * 60_000_000;
        (-1..=1)
            .flat_map(|week| in_week.iter().map(move |(minute, opens)| (instant(week, *minute), *opens)))
            .collect()
    }

    fn next_edge(&self, after_us: i64) -> Option<(i64, bool)> {
        self.edges().into_iter().find(|(at_us, _)| *at_us > after_us)
    }

    fn is_active(&self, at_us: i64) -> bool {
        let last = self.edges().into_iter().rev().find(|(edge_us, _)| *edge_us <= at_us);
        self.active.is_empty() || last.is_some_and(|(_, opens)| opens)
    }

    fn metrics(&self) -> Vec<&'static str> {
        if self.absent.is_some() {
            return Vec::new();
        }
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
        match self.absent {
            Some(absent) => format!("{absent:?} {:?} {:?}", self.domain, self.tag),
            None => format!("{self:?}"),
        }
    }
}

impl Reference {
    pub(crate) fn apply(&mut self, offset: i64, record: &TestRecord, sets: &[Vec<ReferenceRule>]) {
        self.clock_us = self.clock_us.max(record.log_time_us());
        if matches!(record, TestRecord::Telemetry { .. } | TestRecord::Heartbeat { .. }) {
            self.gateways.push(self.clock_us);
        }
        while self.do_first_due() {}
        match record {
            TestRecord::Telemetry { is_historical: true, .. } => {}
            TestRecord::Telemetry { device, domain, place, readings, .. } => {
                self.domains.insert(device.clone(), domain.clone());
                self.hear(device, readings);
                self.telemetry(offset, device, *place, readings);
            }
            TestRecord::RuleSet { n, .. } => self.rule_set(offset, &sets[*n as usize]),
            TestRecord::Tick { .. } | TestRecord::Heartbeat { .. } => {}
        }
    }

    fn matches(&self, rule: &ReferenceRule, device: &str) -> bool {
        let (registered, domain, tag) = REGISTERED;
        if device == registered {
            return rule.domain.is_none_or(|wanted| wanted == domain)
                && rule.tag.is_none_or(|wanted| wanted == tag);
        }
        rule.tag.is_none() && rule.domain.is_none_or(|wanted| self.domains[device] == wanted)
    }

    /// Does the first of all timers, edges and missed signs of life that the clock has passed.
    fn do_first_due(&mut self) -> bool {
        // (due, rule, device, stamp, is edge)
        let mut due = Vec::new();
        for ((id, device), state) in &self.states {
            let rule = &self.rules[id].0;
            let timer = match state.phase {
                Phase::Pending(t0, clock_us) => Some((clock_us + rule.for_us, t0 + rule.for_us)),
                Phase::Clearing(t1, clock_us) => Some((clock_us + rule.clear_for_us, t1 + rule.clear_for_us)),
                Phase::Firing => None,
            };
            if let Some((from_us, stamp_us)) = timer {
                due.push((from_us + rule.silence_grace_us, id, device, stamp_us, false));
            }
            if let Some((edge_us, _)) = self.open_edge(id, device)
                && timer.is_none_or(|(_, stamp_us)| stamp_us >= edge_us)
            {
                let from_us = edge_us.max(state.evaluated_us);
                due.push((from_us + rule.silence_grace_us, id, device, edge_us, true));
            }
        }
        for ((id, device), (last_us, missed)) in &self.watches {
            if missed.is_none()
                && let Some(at_us) = self.over_at(*last_us, self.rules[id].0.absent.unwrap().0)
            {
                due.push((at_us, id, device, at_us, false));
            }
        }
        due.retain(|(due_us, ..)| self.clock_us > *due_us);
        let Some((_, id, device, stamp_us, is_edge)) = due.into_iter().min() else { return false };
        let (id, device) = key(id, device);
        if self.watches.contains_key(&(id.clone(), device.clone())) {
            self.miss(&id, &device, stamp_us);
        } else if is_edge {
            self.pass_edge(&id, &device);
        } else {
            self.speak(&id, &device);
        }
        true
    }

    /// The instant at which live time since `last_us` went over the span, if it did.
    fn over_at(&self, last_us: i64, span_us: i64) -> Option<i64> {
        let mut alive_us = 0;
        for pair in self.gateways.windows(2) {
            if pair[1] - pair[0] > 30_000_000 || pair[1] <= last_us {
                continue;
            }
            let from_us = pair[0].max(last_us);
            if alive_us + pair[1] - from_us > span_us {
                return Some(from_us + span_us - alive_us);
            }
            alive_us += pair[1] - from_us;
        }
        None
    }

    fn miss(&mut self, id: &str, device: &str, at_us: i64) {
        let stamp_us = at_us.max(self.stamps.get(&key(id, device)).copied().unwrap_or(i64::MIN));
        let (last_us, missed) = self.watches.get_mut(&key(id, device)).unwrap();
        let said = Said {
            rule: id.to_owned(),
            device: device.to_owned(),
            started_us: *last_us,
            raised_us: stamp_us,
            resolved_us: None,
            reason: None,
            cause: Cause::Silence(*last_us),
            edge_us: None,
            evidence: Vec::new(),
        };
        *missed = Some(said.clone());
        self.out.push(said);
    }

    fn hear(&mut self, device: &str, readings: &[TestReading]) {
        let is_offline = |reading: &TestReading| {
            reading.metric == "status" && reading.value == Some(Value::Text("offline".into()))
        };
        if readings.iter().all(is_offline) {
            return;
        }
        for (id, (rule, _)) in self.rules.clone() {
            let Some((_, metric)) = rule.absent else { continue };
            let matches = self.matches(&rule, device);
            let has_it = metric.is_none_or(|metric| readings.iter().any(|reading| reading.metric == metric));
            let is_watched = self.watches.contains_key(&key(&id, device));
            if has_it && (matches || is_watched) {
                self.end_watch(&id, device, None);
                if matches {
                    self.watches.insert(key(&id, device), (self.clock_us, None));
                }
            }
        }
    }

    fn end_watch(&mut self, id: &str, device: &str, reason: Option<&str>) {
        if let Some((_, Some(said))) = self.watches.remove(&key(id, device)) {
            let at_us = self.clock_us.max(said.raised_us);
            self.stamps.insert(key(id, device), at_us);
            self.out.push(Said { resolved_us: Some(at_us), reason: reason.map(str::to_owned), ..said });
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
        let state = self.states.get_mut(&key(id, device)).unwrap();
        state.phase = Phase::Firing;
        state.cursor_us = at_us;
        if self.rules[id].0.is_active(at_us) {
            self.say_raised(id, device, at_us, None);
        }
    }

    fn say_raised(&mut self, id: &str, device: &str, at_us: i64, edge_us: Option<i64>) {
        let stamp_us = at_us.max(self.stamps.get(&key(id, device)).copied().unwrap_or(i64::MIN));
        if self.rules[id].0.next_edge(at_us).is_some_and(|(closing_us, _)| stamp_us >= closing_us) {
            return;
        }
        let state = self.states.get_mut(&key(id, device)).unwrap();
        state.said.raised_us = stamp_us;
        state.said.edge_us = edge_us;
        state.is_said = true;
        self.out.push(state.said.clone());
    }

    /// The next edge of an episode that is open.
    fn open_edge(&self, id: &str, device: &str) -> Option<(i64, bool)> {
        let state = self.states.get(&key(id, device))?;
        let is_open = !matches!(state.phase, Phase::Pending(..));
        self.rules[id].0.next_edge(state.cursor_us).filter(|_| is_open)
    }

    fn pass_edge(&mut self, id: &str, device: &str) {
        let (edge_us, opens) = self.open_edge(id, device).unwrap();
        self.states.get_mut(&key(id, device)).unwrap().cursor_us = edge_us;
        if opens {
            self.say_raised(id, device, edge_us, Some(edge_us));
        } else {
            self.say_resolved(id, device, edge_us, Some("schedule_ended"));
        }
    }

    fn edges_before(&mut self, id: &str, device: &str, stamp_us: i64) {
        while let Some((edge_us, opens)) = self.open_edge(id, device)
            && (edge_us < stamp_us || edge_us == stamp_us && !opens)
        {
            self.pass_edge(id, device);
        }
    }

    fn say_resolved(&mut self, id: &str, device: &str, at_us: i64, reason: Option<&str>) {
        let state = self.states.get_mut(&key(id, device)).unwrap();
        if std::mem::take(&mut state.is_said) {
            let at_us = at_us.max(state.said.raised_us);
            let reason = reason.map(str::to_owned);
            self.out.push(Said { resolved_us: Some(at_us), reason, ..state.said.clone() });
            self.stamps.insert(key(id, device), at_us);
        }
    }

    fn resolve(&mut self, id: &str, device: &str, at_us: i64, reason: Option<&str>) {
        if reason.is_none() {
            self.edges_before(id, device, at_us);
        }
        self.say_resolved(id, device, at_us, reason);
        self.states.remove(&key(id, device));
    }

    fn telemetry(&mut self, offset: i64, device: &str, place: Option<(f64, f64)>, readings: &[TestReading]) {
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
                        let in_place = Placed { at_us, value: value.clone(), offset, index };
                        let history = self.history.entry(place.clone()).or_default();
                        history.retain(|before| before.at_us != at_us);
                        history.push(in_place.clone());
                        self.places.insert(place, in_place);
                        placed.push((reading.metric.clone(), is_any, index));
                    }
                }
            }
            for id in self.rules.keys().cloned().collect::<Vec<_>>() {
                self.evaluate(&id, device, place, offset, &placed);
            }
        }
    }

    fn evaluate(
        &mut self,
        id: &str,
        device: &str,
        place: Option<(f64, f64)>,
        offset: i64,
        placed: &[(String, bool, u32)],
    ) {
        let (rule, since) = self.rules[id].clone();
        let metrics = rule.metrics();
        let is_named = |(metric, is_any, _): &&(String, bool, u32)| {
            *is_any == rule.takes_any && metrics.contains(&metric.as_str())
        };
        let Some(lowest) = placed.iter().filter(is_named).map(|(_, _, index)| *index).min() else { return };
        if !self.matches(&rule, device) {
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
        let over = |function: &str, metric: &str, span_us: i64| {
            let history = self.history.get(&(device.to_owned(), metric.to_owned(), rule.takes_any));
            let is_in = |placed: &&Placed| {
                placed.offset >= since && now_us - span_us < placed.at_us && placed.at_us <= now_us
            };
            let readings = history.into_iter().flatten().filter(is_in);
            window(function, &readings.map(|placed| (placed.at_us, placed.value.clone())).collect::<Vec<_>>())
        };
        let seen = Seen { device, place, value: &fresh, window: &over };
        let mut r = rule.when.truth(&seen);
        let c = rule.clear.as_ref().map(|clear| clear.truth(&seen));
        let evidence =
            metrics.iter().filter_map(|metric| known(metric)).map(|placed| (placed.offset, placed.index));
        let evidence: Vec<_> = evidence.collect();
        if let Some(is_true) = r {
            let hits = self.hits.entry(key(id, device)).or_default();
            hits.push(is_true);
            r = Some(hits.iter().rev().take(rule.hits.1).filter(|hit| **hit).count() >= rule.hits.0);
        }
        let c = c.unwrap_or(r.map(|r| !r));
        self.due_before(id, device, &rule, now_us);
        self.edges_before(id, device, now_us);
        if let Some(state) = self.states.get_mut(&key(id, device)) {
            state.evaluated_us = self.clock_us;
        }
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
                    cause: Cause::Reading(cause.0, cause.1),
                    edge_us: None,
                    evidence,
                };
                let phase = Phase::Pending(t, clock_us);
                let state = State { phase, said, is_said: false, cursor_us: t, evaluated_us: clock_us };
                self.states.insert(key(id, device), state);
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
        let mut pairs: Vec<_> = self.states.keys().chain(self.watches.keys()).cloned().collect();
        pairs.sort();
        for (id, device) in pairs {
            let reason = match next.get(&id) {
                None => "rule_removed",
                Some(rule) if rule.meaning() != self.rules[&id].0.meaning() => "rule_changed",
                Some(rule) if !self.matches(rule, &device) => "no_longer_matches",
                Some(_) => continue,
            };
            if self.watches.contains_key(&key(&id, &device)) {
                self.end_watch(&id, &device, Some(reason));
            } else {
                self.resolve(&id, &device, self.clock_us, Some(reason));
            }
        }
        let is_kept = |id: &String, device: &String| {
            next.get(id).is_some_and(|rule| {
                rule.meaning() == self.rules[id].0.meaning() && self.matches(rule, device)
            })
        };
        let hits = self.hits.iter().filter(|((id, device), _)| is_kept(id, device));
        let hits = hits.map(|(pair, hits)| (pair.clone(), hits.clone())).collect();
        let since_of = |id: &String, rule: &ReferenceRule| match self.rules.get(id) {
            Some((old, since)) if old.meaning() == rule.meaning() => *since,
            _ => offset,
        };
        self.rules = next.iter().map(|(id, rule)| (id.clone(), (rule.clone(), since_of(id, rule)))).collect();
        self.hits = hits;
        let registered = REGISTERED.0;
        for rule in next.values().filter(|rule| matches!(rule.absent, Some((_, None)))) {
            if self.matches(rule, registered) {
                self.watches.entry(key(&rule.id, registered)).or_insert((self.clock_us, None));
            }
        }
    }
}

fn key(id: &str, device: &str) -> (String, String) {
    (id.to_owned(), device.to_owned())
}
