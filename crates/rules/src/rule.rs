//! One rule, resolved and self-contained: limits converted, defaults filled in.

use std::collections::BTreeMap;
use std::ops::Range;

use model::Severity;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::condition::{Condition, Operand, Test, Value, Values, shortest_decimal};
use crate::condition_text::{InForce, ThresholdOrigin, condition_text};
use crate::diagnostic::Finding;
use crate::duration;
use crate::limit::{LimitForm, WrittenLimit};
use crate::resolve::MetricCatalog;
use crate::schedule::Schedule;
use crate::selector::Selector;
use crate::window_function::Window;

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

impl Rule {
    /// It says that nothing at all came from a device.
    pub fn is_dead_man(&self) -> bool {
        self.meaning.absent.as_ref().is_some_and(|absent| absent.metric.is_none())
    }
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
    /// What raises; a dead-man has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) when: Option<Condition>,
    pub(crate) clear: Option<Condition>,
    /// Every device where there is none.
    pub(crate) selector: Option<Selector>,
    /// Every evaluation counts alone where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hits: Option<Hits>,
    /// The rule is a dead-man.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) absent: Option<Absent>,
    /// When it is said; always where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) active: Option<Schedule>,
    /// The thresholds that the conditions name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) thresholds: Vec<Threshold>,
    /// The zones that the conditions name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) zones: Vec<String>,
}

/// R is true when at least `needed` of the last `of` counted evaluations were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hits {
    pub(crate) needed: u32,
    /// At most [`HITS_MAX`].
    pub(crate) of: u32,
}

/// Most evaluations that `hits` looks back over.
pub const HITS_MAX: u32 = 64;

/// How long nothing may be heard, of the device or of one metric of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Absent {
    pub(crate) span_us: i64,
    pub(crate) metric: Option<String>,
}

/// A limit that a device, or its model, may have of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Threshold {
    pub(crate) name: String,
    /// In force where neither the device nor its model has one.
    #[serde(with = "shortest_decimal")]
    pub(crate) default: f64,
    /// The unit of the metric that it is a limit of.
    pub(crate) unit: Option<String>,
    pub(crate) form: LimitForm,
}

impl Threshold {
    /// A value of the registry as one that is compared.
    pub(crate) fn convert(
        &self,
        catalog: &dyn MetricCatalog,
        written: &model::registry::Threshold,
        span: &Range<usize>,
    ) -> Result<f64, Finding> {
        let unit = Some(written.unit.as_str()).filter(|unit| !unit.is_empty());
        let limit = WrittenLimit { decimal: &written.number, unit };
        limit.convert(catalog, self.unit.as_deref(), self.form, span)
    }

    /// What values of the registry are kept under: the same name may be compared with metrics of several units.
    pub(crate) fn key(&self) -> String {
        format!("{} {:?} {}", self.name, self.form, self.unit.as_deref().unwrap_or_default())
    }
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
        hex(&self.digest_bytes())
    }

    pub(crate) fn digest_bytes(&self) -> [u8; 32] {
        let meaning =
            serde_json::to_vec(&(&self.id, &self.meaning)).expect("a rule holds nothing that JSON cannot");
        Sha256::digest(meaning).into()
    }

    /// The raise condition as a reader writes it, with the limits in force where a device has none of its own.
    pub fn condition_text(&self) -> String {
        self.condition_text_with(&|threshold| InForce {
            value: self.meaning.thresholds[threshold].default,
            origin: ThresholdOrigin::Default,
        })
    }

    pub(crate) fn condition_text_with<'a>(&self, in_force: &dyn Fn(usize) -> InForce<'a>) -> String {
        let meaning = &self.meaning;
        match (&meaning.when, &meaning.absent) {
            (Some(when), _) => condition_text(when, meaning, in_force),
            (None, Some(Absent { span_us, metric: Some(metric) })) => {
                format!("no {metric} for {}", duration::text(*span_us))
            }
            (None, Some(Absent { span_us, metric: None })) => {
                format!("nothing for {}", duration::text(*span_us))
            }
            (None, None) => String::new(),
        }
    }
}

impl Meaning {
    /// Its conditions name nothing but what it lists, and it has something that raises.
    pub(crate) fn is_consistent(&self) -> bool {
        let mut is_consistent = self.when.is_some() != self.absent.is_some();
        if let Some(Hits { needed, of }) = self.hits {
            is_consistent &= (1..=of).contains(&needed) && of <= HITS_MAX;
        }
        is_consistent &= self.active.as_ref().is_none_or(Schedule::is_consistent);
        self.tests(&mut |test| {
            test.metrics(&mut |metric| is_consistent &= metric < self.metrics.len());
            test.operands(&mut |operand| {
                if let Operand::Threshold(threshold) = operand {
                    is_consistent &= *threshold < self.thresholds.len();
                }
            });
            if let Test::Zone { zone, .. } = test {
                is_consistent &= *zone < self.zones.len();
            }
        });
        is_consistent
    }

    /// Every test of `when` and `clear`.
    pub(crate) fn tests<'a>(&'a self, visit: &mut dyn FnMut(&'a Test)) {
        [&self.when, &self.clear].into_iter().flatten().for_each(|part| part.leaves(visit));
    }

    /// The windows that the conditions look at.
    pub(crate) fn windows(&self) -> Vec<Window> {
        let mut windows = Vec::new();
        self.tests(&mut |test| {
            test.operands(&mut |operand| {
                if let Operand::Window(window) = operand {
                    windows.push(*window);
                }
            });
        });
        windows
    }

    /// Whether `when` and `clear` can be true of the same value, where both are about one and the same metric.
    pub(crate) fn can_hold_at_once(&self) -> bool {
        let (Some(when), Some(clear), 1) = (&self.when, &self.clear, self.metrics.len()) else {
            return false;
        };
        if let (Some(raise), Some(clear)) = (when.numbers(0), clear.numbers(0)) {
            return !raise.intersection(&clear).is_empty();
        }
        if !self.is_of_words() {
            return false;
        }
        // One more text stands for all that neither names.
        let words = [when.words(), clear.words(), vec![Value::Text("\0".into())]].concat();
        words
            .into_iter()
            .map(OneValue)
            .any(|word| when.truth(&word) == Some(true) && clear.truth(&word) == Some(true))
    }

    /// The conditions compare one metric with texts and booleans and with nothing else.
    fn is_of_words(&self) -> bool {
        let mut is_of_words = true;
        self.tests(&mut |test| {
            is_of_words &= !matches!(test, Test::Zone { .. });
            test.operands(&mut |operand| {
                is_of_words &= matches!(operand, Operand::Metric(_) | Operand::Text(_) | Operand::Boolean(_));
            });
        });
        is_of_words
    }
}

/// The value of the only metric.
struct OneValue(Value);

impl Values for OneValue {
    fn value(&self, _metric: usize) -> Option<&Value> {
        Some(&self.0)
    }

    fn window(&self, _window: &Window) -> Option<f64> {
        None
    }

    fn threshold(&self, _threshold: usize) -> f64 {
        f64::NAN
    }

    fn is_in_zone(&self, _zone: usize) -> Option<bool> {
        None
    }
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
