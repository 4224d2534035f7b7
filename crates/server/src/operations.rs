//! What people ask of a deployment: what fires, a command on it, what was refused, a second try of it, what the log holds.
//!
//! [`Operations`] is the question; [`LocalOperations`] answers from the log itself, inside the service or while none
//! runs; [`RemoteOperations`] asks a running service's admin server, which answers with the former.

use std::ops::ControlFlow;

use model::Alert;
use serde::{Deserialize, Serialize};

use crate::alert_command::CommandDraft;
use crate::dead_letters::{DeadLetterFilter, DeadLetterSummary, DeadLetterView, RedriveOutcome};

mod commanding;
mod local;
mod remote;
mod remote_rules;
mod topic_scan;

pub use local::LocalOperations;
pub use remote::{About, ErrorAnswer, RemoteOperations};
pub use topic_scan::{TopicScan, scan};

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    #[error("{0}")]
    NotFound(String),
    /// It cannot be done as it is written; the text names the field.
    #[error("{0}")]
    Invalid(String),
    /// It may yet be done; the text says by what.
    #[error("{0}")]
    NotDone(String),
    /// Not as things stand; the text says why.
    #[error("{0}")]
    Refused(String),
    #[error("the log did not deliver {topic}/{partition} to its end within {seconds} s")]
    Stalled { topic: &'static str, partition: u32, seconds: u64 },
    /// Not now; it may be asked again.
    #[error("{0}")]
    Unavailable(String),
    /// What was given does not load; all that is wrong with it.
    #[error("{words}")]
    BrokenRules { words: String, diagnostics: Vec<rules::Diagnostic> },
    /// It was tried and did not work.
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Log(#[from] log::Error),
    /// The admin server's own words, or that it could not be reached.
    #[error("{0}")]
    Admin(String),
}

/// What one log partition holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionOffsets {
    pub topic: String,
    pub log_partition: u32,
    /// First offset kept.
    pub first: i64,
    /// Offset that the next record gets.
    pub next: i64,
}

/// What the log is and holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogDescription {
    pub log_id: String,
    pub partitions: Vec<PartitionOffsets>,
    /// Why nothing can be appended now.
    pub trouble: Option<String>,
}

/// The questions. All block.
pub trait Operations: Send + Sync {
    /// What fires now, by rule and device.
    ///
    /// # Errors
    /// The log or the admin server does not answer.
    fn firing(&self) -> Result<Vec<Alert>, OperationError>;

    /// The events of one alert that the log still holds, in their order; empty for one that it does not know.
    ///
    /// # Errors
    /// The log or the admin server does not answer.
    fn alert_events(&self, alert_id: &str) -> Result<Vec<Alert>, OperationError>;

    /// Does a command on an alert that fires; gives the event that says so, the same for a repeat of the command's id.
    ///
    /// # Errors
    /// It is no command, its alert is unknown or resolved, or the log, the rules or the admin server do not answer.
    fn command(&self, draft: CommandDraft) -> Result<Alert, OperationError>;

    /// Every alert event from now on, until `each` breaks or nothing can come any more. `each` is called with `None`
    /// while nothing comes, so that it can notice that nobody listens.
    ///
    /// # Errors
    /// The log or the admin server does not answer.
    fn watch(&self, each: &mut dyn FnMut(Option<Alert>) -> ControlFlow<()>) -> Result<(), OperationError>;

    /// The newest dead letters that pass the filter, oldest first.
    ///
    /// # Errors
    /// The log or the admin server does not answer.
    fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<Vec<DeadLetterSummary>, OperationError>;

    /// One dead letter with its bytes.
    ///
    /// # Errors
    /// There is none, or the log or the admin server does not answer.
    fn dead_letter(&self, partition: u32, offset: i64) -> Result<DeadLetterView, OperationError>;

    /// Tries a dead letter again.
    ///
    /// # Errors
    /// There is none, or the log or the admin server does not answer. That it is refused again is an outcome.
    fn redrive(&self, partition: u32, offset: i64) -> Result<RedriveOutcome, OperationError>;

    /// What the log holds.
    ///
    /// # Errors
    /// The log or the admin server does not answer.
    fn describe_log(&self) -> Result<LogDescription, OperationError>;
}
