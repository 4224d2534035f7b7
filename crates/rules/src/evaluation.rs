//! One group of equal time: its readings put in place, then every rule evaluated whose state they may change, in the
//! order of rule ids, and the quiet intervals set anew.

use std::sync::Arc;

use model::ValueView;

use crate::compiled::{CompiledRule, Edge, PlanId, Shape};
use crate::condition::Value;
use crate::devices::{DeviceId, SeriesId};
use crate::evaluator::{Cause, Core, Taken, TakenValue};
use crate::life::{Moment, Phase, Step, Turn, due_us, spoken, step};
use crate::metrics::Metrics;
use crate::reading::{Episode, PlacedReading};
use crate::said::{Said, Sink};
use crate::series::View;
use crate::states::{RuleId, StateId};

/// A series that the group put readings in place of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touched {
    series: SeriesId,
    /// Its quiet interval until then.
    quiet: Option<(f64, f64)>,
    /// By view: which reading of the group is in place now, where one of it is.
    by_view: [Option<u32>; 2],
}

/// A rule to evaluate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    rule: RuleId,
    /// For a band rule: its series, and the reading of the group in place there.
    band: Option<(SeriesId, u32)>,
}

impl Core {
    /// Puts the readings of a group in place, in order of their index, and notes what is to be evaluated.
    pub(crate) fn place_group(&mut self, group: &mut [Taken], cause: &Cause<'_>) {
        for (at, taken) in group.iter_mut().enumerate() {
            if let (TakenValue::Number(number), true) = (taken.value, taken.is_good)
                && self.entries[taken.series as usize].is_quiet(taken.observed_at_us, number)
            {
                taken.is_placed = [true; 2];
                continue;
            }
            self.move_newest(taken);
            if taken.is_placed == [false; 2] {
                self.counts.late += 1;
                continue;
            }
            self.touch(taken, at as u32, cause);
        }
    }

    /// Decides by view whether a reading is late, else makes its time the newest.
    fn move_newest(&mut self, taken: &mut Taken) {
        let entry = &mut self.entries[taken.series as usize];
        let any_newest_us = self.any_ahead_us.get(&taken.series).copied().unwrap_or(entry.newest_us);
        let in_good = taken.is_good && taken.observed_at_us >= entry.newest_us;
        let in_any = taken.observed_at_us >= any_newest_us;
        if in_good {
            entry.newest_us = taken.observed_at_us;
        }
        if in_any && taken.is_good {
            self.any_ahead_us.remove(&taken.series);
        } else if in_any && taken.observed_at_us > entry.newest_us {
            self.any_ahead_us.insert(taken.series, taken.observed_at_us);
        }
        taken.is_placed = [in_good, in_any];
    }

    fn touch(&mut self, taken: &Taken, at: u32, cause: &Cause<'_>) {
        let plan = self.plan_of(taken.series);
        let plan = self.rules.plan(plan);
        let is_kept = self.rules.keeps(taken.metric);
        let is_alone = plan.is_empty() && !is_kept && self.series[taken.series as usize].states.is_none();
        let entry = &mut self.entries[taken.series as usize];
        if is_alone {
            if self.any_ahead_us.contains_key(&taken.series) {
                // A calm entry moves one newest time; while the two views' differ, each reading is looked at.
                entry.disturb();
            } else {
                entry.calm((f64::NEG_INFINITY, f64::INFINITY), i64::MAX);
            }
            return;
        }
        let quiet = entry.quiet();
        entry.disturb();
        if is_kept {
            let reading = placed(taken, cause, &self.metrics);
            let places = self.places.entry(taken.series).or_default();
            for view in View::BOTH.into_iter().filter(|view| taken.is_placed[*view as usize]) {
                places.by_view[view as usize] = Some(reading.clone());
            }
        }
        let touched = &mut self.scratch.touched;
        let known = touched.iter().position(|touched| touched.series == taken.series);
        let known = known.unwrap_or_else(|| {
            touched.push(Touched { series: taken.series, quiet, by_view: [None; 2] });
            touched.len() - 1
        });
        for view in View::BOTH.into_iter().filter(|view| taken.is_placed[*view as usize]) {
            touched[known].by_view[view as usize] = Some(at);
        }
    }

    fn plan_of(&mut self, series: SeriesId) -> PlanId {
        let known = &mut self.series[series as usize];
        if let Some(plan) = known.plan {
            return plan;
        }
        let device = self.devices.get_mut(known.device);
        let profile = match device.profile {
            Some(profile) => profile,
            None => {
                let profile = self.rules.matching.profile(device);
                device.profile = Some(profile);
                profile
            }
        };
        *known.plan.insert(self.rules.plan_of(profile, known.metric))
    }

