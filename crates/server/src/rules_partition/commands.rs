//! People's commands on the alerts of a log partition. They are done only while it is live, so that a command meets the
//! alert as everybody sees it, never a state that a replay passes through.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;

use model::{Alert, Reason, Record, RecordBatch, Rejection};

use super::{RulesPartition, Said};
use crate::alert_command::{AlertCommand, CommandDraft};

/// Header of a command that was passed on to the log partition of its alert, so that it is passed on once.
pub const PASSED_ON: &str = "urban-neuron-passed-on";

/// How far the commands of a log partition are done.
#[derive(Debug, Default)]
pub(super) struct CommandProgress {
    /// The next offset of `alerts.commands.v1` to look at.
    pub(super) position: i64,
    /// `ce_id`s of people's events younger than the snapshot: their commands are met again below `recovered_end`.
    pub(super) said_before: HashSet<String>,
    /// End of the commands at the recovery.
    pub(super) recovered_end: i64,
}

/// What a batch of commands came to.
#[derive(Debug, Default)]
pub struct Commanded {
    /// Events to be said, in order.
    pub said: Said,
    /// Commands on alerts of other log partitions, with those.
    pub passed_on: Vec<(u32, AlertCommand)>,
    pub refused: Vec<RefusedCommand>,
    /// Done before.
    pub repeats: u64,
}

/// A command that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedCommand {
    pub value: Vec<u8>,
    pub log_time_us: i64,
    pub rejection: Rejection,
}

/// A command as it stands in the log.
struct Logged {
    command: AlertCommand,
    log_time_us: i64,
    value: Vec<u8>,
    was_passed_on: bool,
}

impl RulesPartition {
    /// Where commands are to be read from; what retention has taken is gone.
    pub fn commands_from(&self, held: &Range<i64>) -> i64 {
        self.commands.position.clamp(held.start, held.end)
    }

    /// Does the commands of one batch. `home_of` knows the log partition of an alert that fires anywhere.
    pub fn take_commands(&mut self, batch: &RecordBatch, home_of: impl Fn(&str) -> Option<u32>) -> Commanded {
        let mut commanded = Commanded::default();
        let mut logged = Vec::new();
        for record in batch.iter().filter(|record| record.offset >= self.commands.position) {
            match read(self.partition, &record) {
                Ok(command) => logged.push(command),
                Err(refused) => commanded.refused.push(refused),
            }
        }
        let wanted: BTreeSet<&str> = logged.iter().map(|logged| logged.command.alert_id.as_str()).collect();
        let firing = if wanted.is_empty() { Vec::new() } else { self.firing(|id| wanted.contains(id)) };
        let firing: BTreeMap<String, Alert> =
            firing.into_iter().map(|alert| (alert.alert_id.clone(), alert)).collect();
        for one in logged {
            let firing = firing.get(&one.command.alert_id);
            self.take_command(one, firing, &home_of, &mut commanded);
        }
        self.commands.position = self.commands.position.max(batch.next);
        if self.commands.position >= self.commands.recovered_end {
            self.commands.said_before.clear();
        }
        commanded
    }

    fn take_command(
        &mut self,
        logged: Logged,
        firing: Option<&Alert>,
        home_of: &impl Fn(&str) -> Option<u32>,
        commanded: &mut Commanded,
    ) {
        let Logged { command, log_time_us, value, was_passed_on } = logged;
        if self.commands.said_before.contains(&command.ce_id()) {
            commanded.repeats += 1;
            return;
        }
        let rejection = match firing {
            Some(alert) => match self.marks.apply(&command, alert.clone(), log_time_us) {
                Ok(Some(event)) => return commanded.said.alerts.push(event),
                Ok(None) => {
                    commanded.repeats += 1;
                    return;
                }
                Err(rejection) => rejection,
            },
            None => {
                let home = home_of(&command.alert_id).filter(|home| *home != self.partition);
                if let (Some(home), false) = (home, was_passed_on) {
                    return commanded.passed_on.push((home, command));
                }
                let words = format!("no alert {} fires in this log partition", command.alert_id);
                Rejection::new(Reason::AlertNotFiring, words)
            }
        };
        commanded.refused.push(RefusedCommand { value, log_time_us, rejection });
    }

    /// Alerts that fire and are live, by id.
    pub(super) fn firing(&self, is_wanted: impl FnMut(&str) -> bool) -> Vec<Alert> {
        let mut firing = self.evaluator.firing(is_wanted);
        firing.retain(|alert| !alert.shadow);
        firing
    }
}

/// A command without an id is known by its place.
fn read(partition: u32, record: &Record<'_>) -> Result<Logged, RefusedCommand> {
    let (value, log_time_us) = (record.value.to_vec(), record.log_time_us);
    let draft = CommandDraft::read(record.value).and_then(|mut draft| {
        draft.id.get_or_insert_with(|| format!("{partition}-{}", record.offset));
        draft.finish(log_time_us)
    });
    match draft {
        Ok(command) => {
            let was_passed_on = record.headers().any(|(name, _)| name == PASSED_ON);
            Ok(Logged { command, log_time_us, value, was_passed_on })
        }
        Err(error) => {
            let rejection = Rejection::new(Reason::MalformedCommand, error.to_string());
            Err(RefusedCommand { value, log_time_us, rejection })
        }
    }
}
