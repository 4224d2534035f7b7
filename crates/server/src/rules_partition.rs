//! One log partition of the rules worker: its evaluator, its repeat window, and what the log already holds of its output.
//!
//! From an assignment to live: restore the newest snapshot that opens, read the alerts that were said after it, evaluate
//! again from its position - from the lake as far as the log no longer holds it - drop each output that was said before, and
//! say the others. An output that differs from what was
//! said, or something said that is never produced, is a replay mismatch: told and counted, and evaluation goes on.

mod commands;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{ControlFlow, Range};
use std::path::Path;

use lake::{ReplaySpan, Source};
use log::{Log, Topic};
use model::repeat::{REPEAT_WINDOW_OFFSETS, RepeatWindow, WARM_RECORDS};
use model::{Alert, LogRecordView, Record};
use rules::{Evaluator, EvaluatorConfig};
use tracing::{error, info, warn};

use crate::alert_marks::AlertMarks;
use crate::alert_outbox::CurrentState;
use crate::operations::{OperationError, TopicScan, scan};
use crate::rule_sets::RuleSets;
use crate::rules_snapshot::{self, SaidPositions, SnapshotHead};
use crate::state_store::StateStore;

/// Messages read from the lake between two looks at whether they are still wanted.
const LAKE_CHUNK_MESSAGES: u64 = 4_096;

use commands::CommandProgress;
pub use commands::{Commanded, PASSED_ON, RefusedCommand};

/// State of one assigned log partition.
pub struct RulesPartition {
    pub partition: u32,
    evaluator: Evaluator,
    window: RepeatWindow,
    /// The next offset to evaluate; records below it only fill the window.
    position: i64,
    /// Said before this start and not produced again yet, by `ce_id`.
    said: HashMap<String, Alert>,
    /// Newest state of every key touched since the start, until live.
    touched: BTreeMap<String, CurrentState>,
    is_live: bool,
    snapshot_position: i64,
    /// Where the rule set in force took effect, if since the start.
    rule_set_offset: Option<i64>,
    output: Vec<Alert>,
    marks: AlertMarks,
    commands: CommandProgress,
}

