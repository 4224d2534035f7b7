//! The dead-man's clock and watches. Time counts only while the log partition's input is alive; knows neither rules nor
//! alerts beyond their numbers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::{HashMap, HashSet};

use crate::devices::DeviceId;
use crate::states::RuleId;

/// Two records of gateways further apart than this have no live time between them.
const ALIVE_GAP_US_MAX: i64 = 30_000_000;

/// How long the input of the log partition has been alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Alive {
    /// Up to the last record of a gateway.
    pub(crate) total_us: i64,
    /// The clock at that record; `None` before the first.
    pub(crate) gateway_us: Option<i64>,
}

/// What a dead-man waits for of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watch {
    /// The clock at the last sign of life, or at which the rule took effect.
    pub(crate) last_us: i64,
    /// The live time then.
    pub(crate) last_alive_us: i64,
    /// It began between two records of gateways: the second decides whether the time between them was live.
    pub(crate) is_provisional: bool,
    /// It was missed, at this clock, and is until the next sign of life.
    pub(crate) missed_us: Option<i64>,
}

/// (rule, device).
pub(crate) type WatchKey = (RuleId, DeviceId);

/// All watches of the rules in force.
#[derive(Debug, Default)]
pub(crate) struct DeadMen {
    pub(crate) alive: Alive,
    watches: HashMap<WatchKey, Watch>,
    provisional: Vec<WatchKey>,
    /// Devices that rules may watch which they no longer match: their next sign of life ends these watches.
    strays: HashSet<DeviceId>,
    /// Not later than the live time at which a watch that misses nothing yet will: one entry each. A sign of life leaves
    /// it where it is; it is put right when its time comes.
    deadlines: BinaryHeap<Reverse<(i64, RuleId, DeviceId)>>,
}