    /// Evaluates what the group at hand touched.
    pub(crate) fn evaluate_group(&mut self, cause: &Cause<'_>, sink: &mut impl Sink) {
        let touched = std::mem::take(&mut self.scratch.touched);
        let mut candidates = std::mem::take(&mut self.scratch.candidates);
        for touched in &touched {
            self.gather(touched, cause, &mut candidates);
        }
        candidates.sort_unstable_by_key(|candidate| candidate.rule);
        candidates.dedup_by_key(|candidate| candidate.rule);
        for candidate in &candidates {
            self.evaluate(candidate, cause, sink);
        }
        for touched in &touched {
            self.settle(touched, cause);
        }
        candidates.clear();
        self.scratch.candidates = candidates;
        self.scratch.touched = touched;
        self.scratch.touched.clear();
    }

    /// The rules whose state the readings in place of one series may change.
    fn gather(&self, touched: &Touched, cause: &Cause<'_>, candidates: &mut Vec<Candidate>) {
        let series = &self.series[touched.series as usize];
        let Some(plan) = series.plan.map(|plan| self.rules.plan(plan)) else {
            return;
        };
        let profile = self.devices.get(series.device).profile;
        for view in self.rules.views() {
            let Some(at) = touched.by_view[view as usize] else {
                continue;
            };
            let is_seen = |rule: &RuleId| self.rules.get(*rule).view == view;
            let generals = plan.generals.iter().copied().filter(is_seen);
            candidates.extend(generals.map(|rule| Candidate { rule, band: None }));
            let band = |rule| Candidate { rule, band: Some((touched.series, at)) };
            let is_matched = |rule: &RuleId| {
                profile
                    .is_some_and(|profile| self.rules.matching.is_in(profile, self.rules.get(*rule).selector))
            };
            let active = self.states.list(series.states).map(|id| self.states.get(id).rule);
            candidates.extend(active.filter(is_seen).filter(is_matched).map(band));
            if let TakenValue::Number(value) = cause.group[at as usize].value {
                // The interval speaks for both views, as long as the same reading is in place in both.
                let quiet = touched.quiet.filter(|_| touched.by_view[0] == touched.by_view[1]);
                let begun = plan.begun(quiet, value).map(|edge| edge.rule);
                candidates.extend(begun.filter(is_seen).map(band));
            }
        }
    }

    fn evaluate(&mut self, candidate: &Candidate, cause: &Cause<'_>, sink: &mut impl Sink) {
        let rule = self.rules.get(candidate.rule);
        let (now_us, raise, clear) = match (&rule.shape, candidate.band) {
            (Shape::Band { raise, clear }, Some((_, at))) => {
                let taken = &cause.group[at as usize];
                let (raise, clear) = match taken.value {
                    TakenValue::Number(value) => {
                        let is_raised = raise.contains(value);
                        (
                            Some(is_raised),
                            Some(clear.as_ref().map_or(!is_raised, |clear| clear.contains(value))),
                        )
                    }
                    TakenValue::Boolean(_) | TakenValue::Text => (None, None),
                };
                (taken.observed_at_us, raise, clear)
            }
            (Shape::General { .. } | Shape::Band { .. }, _) => {
                match self.general_truths(rule, cause.device) {
                    Some(truths) => truths,
                    None => return,
                }
            }
        };
        self.counts.evaluations += 1;
        let first = match candidate.band {
            Some((series, _)) => self.series[series as usize].states,
            None => self.devices.get(cause.device).states,
        };
        let state = self.states.list(first).find(|id| self.states.get(*id).rule == candidate.rule);
        let phase = state.map_or(Phase::Idle, |id| self.states.get(id).phase);
        let moment = Moment { now_us, clock_us: cause.clock_us };
        let step = step(phase, &rule.timing, moment, raise, clear);
        if step.phase != phase || step.overdue.is_some() || step.is_start {
            self.counts.state_changes += 1;
            self.take_step(candidate, state, moment, step, cause, sink);
        }
    }

    /// *now*, R and C of a rule that looks at the readings in place.
    fn general_truths(
        &self,
        rule: &CompiledRule,
        device: DeviceId,
    ) -> Option<(i64, Option<bool>, Option<bool>)> {
        let Shape::General { when, clear } = &rule.shape else {
            return None;
        };
        let in_place = self.in_place(rule, device);
        let now_us = in_place.iter().flatten().map(|reading| reading.observed_at_us).max()?;
        let max_age_us = rule.rule.meaning.max_age_us;
        let value_of = |metric: usize| {
            let reading = in_place[metric]?;
            (now_us.saturating_sub(reading.observed_at_us) <= max_age_us).then_some(&reading.value)
        };
        let raise = when.truth(&value_of);
        let clear = match clear {
            Some(clear) => clear.truth(&value_of),
            None => raise.map(|raise| !raise),
        };
        Some((now_us, raise, clear))
    }

