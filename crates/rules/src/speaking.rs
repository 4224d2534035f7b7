//! What is said and with which stamp: turns of the life of an alert, what `active` hides of them, and everything that is
//! due when the clock moves.

use std::sync::Arc;

use crate::dead_man::WatchKey;
use crate::devices::DeviceId;
use crate::evaluator::Core;
use crate::life::{Turn, spoken};
use crate::said::{Said, Sink};
use crate::states::{RuleId, StateId};

const SCHEDULE_ENDED: &str = "schedule_ended";

/// Something that the clock has passed.
#[derive(Clone, Copy, Debug)]
struct Due {
    due_us: i64,
    rule: RuleId,
    device: DeviceId,
    stamp_us: i64,
    what: DueWhat,
}

#[derive(Clone, Copy, Debug)]
enum DueWhat {
    Timer(StateId),
    Edge(StateId),
    Missed(WatchKey),
}

impl Core {
    /// Takes one turn of a state's life: edges that come before it, then itself. A resolve ends the state.
    pub(crate) fn turn(
        &mut self,
        id: StateId,
        turn: Turn,
        clock_us: i64,
        sink: &mut impl Sink,
    ) -> Option<StateId> {
        match turn {
            Turn::Raise { at_us } => {
                self.raise(id, at_us, clock_us, sink);
                Some(id)
            }
            Turn::Resolve { at_us } => {
                self.pass_edges_before(id, at_us, clock_us, sink);
                self.resolve(id, at_us, None, clock_us, sink);
                self.remove_state(id);
                None
            }
        }
    }

    fn raise(&mut self, id: StateId, at_us: i64, clock_us: i64, sink: &mut impl Sink) {
        let state = self.states.get_mut(id);
        let rule = Arc::clone(&self.rules.get(state.rule).rule);
        let Some((active, mask)) = rule.meaning.active.as_ref().zip(state.mask.as_mut()) else {
            return self.say_raised(id, at_us, None, clock_us, sink);
        };
        let next = active.next_edge(at_us);
        mask.next = Some(next);
        if active.is_active(at_us) {
            self.say_raised(id, at_us, None, clock_us, sink);
        }
        let timing = self.rules.get(self.states.get(id).rule).timing;
        self.states.refresh_edge(id, &timing);
    }

    /// Says a raise at its instant or at an opening edge, not before the last stamp said of the same rule and device;
    /// where that is at or past the closing edge, it is not said.
    fn say_raised(
        &mut self,
        id: StateId,
        at_us: i64,
        edge_us: Option<i64>,
        clock_us: i64,
        sink: &mut impl Sink,
    ) {
        let state = self.states.get_mut(id);
        let key = (Arc::clone(&self.rules.get(state.rule).id), state.device);
        let stamp_us = self.stamps.get(&key).map_or(at_us, |last_us| at_us.max(*last_us));
        let closing_us = state.mask.and_then(|mask| mask.next).map(|edge| edge.at_us);
        if closing_us.is_some_and(|closing_us| stamp_us >= closing_us) {
            return;
        }
        state.episode.raised_us = Some(stamp_us);
        state.episode.edge_us = edge_us;
        self.counts.raised += 1;
        self.say(id, Turn::Raise { at_us: stamp_us }, None, clock_us, sink);
    }

    /// Says that what is said to be firing is resolved, not before it was raised. The state stays.
    pub(crate) fn resolve(
        &mut self,
        id: StateId,
        at_us: i64,
        reason: Option<&'static str>,
        clock_us: i64,
        sink: &mut impl Sink,
    ) {
        let Some(raised_us) = self.states.get(id).episode.raised_us else {
            return;
        };
        let at_us = at_us.max(raised_us);
        self.counts.resolved += 1;
        self.say(id, Turn::Resolve { at_us }, reason, clock_us, sink);
        let state = self.states.get_mut(id);
        state.episode.raised_us = None;
        let key = (Arc::clone(&self.rules.get(state.rule).id), state.device);
        self.remember_stamp(key, at_us);
    }

    fn say(
        &mut self,
        id: StateId,
        turn: Turn,
        reason: Option<&'static str>,
        clock_us: i64,
        sink: &mut impl Sink,
    ) {
        let state = self.states.get(id);
        sink.say(&Said {
            rule: self.rules.get(state.rule),
            device_id: &self.devices.get(state.device).id,
            episode: &state.episode,
            turn,
            reason,
            clock_us,
            metrics: &self.metrics,
            registry: self.rule_set.registry(),
        });
    }

    /// Passes the edges of an open episode that come before what is stamped so: a closing one at the same instant does.
    pub(crate) fn pass_edges_before(
        &mut self,
        id: StateId,
        stamp_us: i64,
        clock_us: i64,
        sink: &mut impl Sink,
    ) {
        while let Some(edge) = self.states.get(id).mask.and_then(|mask| mask.next)
            && (edge.at_us < stamp_us || edge.at_us == stamp_us && !edge.is_opening)
        {
            self.pass_edge(id, clock_us, sink);
        }
    }

