//! `active`: a week of local time as instants. Knows offsets, not where they come from: a time zone is a list of the
//! instants at which its offset changes, so that a rule set says the same wherever it is evaluated.

use serde::{Deserialize, Serialize};

pub(crate) const WEEK_S: i64 = 7 * 86_400;
const SECOND_US: i64 = 1_000_000;
/// 1970-01-01 was a Thursday; weeks here start on Monday.
const EPOCH_WEEK_S: i64 = 3 * 86_400;

/// When a rule is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schedule {
    /// [start, end) in seconds of the local week from Monday 00:00: disjoint, rising, not touching; one that runs over
    /// the end of the week is two.
    spans: Vec<(i64, i64)>,
    zone: ZoneOffsets,
}

/// A time zone as its offsets from UTC, in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ZoneOffsets {
    /// IANA name.
    pub(crate) name: String,
    /// Before the first change.
    pub(crate) first_s: i32,
    /// (second since 1970-01-01T00:00:00Z, offset from then on), rising.
    pub(crate) changes: Vec<(i64, i32)>,
}

/// An instant at which `active` begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScheduleEdge {
    pub(crate) at_us: i64,
    pub(crate) is_opening: bool,
}

impl Schedule {
    /// `None` where the spans are the whole week: there is nothing to mask.
    pub(crate) fn new(spans: &[(i64, i64)], zone: ZoneOffsets) -> Option<Self> {
        let mut cut: Vec<(i64, i64)> = Vec::with_capacity(spans.len() + 1);
        for &(start, end) in spans {
            cut.push((start, end.min(WEEK_S)));
            if end > WEEK_S {
                cut.push((0, end - WEEK_S));
            }
        }
        cut.sort_unstable();
        let mut merged: Vec<(i64, i64)> = Vec::with_capacity(cut.len());
        for (start, end) in cut {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        (merged != [(0, WEEK_S)]).then_some(Schedule { spans: merged, zone })
    }

    /// Spans and offsets as [`Schedule::new`] makes them.
    pub(crate) fn is_consistent(&self) -> bool {
        let is_rising = self.spans.windows(2).all(|pair| pair[0].1 < pair[1].0);
        let is_within = self.spans.iter().all(|(start, end)| 0 <= *start && start < end && *end <= WEEK_S);
        let is_part = !self.spans.is_empty() && self.spans != [(0, WEEK_S)];
        is_rising && is_within && is_part && self.zone.changes.windows(2).all(|pair| pair[0].0 < pair[1].0)
    }

    /// IANA name.
    pub(crate) fn time_zone(&self) -> &str {
        &self.zone.name
    }

    pub(crate) fn is_active(&self, at_us: i64) -> bool {
        let at_s = at_us.div_euclid(SECOND_US);
        self.is_within(week_second(at_s, self.zone.offset_at(at_s)))
    }

    /// The first edge after an instant.
    pub(crate) fn next_edge(&self, after_us: i64) -> ScheduleEdge {
        let mut from_s = after_us.div_euclid(SECOND_US);
        let mut is_active = self.is_active(after_us);
        loop {
            let offset_s = self.zone.offset_at(from_s);
            let until_s = self.zone.next_change(from_s).unwrap_or(i64::MAX);
            let edge_s = from_s + self.to_boundary(week_second(from_s, offset_s), is_active);
            if edge_s < until_s {
                return ScheduleEdge { at_us: edge_s.saturating_mul(SECOND_US), is_opening: !is_active };
            }
            // The wall clock jumps here, maybe over an edge, or back over one.
            let is_active_then = self.is_active(until_s * SECOND_US);
            if is_active_then != is_active {
                return ScheduleEdge { at_us: until_s * SECOND_US, is_opening: is_active_then };
            }
            (from_s, is_active) = (until_s, is_active_then);
        }
    }

    fn is_within(&self, week_s: i64) -> bool {
        self.spans.iter().any(|(start, end)| (*start..*end).contains(&week_s))
    }

    /// Seconds from a second of the week to the next at which `is_active` no longer holds.
    fn to_boundary(&self, week_s: i64, is_active: bool) -> i64 {
        let ends = self.spans.iter().map(|(start, end)| if is_active { *end } else { *start });
        let ahead = ends.map(|end| (end - week_s - 1).rem_euclid(WEEK_S) + 1);
        // The end of Sunday is no boundary where Monday begins inside.
        ahead.filter(|ahead| self.is_within((week_s + ahead) % WEEK_S) != is_active).min().unwrap_or(WEEK_S)
    }
}

impl ZoneOffsets {
    fn offset_at(&self, at_s: i64) -> i64 {
        let passed = self.changes.partition_point(|(change_s, _)| *change_s <= at_s);
        i64::from(passed.checked_sub(1).map_or(self.first_s, |last| self.changes[last].1))
    }

