//! One group of equal time: its readings put in place, then every rule evaluated whose state they may change, in the
//! order of rule ids, and the quiet intervals set anew.

use crate::compiled::{CompiledRule, Shape};
use crate::devices::{DeviceId, SeriesId};
use crate::evaluator::Core;
use crate::in_place::InPlace;
use crate::life::{Moment, Phase, Step, step};
use crate::placing::{Touched, placed};
use crate::reading::{Cause, Episode};
use crate::rule::Hits;
use crate::said::Sink;
use crate::series::View;
use crate::states::{Mask, RuleId, StateId};
use crate::taking::{Group, Taken, TakenValue};

/// A rule to evaluate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    rule: RuleId,
    /// For a band rule: its series, and the reading of the group in place there.
    band: Option<(SeriesId, u32)>,
}

impl Core {
    /// Evaluates what the group at hand touched.
    pub(crate) fn evaluate_group(&mut self, cause: &Group<'_>, sink: &mut impl Sink) {
        let touched = std::mem::take(&mut self.scratch.touched);
        let mut candidates = std::mem::take(&mut self.scratch.candidates);
        for touched in &touched {
            self.gather(touched, cause, &mut candidates);
        }
        if self.rules.has_unnamed() {
            self.gather_unnamed(&touched, cause.device, &mut candidates);
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
    fn gather(&self, touched: &Touched, cause: &Group<'_>, candidates: &mut Vec<Candidate>) {
        let series = &self.series[touched.series as usize];
        let Some(plan) = series.plan.map(|plan| self.rules.plan(plan)) else {
            return;
        };
        for view in self.rules.views() {
            let Some(at) = touched.by_view[view as usize] else {
                continue;
            };
            let is_seen = |rule: &RuleId| self.rules.get(*rule).view == view;
            let generals = plan.generals.iter().copied().filter(is_seen);
            candidates.extend(generals.map(|rule| Candidate { rule, band: None }));
            let band = |rule| Candidate { rule, band: Some((touched.series, at)) };
            let is_matched =
                |rule: &RuleId| self.rules.matching.is_in(plan.profile, self.rules.get(*rule).selector);
            let active = self.states.list(series.states).map(|id| self.states.get(id).rule);
            candidates.extend(active.filter(is_seen).filter(is_matched).map(band));
            if let TakenValue::Number(value) = cause.readings[at as usize].value {
                // The interval speaks for both views, as long as the same reading is in place in both.
                let quiet = touched.quiet.filter(|_| touched.by_view[0] == touched.by_view[1]);
                let begun = plan.begun(quiet, value).map(|edge| edge.rule);
                candidates.extend(begun.filter(is_seen).map(band));
            }
        }
    }

    /// Rules that name no metric are evaluated by any reading that was put in place for them.
    fn gather_unnamed(&mut self, touched: &[Touched], device: DeviceId, candidates: &mut Vec<Candidate>) {
        let profile = self.profile_of(device);
        let is_touched =
            View::BOTH.map(|view| touched.iter().any(|one| one.by_view[view as usize].is_some()));
        let unnamed = self.rules.unnamed_of(profile);
        let seen = unnamed.filter(|rule| is_touched[self.rules.get(*rule).view as usize]);
        candidates.extend(seen.map(|rule| Candidate { rule, band: None }));
    }

    fn evaluate(&mut self, candidate: &Candidate, cause: &Group<'_>, sink: &mut impl Sink) {
        let truths = match candidate.band {
            Some((_, at)) => self.band_truths(candidate.rule, &cause.readings[at as usize]),
            None => self.general_truths(candidate.rule, cause),
        };
        let Some((now_us, raise, clear)) = truths else {
            return;
        };
        self.counts.evaluations += 1;
        let first = match candidate.band {
            Some((series, _)) => self.series[series as usize].states,
            None => self.devices.get(cause.device).states,
        };
        let state = self.states.list(first).find(|id| self.states.get(*id).rule == candidate.rule);
        let phase = state.map_or(Phase::Idle, |id| self.states.get(id).phase);
        let moment = Moment { now_us, clock_us: cause.clock_us };
        let step = step(phase, &self.rules.get(candidate.rule).timing, moment, raise, clear);
        let is_masked = state.is_some_and(|id| self.states.get(id).mask.is_some());
        if step.phase != phase || step.overdue.is_some() || step.is_start {
            self.counts.state_changes += 1;
        } else if !is_masked {
            return;
        }
        self.take_step(candidate, state, moment, step, cause, sink);
    }

    /// *now*, R and C of a rule that looks at one number.
    fn band_truths(&self, rule: RuleId, taken: &Taken) -> Option<(i64, Option<bool>, Option<bool>)> {
        let Shape::Band { raise, clear } = &self.rules.get(rule).shape else {
            return None;
        };
        let (raise, clear) = match taken.value {
            TakenValue::Number(value) => {
                let is_raised = raise.contains(value);
                (Some(is_raised), Some(clear.as_ref().map_or(!is_raised, |clear| clear.contains(value))))
            }
            TakenValue::Boolean(_) | TakenValue::Text => (None, None),
        };
        Some((taken.observed_at_us, raise, clear))
    }

    /// *now*, R and C of a rule that looks at the readings in place.
    fn general_truths(&mut self, id: RuleId, cause: &Group<'_>) -> Option<(i64, Option<bool>, Option<bool>)> {
        self.have_thresholds(id, cause.device);
        let rule = self.rules.get(id);
        let Shape::General { when, clear, .. } = &rule.shape else {
            return None;
        };
        let in_place = InPlace::of(self, id, cause.device, cause.location)?;
        let now_us = in_place.now_us;
        let is_true = when.truth(&in_place);
        let clear = clear.as_ref().map(|clear| clear.truth(&in_place));
        let raise = match rule.rule.meaning.hits {
            None => is_true,
            Some(hits) => self.count_hit((id, cause.device), hits, is_true),
        };
        Some((now_us, raise, clear.unwrap_or(raise.map(|raise| !raise))))
    }

    /// R after `hits`: an unknown evaluation is not counted, and makes it unknown.
    fn count_hit(&mut self, key: (RuleId, DeviceId), hits: Hits, is_true: Option<bool>) -> Option<bool> {
        let is_true = is_true?;
        let before = self.hits.get(&key).copied().unwrap_or(0);
        let counted = u64::MAX >> (u64::BITS - hits.of);
        let after = (before << 1 | u64::from(is_true)) & counted;
        if after == 0 {
            self.hits.remove(&key);
        } else if after != before {
            self.hits.insert(key, after);
        }
        Some(after.count_ones() >= hits.needed)
    }

    /// The thresholds in force of a rule that names some, looked up once a device.
    fn have_thresholds(&mut self, id: RuleId, device: DeviceId) {
        let rule = &self.rules.get(id).rule;
        if rule.meaning.thresholds.is_empty() || self.thresholds.contains_key(&(id, device)) {
            return;
        }
        let device_id = &self.devices.get(device).id;
        let registry = self.rule_set.registry();
        let limits = rule.meaning.thresholds.iter().map(|one| registry.in_force(one, device_id).value);
        self.thresholds.insert((id, device), limits.collect());
    }

    fn take_step(
        &mut self,
        candidate: &Candidate,
        mut state: Option<StateId>,
        moment: Moment,
        step: Step,
        cause: &Group<'_>,
        sink: &mut impl Sink,
    ) {
        if let (Some(turn), Some(id)) = (step.overdue, state) {
            state = self.turn(id, turn, cause.clock_us, sink);
        }
        if let Some(id) = state {
            self.pass_edges_before(id, moment.now_us, cause.clock_us, sink);
        }
        if step.is_start {
            state = Some(self.start_state(candidate, moment, cause));
        }
        if let (Some(turn), Some(id)) = (step.now, state) {
            state = self.turn(id, turn, cause.clock_us, sink);
        }
        match state {
            Some(id) if step.phase == Phase::Idle => self.remove_state(id),
            Some(id) => {
                let timing = self.rules.get(candidate.rule).timing;
                if self.states.get(id).phase != step.phase {
                    self.states.enter(id, step.phase, &timing);
                }
                if let Some(mask) = &mut self.states.get_mut(id).mask {
                    mask.evaluated_us = cause.clock_us;
                    self.states.refresh_edge(id, &timing);
                }
            }
            None => {}
        }
    }

    fn start_state(&mut self, candidate: &Candidate, moment: Moment, cause: &Group<'_>) -> StateId {
        let episode = self.start(candidate.rule, moment.now_us, candidate.band, cause);
        let series = candidate.band.map(|(series, _)| series);
        let first = match series {
            Some(series) => &mut self.series[series as usize].states,
            None => &mut self.devices.get_mut(cause.device).states,
        };
        let id = self.states.add(candidate.rule, cause.device, series, Phase::Idle, episode, first);
        if self.rules.get(candidate.rule).rule.meaning.active.is_some() {
            self.states.get_mut(id).mask = Some(Mask::new(None, cause.clock_us));
        }
        id
    }

    /// What an alert keeps of the evaluation that starts it.
    fn start(&self, id: RuleId, now_us: i64, band: Option<(SeriesId, u32)>, cause: &Group<'_>) -> Episode {
        let rule = self.rules.get(id);
        let view = rule.view as usize;
        let placed = |taken: &Taken| placed(taken, cause, &self.metrics);
        let is_among = |taken: &&Taken| {
            taken.is_placed[view] && (rule.metrics.is_empty() || rule.metrics.contains(&taken.metric))
        };
        let first = cause
            .readings
            .iter()
            .find(is_among)
            .expect("a rule is evaluated only where one of its metrics was placed");
        let evidence = match band {
            Some((_, at)) if cause.readings[at as usize].index == first.index => Vec::new(),
            Some((_, at)) => vec![placed(&cause.readings[at as usize])],
            None => self.evidence(rule, cause.device),
        };
        Episode {
            cause: Cause::Reading(placed(first)),
            evidence,
            place: self.devices.get(cause.device).place.clone(),
            location: cause.location,
            started_us: now_us,
            raised_us: None,
            edge_us: None,
        }
    }

    fn evidence(&self, rule: &CompiledRule, device: DeviceId) -> Vec<crate::reading::PlacedReading> {
        rule.metrics.iter().filter_map(|metric| self.known(rule, device, *metric)).cloned().collect()
    }
}
