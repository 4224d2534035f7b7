//! The evaluator of one log partition: records in their order in, alert events out (`docs/rules.md`, section 1).
//!
//! Invariants: the output is a function of the records alone (I4); a reading that changes no state costs one test and
//! allocates nothing; every count has a limit (I5).

use std::sync::Arc;

use hashbrown::HashMap;
use model::proto::{Flag, Quality, TimeSource};
use model::{Alert, EventId, LogRecordView, Record, TelemetryView, ValueView};

use crate::compiled::CompiledRules;
use crate::devices::{DeviceId, Devices, SeriesId};
use crate::metrics::Metrics;
use crate::reading::{MetricId, Place};
use crate::rule_set::RuleSet;
use crate::said::{AlertWriter, EvaluatorConfig, Sink};
use crate::selector::Attribute;
use crate::series::{Entry, Places, Series};
use crate::states::{StateId, States};

/// A reading whose time is `received_at` is not taken further ahead of the clock than this.
const RECEIVED_AHEAD_US_MAX: i64 = 60_000_000;

/// How much the evaluator of one log partition may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Readings of further devices are counted and not evaluated.
    pub devices_max: usize,
    /// Readings of further (device, metric) are counted and not evaluated.
    pub series_max: usize,
    /// (rule, device) whose last stamp is remembered; past it the half with the oldest stamps is forgotten.
    pub stamps_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { devices_max: 2_000_000, series_max: 16_000_000, stamps_max: 4_000_000 }
    }
}

/// What went through an evaluator since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub readings: u64,
    /// Older than the one in place.
    pub late: u64,
    /// Without a value, or without the unit that their metric has.
    pub not_in_place: u64,
    /// Of devices or series past the limits.
    pub over_limit: u64,
    /// Evaluations of a rule; a reading that cannot change a rule's state is none.
    pub evaluations: u64,
    /// Evaluations that moved a (rule, device) to another state.
    pub state_changes: u64,
    pub raised: u64,
    pub resolved: u64,
}

/// A good number of a known series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NumberReading {
    /// See [`Evaluator::series_number`].
    pub series: u32,
    pub observed_at_us: i64,
    /// Finite.
    pub value: f64,
    pub event_id: EventId,
    pub reading_index: u32,
    pub log_offset: i64,
}

/// The evaluator of one log partition.
#[derive(Debug)]
pub struct Evaluator {
    pub(crate) config: EvaluatorConfig,
    pub(crate) clock_us: i64,
    /// Number of the rule set in force.
    pub(crate) rule_set_n: Option<u64>,
    pub(crate) core: Core,
}

/// All that is evaluated on, apart from the log that it came from.
#[derive(Debug, Default)]
pub(crate) struct Core {
    pub(crate) limits: Limits,
    pub(crate) rule_set: Arc<RuleSet>,
    pub(crate) rules: CompiledRules,
    pub(crate) metrics: Metrics,
    pub(crate) devices: Devices,
    pub(crate) entries: Vec<Entry>,
    pub(crate) series: Vec<Series>,
    /// Newest time of any reading, where that is newer than that of a good one.
    pub(crate) any_ahead_us: HashMap<SeriesId, i64>,
    pub(crate) places: HashMap<SeriesId, Places>,
    pub(crate) states: States,
    /// Last stamp said of each rule id and device.
    pub(crate) stamps: HashMap<(Arc<str>, DeviceId), i64>,
    pub(crate) counts: Counts,
    pub(crate) scratch: Scratch,
}

/// Buffers that are empty between records.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    readings: Vec<Taken>,
    pub(crate) touched: Vec<crate::evaluation::Touched>,
    pub(crate) candidates: Vec<crate::evaluation::Candidate>,
    pub(crate) due: Vec<(i64, StateId)>,
}

/// A reading of the record at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) observed_at_us: i64,
    pub(crate) index: u32,
    pub(crate) series: SeriesId,
    pub(crate) metric: MetricId,
    pub(crate) value: TakenValue,
    pub(crate) is_good: bool,
    /// By view: it was put in place.
    pub(crate) is_placed: [bool; 2],
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TakenValue {
    Number(f64),
    Boolean(bool),
    /// It stands in the record.
    Text,
}

/// What evaluations need to know of the record at hand.
pub(crate) struct Cause<'a> {
    pub(crate) device: DeviceId,
    pub(crate) offset: i64,
    pub(crate) clock_us: i64,
    pub(crate) event_id: EventId,
    pub(crate) location: Option<(f64, f64)>,
    /// The message, where texts and units of readings stand; a single number comes without one.
    pub(crate) message: Option<&'a TelemetryView<'a>>,
    pub(crate) group: &'a [Taken],
}

impl Evaluator {
    /// An evaluator that starts at the first record of a log partition.
    pub fn new(config: EvaluatorConfig) -> Self {
        Evaluator::with_limits(config, Limits::default())
    }

