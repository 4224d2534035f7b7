//! Dead-men at work: which devices they watch, what is a sign of life, and what is said when one is missed and heard
//! again.

use std::sync::Arc;

use model::log_partition::partition_of;
use model::{TelemetryView, ValueView};

use crate::compiled::Shape;
use crate::dead_man::WatchKey;
use crate::devices::{DeviceAttributes, DeviceId};
use crate::evaluator::Core;
use crate::life::Turn;
use crate::reading::{Cause, Episode, Place};
use crate::said::{EvaluatorConfig, Said, Sink};
use crate::states::RuleId;

impl Core {
    /// The record of a gateway: time that counts goes on, and what is missed by then is noted to be said.
    pub(crate) fn live_on(&mut self, clock_us: i64) {
        let Core { dead_men, rules, scratch, .. } = self;
        let span_us = |rule: RuleId| match rules.get(rule).shape {
            Shape::DeadMan { span_us, .. } => span_us,
            Shape::Band { .. } | Shape::General { .. } => i64::MAX,
        };
        dead_men.gateway_record(clock_us, span_us, &mut scratch.missed);
    }

    /// Hears a message, in the order of rule ids: it is a sign of life if it says more than that the device is offline.
    pub(crate) fn hear(
        &mut self,
        view: &TelemetryView<'_>,
        device: DeviceId,
        clock_us: i64,
        sink: &mut impl Sink,
    ) {
        if let Some(location) = view.location {
            self.locations.insert(device, (location.latitude, location.longitude));
        }
        let is_more = |metric: &str, value: &ValueView<'_>| {
            metric != "status" || !matches!(value, ValueView::Text("offline"))
        };
        if !view.readings().any(|reading| is_more(reading.metric, &reading.value)) {
            return;
        }
        let profile = self.profile_of(device);
        // One that the device no longer matches may watch it still: until it is heard.
        let is_stray = self.dead_men.has_strays() && self.dead_men.take_stray(device);
        let count =
            if is_stray { self.rules.dead_men().len() } else { self.rules.dead_men_of(profile).len() };
        for at in 0..count {
            let id = if is_stray { self.rules.dead_men()[at] } else { self.rules.dead_men_of(profile)[at] };
            let rule = self.rules.get(id);
            let Shape::DeadMan { span_us, metric } = &rule.shape else {
                continue;
            };
            let (span_us, key) = (*span_us, (id, device));
            let matches = !is_stray || self.rules.matching.is_in(profile, rule.selector);
            let has_it = metric.as_ref().is_none_or(|metric| names(view, metric));
            if !matches && !has_it && self.dead_men.get(key).is_some() {
                self.dead_men.add_stray(device);
            }
            if !has_it || !matches && self.dead_men.get(key).is_none() {
                continue;
            }
            let before = self.dead_men.hear(key, clock_us, span_us);
            if before.is_some_and(|watch| watch.missed_us.is_some()) {
                self.end_silence(key, clock_us, None, clock_us, sink);
            }
            // What its messages say of it now is not what the rule is about.
            if !matches {
                self.dead_men.remove(key);
            }
        }
    }

    /// Says that a device, or its metric, is missed.
    pub(crate) fn raise_missed(&mut self, key: WatchKey, at_us: i64, clock_us: i64, sink: &mut impl Sink) {
        let Some(watch) = self.dead_men.get(key) else {
            return;
        };
        let (rule, device) = (self.rules.get(key.0), self.devices.get(key.1));
        let stamp_us = self.stamps.get(&(Arc::clone(&rule.id), key.1)).map_or(at_us, |last| at_us.max(*last));
        let known = self.rule_set.registry().device(&device.id);
        let location = self.locations.get(&key.1).copied();
        let episode = Episode {
            cause: Cause::Silence { last_us: watch.last_us },
            evidence: Vec::new(),
            place: device.place.clone(),
            location: location.or_else(|| known.and_then(|known| known.position())),
            started_us: watch.last_us,
            raised_us: Some(stamp_us),
            edge_us: None,
        };
        self.counts.raised += 1;
        self.say_silence(key, &episode, Turn::Raise { at_us: stamp_us }, None, clock_us, sink);
        self.silences.insert(key, episode);
    }

    /// Says that what was missed is resolved.
    pub(crate) fn end_silence(
        &mut self,
        key: WatchKey,
        at_us: i64,
        reason: Option<&'static str>,
        clock_us: i64,
        sink: &mut impl Sink,
    ) {
        let Some(episode) = self.silences.remove(&key) else {
            return;
        };
        let at_us = episode.raised_us.map_or(at_us, |raised_us| at_us.max(raised_us));
        self.counts.resolved += 1;
        self.say_silence(key, &episode, Turn::Resolve { at_us }, reason, clock_us, sink);
        let stamped = (Arc::clone(&self.rules.get(key.0).id), key.1);
        self.remember_stamp(stamped, at_us);
    }

    fn say_silence(
        &self,
        (rule, device): WatchKey,
        episode: &Episode,
        turn: Turn,
        reason: Option<&'static str>,
        clock_us: i64,
        sink: &mut impl Sink,
    ) {
        sink.say(&Said {
            rule: self.rules.get(rule),
            device_id: &self.devices.get(device).id,
            episode,
            turn,
            reason,
            clock_us,
            metrics: &self.metrics,
            registry: self.rule_set.registry(),
        });
    }

    /// Watches the registered devices of this log partition that a dead-man is about and does not watch yet, from the
    /// clock at which the rules took effect.
    pub(crate) fn watch_registered(&mut self, clock_us: i64, config: &EvaluatorConfig) {
        let rule_set = Arc::clone(&self.rule_set);
        let watch = self.dead_men.watch_from(clock_us);
        let of_devices: Vec<(RuleId, i64)> = self
            .rules
            .dead_men()
            .iter()
            .filter_map(|id| match self.rules.get(*id).shape {
                Shape::DeadMan { span_us, metric: None } => Some((*id, span_us)),
                _ => None,
            })
            .collect();
        if of_devices.is_empty() {
            return;
        }
        for (device_id, known) in rule_set.registry().devices() {
            if partition_of(device_id.as_bytes(), config.partitions) != config.partition {
                continue;
            }
            let profile = self.rules.matching.profile(&DeviceAttributes::Registered(device_id, known));
            for (id, span_us) in &of_devices {
                if !self.rules.matching.is_in(profile, self.rules.get(*id).selector) {
                    continue;
                }
                let Some(device) = self.registered(device_id) else {
                    self.counts.over_limit += 1;
                    continue;
                };
                if self.dead_men.get((*id, device)).is_none() {
                    self.dead_men.add((*id, device), watch, *span_us);
                }
            }
        }
    }

    /// The number of a registered device, which may not have spoken yet: then the registry says where it is.
    fn registered(&mut self, device_id: &str) -> Option<DeviceId> {
        if let Some(device) = self.devices.find(device_id) {
            return Some(device);
        }
        let known = self.rule_set.registry().device(device_id)?;
        let domain = if known.domain.is_empty() { "unknown" } else { &known.domain };
        let place = Place::new(domain, &known.asset_id, &known.gateway_id);
        let has_room = self.devices.len() < self.limits.devices_max;
        has_room.then(|| self.devices.add(device_id, place))
    }
}

fn names(view: &TelemetryView<'_>, metric: &str) -> bool {
    view.readings().any(|reading| reading.metric == metric)
}
