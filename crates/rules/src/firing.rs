//! What is said to be firing now, for those who mark alerts: people, and stages behind the evaluator.

use model::Alert;

use crate::devices::DeviceId;
use crate::evaluator::Evaluator;
use crate::life::Turn;
use crate::reading::Episode;
use crate::said::{Said, alert_id};
use crate::states::RuleId;

impl Evaluator {
    /// The alerts that fire, by id, of those that `is_wanted`, as their raises said them but for `said_at`, which is the clock
    /// now; in no order. Ids are not kept, so this is one pass over all states, with a hash for each that fires.
    pub fn firing(&self, mut is_wanted: impl FnMut(&str) -> bool) -> Vec<Alert> {
        let core = &self.core;
        let of_states = core.states.ids().map(|id| {
            let state = core.states.get(id);
            (state.rule, state.device, &state.episode)
        });
        let of_dead_men = core.silences.iter().map(|((rule, device), episode)| (*rule, *device, episode));
        of_states
            .chain(of_dead_men)
            .filter_map(|(rule, device, episode)| self.firing_one(rule, device, episode, &mut is_wanted))
            .collect()
    }

    fn firing_one(
        &self,
        rule: RuleId,
        device: DeviceId,
        episode: &Episode,
        is_wanted: &mut impl FnMut(&str) -> bool,
    ) -> Option<Alert> {
        let core = &self.core;
        let at_us = episode.raised_us?;
        let (rule, device_id) = (core.rules.get(rule), &*core.devices.get(device).id);
        let said = Said {
            rule,
            device_id,
            episode,
            turn: Turn::Raise { at_us },
            reason: None,
            clock_us: self.clock_us,
            metrics: &core.metrics,
            registry: core.rule_set.registry(),
        };
        is_wanted(&alert_id(&rule.rule.id, device_id, episode)).then(|| said.alert(&self.config))
    }
}
