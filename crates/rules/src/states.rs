//! The states of (rule, device) that are not idle, and the timers that they wait for.
//!
//! A rule's wait is constant and the clock never falls, so the states that wait equally long stand in a queue that is
//! in order by itself: a timer is set and taken back without a search. A heap over the queues knows which is next.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use hashbrown::HashMap;

use crate::devices::{DeviceId, SeriesId};
use crate::life::{Phase, Timing, due_us, timer};
use crate::reading::Episode;
use crate::schedule::ScheduleEdge;

/// Place in [`States`]; given again once it is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StateId(u32);

/// Number of a rule in the set in force.
pub(crate) type RuleId = u32;

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) rule: RuleId,
    pub(crate) device: DeviceId,
    /// `None` where the rule looks at more than one series.
    pub(crate) series: Option<SeriesId>,
    pub(crate) phase: Phase,
    pub(crate) episode: Episode,
    /// Of a rule with `active`.
    pub(crate) mask: Option<Mask>,
    /// Next state of the same series, or of the same device where there is no series.
    pub(crate) next: Option<StateId>,
    link: Option<TimerLink>,
}

/// What `active` hides of an episode and when that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mask {
    /// The first edge that is not passed; `None` until the episode is raised.
    pub(crate) next: Option<ScheduleEdge>,
    /// The clock at its last evaluation.
    pub(crate) evaluated_us: i64,
    /// The clock that must be past for the clock alone to pass the edge.
    due_us: Option<i64>,
}

impl Mask {
    pub(crate) fn new(next: Option<ScheduleEdge>, evaluated_us: i64) -> Self {
        Mask { next, evaluated_us, due_us: None }
    }
}

#[derive(Clone, Copy, Debug)]
struct TimerLink {
    queue: u32,
    previous: Option<StateId>,
    next: Option<StateId>,
}

#[derive(Debug)]
struct Queue {
    wait_us: i64,
    first: Option<StateId>,
    last: Option<StateId>,
    /// It has an entry in the heap, which is not later than its first timer.
    is_in_heap: bool,
}

#[derive(Debug, Default)]
pub(crate) struct States {
    states: Vec<Option<State>>,
    free: Vec<StateId>,
    queues: Vec<Queue>,
    queue_of_wait: HashMap<i64, u32>,
    heap: BinaryHeap<Reverse<(i64, u32)>>,
    /// (due, state) of schedule edges.
    edges: BTreeSet<(i64, StateId)>,
}

impl States {
    pub(crate) fn get(&self, id: StateId) -> &State {
        self.states[id.0 as usize].as_ref().expect("ids are held only while their state is")
    }

    pub(crate) fn get_mut(&mut self, id: StateId) -> &mut State {
        self.states[id.0 as usize].as_mut().expect("ids are held only while their state is")
    }

    pub(crate) fn len(&self) -> usize {
        self.states.len() - self.free.len()
    }

