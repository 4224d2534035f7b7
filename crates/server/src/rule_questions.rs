//! Questions to the rules worker, which owns the evaluators on its thread: it answers between two batches, so an answer
//! speaks of one position of each log partition.
//!
//! Invariants: the worker never waits for who asks; who asks waits at most [`ANSWER_WAIT`].

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use rules::{RuleExplanation, RuleSet, Unexplained};

use crate::operations::OperationError;
use crate::rule_loader::RulePlaces;
use crate::rule_sets::Newest;

/// Questions that wait for the worker.
const QUESTIONS_MAX: usize = 16;
/// A turn of the worker takes milliseconds; taking up 100,000 changed rules takes seconds.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// Where questions go.
#[derive(Clone)]
pub struct RuleQuestions(SyncSender<RuleQuestion>);

/// Where they come from, for the worker.
pub struct AskedRules(Receiver<RuleQuestion>);

/// A question, with where its answer goes. Each has room for the one answer.
pub enum RuleQuestion {
    /// None where this worker does not have the log partition of the device.
    Explain {
        rule_id: String,
        device_id: String,
        answer: SyncSender<Option<Explained>>,
    },
    InForce {
        answer: SyncSender<WorkerRules>,
    },
    /// Load the files now. The newest rule set then, or why they did not load.
    Reload {
        answer: SyncSender<Result<Newest, String>>,
    },
}

/// What a worker says of a (rule, device), at the position of its log partition.
pub struct Explained {
    pub log_partition: u32,
    pub position: i64,
    pub explanation: Result<RuleExplanation, Unexplained>,
}

/// The rules of one worker.
#[derive(Clone, Debug)]
pub struct WorkerRules {
    /// The newest set in force on any of its log partitions.
    pub rule_set: Arc<RuleSet>,
    pub partitions: Vec<PartitionRules>,
    /// Where the rules of the files stand, by the digest of their set.
    pub places: Option<(String, Arc<RulePlaces>)>,
}

/// What is in force on one log partition.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PartitionRules {
    pub log_partition: u32,
    /// Number of the rule set; null before the first.
    pub n: Option<u64>,
    /// Of the rule set, 64 lower-case hex digits.
    pub digest: String,
    /// The offset at which it took effect, where that was since the start of the process.
    pub from_offset: Option<i64>,
    /// First offset that is not evaluated.
    pub position: i64,
    /// False while it still reads what the log held at its start.
    pub is_live: bool,
}

/// A way to ask the worker and to be asked.
pub fn channel() -> (RuleQuestions, AskedRules) {
    let (sender, receiver) = sync_channel(QUESTIONS_MAX);
    (RuleQuestions(sender), AskedRules(receiver))
}

impl RuleQuestions {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The worker has ended, is asked too much, or does not answer in time.
    pub fn ask<T>(&self, question: impl FnOnce(SyncSender<T>) -> RuleQuestion) -> Result<T, OperationError> {
        let (answer, answered) = sync_channel(1);
        let refused = |words: &str| OperationError::Unavailable(words.to_owned());
        self.0.try_send(question(answer)).map_err(|error| match error {
            TrySendError::Full(_) => refused("the rules worker has other questions to answer, ask again"),
            TrySendError::Disconnected(_) => refused("the rules worker has ended"),
        })?;
        answered.recv_timeout(ANSWER_WAIT).map_err(|error| match error {
            RecvTimeoutError::Timeout => refused("the rules worker does not answer"),
            RecvTimeoutError::Disconnected => refused("the rules worker has ended"),
        })
    }
}

impl AskedRules {
    /// The next question, if there is one.
    pub fn next(&self) -> Option<RuleQuestion> {
        self.0.try_recv().ok()
    }
}