    pub fn with_limits(config: EvaluatorConfig, limits: Limits) -> Self {
        Evaluator { config, clock_us: i64::MIN, rule_set_n: None, core: Core { limits, ..Core::default() } }
    }

    /// The partition clock, microseconds since 1970-01-01T00:00:00Z; `i64::MIN` before the first record.
    pub fn clock_us(&self) -> i64 {
        self.clock_us
    }

    /// The number of the rule set in force; `None` before the first.
    pub fn rule_set_n(&self) -> Option<u64> {
        self.rule_set_n
    }

    pub fn rule_set(&self) -> &RuleSet {
        &self.core.rule_set
    }

    pub fn counts(&self) -> Counts {
        self.core.counts
    }

    pub fn limits(&self) -> &Limits {
        &self.core.limits
    }

    pub fn devices(&self) -> usize {
        self.core.devices.len()
    }

    pub fn series(&self) -> usize {
        self.core.series.len()
    }

    /// (rule, device) that are pending, firing or clearing.
    pub fn states(&self) -> usize {
        self.core.states.len()
    }

    /// The clock at which the next timer is due: it speaks at the first record whose clock is past it, and a tick is
    /// wanted once the wall clock is.
    pub fn due_us(&self) -> Option<i64> {
        self.core.states.next_due_us()
    }

    /// Evaluates one record that is no repeat and puts no rule set in force.
    pub fn apply(&mut self, record: &Record<'_>, view: &LogRecordView<'_>, out: &mut Vec<Alert>) {
        self.move_clock(record, out);
        if let LogRecordView::Telemetry(telemetry) = view {
            let mut sink = AlertWriter { config: &self.config, out };
            self.core.take(telemetry, record.offset, self.clock_us, &mut sink);
        }
    }

    /// The number by which [`Evaluator::apply_number`] knows a (device, metric) that has sent readings.
    pub fn series_number(&self, device_id: &str, metric: &str) -> Option<u32> {
        let device = self.core.devices.get(self.core.devices.find(device_id)?);
        device.series_of(self.core.metrics.find(metric)?)
    }

    /// Evaluates one good number of a known series, as a message of its own: the core of the work, without bytes to read
    /// or names to look up. The clock is not moved.
    #[inline]
    pub fn apply_number(&mut self, reading: &NumberReading, sink: &mut impl Sink) {
        let core = &mut self.core;
        core.counts.readings += 1;
        if !core.entries[reading.series as usize].is_quiet(reading.observed_at_us, reading.value) {
            core.take_number(reading, self.clock_us, sink);
        }
    }

    /// Evaluates the record that puts rule set `n` in force.
    pub fn apply_rule_set(
        &mut self,
        record: &Record<'_>,
        n: u64,
        rule_set: Arc<RuleSet>,
        out: &mut Vec<Alert>,
    ) {
        self.move_clock(record, out);
        let mut sink = AlertWriter { config: &self.config, out };
        self.core.change_rules(rule_set, record.offset, self.clock_us, &mut sink);
        self.rule_set_n = Some(n);
    }

    fn move_clock(&mut self, record: &Record<'_>, out: &mut Vec<Alert>) {
        self.clock_us = self.clock_us.max(record.log_time_us);
        let mut sink = AlertWriter { config: &self.config, out };
        self.core.speak_due(self.clock_us, &mut sink);
    }
}

impl Core {
    /// Takes the readings of one message, in groups of equal time, oldest first.
    fn take(&mut self, view: &TelemetryView<'_>, offset: i64, clock_us: i64, sink: &mut impl Sink) {
        if view.has_flag(Flag::Retained) || view.has_flag(Flag::Historical) {
            return;
        }
        let Some(device) = self.device_of(view) else {
            self.counts.over_limit += view.readings().count() as u64;
            return;
        };
        let mut readings = std::mem::take(&mut self.scratch.readings);
        self.collect(view, device, clock_us, &mut readings);
        if !readings.is_sorted_by_key(|reading| reading.observed_at_us) {
            readings.sort_by_key(|reading| reading.observed_at_us);
        }
        let location = view.location.map(|location| (location.latitude, location.longitude));
        let message = Some(view);
        for group in readings.chunk_by_mut(|a, b| a.observed_at_us == b.observed_at_us) {
            let cause =
                Cause { device, offset, clock_us, event_id: view.event_id, location, message, group: &[] };
            self.take_group(group, cause, sink);
        }
        readings.clear();
        self.scratch.readings = readings;
    }

    #[inline(never)]
    fn take_number(&mut self, reading: &NumberReading, clock_us: i64, sink: &mut impl Sink) {
        let Series { device, metric, .. } = self.series[reading.series as usize];
        let taken = Taken {
            observed_at_us: reading.observed_at_us,
            index: reading.reading_index,
            series: reading.series,
            metric,
            value: TakenValue::Number(reading.value),
            is_good: true,
            is_placed: [false; 2],
        };
        let cause = Cause {
            device,
            offset: reading.log_offset,
            clock_us,
            event_id: reading.event_id,
            location: None,
            message: None,
            group: &[],
        };
        self.take_group(&mut [taken], cause, sink);
    }