impl DeadMen {
    pub(crate) fn get(&self, key: WatchKey) -> Option<&Watch> {
        self.watches.get(&key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (WatchKey, &Watch)> {
        self.watches.iter().map(|(key, watch)| (*key, watch))
    }

    /// Begins to watch; `span_us` is the rule's.
    pub(crate) fn add(&mut self, key: WatchKey, watch: Watch, span_us: i64) {
        if watch.is_provisional {
            self.provisional.push(key);
        } else if watch.missed_us.is_none() {
            self.deadlines.push(Reverse((watch.last_alive_us.saturating_add(span_us), key.0, key.1)));
        }
        self.watches.insert(key, watch);
    }

    /// A watch that starts as a rule takes effect.
    pub(crate) fn watch_from(&self, clock_us: i64) -> Watch {
        let since_gateway_us = self.alive.gateway_us.map_or(0, |gateway_us| clock_us - gateway_us);
        Watch {
            last_us: clock_us,
            last_alive_us: self.alive.total_us + since_gateway_us,
            is_provisional: since_gateway_us > 0,
            missed_us: None,
        }
    }

    /// A sign of life at the record of a gateway that [`DeadMen::gateway_record`] was told of. Gives the watch as it was.
    pub(crate) fn hear(&mut self, key: WatchKey, clock_us: i64, span_us: i64) -> Option<Watch> {
        let last_alive_us = self.alive.total_us;
        let heard = Watch { last_us: clock_us, last_alive_us, is_provisional: false, missed_us: None };
        let Some(watch) = self.watches.get_mut(&key) else {
            self.add(key, heard, span_us);
            return None;
        };
        let before = std::mem::replace(watch, heard);
        if before.missed_us.is_some() {
            self.deadlines.push(Reverse((last_alive_us.saturating_add(span_us), key.0, key.1)));
        }
        Some(before)
    }

    pub(crate) fn has_strays(&self) -> bool {
        !self.strays.is_empty()
    }

    pub(crate) fn add_stray(&mut self, device: DeviceId) {
        self.strays.insert(device);
    }

    /// Whether it is one; it is none from now on.
    pub(crate) fn take_stray(&mut self, device: DeviceId) -> bool {
        self.strays.remove(&device)
    }

    pub(crate) fn remove(&mut self, key: WatchKey) {
        self.watches.remove(&key);
    }

    /// Moves the live time on to a record of a gateway, and gives what is missed since, each with the instant at which
    /// its time was over.
    pub(crate) fn gateway_record(
        &mut self,
        clock_us: i64,
        span_us: impl Fn(RuleId) -> i64,
        missed: &mut Vec<(i64, WatchKey)>,
    ) {
        let Alive { total_us: before_us, gateway_us } = self.alive;
        let passed_us = gateway_us.map_or(0, |gateway_us| clock_us - gateway_us);
        let is_alive = passed_us <= ALIVE_GAP_US_MAX;
        self.alive.gateway_us = Some(clock_us);
        for key in std::mem::take(&mut self.provisional) {
            if let Some(watch) = self.watches.get_mut(&key) {
                watch.is_provisional = false;
                if !is_alive {
                    watch.last_alive_us = before_us;
                }
                let deadline_us = watch.last_alive_us.saturating_add(span_us(key.0));
                self.deadlines.push(Reverse((deadline_us, key.0, key.1)));
            }
        }
        if is_alive {
            self.alive.total_us += passed_us;
        }
        let start_us = clock_us - passed_us;
        while let Some(Reverse((noted_us, rule, device))) = self.deadlines.peek().copied()
            && noted_us < self.alive.total_us
        {
            self.deadlines.pop();
            let Some(watch) = self.watches.get_mut(&(rule, device)).filter(|watch| watch.missed_us.is_none())
            else {
                continue;
            };
            let deadline_us = watch.last_alive_us.saturating_add(span_us(rule));
            if deadline_us >= self.alive.total_us {
                self.deadlines.push(Reverse((deadline_us, rule, device)));
                continue;
            }
            let at_us = start_us + (deadline_us - before_us);
            watch.missed_us = Some(at_us);
            missed.push((at_us, (rule, device)));
        }
    }

    /// Takes every watch out, to be added again under other rules.
    pub(crate) fn take_all(&mut self) -> Vec<(WatchKey, Watch)> {
        self.provisional.clear();
        self.deadlines.clear();
        self.watches.drain().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: WatchKey = (0, 0);
    const S: i64 = 1_000_000;

    fn missed(dead_men: &mut DeadMen, clocks_s: &[i64], span_s: i64) -> Vec<i64> {
        let mut missed = Vec::new();
        for clock_s in clocks_s {
            dead_men.gateway_record(clock_s * S, |_| span_s * S, &mut missed);
        }
        missed.iter().map(|(at_us, _)| at_us / S).collect()
    }

    #[test]
    fn only_time_between_near_records_counts() {
        let cases: [(&[i64], i64, Vec<i64>); 6] = [
            (&[20, 31], 30, vec![30]),
            (&[20, 30], 30, vec![]),
            (&[20, 30, 31], 30, vec![30]),
            // A gap adds nothing; the time is over just as live time begins again.
            (&[20, 30, 100, 101], 30, vec![100]),
            (&[20, 51, 60, 70], 30, vec![61]),
            (&[31, 62, 93], 30, vec![]),
        ];
        for (clocks, span_s, expected) in cases {
            let mut dead_men = DeadMen::default();
            dead_men.gateway_record(0, |_| 0, &mut Vec::new());
            dead_men.hear(KEY, 0, span_s * S);
            assert_eq!(missed(&mut dead_men, clocks, span_s), expected, "{clocks:?}");
        }
    }

    #[test]
    fn a_rule_that_takes_effect_between_two_records_counts_from_there_if_that_time_is_live() {
        for (clocks, expected) in [(&[20i64, 40, 44][..], vec![43]), (&[40, 60, 70, 71], vec![70])] {
            let mut dead_men = DeadMen::default();
            dead_men.gateway_record(0, |_| 0, &mut Vec::new());
            let watch = dead_men.watch_from(13 * S);
            dead_men.add(KEY, watch, 30 * S);
            assert_eq!(missed(&mut dead_men, clocks, 30), expected, "{clocks:?}");
        }
    }

    #[test]
    fn heard_once_it_is_watched_anew() {
        let mut dead_men = DeadMen::default();
        dead_men.gateway_record(0, |_| 0, &mut Vec::new());
        assert_eq!(dead_men.hear(KEY, 0, 10 * S), None);
        assert_eq!(missed(&mut dead_men, &[11], 10), [10]);
        assert_eq!(dead_men.hear(KEY, 11 * S, 10 * S).and_then(|watch| watch.missed_us), Some(10 * S));
        assert_eq!(missed(&mut dead_men, &[20, 22], 10), [21]);
    }
}