    fn pass_edge(&mut self, id: StateId, clock_us: i64, sink: &mut impl Sink) {
        let state = self.states.get_mut(id);
        let rule = Arc::clone(&self.rules.get(state.rule).rule);
        let timing = self.rules.get(state.rule).timing;
        let Some((active, mask)) = rule.meaning.active.as_ref().zip(state.mask.as_mut()) else {
            return;
        };
        let Some(edge) = mask.next.replace(active.next_edge(mask.next.map_or(i64::MAX, |edge| edge.at_us)))
        else {
            return;
        };
        if edge.is_opening {
            self.say_raised(id, edge.at_us, Some(edge.at_us), clock_us, sink);
        } else {
            self.resolve(id, edge.at_us, Some(SCHEDULE_ENDED), clock_us, sink);
        }
        self.states.refresh_edge(id, &timing);
    }

    pub(crate) fn remember_stamp(&mut self, key: (Arc<str>, DeviceId), at_us: i64) {
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

    /// Does every timer and schedule edge that the clock has passed, and raises what was missed, in the order (due, rule
    /// id, device id, stamp).
    pub(crate) fn speak_due(&mut self, clock_us: i64, sink: &mut impl Sink) {
        if self.states.earliest_due_us() >= clock_us && self.scratch.missed.is_empty() {
            return;
        }
        let mut due: Vec<Due> = Vec::new();
        let mut taken = std::mem::take(&mut self.scratch.due);
        self.states.take_due(clock_us, &mut taken);
        due.extend(taken.drain(..).filter_map(|(due_us, id)| self.due_timer(due_us, id)));
        self.states.take_due_edges(clock_us, &mut taken);
        due.extend(taken.drain(..).filter_map(|(due_us, id)| self.due_edge(due_us, id)));
        self.scratch.due = taken;
        let mut missed = std::mem::take(&mut self.scratch.missed);
        due.extend(missed.drain(..).map(|(at_us, key)| {
            let (rule, device) = key;
            Due { due_us: at_us, rule, device, stamp_us: at_us, what: DueWhat::Missed(key) }
        }));
        self.scratch.missed = missed;
        // The first to come is the last, so that what follows from it can be put in its place.
        due.sort_by(|a, b| self.order(b, a));
        while let Some(one) = due.pop() {
            match one.what {
                DueWhat::Timer(id) => self.speak_timer(id, clock_us, sink),
                DueWhat::Edge(id) => {
                    let next = |core: &Core| core.states.get(id).mask.and_then(|mask| mask.next);
                    if self.states.contains(id) && next(self).is_some_and(|edge| edge.at_us == one.stamp_us) {
                        self.pass_edge(id, clock_us, sink);
                    }
                }
                DueWhat::Missed(key) => self.raise_missed(key, one.stamp_us, clock_us, sink),
            }
            self.take_due_edges(clock_us, &mut due);
        }
    }

    /// Puts edges that became due by what was just done in their place.
    fn take_due_edges(&mut self, clock_us: i64, due: &mut Vec<Due>) {
        let mut taken = std::mem::take(&mut self.scratch.due);
        self.states.take_due_edges(clock_us, &mut taken);
        for (due_us, id) in taken.drain(..) {
            if let Some(edge) = self.due_edge(due_us, id) {
                let at = due.partition_point(|other| self.order(other, &edge).is_gt());
                due.insert(at, edge);
            }
        }
        self.scratch.due = taken;
    }

    fn due_timer(&self, due_us: i64, id: StateId) -> Option<Due> {
        let state = self.states.get(id);
        let stamp_us = crate::life::due_us(state.phase, &self.rules.get(state.rule).timing)?;
        Some(Due { due_us, rule: state.rule, device: state.device, stamp_us, what: DueWhat::Timer(id) })
    }

    fn due_edge(&self, due_us: i64, id: StateId) -> Option<Due> {
        let state = self.states.get(id);
        let stamp_us = state.mask?.next?.at_us;
        Some(Due { due_us, rule: state.rule, device: state.device, stamp_us, what: DueWhat::Edge(id) })
    }

    /// A timer comes before an edge of the same stamp: an episode does not hold the instant of its resolve.
    fn order(&self, a: &Due, b: &Due) -> std::cmp::Ordering {
        let device_id = |due: &Due| &self.devices.get(due.device).id;
        let is_edge = |due: &Due| matches!(due.what, DueWhat::Edge(_));
        (a.due_us, a.rule, device_id(a), a.stamp_us, is_edge(a)).cmp(&(
            b.due_us,
            b.rule,
            device_id(b),
            b.stamp_us,
            is_edge(b),
        ))
    }

    fn speak_timer(&mut self, id: StateId, clock_us: i64, sink: &mut impl Sink) {
        let state = self.states.get(id);
        if let Some(series) = state.series {
            self.entries[series as usize].disturb();
        }
        let timing = self.rules.get(state.rule).timing;
        let (turn, phase) = spoken(state.phase, &timing);
        if let Some(turn) = turn
            && let Some(id) = self.turn(id, turn, clock_us, sink)
        {
            self.states.enter(id, phase, &timing);
            self.states.refresh_edge(id, &timing);
        }
    }
}
