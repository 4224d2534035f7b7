//! One message taken apart: its device, and its readings in groups of equal time, oldest first.

use std::sync::Arc;

use model::proto::{Flag, Quality, TimeSource};
use model::{EventId, TelemetryView, ValueView};

use crate::devices::{DeviceId, SeriesId};
use crate::evaluator::{Core, NumberReading};
use crate::reading::{MetricId, Place};
use crate::said::Sink;
use crate::selector::Attribute;
use crate::series::{Entry, Series};

/// A reading whose time is `received_at` is not taken further ahead of the clock than this.
const RECEIVED_AHEAD_US_MAX: i64 = 60_000_000;

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
pub(crate) struct Group<'a> {
    pub(crate) device: DeviceId,
    pub(crate) offset: i64,
    pub(crate) clock_us: i64,
    pub(crate) event_id: EventId,
    pub(crate) location: Option<(f64, f64)>,
    /// The message, where texts and units of readings stand; a single number comes without one.
    pub(crate) message: Option<&'a TelemetryView<'a>>,
    pub(crate) readings: &'a [Taken],
}

impl Core {
    /// Takes the readings of one message, in groups of equal time, oldest first.
    pub(crate) fn take(
        &mut self,
        view: &TelemetryView<'_>,
        offset: i64,
        clock_us: i64,
        sink: &mut impl Sink,
    ) {
        if view.has_flag(Flag::Retained) || view.has_flag(Flag::Historical) {
            return;
        }
        let Some(device) = self.device_of(view) else {
            self.counts.over_limit += view.readings().count() as u64;
            return;
        };
        if !self.rules.dead_men().is_empty() {
            self.hear(view, device, clock_us, sink);
        }
        let mut readings = std::mem::take(&mut self.scratch.readings);
        self.collect(view, device, clock_us, &mut readings);
        if !readings.is_sorted_by_key(|reading| reading.observed_at_us) {
            readings.sort_by_key(|reading| reading.observed_at_us);
        }
        let location = view.location.map(|location| (location.latitude, location.longitude));
        let message = Some(view);
        for group in readings.chunk_by_mut(|a, b| a.observed_at_us == b.observed_at_us) {
            let cause =
                Group { device, offset, clock_us, event_id: view.event_id, location, message, readings: &[] };
            self.take_group(group, cause, sink);
        }
        readings.clear();
        self.scratch.readings = readings;
    }

    #[inline(never)]
    pub(crate) fn take_number(&mut self, reading: &NumberReading, clock_us: i64, sink: &mut impl Sink) {
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
        let cause = Group {
            device,
            offset: reading.log_offset,
            clock_us,
            event_id: reading.event_id,
            location: None,
            message: None,
            readings: &[],
        };
        self.take_group(&mut [taken], cause, sink);
    }

    fn take_group<'a>(&mut self, group: &'a mut [Taken], cause: Group<'a>, sink: &mut impl Sink) {
        self.place_group(group, &cause);
        if !self.scratch.touched.is_empty() {
            self.evaluate_group(&Group { readings: group, ..cause }, sink);
        }
    }

    fn device_of(&mut self, view: &TelemetryView<'_>) -> Option<DeviceId> {
        let new_place = || Place::new(view.domain, view.asset_id, view.gateway_id);
        let Some(device) = self.devices.find(view.device_id) else {
            let has_room = self.devices.len() < self.limits.devices_max;
            return has_room.then(|| self.devices.add(view.device_id, new_place()));
        };
        let known = self.devices.get_mut(device);
        let changes = [
            (Attribute::Domain, known.place.domain() != view.domain),
            (Attribute::AssetId, known.place.asset_id() != view.asset_id),
            (Attribute::GatewayId, known.place.gateway_id() != view.gateway_id),
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
        if !self.rules.dead_men().is_empty() {
            self.dead_men.add_stray(device);
        }
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
        self.series.push(Series { device, metric, plan: None, states: None, kept: None });
        self.entries.push(Entry::NEW);
        self.devices.get_mut(device).series.push((metric, series));
        series
    }
}
