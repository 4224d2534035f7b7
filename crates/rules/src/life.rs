//! The life of an alert: the table of states as a function of one evaluation or of the clock. Knows times and truths,
//! nothing of rules, devices or readings.

/// Where a (rule, device) stands. Times are microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    /// R has held since; `clock_us` is the partition clock then.
    Pending {
        since_us: i64,
        clock_us: i64,
    },
    Firing,
    /// C has held since; `clock_us` is the partition clock then.
    Clearing {
        since_us: i64,
        clock_us: i64,
    },
}

/// The spans of a rule that its life depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    pub(crate) for_us: i64,
    pub(crate) clear_for_us: i64,
    pub(crate) silence_grace_us: i64,
}

/// What is said, with its stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Raise { at_us: i64 },
    Resolve { at_us: i64 },
}

/// One evaluation: its *now* and the clock at its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) now_us: i64,
    pub(crate) clock_us: i64,
}

/// What one evaluation does, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// What was due before the evaluation, of the episode that was open.
    pub(crate) overdue: Option<Turn>,
    /// The evaluation starts an episode: pending, or raised at once.
    pub(crate) is_start: bool,
    /// What the evaluation itself says.
    pub(crate) now: Option<Turn>,
    pub(crate) phase: Phase,
}

/// One evaluation. `raise` and `clear` are R and C, `None` where unknown.
pub(crate) fn step(
    phase: Phase,
    timing: &Timing,
    moment: Moment,
    raise: Option<bool>,
    clear: Option<bool>,
) -> Step {
    let (overdue, phase) = overdue(phase, timing, moment.now_us);
    let at_us = moment.now_us;
    let stay = Step { overdue, is_start: false, now: None, phase };
    match phase {
        Phase::Idle if raise == Some(true) => {
            let (now, phase) = if timing.for_us == 0 {
                (Some(Turn::Raise { at_us }), Phase::Firing)
            } else {
                (None, Phase::Pending { since_us: at_us, clock_us: moment.clock_us })
            };
            Step { is_start: true, now, phase, ..stay }
        }
        Phase::Pending { .. } if raise == Some(false) => Step { phase: Phase::Idle, ..stay },
        Phase::Pending { since_us, .. }
            if raise == Some(true) && at_us.saturating_sub(since_us) == timing.for_us =>
        {
            Step { now: Some(Turn::Raise { at_us }), phase: Phase::Firing, ..stay }
        }
        Phase::Firing if clear == Some(true) => {
            if timing.clear_for_us == 0 {
                Step { now: Some(Turn::Resolve { at_us }), phase: Phase::Idle, ..stay }
            } else {
                Step { phase: Phase::Clearing { since_us: at_us, clock_us: moment.clock_us }, ..stay }
            }
        }
        Phase::Clearing { .. } if clear == Some(false) => Step { phase: Phase::Firing, ..stay },
        Phase::Clearing { since_us, .. }
            if clear == Some(true) && at_us.saturating_sub(since_us) == timing.clear_for_us =>
        {
            Step { now: Some(Turn::Resolve { at_us }), phase: Phase::Idle, ..stay }
        }
        Phase::Idle | Phase::Pending { .. } | Phase::Firing | Phase::Clearing { .. } => stay,
    }
}

/// What was due before an evaluation: the value in place held until now.
fn overdue(phase: Phase, timing: &Timing, now_us: i64) -> (Option<Turn>, Phase) {
    match due_us(phase, timing) {
        Some(due_us) if now_us > due_us => spoken(phase, timing),
        _ => (None, phase),
    }
}

/// The event time at which a phase ends by itself.
pub(crate) fn due_us(phase: Phase, timing: &Timing) -> Option<i64> {
    match phase {
        Phase::Pending { since_us, .. } => Some(since_us.saturating_add(timing.for_us)),
        Phase::Clearing { since_us, .. } => Some(since_us.saturating_add(timing.clear_for_us)),
        Phase::Idle | Phase::Firing => None,
    }
}

/// The clock that a phase waits for before a timer speaks, as (clock at its start, wait).
pub(crate) fn timer(phase: Phase, timing: &Timing) -> Option<(i64, i64)> {
    match phase {
        Phase::Pending { clock_us, .. } => Some((clock_us, timing.for_us + timing.silence_grace_us)),
        Phase::Clearing { clock_us, .. } => Some((clock_us, timing.clear_for_us + timing.silence_grace_us)),
        Phase::Idle | Phase::Firing => None,
    }
}

