//! Runs the stage behind the evaluator: reads the alerts of all log partitions and appends marks, as commands to the log
//! partitions of their alerts, and the alerts of gateways. In one process of a deployment: the one that evaluates log
//! partition 0. A thread of its own, so that no storm of alerts costs the evaluator any time.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::{Disposition, Log, ReadEvent, Reader, Topic, partition_of};
use model::Alert;
use model::time::format_rfc3339;
use parking_lot::Mutex;
use rules::RuleSet;
use tracing::{info, warn};

use crate::alert_command::{AlertCommand, CommandKind};
use crate::alert_outbox::AlertOutbox;
use crate::alert_stream::AlertStream;
use crate::clock::wall_us;
use crate::operations::{OperationError, TopicScan, scan};
use crate::suppression::{Decision, Suppression};

/// Longest wait for an event, so that a stop and another rule set are noticed.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// Longest wait for what was said to become durable at a stop.
const DRAIN_WAIT: Duration = Duration::from_secs(5);
/// Newest events of each log partition that are read again at the start: of these the state may not stand in
/// `alerts.current.v1` yet.
const RECENT_EVENTS: i64 = 1_000;
/// Who says marks.
const BY: &str = "urban-neuron";

/// The rule set in force in log partition 0, while this process evaluates it and is live there.
#[derive(Clone, Default)]
pub struct StageRules(Arc<Mutex<Option<Arc<RuleSet>>>>);

impl StageRules {
    pub fn set(&self, rule_set: Option<Arc<RuleSet>>) {
        *self.0.lock() = rule_set;
    }

    fn get(&self) -> Option<Arc<RuleSet>> {
        self.0.lock().clone()
    }
}

/// The log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error(transparent)]
    Log(#[from] log::Error),
    #[error(transparent)]
    Current(#[from] OperationError),
}

/// Runs until `stop`.
///
/// # Errors
/// The log failed for good.
pub fn run<L: Log>(
    log: &L,
    rules: &StageRules,
    stream: &AlertStream,
    stop: &AtomicBool,
) -> Result<(), StageError> {
    let mut done_with: Option<Arc<RuleSet>> = None;
    while !stop.load(Ordering::Relaxed) {
        let is_done = |set: &Arc<RuleSet>| done_with.as_ref().is_some_and(|done| Arc::ptr_eq(done, set));
        match rules.get() {
            // Another rule set lifts the marks of the one before, if it has no other use.
            Some(set) if Suppression::is_of_use(&set) || !is_done(&set) => {
                Stage::open(log, stream)?.run(&set, rules, stop)?;
                done_with = Some(set);
            }
            _ => std::thread::park_timeout(POLL_WAIT),
        }
    }
    Ok(())
}

struct Stage<'a, L: Log> {
    reader: L::Reader,
    outbox: AlertOutbox<L::Appender>,
    stream: &'a AlertStream,
    partitions: u32,
    suppression: Suppression,
    /// Commands so far, for their ids.
    asked: u64,
    opened_us: i64,
}

impl<'a, L: Log> Stage<'a, L> {
    fn open(log: &L, stream: &'a AlertStream) -> Result<Self, StageError> {
        let (mut suppression, mut ends) = (Suppression::default(), Vec::new());
        for partition in 0..log.partitions() {
            let mut newest = std::collections::BTreeMap::new();
            scan(log, &TopicScan::all(Topic::AlertsCurrent, partition), |record| {
                match parse(partition, record) {
                    Some(alert) => newest.insert(record.key.to_vec(), alert),
                    None => newest.remove(record.key),
                };
                ControlFlow::Continue(())
            })?;
            newest.into_values().for_each(|alert| suppression.hear(partition, alert));
            let end = log.offsets(Topic::Alerts, partition)?.end;
            let recent = TopicScan { topic: Topic::Alerts, partition, offsets: end - RECENT_EVENTS..end };
            scan(log, &recent, |record| {
                if let Some(alert) = parse(partition, record) {
                    suppression.hear(partition, alert);
                }
                ControlFlow::Continue(())
            })?;
            ends.push((partition, end));
        }
        let stage = std::thread::current();
        Ok(Stage {
            reader: log.reader(Topic::Alerts, &ends)?,
            outbox: AlertOutbox::new(log.appender(Arc::new(move || stage.unpark()))?),
            stream,
            partitions: log.partitions(),
            suppression,
            asked: 0,
            opened_us: wall_us(),
        })
    }

    /// Until a stop, another rule set, or another process that evaluates log partition 0; once where `set` has no use for it.
    fn run(mut self, set: &Arc<RuleSet>, rules: &StageRules, stop: &AtomicBool) -> Result<(), StageError> {
        let is_of_use = Suppression::is_of_use(set);
        info!(digest = set.digest(), is_of_use, "marking alerts that others explain");
        let mut is_news = true;
        while !stop.load(Ordering::Relaxed) && rules.get().is_some_and(|now| Arc::ptr_eq(&now, set)) {
            if is_news && self.outbox.has_room() {
                let decision = self.suppression.decide(set, &format_rfc3339(wall_us()));
                self.act(decision)?;
                is_news = false;
            }
            self.outbox.settle()?;
            if !is_of_use {
                break;
            }
            is_news |= self.listen()?;
        }
        self.outbox.drain(Instant::now() + DRAIN_WAIT)?;
        Ok(())
    }

    /// True when something was heard.
    fn listen(&mut self) -> Result<bool, StageError> {
        match self.reader.poll(POLL_WAIT) {
            Ok(ReadEvent::Records(batch)) => {
                for record in batch.iter() {
                    if let Some(alert) = parse(batch.log_partition, &record) {
                        self.suppression.hear(batch.log_partition, alert);
                    }
                }
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(error) if error.disposition() == Disposition::Retry => {
                warn!(%error, "reading alerts for marks");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn act(&mut self, decision: Decision) -> Result<(), log::Error> {
        let Decision { marks, outages } = decision;
        if marks.is_empty() && outages.is_empty() {
            return Ok(());
        }
        for outage in &outages {
            let home = partition_of(outage.device_id.as_bytes(), self.partitions);
            self.outbox.say(home, outage)?;
            self.stream.say(home, outage);
        }
        for mark in marks {
            self.asked += 1;
            let command = AlertCommand {
                id: format!("{}-{}", self.opened_us, self.asked),
                kind: CommandKind::Suppress,
                alert_id: mark.alert_id,
                by: BY.to_owned(),
                text: None,
                until_us: None,
                suppressed_by: mark.suppressed_by,
            };
            self.outbox.pass_on(mark.partition, &command)?;
        }
        self.outbox.flush();
        Ok(())
    }
}

fn parse(partition: u32, record: &model::Record<'_>) -> Option<Alert> {
    if record.is_tombstone {
        return None;
    }
    serde_json::from_slice(record.value)
        .inspect_err(|error| warn!(partition, offset = record.offset, %error, "not an alert"))
        .ok()
}