    /// Every state, in no order that means anything.
    pub(crate) fn ids(&self) -> impl Iterator<Item = StateId> + '_ {
        self.states.iter().enumerate().filter(|(_, state)| state.is_some()).map(|(at, _)| StateId(at as u32))
    }

    /// Walks the list that starts at `first`.
    pub(crate) fn list(&self, first: Option<StateId>) -> impl Iterator<Item = StateId> + '_ {
        std::iter::successors(first, |id| self.get(*id).next)
    }

    /// Adds a state at the head of the list `first`; it has no timer yet.
    pub(crate) fn add(
        &mut self,
        rule: RuleId,
        device: DeviceId,
        series: Option<SeriesId>,
        phase: Phase,
        episode: Episode,
        first: &mut Option<StateId>,
    ) -> StateId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.states.push(None);
            StateId(self.states.len() as u32 - 1)
        });
        self.states[id.0 as usize] =
            Some(State { rule, device, series, phase, episode, mask: None, next: *first, link: None });
        *first = Some(id);
        id
    }

    /// Takes a state out of the list `first` and out of its timer's queue.
    pub(crate) fn remove(&mut self, id: StateId, first: &mut Option<StateId>) -> State {
        self.cancel(id);
        let state = self.states[id.0 as usize].take().expect("ids are held only while their state is");
        if let Some(Mask { due_us: Some(due_us), .. }) = state.mask {
            self.edges.remove(&(due_us, id));
        }
        self.free.push(id);
        if *first == Some(id) {
            *first = state.next;
            return state;
        }
        let mut before = *first;
        while let Some(at) = before {
            let before_it = self.get_mut(at);
            if before_it.next == Some(id) {
                before_it.next = state.next;
                break;
            }
            before = before_it.next;
        }
        state
    }

    /// Moves a state to another phase and sets the timer that it waits for.
    pub(crate) fn enter(&mut self, id: StateId, phase: Phase, timing: &Timing) {
        self.cancel(id);
        self.get_mut(id).phase = phase;
        if let Some((clock_us, wait_us)) = timer(phase, timing) {
            self.wait(id, clock_us, wait_us);
        }
    }

    fn wait(&mut self, id: StateId, clock_us: i64, wait_us: i64) {
        let queues = &mut self.queues;
        let queue = *self.queue_of_wait.entry(wait_us).or_insert_with(|| {
            queues.push(Queue { wait_us, first: None, last: None, is_in_heap: false });
            queues.len() as u32 - 1
        });
        let at = &mut queues[queue as usize];
        let previous = at.last.replace(id);
        if at.first.is_none() {
            at.first = Some(id);
        }
        if !at.is_in_heap {
            at.is_in_heap = true;
            self.heap.push(Reverse((clock_us.saturating_add(wait_us), queue)));
        }
        if let Some(previous) = previous {
            self.link_mut(previous).next = Some(id);
        }
        self.get_mut(id).link = Some(TimerLink { queue, previous, next: None });
    }

    fn cancel(&mut self, id: StateId) {
        let Some(link) = self.get_mut(id).link.take() else {
            return;
        };
        match link.previous {
            Some(previous) => self.link_mut(previous).next = link.next,
            None => self.queues[link.queue as usize].first = link.next,
        }
        match link.next {
            Some(next) => self.link_mut(next).previous = link.previous,
            None => self.queues[link.queue as usize].last = link.previous,
        }
    }

    fn link_mut(&mut self, id: StateId) -> &mut TimerLink {
        self.get_mut(id).link.as_mut().expect("a queue holds only states that link into it")
    }

    /// When the next timer is due; it speaks once the clock is past it.
    pub(crate) fn next_due_us(&self) -> Option<i64> {
        let timers = (0..self.queues.len() as u32).filter_map(|queue| self.first_due_us(queue));
        timers.chain(self.edges.first().map(|(due_us, _)| *due_us)).min()
    }

    /// Not later than [`States::next_due_us`], and at hand.
    #[inline]
    pub(crate) fn earliest_due_us(&self) -> i64 {
        let timer_us = self.heap.peek().map_or(i64::MAX, |Reverse((due_us, _))| *due_us);
        self.edges.first().map_or(timer_us, |(due_us, _)| timer_us.min(*due_us))
    }

    fn first_due_us(&self, queue: u32) -> Option<i64> {
        let queue = &self.queues[queue as usize];
        let first = self.get(queue.first?);
        let clock_us = match first.phase {
            Phase::Pending { clock_us, .. } | Phase::Clearing { clock_us, .. } => clock_us,
            Phase::Idle | Phase::Firing => return None,
        };
        Some(clock_us.saturating_add(queue.wait_us))
    }

    /// Takes the timers that the clock has passed out of their queues, as (due, state), in no order.
    pub(crate) fn take_due(&mut self, clock_us: i64, due: &mut Vec<(i64, StateId)>) {
        while let Some(Reverse((noted_us, queue))) = self.heap.peek().copied()
            && noted_us < clock_us
        {
            self.heap.pop();
            while let Some(due_us) = self.first_due_us(queue)
                && due_us < clock_us
                && let Some(first) = self.queues[queue as usize].first
            {
                self.cancel(first);
                due.push((due_us, first));
            }
            let next_us = self.first_due_us(queue);
            self.queues[queue as usize].is_in_heap = next_us.is_some();
            self.heap.extend(next_us.map(|due_us| Reverse((due_us, queue))));
        }
    }

    /// Takes the edges that the clock has passed, as (due, state), each state's next one only.
    pub(crate) fn take_due_edges(&mut self, clock_us: i64, due: &mut Vec<(i64, StateId)>) {
        while let Some(&(due_us, id)) = self.edges.first()
            && due_us < clock_us
        {
            self.edges.pop_first();
            if let Some(mask) = &mut self.get_mut(id).mask {
                mask.due_us = None;
            }
            due.push((due_us, id));
        }
    }

    /// Whether there is such a state still.
    pub(crate) fn contains(&self, id: StateId) -> bool {
        self.states.get(id.0 as usize).is_some_and(Option::is_some)
    }

    /// Says anew when the clock alone passes the next edge of a state: past the grace after the edge and after its last
    /// evaluation, unless a timer that is stamped before the edge waits.
    pub(crate) fn refresh_edge(&mut self, id: StateId, timing: &Timing) -> Option<i64> {
        let state = self.get_mut(id);
        let phase = state.phase;
        let mask = state.mask.as_mut()?;
        let wanted_us = mask.next.and_then(|edge| {
            let waits = due_us(phase, timing).is_some_and(|stamp_us| stamp_us < edge.at_us);
            let from_us = edge.at_us.max(mask.evaluated_us);
            (!waits).then(|| from_us.saturating_add(timing.silence_grace_us))
        });
        let set_us = std::mem::replace(&mut mask.due_us, wanted_us);
        if set_us != wanted_us {
            if let Some(set_us) = set_us {
                self.edges.remove(&(set_us, id));
            }
            if let Some(wanted_us) = wanted_us {
                self.edges.insert((wanted_us, id));
            }
        }
        wanted_us
    }

    /// Sets every timer anew: after the rules changed under the states, or after they were read from a snapshot.
    pub(crate) fn reset_timers(&mut self, timing_of: impl Fn(RuleId) -> Timing) {
        (self.queues, self.heap) = Default::default();
        self.queue_of_wait.clear();
        self.edges.clear();
        let mut waiting: Vec<(i64, StateId, i64)> = Vec::new();
        for id in self.ids().collect::<Vec<_>>() {
            let state = self.get_mut(id);
            state.link = None;
            if let Some(mask) = &mut state.mask {
                mask.due_us = None;
            }
            let timing = timing_of(state.rule);
            if let Some((clock_us, wait_us)) = timer(state.phase, &timing) {
                waiting.push((clock_us, id, wait_us));
            }
            self.refresh_edge(id, &timing);
        }
        waiting.sort_unstable();
        for (clock_us, id, wait_us) in waiting {
            self.wait(id, clock_us, wait_us);
        }
    }
}
