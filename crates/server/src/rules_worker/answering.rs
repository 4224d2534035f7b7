//! What the rules worker answers between two batches.

use std::sync::Arc;

use log::Log;

use super::RulesWorker;
use crate::rule_questions::{Explained, PartitionRules, RuleQuestion, WorkerRules};
use crate::rule_sets::Newest;
use crate::rules_partition::RulesPartition;

/// Questions answered in one turn.
const ANSWERS_A_TURN: usize = 4;

impl<L: Log> RulesWorker<L> {
    pub(super) fn answer_questions(&mut self) -> Result<(), log::Error> {
        for _ in 0..ANSWERS_A_TURN {
            let Some(question) = self.questions.as_ref().and_then(crate::rule_questions::AskedRules::next)
            else {
                break;
            };
            // Who asked may have gone: nobody misses the answer then.
            match question {
                RuleQuestion::Explain { rule_id, device_id, answer } => {
                    answer.try_send(self.explain(&rule_id, &device_id)).ok();
                }
                RuleQuestion::InForce { answer } => drop(answer.try_send(self.in_force())),
                RuleQuestion::Reload { answer } => drop(answer.try_send(self.reload_now()?)),
            }
        }
        Ok(())
    }

    fn explain(&self, rule_id: &str, device_id: &str) -> Option<Explained> {
        let log_partition = model::log_partition::partition_of(device_id.as_bytes(), self.log.partitions());
        let state = self.partitions.get(&log_partition)?;
        let explanation = state.evaluator().explain(rule_id, device_id);
        Some(Explained { log_partition, position: state.position(), explanation })
    }

    fn in_force(&self) -> WorkerRules {
        let partitions = self.partitions.values().map(|state| PartitionRules {
            log_partition: state.partition,
            n: state.rule_set_n(),
            digest: state.evaluator().rule_set().digest().to_owned(),
            from_offset: state.rule_set_offset(),
            position: state.position(),
            is_live: state.is_live(),
        });
        let newest = self.partitions.values().max_by_key(|state| state.rule_set_n());
        WorkerRules {
            rule_set: newest
                .map(RulesPartition::evaluator)
                .map(rules::Evaluator::shared_rule_set)
                .unwrap_or_default(),
            partitions: partitions.collect(),
            places: self.loader.places().map(|(digest, places)| (digest.to_owned(), Arc::clone(places))),
        }
    }

    fn reload_now(&mut self) -> Result<Result<Newest, String>, log::Error> {
        self.propose(true)?;
        Ok(match (self.loader.trouble(), &self.newest) {
            (Some(cause), _) => Err(cause.to_owned()),
            (None, Some(newest)) => Ok(newest.clone()),
            (None, None) => Err("no rule set was made".to_owned()),
        })
    }
}
