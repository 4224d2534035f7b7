//! The alert as consumers read it: one JSON shape on Kafka, MQTT and in command output.

use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// How grave a rule's alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

/// Whether the alert holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    Firing,
    Resolved,
}

/// What happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertEvent {
    Raised,
    Resolved,
    Acknowledged,
    Commented,
    Silenced,
}

impl Severity {
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

impl AlertEvent {
    pub const fn name(self) -> &'static str {
        match self {
            AlertEvent::Raised => "raised",
            AlertEvent::Resolved => "resolved",
            AlertEvent::Acknowledged => "acknowledged",
            AlertEvent::Commented => "commented",
            AlertEvent::Silenced => "silenced",
        }
    }

    /// Something that a person did, not the evaluator.
    pub const fn is_of_people(self) -> bool {
        matches!(self, AlertEvent::Acknowledged | AlertEvent::Commented | AlertEvent::Silenced)
    }
}

/// A reading's value in an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AlertValue {
    Boolean(bool),
    /// Shortest decimal of the double, integers without a point.
    #[serde(serialize_with = "shortest")]
    Number(f64),
    Text(String),
}

fn shortest<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    // Above 2^53 the doubles are all integers, and printing them as such would claim digits that they do not have.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT_MAX {
        serializer.serialize_i64(*number as i64)
    } else {
        serializer.serialize_f64(*number)
    }
}

/// Where an alert was, WGS-84 degrees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertLocation {
    pub latitude: f64,
    pub longitude: f64,
}

/// A reading that was in place when the alert started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// 32 lower-case hex digits.
    pub event_id: String,
    pub reading_index: u32,
    pub metric: String,
    pub value: Option<AlertValue>,
    pub unit: Option<String>,
    pub observed_at: String,
    pub log_id: String,
    pub log_partition: u32,
    pub log_offset: i64,
}

/// What a person did with an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PersonEvent {
    pub event: AlertEvent,
    /// Who, as the command named them.
    pub by: String,
    /// When the command was appended to the log.
    pub at: String,
    pub text: Option<String>,
    /// How long a silence holds.
    pub until: Option<String>,
    /// Of the command; a repeat of it has the same.
    pub command_id: String,
}

/// One alert event. Times are RFC 3339 in UTC with microseconds; what does not apply is null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub alert_id: String,
    pub rule_id: String,
    pub rule_digest: String,
    pub title: String,
    pub severity: Severity,
    pub state: AlertState,
    pub event: AlertEvent,
    pub reason: Option<String>,
    pub device_id: String,
    pub asset_id: Option<String>,
    pub domain: String,
    pub tenant: String,
    pub location: Option<AlertLocation>,
    pub metric: Option<String>,
    pub value: Option<AlertValue>,
    pub unit: Option<String>,
    pub condition: String,
    pub started_at: String,
    pub raised_at: String,
    pub resolved_at: Option<String>,
    /// The clock when it was said; in no comparison.
    pub said_at: String,
    pub evidence: Vec<Evidence>,
    pub labels: std::collections::BTreeMap<String, String>,
    pub runbook: Option<String>,
    pub shadow: bool,
    /// Id of the alert that explains this one.
    pub suppressed_by: Option<String>,
    /// Who has silenced the rule on this device.
    pub silenced_by: Option<String>,
    /// What people did with it so far, oldest first; absent while they have not. A people's event is the last in its own list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<PersonEvent>,
}

impl Alert {
    /// CloudEvents id: equal for a repeat of the same event.
    pub fn ce_id(&self) -> String {
        let of_people = self.people.last().filter(|_| self.event.is_of_people());
        let last = of_people.map_or(self.event.name(), |person| &person.command_id);
        format!("{}/{last}", self.alert_id)
    }

    /// The alert as the evaluator says it: without what people and later stages mark, which no comparison looks at.
    #[must_use]
    pub fn without_marks(self) -> Self {
        Alert { suppressed_by: None, silenced_by: None, people: Vec::new(), ..self }
    }

    /// Key in `alerts.v1` and `alerts.current.v1`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.rule_id, self.device_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_shortest_decimal() {
        let cases = [
            (2.5, "2.5"),
            (30.0, "30"),
            (-0.1, "-0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e300, "1e+300"),
            (-7.0, "-7"),
        ];
        for (number, text) in cases {
            assert_eq!(serde_json::to_string(&AlertValue::Number(number)).ok().as_deref(), Some(text));
        }
    }
}
