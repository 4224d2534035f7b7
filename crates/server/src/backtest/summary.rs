//! A backtest for people: how loud each rule is, and which devices are the loudest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use model::AlertEvent;

use super::{Backtest, length_us};

/// Devices that are listed.
const LOUDEST_MAX: usize = 10;

/// The tables of a backtest.
pub struct Summary {
    rules: BTreeMap<String, OfRule>,
    /// Raised alerts and device, the most first.
    loudest: Vec<(usize, String)>,
    days: f64,
}

#[derive(Default)]
struct OfRule {
    raised: usize,
    devices: BTreeSet<String>,
    lengths_us: Vec<i64>,
}

impl Summary {
    /// `rule_ids` are listed also where they say nothing.
    pub fn new<'a>(backtest: &Backtest, rule_ids: impl Iterator<Item = &'a str>) -> Self {
        let mut rules: BTreeMap<String, OfRule> =
            rule_ids.map(|id| (id.to_owned(), OfRule::default())).collect();
        let mut devices = BTreeMap::<&str, usize>::new();
        for alert in &backtest.alerts {
            let of_rule = rules.entry(alert.rule_id.clone()).or_default();
            if alert.event == AlertEvent::Raised {
                of_rule.raised += 1;
                of_rule.devices.insert(alert.device_id.clone());
                *devices.entry(&alert.device_id).or_default() += 1;
            } else if let Some(resolved_at) = &alert.resolved_at {
                of_rule.lengths_us.extend(length_us(&alert.raised_at, resolved_at));
            }
        }
        let mut loudest: Vec<_> =
            devices.into_iter().map(|(device, raised)| (raised, device.to_owned())).collect();
        loudest.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        loudest.truncate(LOUDEST_MAX);
        Summary { rules, loudest, days: backtest.days() }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rules.keys().map(String::len).max().unwrap_or(0).max("rule".len());
        writeln!(
            f,
            "{:<width$} {:>8} {:>8} {:>14} {:>12}",
            "rule", "raised", "devices", "median length", "alerts a day"
        )?;
        for (id, of_rule) in &self.rules {
            let OfRule { raised, devices, lengths_us } = of_rule;
            let (median, a_day) = (median_text(lengths_us), *raised as f64 / self.days);
            writeln!(f, "{id:<width$} {raised:>8} {:>8} {median:>14} {a_day:>12.1}", devices.len())?;
        }
        let mut loudest = String::new();
        for (raised, device) in &self.loudest {
            let separator = if loudest.is_empty() { "" } else { ", " };
            write!(loudest, "{separator}{device} ({raised})")?;
        }
        if loudest.is_empty() { Ok(()) } else { writeln!(f, "loudest devices: {loudest}") }
    }
}

/// The middle length, of an even number the shorter of the two.
fn median_text(lengths_us: &[i64]) -> String {
    let mut sorted = lengths_us.to_vec();
    sorted.sort_unstable();
    match sorted.get(sorted.len().saturating_sub(1) / 2) {
        Some(us) => format!("{:.1} s", *us as f64 / 1e6),
        None => "-".to_owned(),
    }
}