    fn next_change(&self, after_s: i64) -> Option<i64> {
        let passed = self.changes.partition_point(|(change_s, _)| *change_s <= after_s);
        self.changes.get(passed).map(|(change_s, _)| *change_s)
    }
}

fn week_second(at_s: i64, offset_s: i64) -> i64 {
    (at_s + offset_s + EPOCH_WEEK_S).rem_euclid(WEEK_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;
    const DAY: i64 = 24 * HOUR;
    /// Monday 2026-03-02T00:00:00Z.
    const MONDAY_S: i64 = 1_772_409_600;

    fn edges(spans: &[(i64, i64)], zone: ZoneOffsets, from_s: i64, count: usize) -> Vec<(i64, bool)> {
        let schedule = Schedule::new(spans, zone).unwrap();
        assert!(schedule.is_consistent());
        let mut at_us = from_s * SECOND_US;
        let mut edges = Vec::new();
        for _ in 0..count {
            let edge = schedule.next_edge(at_us);
            assert_eq!(schedule.is_active(edge.at_us), edge.is_opening);
            assert_ne!(schedule.is_active(edge.at_us - 1), edge.is_opening);
            edges.push(((edge.at_us / SECOND_US - MONDAY_S), edge.is_opening));
            at_us = edge.at_us;
        }
        edges
    }

    fn utc() -> ZoneOffsets {
        ZoneOffsets { name: "UTC".into(), first_s: 0, changes: vec![] }
    }

    #[test]
    fn spans_that_touch_are_one_also_over_the_end_of_the_week() {
        let nights = [(22 * HOUR, 30 * HOUR), (30 * HOUR, 31 * HOUR)];
        assert_eq!(edges(&nights, utc(), MONDAY_S, 2), [(22 * HOUR, true), (31 * HOUR, false)]);
        let over_sunday = [(6 * DAY + 22 * HOUR, 7 * DAY + 6 * HOUR)];
        assert_eq!(
            edges(&over_sunday, utc(), MONDAY_S, 3),
            [(6 * HOUR, false), (6 * DAY + 22 * HOUR, true), (7 * DAY + 6 * HOUR, false)]
        );
        assert_eq!(Schedule::new(&[(0, 3 * DAY), (3 * DAY, 7 * DAY)], utc()), None);
    }

    #[test]
    fn the_wall_clock_decides_where_it_jumps() {
        // An hour forward at Monday 02:00 local, which is 01:00 UTC: 02:30 never is, so the span opens at the jump.
        let forward =
            ZoneOffsets { name: "x".into(), first_s: 3_600, changes: vec![(MONDAY_S + HOUR, 7_200)] };
        let spans = [(2 * HOUR + 1_800, 4 * HOUR)];
        assert_eq!(edges(&spans, forward, MONDAY_S, 2), [(HOUR, true), (2 * HOUR, false)]);
        // An hour back at 03:00 local, 01:00 UTC: 02:30 to 03:00 is twice.
        let back = ZoneOffsets { name: "x".into(), first_s: 7_200, changes: vec![(MONDAY_S + HOUR, 3_600)] };
        let half = [(2 * HOUR + 1_800, 3 * HOUR)];
        assert_eq!(
            edges(&half, back, MONDAY_S, 4),
            [(1_800, true), (HOUR, false), (HOUR + 1_800, true), (2 * HOUR, false)]
        );
    }
}
