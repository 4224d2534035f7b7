//! What another rule set would have said: alerts that are new, gone, or moved, by rule and device.

use std::collections::BTreeMap;

use model::{Alert, AlertEvent};
use serde::{Deserialize, Serialize};

/// One alert from its raise to its resolve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    pub alert_id: String,
    pub raised_at: String,
    /// None while it fires.
    pub resolved_at: Option<String>,
}

impl Episode {
    /// For people: from when to when.
    pub fn span(&self) -> String {
        format!("{}..{}", self.raised_at, self.resolved_at.as_deref().unwrap_or("now"))
    }
}

/// What became of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum Change {
    New {
        now: Episode,
    },
    Gone {
        before: Episode,
    },
    /// The same alert with other times, or one that overlaps it.
    Moved {
        before: Episode,
        now: Episode,
    },
}

/// A change and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub rule_id: String,
    pub device_id: String,
    #[serde(flatten)]
    pub change: Change,
}

/// By rule id and device id.
type Episodes = BTreeMap<(String, String), Vec<Episode>>;

/// The differences in the order of rule id, device id, time.
pub fn differences(before: &[Alert], now: &[Alert]) -> Vec<Difference> {
    let (mut before, mut now) = (episodes(before), episodes(now));
    let keys: Vec<_> = before.keys().chain(now.keys()).cloned().collect();
    let mut differences = Vec::new();
    for key in keys {
        // A key of both stands twice and is done the first time.
        let (old, new) = (before.remove(&key).unwrap_or_default(), now.remove(&key).unwrap_or_default());
        let (rule_id, device_id) = key;
        let changes = changes(old, new).into_iter();
        differences.extend(changes.map(|change| Difference {
            rule_id: rule_id.clone(),
            device_id: device_id.clone(),
            change,
        }));
    }
    differences.sort_by(|a, b| order_of(a).cmp(&order_of(b)));
    differences
}

fn order_of(difference: &Difference) -> (&str, &str, &str) {
    let (Change::New { now: episode }
    | Change::Gone { before: episode }
    | Change::Moved { before: episode, .. }) = &difference.change;
    (&difference.rule_id, &difference.device_id, &episode.raised_at)
}

fn episodes(alerts: &[Alert]) -> Episodes {
    let mut episodes = Episodes::new();
    for alert in alerts {
        let of_key = episodes.entry((alert.rule_id.clone(), alert.device_id.clone())).or_default();
        let open = of_key.iter_mut().rev().find(|episode| episode.alert_id == alert.alert_id);
        match (open, alert.event) {
            (Some(episode), AlertEvent::Resolved) => episode.resolved_at.clone_from(&alert.resolved_at),
            (None, AlertEvent::Raised | AlertEvent::Resolved) => of_key.push(Episode {
                alert_id: alert.alert_id.clone(),
                raised_at: alert.raised_at.clone(),
                resolved_at: alert.resolved_at.clone(),
            }),
            _ => {}
        }
    }
    episodes
}

/// Equal ids first, then what overlaps, then the rest.
fn changes(mut before: Vec<Episode>, now: Vec<Episode>) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut unmatched = Vec::new();
    for episode in now {
        match before.iter().position(|old| old.alert_id == episode.alert_id) {
            Some(at) => {
                let old = before.remove(at);
                if old != episode {
                    changes.push(Change::Moved { before: old, now: episode });
                }
            }
            None => unmatched.push(episode),
        }
    }
    for episode in unmatched {
        changes.push(match before.iter().position(|old| overlap(old, &episode)) {
            Some(at) => Change::Moved { before: before.remove(at), now: episode },
            None => Change::New { now: episode },
        });
    }
    changes.extend(before.into_iter().map(|before| Change::Gone { before }));
    changes
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

    fn episode(text: &str) -> Episode {
        let parts: Vec<&str> = text.split(' ').collect();
        let resolved_at = parts.get(2).map(|end| (*end).to_owned());
        Episode { alert_id: parts[0].to_owned(), raised_at: parts[1].to_owned(), resolved_at }
    }

    #[test]
    fn alerts_are_new_gone_or_moved() {
        let cases: &[(&[&str], &[&str], &[&str])] = &[
            (&["a 1 2"], &["a 1 2"], &[]),
            (&["a 1 2"], &[], &["gone a"]),
            (&[], &["a 1 2"], &["new a"]),
            (&["a 1 2"], &["a 1 3"], &["moved a a"]),
            (&["a 1 3"], &["b 2 4"], &["moved a b"]),
            (&["a 1 2"], &["b 3 4"], &["new b", "gone a"]),
            (&["a 1"], &["b 3 4", "a 1"], &["new b"]),
            (&["a 1 5", "b 6 7"], &["b 6 9", "c 4 5"], &["moved b b", "moved a c"]),
        ];
        for (before, now, expected) in cases {
            let read = |texts: &[&str]| texts.iter().map(|text| episode(text)).collect();
            let found: Vec<String> = changes(read(before), read(now))
                .iter()
                .map(|change| match change {
                    Change::New { now } => format!("new {}", now.alert_id),
                    Change::Gone { before } => format!("gone {}", before.alert_id),
                    Change::Moved { before, now } => format!("moved {} {}", before.alert_id, now.alert_id),
                })
                .collect();
            assert_eq!(&found, expected, "{before:?} {now:?}");
        }
    }
}