/// What a phase says when it ends by itself, and the phase after it.
pub(crate) fn spoken(phase: Phase, timing: &Timing) -> (Option<Turn>, Phase) {
    match (phase, due_us(phase, timing)) {
        (Phase::Pending { .. }, Some(at_us)) => (Some(Turn::Raise { at_us }), Phase::Firing),
        (Phase::Clearing { .. }, Some(at_us)) => (Some(Turn::Resolve { at_us }), Phase::Idle),
        _ => (None, phase),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing { for_us: 60, clear_for_us: 30, silence_grace_us: 10 };
    const AT_ONCE: Timing = Timing { for_us: 0, clear_for_us: 0, silence_grace_us: 10 };

    fn check(
        timing: Timing,
        phase: Phase,
        now_us: i64,
        raise: Option<bool>,
        clear: Option<bool>,
        expected: Step,
    ) {
        let moment = Moment { now_us, clock_us: 1_000 };
        assert_eq!(
            step(phase, &timing, moment, raise, clear),
            expected,
            "{phase:?} at {now_us}: {raise:?} {clear:?}"
        );
    }

    fn staying(phase: Phase) -> Step {
        Step { overdue: None, is_start: false, now: None, phase }
    }

    #[test]
    fn the_table_row_by_row() {
        let (yes, no, unknown) = (Some(true), Some(false), None);
        let pending = Phase::Pending { since_us: 0, clock_us: 5 };
        let clearing = Phase::Clearing { since_us: 0, clock_us: 5 };
        let new_pending = Phase::Pending { since_us: 7, clock_us: 1_000 };
        let raise = |at_us| Some(Turn::Raise { at_us });
        let resolve = |at_us| Some(Turn::Resolve { at_us });
        check(TIMING, Phase::Idle, 7, no, yes, staying(Phase::Idle));
        check(TIMING, Phase::Idle, 7, unknown, unknown, staying(Phase::Idle));
        check(TIMING, Phase::Idle, 7, yes, no, Step { is_start: true, ..staying(new_pending) });
        check(
            AT_ONCE,
            Phase::Idle,
            7,
            yes,
            no,
            Step { is_start: true, now: raise(7), ..staying(Phase::Firing) },
        );
        check(TIMING, pending, 60, no, yes, staying(Phase::Idle));
        check(TIMING, pending, 59, yes, no, staying(pending));
        check(TIMING, pending, 60, unknown, unknown, staying(pending));
        check(TIMING, pending, 60, yes, no, Step { now: raise(60), ..staying(Phase::Firing) });
        check(TIMING, pending, 61, yes, no, Step { overdue: raise(60), ..staying(Phase::Firing) });
        let since_61 = Phase::Clearing { since_us: 61, clock_us: 1_000 };
        check(TIMING, pending, 61, no, yes, Step { overdue: raise(60), ..staying(since_61) });
        check(TIMING, pending, 61, unknown, unknown, Step { overdue: raise(60), ..staying(Phase::Firing) });
        check(TIMING, Phase::Firing, 7, yes, no, staying(Phase::Firing));
        check(TIMING, Phase::Firing, 7, no, unknown, staying(Phase::Firing));
        let since_7 = Phase::Clearing { since_us: 7, clock_us: 1_000 };
        check(TIMING, Phase::Firing, 7, no, yes, staying(since_7));
        check(AT_ONCE, Phase::Firing, 7, no, yes, Step { now: resolve(7), ..staying(Phase::Idle) });
        check(TIMING, clearing, 29, no, yes, staying(clearing));
        check(TIMING, clearing, 30, no, yes, Step { now: resolve(30), ..staying(Phase::Idle) });
        check(TIMING, clearing, 30, yes, no, staying(Phase::Firing));
        check(TIMING, clearing, 30, unknown, unknown, staying(clearing));
        check(TIMING, clearing, 31, no, yes, Step { overdue: resolve(30), ..staying(Phase::Idle) });
        let pending_31 = Phase::Pending { since_us: 31, clock_us: 1_000 };
        check(
            TIMING,
            clearing,
            31,
            yes,
            no,
            Step { overdue: resolve(30), is_start: true, ..staying(pending_31) },
        );
    }
}
