//! Where a (rule, device) stands, for people: its state, what it waits for, and what its conditions are evaluated on.
//!
//! Reads the evaluator and changes nothing. Conditions are asked again on the readings in place, so what is said here of
//! them is what the last evaluation saw, but for zones: those ask for the place of a message, which is not kept.

use model::log_partition::partition_of;
use model::time::format_rfc3339;

use crate::compiled::{CompiledRule, Shape};
use crate::condition::{Condition, Operand, Test, Value, Values};
use crate::condition_text::{InForce, ThresholdOrigin, condition_text};
use crate::devices::{DeviceAttributes, DeviceId};
use crate::evaluator::{Core, Evaluator};
use crate::in_place::InPlace;
use crate::intervals::Intervals;
use crate::life::{Phase, due_us, timer};
use crate::limit::unit_text;
use crate::reading::{Cause, Episode, MetricId, PlacedReading};
use crate::rule_explanation::{
    ConditionTruth, DeadManClock, HitsSoFar, KeptReading, ReadingInPlace, RuleExplanation, RulePhase,
    ScheduleNow, ThresholdInForce, Unexplained, Waiting,
};
use crate::said::{alert_id, alert_value};
use crate::series::View;
use crate::states::{RuleId, State};
use crate::window_function::Window;

impl Evaluator {
    /// Where a rule stands on a device.
    ///
    /// # Errors
    /// See [`Unexplained`].
    pub fn explain(&self, rule_id: &str, device_id: &str) -> Result<RuleExplanation, Unexplained> {
        let core = &self.core;
        let rules = &core.rules.rules;
        let at = rules.binary_search_by(|rule| (*rule.id).cmp(rule_id));
        let rule = &rules[at.map_err(|_| Unexplained::NoRule { rule_id: rule_id.to_owned() })?];
        let is_elsewhere =
            partition_of(device_id.as_bytes(), self.config.partitions) != self.config.partition;
        let Some(device) = core.devices.find(device_id).filter(|_| !is_elsewhere) else {
            return Err(Unexplained::NoDevice { device_id: device_id.to_owned() });
        };
        let one = Pair { core, rule, id: rule.number, device, device_id };
        let mut explanation = one.explain(self.clock_us);
        explanation.rule_set_n = self.rule_set_n;
        Ok(explanation)
    }
}

/// A (rule, device).
#[derive(Clone, Copy)]
struct Pair<'a> {
    core: &'a Core,
    rule: &'a CompiledRule,
    id: RuleId,
    device: DeviceId,
    device_id: &'a str,
}

/// What the conditions are asked on.
struct Asked<'a> {
    in_place: InPlace<'a>,
    limits: Vec<f64>,
}

impl Values for Asked<'_> {
    fn value(&self, metric: usize) -> Option<&Value> {
        self.in_place.value(metric)
    }

    fn window(&self, window: &Window) -> Option<f64> {
        self.in_place.window(window)
    }

    fn threshold(&self, threshold: usize) -> f64 {
        self.limits[threshold]
    }

    fn is_in_zone(&self, _zone: usize) -> Option<bool> {
        None
    }
}

impl<'a> Pair<'a> {
    fn explain(self, clock_us: i64) -> RuleExplanation {
        let meaning = &self.rule.rule.meaning;
        let state = self.state();
        let silence = self.core.silences.get(&(self.id, self.device));
        let episode = state.map(|state| &state.episode).or(silence);
        let asked = self.asked();
        let now_us = asked.as_ref().map(|asked| asked.in_place.now_us).or_else(|| self.band_now_us());
        let device = self.core.devices.get(self.device);
        let attributes = DeviceAttributes::of(device, &self.core.rule_set);
        let is_said = episode.and_then(|episode| Some((episode, episode.raised_us?)));
        RuleExplanation {
            rule_id: self.rule.rule.id.clone(),
            rule_digest: self.rule.digest.to_string(),
            title: self.rule.rule.title.clone(),
            severity: meaning.severity,
            is_shadow: meaning.shadow,
            device_id: self.device_id.to_owned(),
            is_matched: meaning.selector.as_ref().is_none_or(|selector| selector.matches(&attributes)),
            rule_set_n: None,
            clock: time(clock_us),
            condition: self.rule.rule.condition_text_with(&|threshold| self.in_force(threshold)),
            clear: meaning.clear.as_ref().map(|clear| self.text(clear)),
            phase: phase_of(state, silence),
            since: self.since_us(state, silence).and_then(time),
            alert_id: is_said.map(|(episode, _)| alert_id(&self.rule.rule.id, self.device_id, episode)),
            raised_at: is_said.and_then(|(_, raised_us)| time(raised_us)),
            started_by: episode.and_then(|episode| self.cause(episode)),
            waits_for: state.and_then(|state| self.waiting(state)),
            now: now_us.and_then(time),
            readings: self.readings(now_us),
            conditions: self.conditions(asked.as_ref()),
            thresholds: self.thresholds(),
            hits: self.hits(),
            active: meaning.active.as_ref().map(|active| {
                let edge = active.next_edge(clock_us);
                ScheduleNow {
                    is_active: active.is_active(clock_us),
                    time_zone: active.time_zone().to_owned(),
                    changes_at: time(edge.at_us),
                }
            }),
            dead_man: self.dead_man(),
        }
    }