    /// The readings in place by the rule's metrics, of those that the rule knows.
    fn in_place(&self, rule: &CompiledRule, device: DeviceId) -> Vec<Option<&PlacedReading>> {
        let device = self.devices.get(device);
        let reading_of = |metric: &u32| {
            let places = self.places.get(&device.series_of(*metric)?)?;
            let reading = places.by_view[rule.view as usize].as_ref()?;
            (reading.log_offset >= rule.since_offset).then_some(reading)
        };
        rule.metrics.iter().map(reading_of).collect()
    }

    fn take_step(
        &mut self,
        candidate: &Candidate,
        mut state: Option<StateId>,
        moment: Moment,
        step: Step,
        cause: &Cause<'_>,
        sink: &mut impl Sink,
    ) {
        if let (Some(turn), Some(id)) = (step.overdue, state) {
            state = self.say(id, turn, None, cause.clock_us, sink);
        }
        if step.is_start {
            let episode = self.start(candidate.rule, moment.now_us, candidate.band, cause);
            let series = candidate.band.map(|(series, _)| series);
            let first = match series {
                Some(series) => &mut self.series[series as usize].states,
                None => &mut self.devices.get_mut(cause.device).states,
            };
            state = Some(self.states.add(candidate.rule, cause.device, series, Phase::Idle, episode, first));
        }
        if let (Some(turn), Some(id)) = (step.now, state) {
            state = self.say(id, turn, None, cause.clock_us, sink);
        }
        match state {
            Some(id) if step.phase == Phase::Idle => self.remove_state(id),
            Some(id) => {
                let timing = self.rules.get(candidate.rule).timing;
                self.states.enter(id, step.phase, &timing);
            }
            None => {}
        }
    }

    /// Says one turn of a state, stamped so that stamps of one rule and device never fall. A resolve ends the state.
    pub(crate) fn say(
        &mut self,
        id: StateId,
        turn: Turn,
        reason: Option<&'static str>,
        clock_us: i64,
        sink: &mut impl Sink,
    ) -> Option<StateId> {
        let state = self.states.get_mut(id);
        let rule = self.rules.get(state.rule);
        let key = (Arc::clone(&rule.id), state.device);
        let turn = match turn {
            Turn::Raise { at_us } => {
                let at_us = self.stamps.get(&key).map_or(at_us, |last_us| at_us.max(*last_us));
                state.episode.raised_us = Some(at_us);
                self.counts.raised += 1;
                Turn::Raise { at_us }
            }
            Turn::Resolve { at_us } => {
                self.counts.resolved += 1;
                Turn::Resolve {
                    at_us: state.episode.raised_us.map_or(at_us, |raised_us| at_us.max(raised_us)),
                }
            }
        };
        let device_id = &self.devices.get(state.device).id;
        let metrics = &self.metrics;
        sink.say(&Said { rule, device_id, episode: &state.episode, turn, reason, clock_us, metrics });
        match turn {
            Turn::Raise { .. } => Some(id),
            Turn::Resolve { at_us } => {
                self.remember_stamp(key, at_us);
                self.remove_state(id);
                None
            }
        }
    }

    fn remember_stamp(&mut self, key: (Arc<str>, DeviceId), at_us: i64) {
        if self.stamps.len() >= self.limits.stamps_max && !self.stamps.contains_key(&key) {
            let mut stamps: Vec<i64> = self.stamps.values().copied().collect();
            stamps.sort_unstable();
            let oldest_kept_us = stamps[stamps.len() / 2];
            self.stamps.retain(|_, stamp_us| *stamp_us > oldest_kept_us);
        }
        self.stamps.insert(key, at_us);
    }

    pub(crate) fn remove_state(&mut self, id: StateId) {
        let (series, device) = (self.states.get(id).series, self.states.get(id).device);
        let first = match series {
            Some(series) => &mut self.series[series as usize].states,
            None => &mut self.devices.get_mut(device).states,
        };
        self.states.remove(id, first);
    }

