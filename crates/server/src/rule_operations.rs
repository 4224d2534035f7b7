//! What people ask of the rules: which are in force, where one stands on a device, other rule files, which set was in
//! force when.
//!
//! [`RuleOperations`] is the question. [`LocalRules`] answers inside the service, or from what a service left while none
//! runs; [`crate::operations::RemoteOperations`] asks a running one's admin server, which answers with the former.

use model::Severity;
use rules::{Diagnostic, RuleExplanation};
use serde::{Deserialize, Serialize};

use crate::operations::OperationError;
use crate::rule_questions::PartitionRules;

mod folder;
mod history;
mod local;
mod shadow;
mod shadow_report;

pub use folder::{RULE_FILE_NAME_HELP, RuleFolder, is_rule_file_name};
pub use local::LocalRules;
pub use shadow_report::{SHADOW_DIFFERENCES_MAX, SHADOW_OF, ShadowDifference, ShadowPair, ShadowReport};

/// The rules in force. Times are RFC 3339 in UTC with microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RulesInForce {
    /// Number of the newest rule set in force on any log partition; null before the first.
    pub n: Option<u64>,
    /// Of that set, 64 lower-case hex digits.
    pub digest: String,
    /// In the order of their ids.
    pub rules: Vec<RuleInForce>,
    /// What is in force on each log partition of this process.
    pub partitions: Vec<PartitionRules>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleInForce {
    pub id: String,
    pub title: String,
    pub severity: Severity,
    pub is_shadow: bool,
    /// With the limits in force where a device has none of its own.
    pub condition: String,
    /// SHA-256 over id and meaning, 64 lower-case hex digits.
    pub digest: String,
    /// File and line, where this process has loaded just this set from its files.
    pub place: Option<String>,
}

/// Where a rule stands on a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleAnswer {
    pub source: AnswerSource,
    pub log_partition: u32,
    /// First offset that is not evaluated.
    pub position: i64,
    pub explanation: RuleExplanation,
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerSource {
    /// The evaluator itself, as it is now.
    Worker,
    /// The newest snapshot of an evaluator that does not run here.
    Snapshot,
}

/// A rule file was put or removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RulesChanged {
    /// The file, in a folder of `rules.paths`.
    pub file: String,
    /// How many rules all files hold now.
    pub rules: usize,
    /// Of the rule set, 64 lower-case hex digits.
    pub digest: String,
    /// Its number; null where no service runs: it is in force at the next start.
    pub n: Option<u64>,
    /// True when the set is in force on every log partition of the process; each says from which offset on.
    pub is_in_force: bool,
    pub partitions: Vec<PartitionRules>,
    /// What is odd but no error.
    pub warnings: Vec<Diagnostic>,
}

/// A rule set on one log partition, from its record on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleSetSpan {
    pub log_id: String,
    pub log_partition: u32,
    /// Null where the set is no longer stored.
    pub n: Option<u64>,
    pub digest: String,
    /// How many rules it has; null where the set is no longer stored.
    pub rules: Option<usize>,
    /// The offset of its record.
    pub from_offset: i64,
    /// The clock there.
    pub from: String,
    /// The clock at the record of the next set; null where it is in force.
    pub until: Option<String>,
}

/// The questions. All block.
pub trait RuleOperations: Send + Sync {
    /// # Errors
    /// Nobody here evaluates rules, or the worker or the admin server does not answer.
    fn rules_in_force(&self) -> Result<RulesInForce, OperationError>;

    /// Where a rule stands on a device.
    ///
    /// # Errors
    /// There is no such rule or device, or nobody answers.
    fn explain_rule(&self, rule_id: &str, device_id: &str) -> Result<RuleAnswer, OperationError>;

    /// Puts a rule file, new or in place of the one of that name, and waits until its rules are in force.
    ///
    /// # Errors
    /// [`OperationError::BrokenRules`] when the rules do not load with it: then nothing has changed.
    fn put_rule_file(&self, name: &str, text: &str) -> Result<RulesChanged, OperationError>;

    /// Removes a rule file, and waits until its rules are no longer in force.
    ///
    /// # Errors
    /// There is none, or the rest does not load: then nothing has changed.
    fn remove_rule_file(&self, name: &str) -> Result<RulesChanged, OperationError>;

    /// Which rule set was in force when, by log partition, oldest first.
    ///
    /// # Errors
    /// The lake or the log cannot be read.
    fn rule_sets(&self) -> Result<Vec<RuleSetSpan>, OperationError>;

    /// How every shadow rule in force differs from its live rule, since both are in force as they are.
    ///
    /// # Errors
    /// The lake or the log cannot be read.
    fn shadow_report(&self) -> Result<ShadowReport, OperationError>;
}
