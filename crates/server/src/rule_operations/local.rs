//! The answers, from the rules worker of this process where there is one, else from what a worker left in the lake.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use log::Log;
use model::log_partition::partition_of;
use rules::{Loaded, RuleExplanation, RuleSet, Unexplained};
use tracing::info;

use super::history::rule_set_spans;
use super::shadow::shadow_report;
use super::{
    AnswerSource, RuleAnswer, RuleFolder, RuleInForce, RuleOperations, RuleSetSpan, RulesChanged,
    RulesInForce, ShadowReport,
};
use crate::operations::OperationError;
use crate::rule_loader::RulePlaces;
use crate::rule_questions::{Explained, PartitionRules, RuleQuestion, RuleQuestions, WorkerRules};
use crate::rule_sets::{Newest, RuleSets};
use crate::rules_partition::{evaluator_config, open_snapshot};
use crate::state_store::StateStore;

/// Longest wait for a new rule set to be in force on every log partition.
const IN_FORCE_WAIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Answers over a log that is open in this process.
pub struct LocalRules<L> {
    pub log: L,
    /// None where no rules worker runs here.
    pub questions: Option<RuleQuestions>,
    pub folder: RuleFolder,
    pub lake_root: PathBuf,
    pub tenant: String,
}

impl<L: Log> LocalRules<L> {
    fn store(&self) -> StateStore {
        StateStore::new(&self.lake_root)
    }

    /// From the newest snapshot that opens.
    fn explain_snapshot(&self, rule_id: &str, device_id: &str) -> Result<RuleAnswer, OperationError> {
        let failed = |error: &dyn std::fmt::Display| OperationError::Failed(error.to_string());
        let log_partition = partition_of(device_id.as_bytes(), self.log.partitions());
        let (store, rule_sets) = (self.store(), RuleSets::new(self.store()));
        let positions = store.snapshot_positions(self.log.log_id(), log_partition);
        for position in positions.map_err(|error| failed(&error))? {
            let bytes = store.snapshot(self.log.log_id(), log_partition, position);
            let bytes = bytes.map_err(|error| failed(&error))?;
            let config = evaluator_config(&self.log, log_partition, &self.tenant);
            if let Ok((_, evaluator)) = open_snapshot(&bytes, config, &rule_sets) {
                let explanation = explained(evaluator.explain(rule_id, device_id))?;
                return Ok(RuleAnswer {
                    source: AnswerSource::Snapshot,
                    log_partition,
                    position,
                    explanation,
                });
            }
        }
        let words =
            format!("there is no snapshot of log partition {log_partition}: its rules have not run yet");
        Err(OperationError::NotFound(words))
    }

    fn change(&self, name: &str, text: Option<&str>) -> Result<RulesChanged, OperationError> {
        let _one_at_a_time = self.folder.one_at_a_time.lock();
        let (file, Loaded { rule_set, warnings, .. }) = self.folder.change(name, text)?;
        let file = file.display().to_string();
        info!(file, is_removed = text.is_none(), rules = rule_set.len(), "rule files changed on request");
        let mut changed = RulesChanged {
            file,
            rules: rule_set.len(),
            digest: rule_set.digest().to_owned(),
            n: None,
            is_in_force: false,
            partitions: Vec::new(),
            warnings,
        };
        if let Some(questions) = &self.questions {
            let newest = questions.ask(|answer| RuleQuestion::Reload { answer })?;
            let newest = newest.map_err(OperationError::Failed)?;
            if newest.digest != changed.digest {
                let words =
                    "the file is written, but other changes of the files or the registry came in between";
                return Err(OperationError::Refused(words.to_owned()));
            }
            changed.n = Some(newest.n);
            changed.partitions = wait_until_in_force(questions, &newest)?;
            changed.is_in_force = is_in_force(&changed.partitions, &newest);
        }
        Ok(changed)
    }
}

fn explained(explanation: Result<RuleExplanation, Unexplained>) -> Result<RuleExplanation, OperationError> {
    explanation.map_err(|error| OperationError::NotFound(error.to_string()))
}

fn is_in_force(partitions: &[PartitionRules], newest: &Newest) -> bool {
    !partitions.is_empty() && partitions.iter().all(|partition| partition.n >= Some(newest.n))
}

/// What is in force once the newest set is, or when that takes too long.
fn wait_until_in_force(
    questions: &RuleQuestions,
    newest: &Newest,
) -> Result<Vec<PartitionRules>, OperationError> {
    let deadline = Instant::now() + IN_FORCE_WAIT;
    loop {
        let WorkerRules { partitions, .. } = questions.ask(|answer| RuleQuestion::InForce { answer })?;
        if is_in_force(&partitions, newest) || Instant::now() >= deadline {
            return Ok(partitions);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn in_force(n: Option<u64>, set: &RuleSet, places: Option<&RulePlaces>) -> RulesInForce {
    let rule = |rule: &rules::Rule| RuleInForce {
        id: rule.id.clone(),
        title: rule.title.clone(),
        severity: rule.meaning.severity,
        is_shadow: rule.meaning.shadow,
        condition: rule.condition_text(),
        digest: rule.digest(),
        place: places.and_then(|places| places.get(&rule.id)).cloned(),
    };
    let rules = set.rules().iter().map(rule).collect();
    RulesInForce { n, digest: set.digest().to_owned(), rules, partitions: Vec::new() }
}

impl<L: Log> RuleOperations for LocalRules<L> {
    fn rules_in_force(&self) -> Result<RulesInForce, OperationError> {
        let Some(questions) = &self.questions else {
            let failed = |error: crate::rule_sets::RuleSetsError| OperationError::Failed(error.to_string());
            let sets = RuleSets::new(self.store());
            let newest = sets.newest().map_err(failed)?;
            let newest =
                newest.ok_or_else(|| OperationError::NotFound("no rules have run yet".to_owned()))?;
            let set = sets.compiled(newest.n, &newest.digest).map_err(failed)?;
            return Ok(in_force(Some(newest.n), &set, None));
        };
        let rules = questions.ask(|answer| RuleQuestion::InForce { answer })?;
        let places = rules.places.as_ref().filter(|(digest, _)| digest == rules.rule_set.digest());
        let n = rules.partitions.iter().filter_map(|partition| partition.n).max();
        let told = in_force(n, &rules.rule_set, places.map(|(_, places)| &**places));
        Ok(RulesInForce { partitions: rules.partitions, ..told })
    }

    fn explain_rule(&self, rule_id: &str, device_id: &str) -> Result<RuleAnswer, OperationError> {
        if let Some(questions) = &self.questions {
            let (rule_id, device_id) = (rule_id.to_owned(), device_id.to_owned());
            let answer = questions.ask(|answer| RuleQuestion::Explain { rule_id, device_id, answer })?;
            if let Some(Explained { log_partition, position, explanation }) = answer {
                let (source, explanation) = (AnswerSource::Worker, explained(explanation)?);
                return Ok(RuleAnswer { source, log_partition, position, explanation });
            }
        }
        self.explain_snapshot(rule_id, device_id)
    }

    fn put_rule_file(&self, name: &str, text: &str) -> Result<RulesChanged, OperationError> {
        self.change(name, Some(text))
    }

    fn remove_rule_file(&self, name: &str) -> Result<RulesChanged, OperationError> {
        self.change(name, None)
    }

    fn rule_sets(&self) -> Result<Vec<RuleSetSpan>, OperationError> {
        rule_set_spans(&self.log, &self.lake_root)
    }

    fn shadow_report(&self) -> Result<ShadowReport, OperationError> {
        shadow_report(&self.log, &self.lake_root)
    }
}