    /// What an alert keeps of the evaluation that starts it.
    fn start(&self, rule: RuleId, now_us: i64, band: Option<(SeriesId, u32)>, cause: &Cause<'_>) -> Episode {
        let rule = self.rules.get(rule);
        let view = rule.view as usize;
        let placed = |taken: &Taken| placed(taken, cause, &self.metrics);
        let is_among = |taken: &&Taken| taken.is_placed[view] && rule.metrics.contains(&taken.metric);
        let first = cause
            .group
            .iter()
            .find(is_among)
            .expect("a rule is evaluated only where one of its metrics was placed");
        let evidence = match band {
            Some((_, at)) if cause.group[at as usize].index == first.index => Vec::new(),
            Some((_, at)) => vec![placed(&cause.group[at as usize])],
            None => self.in_place(rule, cause.device).into_iter().flatten().cloned().collect(),
        };
        Episode {
            cause: placed(first),
            evidence,
            place: Arc::clone(&self.devices.get(cause.device).place),
            location: cause.location,
            started_us: now_us,
            raised_us: None,
        }
    }

    /// Sets the quiet interval of a series from the value now in place and the states now reached.
    fn settle(&mut self, touched: &Touched, cause: &Cause<'_>) {
        let series = &self.series[touched.series as usize];
        let (Some(good), Some(any)) = (touched.by_view[0], touched.by_view[1]) else {
            return;
        };
        let TakenValue::Number(value) = cause.group[good as usize].value else {
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
        let profile = self.devices.get(series.device).profile?;
        let plan = self.rules.plan(series.plan?);
        let (mut low, mut high, mut due) = (f64::NEG_INFINITY, f64::INFINITY, i64::MAX);
        for id in self.states.list(series.states) {
            let state = self.states.get(id);
            let rule = self.rules.get(state.rule);
            if !self.rules.matching.is_in(profile, rule.selector) {
                continue;
            }
            let (from, to) = steady(&rule.shape, state.phase, value)?;
            (low, high) = (low.max(from), high.min(to));
            due = due.min(due_us(state.phase, &rule.timing).unwrap_or(i64::MAX));
        }
        let is_idle =
            |edge: &&Edge| self.states.list(series.states).all(|id| self.states.get(id).rule != edge.rule);
        let above = plan.starts.partition_point(|edge| edge.start <= value);
        if let Some(edge) = plan.starts[above..].iter().find(is_idle) {
            high = high.min(edge.start.next_down());
        }
        let below = plan.ends.partition_point(|edge| edge.end < value);
        if let Some(edge) = plan.ends[..below].iter().rev().find(is_idle) {
            low = low.max(edge.end.next_up());
        }
        Some(((low, high), due))
    }

    /// Lets every timer speak that the clock has passed, in the order (due, rule id, device id).
    pub(crate) fn speak_due(&mut self, clock_us: i64, sink: &mut impl Sink) {
        if self.states.earliest_due_us() >= clock_us {
            return;
        }
        let mut due = std::mem::take(&mut self.scratch.due);
        self.states.take_due(clock_us, &mut due);
        due.sort_unstable_by(|(a_due, a), (b_due, b)| {
            let (a, b) = (self.states.get(*a), self.states.get(*b));
            let device_id = |device| &self.devices.get(device).id;
            (a_due, a.rule, device_id(a.device)).cmp(&(b_due, b.rule, device_id(b.device)))
        });
        for (_, id) in due.drain(..) {
            let state = self.states.get(id);
            if let Some(series) = state.series {
                self.entries[series as usize].disturb();
            }
            let timing = self.rules.get(state.rule).timing;
            let (turn, phase) = spoken(state.phase, &timing);
            if let Some(turn) = turn
                && let Some(id) = self.say(id, turn, None, clock_us, sink)
            {
                self.states.enter(id, phase, &timing);
            }
        }
        self.scratch.due = due;
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

/// A reading as it is kept in place and in evidence.
fn placed(taken: &Taken, cause: &Cause<'_>, metrics: &Metrics) -> PlacedReading {
    let written = || cause.message.and_then(|message| message.readings().nth(taken.index as usize));
    PlacedReading {
        event_id: cause.event_id,
        reading_index: taken.index,
        metric: taken.metric,
        value: match taken.value {
            TakenValue::Number(number) => Value::Number(number),
            TakenValue::Boolean(boolean) => Value::Boolean(boolean),
            TakenValue::Text => match written().map(|reading| reading.value) {
                Some(ValueView::Text(text)) => Value::Text(text.into()),
                _ => Value::Text("".into()),
            },
        },
        unit: match &metrics.get(taken.metric).unit {
            Some(unit) => Some(Arc::clone(unit)),
            None => written().map(|reading| reading.unit).filter(|unit| !unit.is_empty()).map(Arc::from),
        },
        observed_at_us: taken.observed_at_us,
        log_offset: cause.offset,
    }
}
