//! The oracle of obligations: whoever was told that a message is safe finds it in the lake, once, as it was sent; and every
//! alert that the rules owe is said, once.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use model::{Alert, AlertEvent};

use crate::lake_rows;

/// The device's readings are this far apart, microseconds.
const STEP_US: i64 = 1_000_000;

/// Readings begin so long ago: an upload of the last hours, which no clock verdict doubts.
const BEGAN_US_AGO: i64 = 6 * 3600 * STEP_US;

/// What one test sends and expects.
pub struct Oracle {
    start_us: i64,
}

/// Rules of the test: `x` rises above 80 in every fifth message.
pub const RULES: &str = r#"
[[rule]]
id = "x-high"
title = "x is high"
when = "x > 80"
severity = "warning"
"#;

impl Oracle {
    pub fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Oracle { start_us: now.as_secs() as i64 * STEP_US - BEGAN_US_AGO }
    }

    /// Message `number` of a device: topic and payload. Numbers are from 0.
    pub fn message(&self, device: &str, number: u64) -> (String, Vec<u8>) {
        let topic = format!("urban-neuron/v1/devices/{device}/telemetry");
        let at = model::time::format_rfc3339(self.observed_at_us(number));
        let payload = format!(r#"{{"observed_at":"{at}","x":{},"n":{number}}}"#, value(number));
        (topic, payload.into_bytes())
    }

    fn observed_at_us(&self, number: u64) -> i64 {
        self.start_us + number as i64 * STEP_US
    }

    /// Compares the rows of the lake with what each device was told is safe, all of `0..count`.
    pub fn check_rows(&self, root: &Path, devices: &[String], count: u64) {
        let rows = lake_rows::read(root);
        let mut positions = HashSet::new();
        let mut found: BTreeMap<(&str, &str), BTreeMap<i64, Option<f64>>> = BTreeMap::new();
        for row in &rows {
            assert!(positions.insert(&row.position), "a position twice: {row:?}");
            let of_series = found.entry((&row.device_id, &row.metric)).or_default();
            assert!(of_series.insert(row.observed_at_us, row.value).is_none(), "a reading twice: {row:?}");
        }
        for device in devices {
            for number in 0..count {
                let at = self.observed_at_us(number);
                for (metric, sent) in [("x", value(number)), ("n", number)] {
                    let landed = found.get(&(device.as_str(), metric)).and_then(|series| series.get(&at));
                    assert_eq!(landed, Some(&Some(sent as f64)), "{device} message {number} {metric}");
                }
            }
        }
        assert_eq!(rows.len() as u64, 2 * count * devices.len() as u64, "every row was issued");
    }

    /// The alert events that [`RULES`] owe: device, event and instant.
    pub fn owed(&self, devices: &[String], count: u64) -> BTreeSet<(String, &'static str, String)> {
        let mut expected = BTreeSet::new();
        for device in devices {
            for number in (0..count).filter(|number| number % 5 == 4) {
                let at = |number| model::time::format_rfc3339(self.observed_at_us(number));
                expected.insert((device.clone(), "raised", at(number)));
                if number + 1 < count {
                    expected.insert((device.clone(), "resolved", at(number + 1)));
                }
            }
        }
        expected
    }

    /// Compares the alert events said with those that [`RULES`] owe, each once but for repeats that say so by an equal id.
    pub fn check_alerts(&self, said: &[Alert], devices: &[String], count: u64) {
        let mut found = BTreeSet::new();
        let mut ids: BTreeMap<String, Alert> = BTreeMap::new();
        for alert in said {
            let at = match alert.event {
                AlertEvent::Resolved => alert.resolved_at.clone().unwrap(),
                _ => alert.raised_at.clone(),
            };
            if let Some(earlier) = ids.insert(alert.ce_id(), alert.clone()) {
                let bare = |alert: &Alert| Alert { said_at: String::new(), ..alert.clone() };
                assert_eq!(bare(&earlier), bare(alert), "an equal id with other content");
            } else {
                assert!(
                    found.insert((alert.device_id.clone(), alert.event.name(), at)),
                    "said twice: {alert:?}"
                );
            }
        }
        assert_eq!(found, self.owed(devices, count));
    }
}

fn value(number: u64) -> u64 {
    if number % 5 == 4 { 90 } else { 10 + number % 5 }
}