    fn take_group<'a>(&mut self, group: &'a mut [Taken], cause: Cause<'a>, sink: &mut impl Sink) {
        self.place_group(group, &cause);
        if !self.scratch.touched.is_empty() {
            self.evaluate_group(&Cause { group, ..cause }, sink);
        }
    }

    fn device_of(&mut self, view: &TelemetryView<'_>) -> Option<DeviceId> {
        let gateway_id = view.source().gateway_id;
        let new_place = || {
            Arc::new(Place {
                domain: view.domain.into(),
                asset_id: view.asset_id.into(),
                gateway_id: gateway_id.into(),
            })
        };
        let Some(device) = self.devices.find(view.device_id) else {
            let has_room = self.devices.len() < self.limits.devices_max;
            return has_room.then(|| self.devices.add(view.device_id, new_place()));
        };
        let known = self.devices.get_mut(device);
        let Place { domain, asset_id, gateway_id: known_gateway } = &*known.place;
        let changes = [
            (Attribute::Domain, **domain != *view.domain),
            (Attribute::AssetId, **asset_id != *view.asset_id),
            (Attribute::GatewayId, **known_gateway != *gateway_id),
        ];
        if changes.iter().any(|(_, is_changed)| *is_changed) {
            known.place = new_place();
            if changes
                .iter()
                .any(|(attribute, is_changed)| *is_changed && self.rules.matching.uses(attribute))
            {
                self.match_again(device);
            }
        }
        Some(device)
    }

    /// The device may match other selectors than before.
    fn match_again(&mut self, device: DeviceId) {
        let device = self.devices.get_mut(device);
        device.profile = None;
        for (_, series) in &device.series {
            self.series[*series as usize].plan = None;
            self.entries[*series as usize].disturb();
        }
    }

    fn collect(
        &mut self,
        view: &TelemetryView<'_>,
        device: DeviceId,
        clock_us: i64,
        readings: &mut Vec<Taken>,
    ) {
        for (index, reading) in view.readings().enumerate() {
            self.counts.readings += 1;
            let value = match reading.value {
                ValueView::Number(number) if number.is_finite() => TakenValue::Number(number),
                // Limits are doubles: an integer that none holds is compared as the nearest.
                ValueView::Integer(integer) => TakenValue::Number(integer as f64),
                ValueView::Boolean(boolean) => TakenValue::Boolean(boolean),
                ValueView::Text(_) => TakenValue::Text,
                ValueView::Number(_) | ValueView::None => {
                    self.counts.not_in_place += 1;
                    continue;
                }
            };
            let Some((metric, series)) = self.series_of(device, index, reading.metric) else {
                self.counts.over_limit += 1;
                continue;
            };
            if self.metrics.get(metric).unit.as_deref().is_some_and(|unit| *unit != *reading.unit) {
                self.counts.not_in_place += 1;
                continue;
            }
            let time = view.time_of(&reading);
            let is_ahead = time.observed_at_source == TimeSource::Received
                && time.observed_at_us > clock_us.saturating_add(RECEIVED_AHEAD_US_MAX);
            readings.push(Taken {
                observed_at_us: if is_ahead { clock_us } else { time.observed_at_us },
                index: index as u32,
                series,
                metric,
                value,
                is_good: reading.quality == Quality::Good,
                is_placed: [false; 2],
            });
        }
    }

    /// The series of a reading; `expected` is its place in the message, where it mostly stands in the device's list.
    fn series_of(&mut self, device: DeviceId, expected: usize, name: &str) -> Option<(MetricId, SeriesId)> {
        let known = &self.devices.get(device).series;
        let is_it = |(metric, _): &&(MetricId, SeriesId)| *self.metrics.get(*metric).name == *name;
        if let Some(found) = known.get(expected).filter(is_it).or_else(|| known.iter().find(is_it)) {
            return Some(*found);
        }
        if self.series.len() >= self.limits.series_max {
            return None;
        }
        let metric = self.metric_of(name);
        Some((metric, self.add_series(device, metric)))
    }

    /// The number of a metric, with the unit that the rule set in force counts on.
    pub(crate) fn metric_of(&mut self, name: &str) -> MetricId {
        let known = self.metrics.len();
        let metric = self.metrics.find_or_add(name);
        if self.metrics.len() > known {
            self.metrics.set_unit(metric, self.rule_set.unit(name).map(Arc::from));
        }
        metric
    }

    pub(crate) fn add_series(&mut self, device: DeviceId, metric: MetricId) -> SeriesId {
        let series = self.series.len() as SeriesId;
        self.series.push(Series { device, metric, plan: None, states: None });
        self.entries.push(Entry::NEW);
        self.devices.get_mut(device).series.push((metric, series));
        series
    }
}
