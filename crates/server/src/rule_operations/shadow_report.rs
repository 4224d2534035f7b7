//! What a shadow rule says beside the live rule that it is tried out for: alerts that only one of them says, and how far
//! apart those are that both say. Pure.

use std::collections::BTreeMap;

use model::time::parse_rfc3339;
use model::{Alert, AlertEvent};
use serde::{Deserialize, Serialize};

use crate::backtest::Episode;

/// Most differences that a report lists; each pair counts all of its own.
pub const SHADOW_DIFFERENCES_MAX: usize = 10_000;

/// The label of a shadow rule that names its live rule.
pub const SHADOW_OF: &str = "shadow_of";
const SUFFIX: &str = "-shadow";

/// Every shadow rule in force, and how it differs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShadowReport {
    /// In the order of the shadow rules' ids.
    pub pairs: Vec<ShadowPair>,
    /// In the order of rule, device and time; the first [`SHADOW_DIFFERENCES_MAX`].
    pub differences: Vec<ShadowDifference>,
}

/// A shadow rule and its live rule, since both are in force as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShadowPair {
    pub shadow_rule_id: String,
    /// Named by the label `shadow_of`, else the same id without `-shadow`; null where no such rule is in force.
    pub live_rule_id: Option<String>,
    /// The clock from which alerts count, of the log partition where that is earliest; null where it is in force on none.
    pub since: Option<String>,
    pub only_live: u64,
    pub only_shadow: u64,
    /// Said by both with equal times.
    pub same: u64,
    /// Said by both with other times.
    pub moved: u64,
}

/// One alert that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShadowDifference {
    pub shadow_rule_id: String,
    pub device_id: String,
    /// Null where only the shadow rule says it.
    pub live: Option<Episode>,
    /// Null where only the live rule says it.
    pub shadow: Option<Episode>,
    /// How much later the shadow rule raises than the live one, seconds; null where only one says it.
    pub raised_later_seconds: Option<f64>,
    /// The same of the resolve; null also while one of them fires.
    pub resolved_later_seconds: Option<f64>,
}

/// The id of the live rule that a shadow rule with these labels is tried out for.
pub fn live_rule_of<'a>(shadow_rule_id: &'a str, labels: &'a BTreeMap<String, String>) -> Option<&'a str> {
    labels.get(SHADOW_OF).map(String::as_str).or_else(|| shadow_rule_id.strip_suffix(SUFFIX))
}

/// The alerts of one rule on one device, oldest first.
#[derive(Debug, Default)]
pub struct Episodes(Vec<Said>);

#[derive(Debug)]
struct Said {
    episode: Episode,
    /// Raised before the pair was in force: it explains what overlaps it, and is no difference itself.
    is_earlier: bool,
}

impl Episodes {
    /// Takes the next event of the log; what was said before `since`, a time as alerts write it, is earlier.
    pub fn take(&mut self, alert: &Alert, since: &str) {
        match alert.event {
            AlertEvent::Raised => {
                let episode = Episode {
                    alert_id: alert.alert_id.clone(),
                    raised_at: alert.raised_at.clone(),
                    resolved_at: None,
                };
                self.0.push(Said { episode, is_earlier: alert.said_at.as_str() < since });
            }
            AlertEvent::Resolved => {
                let open = self.0.iter_mut().rev().find(|said| said.episode.alert_id == alert.alert_id);
                if let Some(said) = open {
                    said.episode.resolved_at.clone_from(&alert.resolved_at);
                }
                // One that was over before the pair was in force explains nothing.
                self.0.retain(|said| {
                    let ended = said.episode.resolved_at.as_deref();
                    !said.is_earlier || ended.is_none_or(|ended| ended >= since)
                });
            }
            AlertEvent::Acknowledged | AlertEvent::Commented | AlertEvent::Silenced => {}
        }
    }
}

/// Goes through the alerts of both on one device in the order of time, counts them, and gives those that differ.
pub fn compare(
    pair: &mut ShadowPair,
    device_id: &str,
    live: Episodes,
    shadow: Episodes,
) -> Vec<ShadowDifference> {
    let mut differences = Vec::new();
    let (mut live, mut shadow) = (live.0.into_iter().peekable(), shadow.0.into_iter().peekable());
    loop {
        let (of_live, of_shadow) = match (live.peek(), shadow.peek()) {
            (None, None) => return differences,
            (Some(a), Some(b)) if overlap(&a.episode, &b.episode) => (live.next(), shadow.next()),
            (Some(a), Some(b)) if b.episode.raised_at < a.episode.raised_at => (None, shadow.next()),
            (Some(_), _) => (live.next(), None),
            (None, Some(_)) => (None, shadow.next()),
        };
        if [&of_live, &of_shadow].into_iter().flatten().any(|said| said.is_earlier) {
            continue;
        }
        let (of_live, of_shadow) = (of_live.map(|said| said.episode), of_shadow.map(|said| said.episode));
        differences.extend(difference(pair, device_id, of_live, of_shadow));
    }
}

