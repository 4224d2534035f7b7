//! What a rule's conditions are evaluated on for one device: the readings in place that the rule knows, its windows,
//! the limits in force and the message's place.

use crate::compiled::{CompiledRule, Shape};
use crate::condition::{Value, Values};
use crate::devices::{DeviceId, SeriesId};
use crate::evaluator::Core;
use crate::reading::{MetricId, PlacedReading};
use crate::resolve::RULE_METRICS_MAX;
use crate::series::KeptView;
use crate::states::RuleId;
use crate::window_function::Window;

pub(crate) struct InPlace<'a> {
    core: &'a Core,
    rule: &'a CompiledRule,
    device: DeviceId,
    readings: [Option<&'a PlacedReading>; RULE_METRICS_MAX],
    /// *now*: the newest time in place.
    pub(crate) now_us: i64,
    limits: &'a [f64],
    location: Option<(f64, f64)>,
}

impl<'a> InPlace<'a> {
    /// `None` where the rule knows no reading of the device.
    pub(crate) fn of(
        core: &'a Core,
        id: RuleId,
        device: DeviceId,
        location: Option<(f64, f64)>,
    ) -> Option<Self> {
        let limits = core.thresholds.get(&(id, device)).map_or(&[][..], |limits| limits);
        let rule = core.rules.get(id);
        let mut readings = [None; RULE_METRICS_MAX];
        for (reading, metric) in readings.iter_mut().zip(&rule.metrics) {
            *reading = core.known(rule, device, *metric);
        }
        let newest = |metrics: &mut dyn Iterator<Item = Option<&'a PlacedReading>>| {
            metrics.flatten().map(|reading| reading.observed_at_us).max()
        };
        let now_us = if rule.metrics.is_empty() {
            let series = &core.devices.get(device).series;
            newest(&mut series.iter().map(|(metric, _)| core.known(rule, device, *metric)))
        } else {
            newest(&mut readings.iter().copied())
        };
        Some(InPlace { core, rule, device, readings, now_us: now_us?, limits, location })
    }
}

impl Core {
    /// The reading in place of a metric, if the rule was in force when it came.
    pub(crate) fn known(
        &self,
        rule: &CompiledRule,
        device: DeviceId,
        metric: MetricId,
    ) -> Option<&PlacedReading> {
        let series = self.devices.get(device).series_of(metric)?;
        let reading = self.kept_of(series, rule)?.place.as_ref()?;
        (reading.log_offset >= self.since_of(rule, device)).then_some(reading)
    }

    /// What is kept of a series in the view of a rule.
    fn kept_of(&self, series: SeriesId, rule: &CompiledRule) -> Option<&KeptView> {
        let kept = self.series[series as usize].kept?;
        self.kept[kept as usize].get(rule.view)
    }

    /// The offset from which a rule knows readings of a device.
    fn since_of(&self, rule: &CompiledRule, device: DeviceId) -> i64 {
        let of_pair = if self.since.is_empty() { None } else { self.since.get(&(rule.number, device)) };
        of_pair.map_or(rule.since_offset, |since| rule.since_offset.max(*since))
    }
}

impl Values for InPlace<'_> {
    fn value(&self, metric: usize) -> Option<&Value> {
        let reading = self.readings[metric]?;
        let is_fresh =
            self.now_us.saturating_sub(reading.observed_at_us) <= self.rule.rule.meaning.max_age_us;
        is_fresh.then_some(&reading.value)
    }

    fn window(&self, window: &Window) -> Option<f64> {
        let series = self.core.devices.get(self.device).series_of(self.rule.metrics[window.metric]);
        let since = self.core.since_of(self.rule, self.device);
        match series.and_then(|series| self.core.kept_of(series, self.rule)) {
            Some(kept) => kept.window.value(window.function, self.now_us, window.span_us, since),
            None => window.function.of_nothing(),
        }
    }

    fn threshold(&self, threshold: usize) -> f64 {
        self.limits.get(threshold).copied().unwrap_or(f64::NAN)
    }

    fn is_in_zone(&self, zone: usize) -> Option<bool> {
        let (latitude, longitude) = self.location?;
        match &self.rule.shape {
            Shape::General { zones, .. } => zones.get(zone).map(|zone| zone.contains(latitude, longitude)),
            Shape::Band { .. } | Shape::DeadMan { .. } => None,
        }
    }
}
