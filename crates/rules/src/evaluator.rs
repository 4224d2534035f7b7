//! The evaluator of one log partition: records in their order in, alert events out (`docs/rules.md`, section 1).
//!
//! Invariants: the output is a function of the records alone (I4); a reading that changes no state costs one test and
//! allocates nothing; every count has a limit (I5).

use std::sync::Arc;

use hashbrown::HashMap;
use model::{Alert, EventId, LogRecordView, Record};

use crate::compiled::CompiledRules;
use crate::dead_man::{DeadMen, WatchKey};
use crate::devices::{DeviceId, Devices, SeriesId};
use crate::metrics::Metrics;
use crate::reading::Episode;
use crate::rule_set::RuleSet;
use crate::said::{AlertWriter, EvaluatorConfig, Sink};
use crate::series::{Entry, Kept, Series};
use crate::states::{RuleId, StateId, States};
use crate::taking::Taken;

/// How much the evaluator of one log partition may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Readings of further devices are counted and not evaluated.
    pub devices_max: usize,
    /// Readings of further (device, metric) are counted and not evaluated.
    pub series_max: usize,
    /// (rule, device) whose last stamp is remembered; past it the half with the oldest stamps is forgotten.
    pub stamps_max: usize,
    /// Readings of a series that window functions look back over; past it the oldest go, counted.
    pub window_readings_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            devices_max: 2_000_000,
            series_max: 16_000_000,
            stamps_max: 4_000_000,
            window_readings_max: 4_096,
        }
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
    /// Taken out of windows by their limit.
    pub window_overflows: u64,
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
    /// See [`Series::kept`].
    pub(crate) kept: Vec<Kept>,
    /// Of rules with `hits`: the last counted evaluations, the newest in the lowest bit.
    pub(crate) hits: HashMap<(RuleId, DeviceId), u64>,
    /// Thresholds in force, made as they are first asked for.
    pub(crate) thresholds: HashMap<(RuleId, DeviceId), Box<[f64]>>,
    /// Of (rule, device) whose start is later than the rule's: the offset from which readings are known.
    pub(crate) since: HashMap<(RuleId, DeviceId), i64>,
    pub(crate) dead_men: DeadMen,
    /// What dead-men say to be firing.
    pub(crate) silences: HashMap<WatchKey, Episode>,
    /// Where a device last was, kept for dead-men.
    pub(crate) locations: HashMap<DeviceId, (f64, f64)>,
    pub(crate) states: States,
    /// Last stamp said of each rule id and device.
    pub(crate) stamps: HashMap<(Arc<str>, DeviceId), i64>,
    pub(crate) counts: Counts,
    pub(crate) scratch: Scratch,
}

/// Buffers that are empty between records.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) readings: Vec<Taken>,
    pub(crate) touched: Vec<crate::placing::Touched>,
    pub(crate) candidates: Vec<crate::evaluation::Candidate>,
    pub(crate) due: Vec<(i64, StateId)>,
    pub(crate) missed: Vec<(i64, WatchKey)>,
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

    /// The rule set in force, to keep.
    pub fn shared_rule_set(&self) -> Arc<RuleSet> {
        Arc::clone(&self.core.rule_set)
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
        self.clock_us = self.clock_us.max(record.log_time_us);
        let mut sink = AlertWriter { config: &self.config, out };
        if matches!(view, LogRecordView::Telemetry(_) | LogRecordView::Heartbeat { .. }) {
            self.core.live_on(self.clock_us);
        }
        self.core.speak_due(self.clock_us, &mut sink);
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
        self.clock_us = self.clock_us.max(record.log_time_us);
        let mut sink = AlertWriter { config: &self.config, out };
        self.core.speak_due(self.clock_us, &mut sink);
        self.core.change_rules(rule_set, record.offset, self.clock_us, &self.config, &mut sink);
        self.rule_set_n = Some(n);
    }
}