fn difference(
    pair: &mut ShadowPair,
    device_id: &str,
    live: Option<Episode>,
    shadow: Option<Episode>,
) -> Option<ShadowDifference> {
    let (mut raised_later_seconds, mut resolved_later_seconds) = (None, None);
    match (&live, &shadow) {
        (Some(live), Some(shadow)) => {
            if (&live.raised_at, &live.resolved_at) == (&shadow.raised_at, &shadow.resolved_at) {
                pair.same += 1;
                return None;
            }
            pair.moved += 1;
            raised_later_seconds = later(&live.raised_at, &shadow.raised_at);
            let resolves = live.resolved_at.as_deref().zip(shadow.resolved_at.as_deref());
            resolved_later_seconds = resolves.and_then(|(live, shadow)| later(live, shadow));
        }
        (Some(_), None) => pair.only_live += 1,
        (None, _) => pair.only_shadow += 1,
    }
    Some(ShadowDifference {
        shadow_rule_id: pair.shadow_rule_id.clone(),
        device_id: device_id.to_owned(),
        live,
        shadow,
        raised_later_seconds,
        resolved_later_seconds,
    })
}

fn later(than: &str, at: &str) -> Option<f64> {
    Some((parse_rfc3339(at).ok()? - parse_rfc3339(than).ok()?) as f64 / 1e6)
}

/// Times of one width in UTC are in order as texts are.
fn overlap(a: &Episode, b: &Episode) -> bool {
    let is_over_before =
        |a: &Episode, b: &Episode| a.resolved_at.as_ref().is_some_and(|end| *end < b.raised_at);
    !is_over_before(a, b) && !is_over_before(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(second: u32) -> String {
        format!("2026-03-02T00:00:{second:02}.000000Z")
    }

    /// From (raised, resolved) in seconds; 99 fires still. Said when they are stamped.
    fn episodes(spans: &[(u32, u32)], since: u32) -> Episodes {
        let mut episodes = Episodes::default();
        for (at, (raised, resolved)) in spans.iter().enumerate() {
            let mut alert: Alert = serde_json::from_value(serde_json::json!({
                "alert_id": at.to_string(), "rule_id": "r", "rule_digest": "", "title": "", "severity": "info",
                "state": "firing", "event": "raised", "reason": null, "device_id": "d", "asset_id": null,
                "domain": "x", "tenant": "t", "location": null, "metric": null, "value": null, "unit": null,
                "condition": "", "started_at": time(*raised), "raised_at": time(*raised), "resolved_at": null,
                "said_at": time(*raised), "evidence": [], "labels": {}, "runbook": null, "shadow": false,
                "suppressed_by": null, "silenced_by": null,
            }))
            .unwrap();
            episodes.take(&alert, &time(since));
            if *resolved < 99 {
                alert.event = AlertEvent::Resolved;
                alert.resolved_at = Some(time(*resolved));
                episodes.take(&alert, &time(since));
            }
        }
        episodes
    }

    type Spans = &'static [(u32, u32)];
    /// Live, shadow, [only live, only shadow, same, moved], (raised later, resolved later) of the moved.
    type Case = (Spans, Spans, [u64; 4], &'static [(f64, f64)]);

    #[test]
    fn alerts_are_of_one_or_of_both() {
        let cases: [Case; 8] = [
            (&[(1, 3)], &[(1, 3)], [0, 0, 1, 0], &[]),
            (&[(1, 3)], &[], [1, 0, 0, 0], &[]),
            (&[], &[(1, 3)], [0, 1, 0, 0], &[]),
            (&[(3, 9)], &[(1, 11)], [0, 0, 0, 1], &[(-2.0, 2.0)]),
            (&[(1, 2), (5, 6)], &[(3, 4), (5, 7)], [1, 1, 0, 1], &[(0.0, 1.0)]),
            (&[(1, 9)], &[(2, 3), (4, 5)], [0, 1, 0, 1], &[(1.0, -6.0)]),
            (&[(1, 99)], &[(1, 99)], [0, 0, 1, 0], &[]),
            (&[(1, 2), (3, 4), (7, 8)], &[(7, 8)], [2, 0, 1, 0], &[]),
        ];
        for (live, shadow, counts, moved) in cases {
            let mut pair = ShadowPair { shadow_rule_id: "r-shadow".to_owned(), ..ShadowPair::default() };
            let found = compare(&mut pair, "d", episodes(live, 0), episodes(shadow, 0));
            assert_eq!(
                [pair.only_live, pair.only_shadow, pair.same, pair.moved],
                counts,
                "{live:?} {shadow:?}"
            );
            let of_both =
                found.iter().filter_map(|one| one.raised_later_seconds.zip(one.resolved_later_seconds));
            assert_eq!(of_both.collect::<Vec<_>>(), moved, "{live:?} {shadow:?}");
            assert_eq!(found.len() as u64, counts[0] + counts[1] + counts[3]);
        }
    }

    #[test]
    fn what_fired_before_the_pair_was_in_force_is_no_difference() {
        let mut pair = ShadowPair::default();
        // In force since 10: the live rule fires since 5, the shadow one could only begin.
        let found =
            compare(&mut pair, "d", episodes(&[(1, 2), (5, 20), (30, 31)], 10), episodes(&[(12, 20)], 10));
        assert_eq!((pair.only_live, pair.only_shadow, pair.moved), (1, 0, 0), "{found:?}");
    }

    #[test]
    fn a_shadow_rule_names_its_live_rule() {
        let label = |name: &str| BTreeMap::from([(SHADOW_OF.to_owned(), name.to_owned())]);
        assert_eq!(live_rule_of("a-shadow", &BTreeMap::new()), Some("a"));
        assert_eq!(live_rule_of("a-shadow", &label("b")), Some("b"));
        assert_eq!(live_rule_of("a", &BTreeMap::new()), None);
    }
}
