//! One group of equal time put in place, and what of it is to be evaluated.

use std::sync::Arc;

use model::ValueView;

use crate::condition::Value;
use crate::devices::{DeviceAttributes, DeviceId, SeriesId};
use crate::evaluator::Core;
use crate::matching::ProfileId;
use crate::metrics::Metrics;
use crate::plan::PlanId;
use crate::reading::PlacedReading;
use crate::series::{Kept, KeptView, View};
use crate::taking::{Group, Taken, TakenValue};
use crate::windows::WindowReading;

/// A series that the group put readings in place of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touched {
    pub(crate) series: SeriesId,
    /// Its quiet interval until then.
    pub(crate) quiet: Option<(f64, f64)>,
    /// By view: which reading of the group is in place now, where one of it is.
    pub(crate) by_view: [Option<u32>; 2],
}

impl Core {
    /// Puts the readings of a group in place, in order of their index, and notes what is to be evaluated.
    pub(crate) fn place_group(&mut self, group: &mut [Taken], cause: &Group<'_>) {
        for (at, taken) in group.iter_mut().enumerate() {
            if let (TakenValue::Number(number), true) = (taken.value, taken.is_good)
                && self.entries[taken.series as usize].is_quiet(taken.observed_at_us, number)
            {
                taken.is_placed = [true; 2];
                continue;
            }
            self.move_newest(taken);
            if taken.is_placed == [false; 2] {
                self.counts.late += 1;
                continue;
            }
            self.touch(taken, at as u32, cause);
        }
    }

    /// Decides by view whether a reading is late, else makes its time the newest.
    fn move_newest(&mut self, taken: &mut Taken) {
        let entry = &mut self.entries[taken.series as usize];
        let ahead_us = self.any_ahead_us.get(&taken.series).copied();
        let any_newest_us = ahead_us.unwrap_or(entry.newest_us);
        let in_good = taken.is_good && taken.observed_at_us >= entry.newest_us;
        let in_any = taken.observed_at_us >= any_newest_us;
        if in_good {
            entry.newest_us = taken.observed_at_us;
        }
        if in_any && taken.is_good {
            if ahead_us.is_some() {
                self.any_ahead_us.remove(&taken.series);
            }
        } else if in_any && taken.observed_at_us > entry.newest_us {
            self.any_ahead_us.insert(taken.series, taken.observed_at_us);
        }
        taken.is_placed = [in_good, in_any];
    }

    fn touch(&mut self, taken: &Taken, at: u32, cause: &Group<'_>) {
        let plan_id = self.plan_of(taken.series);
        let plan = self.rules.plan(plan_id);
        let is_kept = self.rules.keeps(taken.metric);
        let is_alone = plan.is_empty() && !is_kept && self.series[taken.series as usize].states.is_none();
        let entry = &mut self.entries[taken.series as usize];
        if is_alone {
            if self.any_ahead_us.contains_key(&taken.series) {
                // A calm entry moves one newest time; while the two views' differ, each reading is looked at.
                entry.disturb();
            } else {
                entry.calm((f64::NEG_INFINITY, f64::INFINITY), i64::MAX);
            }
            return;
        }
        let quiet = entry.quiet();
        entry.disturb();
        if is_kept {
            self.keep(taken, plan_id, cause);
        }
        let touched = &mut self.scratch.touched;
        let known = touched.iter().position(|touched| touched.series == taken.series);
        let known = known.unwrap_or_else(|| {
            touched.push(Touched { series: taken.series, quiet, by_view: [None; 2] });
            touched.len() - 1
        });
        for view in View::BOTH.into_iter().filter(|view| taken.is_placed[*view as usize]) {
            touched[known].by_view[view as usize] = Some(at);
        }
    }

    fn plan_of(&mut self, series: SeriesId) -> PlanId {
        let known = self.series[series as usize];
        if let Some(plan) = known.plan.filter(|plan| self.rules.is_of_this_set(*plan)) {
            return plan;
        }
        let profile = self.profile_of(known.device);
        *self.series[series as usize].plan.insert(self.rules.plan_of(profile, known.metric))
    }

    /// The selectors that match a device under the rule set in force.
    pub(crate) fn profile_of(&mut self, device: DeviceId) -> ProfileId {
        let device = self.devices.get_mut(device);
        if let Some(profile) = device.profile.filter(|profile| self.rules.matching.is_of_this_set(*profile)) {
            return profile;
        }
        let attributes = DeviceAttributes::of(device, &self.rule_set);
        let profile = self.rules.matching.profile(&attributes);
        device.profile = Some(profile);
        profile
    }

    /// Keeps a reading in place, and for the windows that look at its metric.
    fn keep(&mut self, taken: &Taken, plan: PlanId, cause: &Group<'_>) {
        let kept = self.series[taken.series as usize].kept.get_or_insert_with(|| {
            self.kept.push(Kept::default());
            self.kept.len() as u32 - 1
        });
        let kept = &mut self.kept[*kept as usize];
        let window = self.rules.window_span_us(taken.metric).map(|span_us| {
            let value = match taken.value {
                TakenValue::Number(number) => number,
                TakenValue::Boolean(_) | TakenValue::Text => f64::NAN,
            };
            let observed_at_us = taken.observed_at_us;
            (span_us, WindowReading { observed_at_us, value, log_offset: cause.offset })
        });
        let running = (plan, &*self.rules.plan(plan).windows);
        for view in self.rules.views().filter(|view| taken.is_placed[*view as usize]) {
            let KeptView { place, window: readings } = kept.get_mut(view);
            *place = Some(placed(taken, cause, &self.metrics));
            if let Some((span_us, reading)) = window {
                let readings_max = self.limits.window_readings_max;
                self.counts.window_overflows += readings.take(reading, span_us, readings_max, running);
            }
        }
    }
}

/// A reading as it is kept in place and in evidence.
pub(crate) fn placed(taken: &Taken, cause: &Group<'_>, metrics: &Metrics) -> PlacedReading {
    let written = || cause.message.and_then(|message| message.readings().nth(taken.index as usize));
    PlacedReading {
        event_id: cause.event_id,
        reading_index: taken.index,
        metric: taken.metric,
        value: match taken.value {
            TakenValue::Number(number) => Value::Number(number),
            TakenValue::Boolean(boolean) => Value::Boolean(boolean),
            TakenValue::Text => match written().map(|reading| reading.value) {
                Some(ValueView::Text(text)) => Value::Text(text.into()),
                _ => Value::Text("".into()),
            },
        },
        unit: match &metrics.get(taken.metric).unit {
            Some(unit) => Some(Arc::clone(unit)),
            None => written().map(|reading| reading.unit).filter(|unit| !unit.is_empty()).map(Arc::from),
        },
        observed_at_us: taken.observed_at_us,
        log_offset: cause.offset,
    }
}