    /// Its state, where it is not idle.
    fn state(self) -> Option<&'a State> {
        let Core { devices, series, states, .. } = self.core;
        let device = devices.get(self.device);
        let of_series = self.rule.metrics.iter().filter_map(|metric| device.series_of(*metric));
        let lists = of_series.map(|one| series[one as usize].states).chain([device.states]);
        lists
            .flat_map(|first| states.list(first))
            .map(|id| states.get(id))
            .find(|state| state.rule == self.id)
    }

    fn since_us(self, state: Option<&State>, silence: Option<&Episode>) -> Option<i64> {
        match state.map(|state| (state.phase, &state.episode)) {
            Some((Phase::Pending { since_us, .. } | Phase::Clearing { since_us, .. }, _)) => Some(since_us),
            Some((_, episode)) => Some(episode.raised_us.unwrap_or(episode.started_us)),
            None => silence.and_then(|silence| silence.raised_us),
        }
    }

    fn waiting(self, state: &State) -> Option<Waiting> {
        let timing = &self.rule.timing;
        let (clock_us, wait_us) = timer(state.phase, timing)?;
        Some(Waiting {
            is_raise: matches!(state.phase, Phase::Pending { .. }),
            at: time(due_us(state.phase, timing)?)?,
            clock_past: time(clock_us.saturating_add(wait_us))?,
        })
    }

    fn cause(self, episode: &Episode) -> Option<KeptReading> {
        match &episode.cause {
            Cause::Reading(reading) => Some(self.kept(reading)),
            Cause::Silence { .. } => None,
        }
    }

    fn kept(self, reading: &PlacedReading) -> KeptReading {
        KeptReading {
            metric: self.core.metrics.get(reading.metric).name.to_string(),
            value: alert_value(&reading.value),
            unit: reading.unit.as_deref().map(str::to_owned),
            observed_at: format_rfc3339(reading.observed_at_us),
            log_offset: reading.log_offset,
        }
    }

    fn in_force(self, threshold: usize) -> InForce<'a> {
        let threshold = &self.rule.rule.meaning.thresholds[threshold];
        self.core.rule_set.registry().in_force(threshold, self.device_id)
    }

    fn text(self, condition: &Condition) -> String {
        condition_text(condition, &self.rule.rule.meaning, &|threshold| self.in_force(threshold))
    }

    fn asked(self) -> Option<Asked<'a>> {
        let Shape::General { .. } = self.rule.shape else {
            return None;
        };
        let limits = 0..self.rule.rule.meaning.thresholds.len();
        let in_place = InPlace::of(self.core, self.id, self.device, None)?;
        Some(Asked { in_place, limits: limits.map(|threshold| self.in_force(threshold).value).collect() })
    }

    /// The newest time of the only series that a rule on one number looks at.
    fn band_now_us(self) -> Option<i64> {
        let Shape::Band { .. } = self.rule.shape else {
            return None;
        };
        self.newest_us(*self.rule.metrics.first()?)
    }

    fn newest_us(self, metric: MetricId) -> Option<i64> {
        let series = self.core.devices.get(self.device).series_of(metric)?;
        let good_us = self.core.entries[series as usize].newest_us;
        let any_us = self.core.any_ahead_us.get(&series).copied().unwrap_or(good_us);
        Some(if self.rule.view == View::Good { good_us } else { any_us })
            .filter(|newest_us| *newest_us > i64::MIN)
    }

    fn readings(self, now_us: Option<i64>) -> Vec<ReadingInPlace> {
        self.rule.metrics.iter().filter_map(|metric| self.reading(*metric, now_us)).collect()
    }

    /// The reading in place of a metric; of a rule on one number only its time is kept, and between which numbers it is.
    fn reading(self, metric: MetricId, now_us: Option<i64>) -> Option<ReadingInPlace> {
        let known = self.core.known(self.rule, self.device, metric);
        let is_band = matches!(self.rule.shape, Shape::Band { .. });
        let observed_us = match known {
            Some(reading) => reading.observed_at_us,
            None if is_band => self.newest_us(metric)?,
            None => return None,
        };
        let age_us = now_us?.saturating_sub(observed_us);
        let series = self.core.devices.get(self.device).series_of(metric)?;
        let quiet = self.core.entries[series as usize].quiet().filter(|_| known.is_none());
        let metric = self.core.metrics.get(metric);
        Some(ReadingInPlace {
            metric: metric.name.to_string(),
            value: known.map(|reading| alert_value(&reading.value)),
            between: quiet.map(|(low, high)| [low, high].map(|end| Some(end).filter(|end| end.is_finite()))),
            unit: match known {
                Some(reading) => reading.unit.as_deref().map(str::to_owned),
                None => metric.unit.as_deref().map(str::to_owned),
            },
            observed_at: format_rfc3339(observed_us),
            age_seconds: age_us as f64 / 1e6,
            is_too_old: age_us > self.rule.rule.meaning.max_age_us,
            log_offset: known.map(|reading| reading.log_offset),
        })
    }

    /// Each comparison of `when` and `clear`, and what it comes to.
    fn conditions(self, asked: Option<&Asked<'_>>) -> Vec<ConditionTruth> {
        let meaning = &self.rule.rule.meaning;
        let mut truths = Vec::new();
        let named = [("when", &meaning.when), ("clear", &meaning.clear)];
        for (part, condition) in named.into_iter().filter_map(|(part, one)| Some((part, one.as_ref()?))) {
            truths.push(self.truth(part, condition, asked));
            if !matches!(condition, Condition::Leaf(_)) {
                condition.leaves(&mut |test| {
                    truths.push(self.truth(part, &Condition::Leaf(test.clone()), asked));
                });
            }
        }
        truths
    }

    fn truth(self, part: &str, condition: &Condition, asked: Option<&Asked<'_>>) -> ConditionTruth {
        let is_true = match asked {
            Some(asked) => condition.truth(asked),
            None => self.band_truth(condition),
        };
        let found = match (condition, asked) {
            (Condition::Leaf(Test::Compare { left, .. }), Some(asked)) => found(left, asked),
            (Condition::Leaf(Test::Between { operand, .. } | Test::In { operand, .. }), Some(asked)) => {
                found(operand, asked)
            }
            _ => None,
        };
        ConditionTruth { part: part.to_owned(), text: self.text(condition), found, is_true }
    }

    /// Whether all numbers between which the reading in place is make a condition true, or none does.
    fn band_truth(self, condition: &Condition) -> Option<bool> {
        let Shape::Band { .. } = self.rule.shape else {
            return None;
        };
        let series = self.core.devices.get(self.device).series_of(*self.rule.metrics.first()?)?;
        let (low, high) = self.core.entries[series as usize].quiet()?;
        let held = condition.numbers(0)?.intersection(&Intervals::between(low, high));
        if held.is_empty() {
            return Some(false);
        }
        (held == Intervals::between(low, high)).then_some(true)
    }

    fn thresholds(self) -> Vec<ThresholdInForce> {
        let thresholds = self.rule.rule.meaning.thresholds.iter().enumerate();
        thresholds
            .map(|(at, threshold)| {
                let InForce { value, origin } = self.in_force(at);
                ThresholdInForce {
                    name: threshold.name.clone(),
                    value,
                    unit: unit_text(threshold.unit.as_deref(), threshold.form),
                    origin: match origin {
                        ThresholdOrigin::Device => "device".to_owned(),
                        ThresholdOrigin::Model(model) => format!("model {model}"),
                        ThresholdOrigin::Default => "default".to_owned(),
                    },
                }
            })
            .collect()
    }

    fn hits(self) -> Option<HitsSoFar> {
        let hits = self.rule.rule.meaning.hits?;
        let last = self.core.hits.get(&(self.id, self.device)).copied().unwrap_or(0);
        Some(HitsSoFar { hits: last.count_ones(), needed: hits.needed, of: hits.of })
    }

    fn dead_man(self) -> Option<DeadManClock> {
        let Shape::DeadMan { span_us, .. } = self.rule.shape else {
            return None;
        };
        let watch = self.core.dead_men.get((self.id, self.device));
        Some(DeadManClock {
            is_watched: watch.is_some(),
            last_sign_of_life: watch.and_then(|watch| time(watch.last_us)),
            alive_seconds: watch
                .map(|watch| (self.core.dead_men.alive.total_us - watch.last_alive_us).max(0) as f64 / 1e6),
            absent_seconds: span_us as f64 / 1e6,
            missed_since: watch.and_then(|watch| watch.missed_us).and_then(time),
        })
    }
}

/// What stands on the left of a comparison.
fn found(operand: &Operand, asked: &Asked<'_>) -> Option<model::AlertValue> {
    match operand {
        Operand::Metric(metric) => asked.value(*metric).map(alert_value),
        Operand::Window(window) => asked.window(window).map(model::AlertValue::Number),
        Operand::Number { .. } | Operand::Text(_) | Operand::Boolean(_) | Operand::Threshold(_) => None,
    }
}

fn phase_of(state: Option<&State>, silence: Option<&Episode>) -> RulePhase {
    match state.map(|state| state.phase) {
        Some(Phase::Pending { .. }) => RulePhase::Pending,
        Some(Phase::Firing) => RulePhase::Firing,
        Some(Phase::Clearing { .. }) => RulePhase::Clearing,
        Some(Phase::Idle) | None if silence.is_some() => RulePhase::Firing,
        Some(Phase::Idle) | None => RulePhase::Idle,
    }
}

/// None before the first record.
fn time(us: i64) -> Option<String> {
    (us > i64::MIN).then(|| format_rfc3339(us))
}
