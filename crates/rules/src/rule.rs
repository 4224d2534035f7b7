//! One rule, resolved and self-contained: limits converted, defaults filled in.

use std::collections::BTreeMap;

use model::Severity;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::condition::{Condition, Value};
use crate::selector::Selector;

/// A rule as a rule set keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub id: String,
    pub title: String,
    pub labels: BTreeMap<String, String>,
    pub runbook: Option<String>,
    pub meaning: Meaning,
}

/// All that decides what a rule says; a (rule, device) keeps its state while this is unchanged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meaning {
    pub severity: Severity,
    /// Which readings are in place for it.
    pub quality: QualityFilter,
    /// Said on the shadow topic only.
    pub shadow: bool,
    /// How long R must hold.
    pub for_us: i64,
    /// How long C must hold.
    pub clear_for_us: i64,
    /// A value older than this against now is unknown.
    pub max_age_us: i64,
    /// How long past `for` the clock waits for a reading before a timer speaks.
    pub silence_grace_us: i64,
    /// The metrics that `when` and `clear` name, in the order in which they do.
    pub metrics: Vec<String>,
    pub(crate) when: Condition,
    pub(crate) clear: Option<Condition>,
    /// Every device where there is none.
    pub(crate) selector: Option<Selector>,
}

/// Which readings a rule takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QualityFilter {
    Good,
    Any,
}

impl Rule {
    /// SHA-256 over the id and the meaning, lower-case hex.
    pub fn digest(&self) -> String {
        let meaning =
            serde_json::to_vec(&(&self.id, &self.meaning)).expect("a rule holds nothing that JSON cannot");
        hex(&Sha256::digest(meaning))
    }

    /// The raise condition as a reader writes it, with the limits in force.
    pub fn condition_text(&self) -> String {
        self.meaning.when.text(&self.meaning.metrics)
    }
}

impl Meaning {
    pub(crate) fn lists_its_metrics(&self) -> bool {
        [Some(&self.when), self.clear.as_ref()]
            .into_iter()
            .flatten()
            .all(|part| names_only(part, self.metrics.len()))
    }

    /// Whether `when` and `clear` can be true of the same value, where both are about one and the same metric.
    pub(crate) fn can_hold_at_once(&self) -> bool {
        let (Some(clear), 1) = (&self.clear, self.metrics.len()) else {
            return false;
        };
        if let (Some(raise), Some(clear)) = (self.when.numbers(0), clear.numbers(0)) {
            return !raise.intersection(&clear).is_empty();
        }
        // One more text stands for all that neither names.
        let words = [self.when.words(), clear.words(), vec![Value::Text("\0".into())]].concat();
        words.iter().any(|word| {
            let value = |_: usize| Some(word);
            self.when.truth(&value) == Some(true) && clear.truth(&value) == Some(true)
        })
    }
}

fn names_only(condition: &Condition, metrics: usize) -> bool {
    let mut is_within = true;
    condition.leaves(&mut |test| test.metrics(&mut |metric| is_within &= metric < metrics));
    is_within
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}