/// Why a partition cannot be evaluated; it stands still and readiness says so.
#[derive(Debug, thiserror::Error)]
pub enum StandStill {
    #[error(
        "rules position {position} of log partition {partition} is outside the log, which holds {first}..{next}"
    )]
    PositionLost { partition: u32, position: i64, first: i64, next: i64 },
    #[error(
        "the log holds nothing of partition {partition} below {first}, and what rules need from {position} on has landed up to {landed} only"
    )]
    NotLanded { partition: u32, position: i64, landed: i64, first: i64 },
    #[error("reading from the lake what the log no longer holds: {0}")]
    Lake(#[from] lake::Error),
    #[error("no thread to restore log partition {partition}: {source}")]
    NoThread { partition: u32, source: std::io::Error },
    #[error("the restoring ended before its time")]
    Abandoned,
    #[error("log partition {partition}, offset {offset}: {source}")]
    NewerRecord { partition: u32, offset: i64, source: model::envelope::LogRecordError },
    #[error("reading the alerts that were said: {0}")]
    AlertsUnread(#[from] OperationError),
    #[error(transparent)]
    Log(#[from] log::Error),
    #[error(transparent)]
    Store(#[from] crate::state_store::StateStoreError),
    #[error("log partition {partition}, offset {offset}: {source}")]
    RuleSet { partition: u32, offset: i64, source: crate::rule_sets::RuleSetsError },
}

/// What a batch came to.
#[derive(Debug, Default)]
pub struct Said {
    /// To be said, in order.
    pub alerts: Vec<Alert>,
    pub evaluated_messages: u64,
    pub repeats: u64,
    pub undecodable: u64,
    /// Receive times of the messages whose evaluation said something, microseconds since 1970-01-01T00:00:00Z.
    pub caused_by_received_at_us: Vec<i64>,
}

impl RulesPartition {
    /// Restores a partition. What lies below the log's first offset is [`RulesPartition::take_from_lake`]'s.
    ///
    /// # Errors
    /// See [`StandStill`].
    pub fn recover<L: Log>(
        log: &L,
        store: &StateStore,
        rule_sets: &RuleSets,
        partition: u32,
        tenant: &str,
    ) -> Result<Self, StandStill> {
        let held = log.offsets(Topic::Telemetry, partition)?;
        let restored = restore(log, store, rule_sets, partition, tenant)?;
        let Restored { evaluator, position, head } = restored.unwrap_or_else(|| Restored {
            evaluator: Evaluator::new(evaluator_config(log, partition, tenant)),
            position: 0,
            head: SnapshotHead::default(),
        });
        if position > held.end {
            let (first, next) = (held.start, held.end);
            return Err(StandStill::PositionLost { partition, position, first, next });
        }
        let held_commands = log.offsets(Topic::AlertCommands, partition)?;
        let mut state = RulesPartition {
            partition,
            evaluator,
            window: RepeatWindow::new(),
            position,
            said: HashMap::new(),
            touched: BTreeMap::new(),
            is_live: false,
            snapshot_position: position,
            rule_set_offset: None,
            output: Vec::new(),
            marks: head.marks,
            commands: CommandProgress {
                position: head.commands_position,
                recovered_end: held_commands.end,
                ..CommandProgress::default()
            },
        };
        let SaidPositions { alerts, shadow } = head.said;
        read_alerts(log, Topic::Alerts, partition, alerts, |alert| state.recall(alert))?;
        read_alerts(log, Topic::AlertsShadow, partition, shadow, |alert| state.recall(alert))?;
        let said = state.said.len();
        info!(partition, position, end = held.end, said, "rules partition restored");
        Ok(state)
    }

    /// Notes what was said after the snapshot. Marks stand beside the evaluator's output and are never produced again by it, nor is
    /// what a later stage says.
    fn recall(&mut self, alert: Alert) {
        if alert.rule_id == rules::GATEWAY_OUTAGE {
            return;
        }
        if !alert.event.is_mark() {
            self.said.insert(alert.ce_id(), alert);
            return;
        }
        self.marks.recall(&alert);
        self.commands.said_before.insert(alert.ce_id());
        self.touched.insert(alert.key(), CurrentState::of(self.partition, &alert));
    }

    /// The first offset that the repeat window needs.
    pub fn window_from(&self) -> i64 {
        (self.position - REPEAT_WINDOW_OFFSETS).max(0)
    }

    /// Takes what has landed of `wanted`, which the log no longer holds; gives what is said, a chunk at a time, to `say`.
    /// Offsets that no log holds and no file has are gaps of the lake's chain, and skipped.
    ///
    /// # Errors
    /// [`StandStill::NotLanded`] where the lake is behind the log; [`StandStill::Abandoned`] when `say` breaks.
    pub fn take_from_lake(
        &mut self,
        lake: &Path,
        source: Source,
        wanted: Range<i64>,
        rule_sets: &RuleSets,
        say: &mut dyn FnMut(Said) -> ControlFlow<()>,
    ) -> Result<(), StandStill> {
        let (partition, position, first) = (self.partition, self.position, wanted.end);
        let landed = lake::ranges(lake, source, first - 1)?.last().map_or(0, |range| range.next);
        if position < first && landed < first {
            return Err(StandStill::NotLanded { partition, position, landed, first });
        }
        info!(partition, first = wanted.start, next = first, "rules read from the lake");
        let mut said = Said::default();
        let mut outcome = Ok(());
        let span = ReplaySpan { offsets: wanted, ..ReplaySpan::ALL };
        lake::replay(lake, source, &span, None, &mut |record, view| {
            outcome = self.take_view(record, view, rule_sets, &mut said);
            if outcome.is_err() {
                return ControlFlow::Break(());
            }
            if said.evaluated_messages < LAKE_CHUNK_MESSAGES && said.alerts.is_empty() {
                return ControlFlow::Continue(());
            }
            // Their latency is that of an outage, not of the evaluator.
            said.caused_by_received_at_us.clear();
            let answer = say(std::mem::take(&mut said));
            if answer.is_break() {
                outcome = Err(StandStill::Abandoned);
            }
            answer
        })?;
        outcome?;
        self.position = self.position.max(first);
        said.caused_by_received_at_us.clear();
        if say(said).is_break() { Err(StandStill::Abandoned) } else { Ok(()) }
    }

    /// Takes the records of one batch.
    ///
    /// # Errors
    /// A record that this build must not pass over: the partition stands still before it.
    pub fn take(
        &mut self,
        batch: &model::RecordBatch,
        rule_sets: &RuleSets,
        said: &mut Said,
    ) -> Result<(), StandStill> {
        for (n, record) in batch.iter().enumerate() {
            if n.is_multiple_of(WARM_RECORDS) {
                self.window.warm(batch.iter().skip(n));
                self.evaluator.warm(batch.iter().skip(n));
            }
            self.take_record(&record, rule_sets, said)?;
        }
        self.position = self.position.max(batch.next);
        Ok(())
    }

    fn take_record(
        &mut self,
        record: &Record<'_>,
        rule_sets: &RuleSets,
        said: &mut Said,
    ) -> Result<(), StandStill> {
        let (partition, offset) = (self.partition, record.offset);
        let view = match LogRecordView::parse(record.value) {
            Ok(view) => view,
            Err(model::envelope::LogRecordError::Undecodable) => {
                said.undecodable += u64::from(offset >= self.position);
                return Ok(());
            }
            Err(source) => return Err(StandStill::NewerRecord { partition, offset, source }),
        };
        self.take_view(record, &view, rule_sets, said)
    }

    fn take_view(
        &mut self,
        record: &Record<'_>,
        view: &LogRecordView<'_>,
        rule_sets: &RuleSets,
        said: &mut Said,
    ) -> Result<(), StandStill> {
        let (partition, offset) = (self.partition, record.offset);
        let is_repeat = match view {
            LogRecordView::Telemetry(telemetry) => {
                self.window.check_and_insert(offset, record.log_time_us, telemetry)
            }
            _ => false,
        };
        if offset < self.position {
            return Ok(());
        }
        if is_repeat {
            said.repeats += 1;
            return Ok(());
        }
        if let LogRecordView::RuleSet { n, digest } = view {
            let in_force = self.evaluator.rule_set_n().unwrap_or(0);
            let opened = rule_sets
                .number(*n, digest, in_force)
                .and_then(|n| rule_sets.compiled(n, digest).map(|set| (n, set)));
            let (n, set) = opened.map_err(|source| StandStill::RuleSet { partition, offset, source })?;
            self.evaluator.apply_rule_set(record, n, set, &mut self.output);
            self.rule_set_offset = Some(offset);
        } else {
            self.evaluator.apply(record, view, &mut self.output);
        }
        said.evaluated_messages += u64::from(matches!(view, LogRecordView::Telemetry(_)));
        if !self.output.is_empty() {
            self.say(view, said);
        }
        Ok(())
    }

    /// Drops what was said before, passes on the rest.
    fn say(&mut self, view: &LogRecordView<'_>, said: &mut Said) {
        let before = said.alerts.len();
        let clock_us = self.evaluator.clock_us();
        for mut alert in self.output.drain(..) {
            if !alert.shadow {
                self.marks.mark(&mut alert, clock_us);
            }
            if !self.is_live && !alert.shadow {
                self.touched.insert(alert.key(), CurrentState::of(self.partition, &alert));
            }
            match self.said.remove(&alert.ce_id()) {
                None => said.alerts.push(alert),
                Some(earlier) if is_equal(&earlier, &alert) => {}
                Some(earlier) => {
                    metrics::counter!("urban_neuron_rules_replay_mismatches_total").increment(1);
                    error!(
                        partition = self.partition,
                        ce_id = alert.ce_id(),
                        ?earlier,
                        ?alert,
                        "replay_mismatch: said before with other content"
                    );
                }
            }
        }
        if let (true, LogRecordView::Telemetry(telemetry)) = (said.alerts.len() > before, view) {
            said.caused_by_received_at_us.push(telemetry.received_at_us);
        }
    }

    /// The log's end was reached: from now on ticks are due here. Gives the current states touched since the start, to be
    /// appended again.
    pub fn become_live(&mut self) -> Vec<CurrentState> {
        if std::mem::replace(&mut self.is_live, true) {
            return Vec::new();
        }
        for (ce_id, alert) in self.said.drain() {
            metrics::counter!("urban_neuron_rules_replay_mismatches_total").increment(1);
            error!(
                partition = self.partition,
                ce_id,
                ?alert,
                "replay_mismatch: said before and never produced again"
            );
        }
        let marked = self.firing(|alert_id| self.marks.has(alert_id));
        let marked: BTreeSet<String> = marked.into_iter().map(|alert| alert.alert_id).collect();
        self.marks.settle(|alert_id| marked.contains(alert_id), self.evaluator.clock_us());
        // A mark is no sign that it still fires.
        let fires = |firing: &Alert| !firing.event.is_mark() || marked.contains(&firing.alert_id);
        self.touched.retain(|_, state| state.firing.as_ref().is_none_or(fires));
        std::mem::take(&mut self.touched).into_values().collect()
    }

    pub fn is_live(&self) -> bool {
        self.is_live
    }

    pub fn position(&self) -> i64 {
        self.position
    }

    /// The evaluator, to look at.
    pub fn evaluator(&self) -> &Evaluator {
        &self.evaluator
    }

    pub fn rule_set_offset(&self) -> Option<i64> {
        self.rule_set_offset
    }

    pub fn rule_set_n(&self) -> Option<u64> {
        self.evaluator.rule_set_n()
    }

    /// The clock at which something is due though no record comes, microseconds since 1970-01-01T00:00:00Z.
    pub fn due_us(&self) -> Option<i64> {
        self.evaluator.due_us()
    }

    pub fn clock_us(&self) -> i64 {
        self.evaluator.clock_us()
    }

    pub fn repeat_window_seconds(&self) -> f64 {
        self.window.reach_us() as f64 / 1e6
    }

    /// Something was evaluated since the last snapshot.
    pub fn has_moved(&self) -> bool {
        self.position > self.snapshot_position
    }

    /// Puts a snapshot at the current position; everything said below it is durable and lies below the positions `said`.
    /// Returns the position of the oldest kept snapshot.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn snapshot(
        &mut self,
        store: &StateStore,
        log_id: model::LogId,
        said: SaidPositions,
    ) -> Result<i64, crate::state_store::StateStoreError> {
        self.marks.end_silences(self.evaluator.clock_us());
        let head =
            SnapshotHead { said, commands_position: self.commands.position, marks: self.marks.clone() };
        let bytes = rules_snapshot::encode(&head, &self.evaluator.snapshot());
        let oldest = store.put_snapshot(log_id, self.partition, self.position, &bytes)?;
        self.snapshot_position = self.position;
        Ok(oldest)
    }
}

pub(crate) fn evaluator_config<L: Log>(log: &L, partition: u32, tenant: &str) -> EvaluatorConfig {
    EvaluatorConfig {
        log_id: log.log_id(),
        partition,
        partitions: log.partitions(),
        tenant: tenant.to_owned(),
    }
}

/// What a snapshot holds.
struct Restored {
    evaluator: Evaluator,
    position: i64,
    head: SnapshotHead,
}

/// The newest snapshot that opens.
fn restore<L: Log>(
    log: &L,
    store: &StateStore,
    rule_sets: &RuleSets,
    partition: u32,
    tenant: &str,
) -> Result<Option<Restored>, StandStill> {
    for position in store.snapshot_positions(log.log_id(), partition)? {
        let bytes = store.snapshot(log.log_id(), partition, position)?;
        let config = evaluator_config(log, partition, tenant);
        match open_snapshot(&bytes, config, rule_sets) {
            Ok((head, evaluator)) => return Ok(Some(Restored { evaluator, position, head })),
            Err(error) => warn!(partition, position, %error, "snapshot does not open, taking an older one"),
        }
    }
    Ok(None)
}

/// The head and the evaluator of a snapshot's bytes.
pub(crate) fn open_snapshot(
    bytes: &[u8],
    config: EvaluatorConfig,
    rule_sets: &RuleSets,
) -> anyhow::Result<(SnapshotHead, Evaluator)> {
    let (head, evaluator) = rules_snapshot::decode(bytes)?;
    let evaluator = Evaluator::restore(config, evaluator, |n, digest| rule_sets.compiled(n, digest))?;
    Ok((head, evaluator))
}

/// Reads what was said from `from` to the end of a partition of `topic`.
fn read_alerts<L: Log>(
    log: &L,
    topic: Topic,
    partition: u32,
    from: i64,
    mut each: impl FnMut(Alert),
) -> Result<(), OperationError> {
    let wanted = TopicScan { offsets: from..i64::MAX, ..TopicScan::all(topic, partition) };
    scan(log, &wanted, |record| {
        match serde_json::from_slice::<Alert>(record.value) {
            Ok(alert) => each(alert),
            Err(error) => warn!(partition, offset = record.offset, %error, "not an alert"),
        }
        ControlFlow::Continue(())
    })
}

/// Equal but for `said_at`, and for the marks that people and later stages set.
fn is_equal(earlier: &Alert, now: &Alert) -> bool {
    let bare = |alert: &Alert| Alert { said_at: String::new(), ..alert.clone().without_marks() };
    bare(earlier) == bare(now)
}
