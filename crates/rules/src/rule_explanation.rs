//! What there is to say of a (rule, device): plain values, the same in the admin API and in command output.

use model::{AlertValue, Severity};
use serde::{Deserialize, Serialize};

/// Where a (rule, device) stands. Times are RFC 3339 in UTC with microseconds; what does not apply is null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleExplanation {
    pub rule_id: String,
    /// SHA-256 over the rule's id and meaning, lower-case hex.
    pub rule_digest: String,
    pub title: String,
    pub severity: Severity,
    pub is_shadow: bool,
    pub device_id: String,
    /// The rule's `where` matches the device.
    pub is_matched: bool,
    /// Number of the rule set in force.
    pub rule_set_n: Option<u64>,
    /// The partition clock.
    pub clock: Option<String>,
    /// With the limits in force for the device.
    pub condition: String,
    /// As written; without one it clears when the condition does not hold.
    pub clear: Option<String>,
    pub phase: RulePhase,
    /// Pending or clearing since; of a firing one when it was raised.
    pub since: Option<String>,
    /// Of the alert that is said to be firing.
    pub alert_id: Option<String>,
    pub raised_at: Option<String>,
    /// The reading that made it pending, or raised it at once.
    pub started_by: Option<KeptReading>,
    /// What it says if nothing else comes.
    pub waits_for: Option<Waiting>,
    /// The newest time in place among the rule's metrics.
    pub now: Option<String>,
    /// In the order in which the rule names the metrics; those that are missing are not here.
    pub readings: Vec<ReadingInPlace>,
    /// `when` and `clear` as a whole, then each of their comparisons.
    pub conditions: Vec<ConditionTruth>,
    pub thresholds: Vec<ThresholdInForce>,
    pub hits: Option<HitsSoFar>,
    pub active: Option<ScheduleNow>,
    pub dead_man: Option<DeadManClock>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RulePhase {
    Idle,
    Pending,
    Firing,
    Clearing,
}

/// A reading that an episode keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptReading {
    pub metric: String,
    pub value: AlertValue,
    pub unit: Option<String>,
    pub observed_at: String,
    pub log_offset: i64,
}

/// A turn that comes by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// True: it is raised; false: it is resolved.
    pub is_raise: bool,
    /// The stamp that it will have, said at the next evaluation past it,
    pub at: String,
    /// or when the clock is past this.
    pub clock_past: String,
}

/// A reading in place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadingInPlace {
    pub metric: String,
    /// None where the value itself is not kept: no rule needs more of it than `between`.
    pub value: Option<AlertValue>,
    /// The numbers between which it is, both ends in; an end that is open is null. None where the value is known.
    pub between: Option<[Option<f64>; 2]>,
    pub unit: Option<String>,
    pub observed_at: String,
    /// Against `now`.
    pub age_seconds: f64,
    /// Older than `max_age`: unknown.
    pub is_too_old: bool,
    pub log_offset: Option<i64>,
}

/// What a condition, or one comparison of it, comes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConditionTruth {
    /// `when` or `clear`.
    pub part: String,
    pub text: String,
    /// What is compared, where that is one value.
    pub found: Option<AlertValue>,
    /// None: unknown, or not to be told from what is kept.
    pub is_true: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdInForce {
    pub name: String,
    pub value: f64,
    pub unit: Option<String>,
    /// `device`, `model NAME` or `default`.
    pub origin: String,
}

/// Of the last `of` counted evaluations, `hits` were true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HitsSoFar {
    pub hits: u32,
    pub needed: u32,
    pub of: u32,
}

/// What `active` does at the clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduleNow {
    pub is_active: bool,
    pub time_zone: String,
    /// When it opens or closes next.
    pub changes_at: Option<String>,
}

/// What a dead-man has counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadManClock {
    pub is_watched: bool,
    /// Or when the rule took effect, of a device that never spoke.
    pub last_sign_of_life: Option<String>,
    /// Live time since then: only time between gateways' records counts.
    pub alive_seconds: Option<f64>,
    /// Over this it is missed.
    pub absent_seconds: f64,
    pub missed_since: Option<String>,
}

/// There is nothing to explain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unexplained {
    #[error("no rule {rule_id:?} is in force")]
    NoRule { rule_id: String },
    #[error("nothing was evaluated of a device {device_id:?} in its log partition")]
    NoDevice { device_id: String },
}
