//! The rules' consumer: evaluates the log partitions that it is given and says their alerts.
//!
//! One thread. Output is a function of the log alone: rule sets, ticks and the clock are records in it. What is said goes to
//! the log and, directly, to the subscribers of this process.

mod answering;
mod commands;
mod counting;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::{Consumer, Disposition, Log, ReadEvent, Reader, Topic};
use model::proto;
use prost::Message;
use tracing::{error, info, warn};

use crate::alert_outbox::AlertOutbox;
use crate::alert_stream::AlertStream;
use crate::clock::wall_us;
use crate::health::{Health, Role};
use crate::pipeline_stats::PipelineStats;
use crate::rule_loader::RuleLoader;
use crate::rule_questions::AskedRules;
use crate::rule_sets::{Newest, RuleSets};
use crate::rules_partition::{RulesPartition, Said, StandStill};
use crate::rules_recovery::{Recovered, Recovery, RecoverySources};
use crate::rules_snapshot::SaidPositions;
use crate::state_store::StateStore;

/// Longest wait for records, so that ticks, snapshots and current states are on time.
const POLL_WAIT: Duration = Duration::from_millis(10);

/// At most one tick a second a log partition.
const TICK_EVERY: Duration = Duration::from_secs(1);

/// Wait before a partition that stands still is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Longest wait for what was said to become durable before a snapshot or a stop.
const DRAIN_WAIT: Duration = Duration::from_secs(10);

/// How the worker runs.
#[derive(Clone, Debug)]
pub struct RulesWorkerConfig {
    pub tenant: String,
    pub lake_root: PathBuf,
    /// Random per process start, hex digits; marks this worker's ticks.
    pub instance: String,
    pub snapshot_interval: Duration,
    pub reload_interval: Duration,
    /// The embedded log: rule files whose digest stands under an older number make a new set also at a start.
    pub may_return_to_older_rules: bool,
}

/// What the worker shares with the rest of the process.
#[derive(Clone)]
pub struct RulesWorkerParts {
    pub store: StateStore,
    pub stream: AlertStream,
    pub health: Health,
    pub stats: Arc<PipelineStats>,
    pub failpoint: Option<Arc<dyn Fn(&'static str) + Send + Sync>>,
}

/// The worker of one process.
pub struct RulesWorker<L: Log> {
    log: L,
    reader: L::Reader,
    /// Of `alerts.commands.v1`.
    commands: L::Reader,
    commands_due: Instant,
    outbox: AlertOutbox<L::Appender>,
    parts: RulesWorkerParts,
    config: RulesWorkerConfig,
    rule_sets: RuleSets,
    loader: RuleLoader,
    questions: Option<AskedRules>,
    partitions: BTreeMap<u32, RulesPartition>,
    recoveries: BTreeMap<u32, Recovery>,
    /// Partitions that stand still, and when they are tried again.
    standing: BTreeMap<u32, Instant>,
    newest: Option<Newest>,
    /// The files were proposed once since the start.
    has_proposed: bool,
    /// The set number appended to each partition and not read back yet.
    announced: BTreeMap<u32, u64>,
    ticked: BTreeMap<u32, Instant>,
    snapshot_due: Instant,
    reload_due: Instant,
}

impl<L: Log> RulesWorker<L> {
    /// # Errors
    /// The log cannot be reached.
    pub fn new(
        log: L,
        parts: RulesWorkerParts,
        config: RulesWorkerConfig,
        loader: RuleLoader,
    ) -> Result<Self, log::Error> {
        let worker = std::thread::current();
        let outbox = AlertOutbox::new(log.appender(Arc::new(move || worker.unpark()))?);
        let now = Instant::now();
        Ok(RulesWorker {
            reader: log.group_reader(Consumer::Rules)?,
            commands: log.reader(Topic::AlertCommands, &[])?,
            commands_due: now,
            outbox,
            rule_sets: RuleSets::new(parts.store.clone()),
            loader,
            questions: None,
            partitions: BTreeMap::new(),
            recoveries: BTreeMap::new(),
            standing: BTreeMap::new(),
            newest: None,
            has_proposed: false,
            announced: BTreeMap::new(),
            ticked: BTreeMap::new(),
            snapshot_due: now + config.snapshot_interval,
            reload_due: now + config.reload_interval,
            log,
            parts,
            config,
        })
    }

    /// Answers questions too.
    pub fn answering(self, questions: AskedRules) -> Self {
        RulesWorker { questions: Some(questions), ..self }
    }

    /// Runs until `stop`, then evaluates what the log holds, puts snapshots and ends.
    ///
    /// # Errors
    /// The log failed for good.
    pub fn run(mut self, stop: &AtomicBool) -> Result<(), log::Error> {
        while !stop.load(Ordering::Relaxed) {
            self.turn()?;
        }
        let deadline = Instant::now() + DRAIN_WAIT;
        while !self.is_at_end()? && Instant::now() < deadline {
            self.turn()?;
        }
        self.snapshot_all()?;
        self.parts.stream.set_live(false);
        Ok(())
    }

    fn turn(&mut self) -> Result<(), log::Error> {
        if self.outbox.has_room() {
            self.read()?;
        } else {
            std::thread::park_timeout(POLL_WAIT);
        }
        self.take_recovered()?;
        self.outbox.settle()?;
        self.go_live()?;
        self.tick()?;
        let now = Instant::now();
        self.take_commands(now)?;
        if now >= self.snapshot_due {
            self.snapshot_due = now + self.config.snapshot_interval;
            self.snapshot_all()?;
        }
        if now >= self.reload_due {
            self.reload_due = now + self.config.reload_interval;
            self.export_lag()?;
            self.reload()?;
        }
        self.answer_questions()?;
        self.retry_standing(now)
    }

    fn read(&mut self) -> Result<(), log::Error> {
        match self.reader.poll(POLL_WAIT) {
            Ok(ReadEvent::Idle) => Ok(()),
            Ok(ReadEvent::Assigned(assigned)) => assigned.into_iter().try_for_each(|p| self.assign(p)),
            Ok(ReadEvent::Revoked(revoked)) => self.revoke(&revoked),
            Ok(ReadEvent::Records(batch)) => self.take(&batch),
            Err(log::Error::OutOfRange { partition, offset, first, next, .. }) => {
                let cause = StandStill::PositionLost { partition, position: offset, first, next };
                self.stand_still(partition, &cause)
            }
            Err(error) if error.disposition() == Disposition::Retry => {
                warn!(%error, "reading telemetry for rules");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn assign(&mut self, partition: u32) -> Result<(), log::Error> {
        self.standing.remove(&partition);
        let cause = "reading what the log holds".to_owned();
        self.parts.health.set(&component(partition), Role::Rules, Some(cause));
        let sources = RecoverySources {
            store: self.parts.store.clone(),
            rule_sets: self.rule_sets.clone(),
            lake: self.config.lake_root.clone(),
            tenant: self.config.tenant.clone(),
        };
        match Recovery::start(&self.log, sources, partition) {
            Ok(recovery) => {
                self.recoveries.insert(partition, recovery);
                Ok(())
            }
            Err(source) => self.stand_still(partition, &StandStill::NoThread { partition, source }),
        }
    }

    /// Says what recoveries read from the lake, as far as there is room, and starts the partitions that are restored.
    fn take_recovered(&mut self) -> Result<(), log::Error> {
        let partitions: Vec<u32> = self.recoveries.keys().copied().collect();
        for partition in partitions {
            while self.outbox.has_room() {
                match self.recoveries.get(&partition).and_then(Recovery::poll) {
                    None => break,
                    Some(Recovered::Said(said)) => self.say(partition, &said)?,
                    Some(Recovered::Done(state, start)) => {
                        self.recoveries.remove(&partition);
                        self.partitions.insert(partition, *state);
                        self.reader.start(partition, start)?;
                    }
                    Some(Recovered::Failed(cause)) => {
                        self.recoveries.remove(&partition);
                        self.stand_still(partition, &cause)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn revoke(&mut self, revoked: &[u32]) -> Result<(), log::Error> {
        self.snapshot_all()?;
        for partition in revoked {
            self.partitions.remove(partition);
            self.recoveries.remove(partition);
            self.standing.remove(partition);
            self.commands.stop(*partition)?;
            self.parts.health.forget(&component(*partition), Role::Rules);
        }
        Ok(())
    }

    fn stand_still(&mut self, partition: u32, cause: &StandStill) -> Result<(), log::Error> {
        error!(partition, %cause, "rules partition stands still");
        self.partitions.remove(&partition);
        self.standing.insert(partition, Instant::now() + RETRY_AFTER);
        self.parts.health.set(&component(partition), Role::Rules, Some(cause.to_string()));
        self.commands.stop(partition)?;
        self.reader.stop(partition)
    }

    fn retry_standing(&mut self, now: Instant) -> Result<(), log::Error> {
        let due: Vec<u32> = self.standing.iter().filter(|(_, at)| now >= **at).map(|(p, _)| *p).collect();
        due.into_iter().try_for_each(|partition| self.assign(partition))
    }

    fn take(&mut self, batch: &model::RecordBatch) -> Result<(), log::Error> {
        let Some(state) = self.partitions.get_mut(&batch.log_partition) else { return Ok(()) };
        let mut said = Said::default();
        let taken = state.take(batch, &self.rule_sets, &mut said);
        self.parts.stats.rules_took(
            batch.log_partition,
            &said,
            state.position(),
            state.repeat_window_seconds(),
        );
        self.say(batch.log_partition, &said)?;
        match taken {
            Ok(()) => Ok(()),
            Err(cause) => self.stand_still(batch.log_partition, &cause),
        }
    }

    fn say(&mut self, partition: u32, said: &Said) -> Result<(), log::Error> {
        for alert in &said.alerts {
            self.fail_at("before_alert");
            self.outbox.say(partition, alert)?;
            if !alert.shadow {
                self.parts.stream.say(partition, alert);
            }
        }
        if !said.alerts.is_empty() {
            self.outbox.flush();
            self.parts.stats.alerts_said(said, wall_us());
            self.fail_at("after_alert");
        }
        Ok(())
    }

    /// Partitions that reached the log's end become live; once all are, alerts are served and the rule files count.
    fn go_live(&mut self) -> Result<(), log::Error> {
        let mut became_live = Vec::new();
        for (partition, state) in &mut self.partitions {
            if state.is_live() || state.position() < self.reader.end(*partition)? {
                continue;
            }
            became_live.push(*partition);
            for current in state.become_live() {
                self.outbox.current(&current)?;
            }
            self.outbox.flush();
            info!(partition, position = state.position(), "rules partition is live");
            self.parts.health.set(&component(*partition), Role::Rules, None);
        }
        became_live.into_iter().try_for_each(|partition| self.start_commands(partition))?;
        let is_live = !self.partitions.is_empty()
            && self.standing.is_empty()
            && self.recoveries.is_empty()
            && self.partitions.values().all(RulesPartition::is_live);
        self.parts.stream.set_live(is_live);
        if is_live && !self.has_proposed {
            self.has_proposed = true;
            self.propose(self.config.may_return_to_older_rules)?;
        }
        if is_live { self.announce() } else { Ok(()) }
    }

    /// Appends the newest rule set to the live partitions that evaluate an older one.
    fn announce(&mut self) -> Result<(), log::Error> {
        let Some(newest) = &self.newest else { return Ok(()) };
        let mut has_announced = false;
        for (partition, state) in &self.partitions {
            let in_force = state.rule_set_n().unwrap_or(0);
            let announced = self.announced.get(partition).copied().unwrap_or(0);
            if newest.n <= in_force.max(announced) {
                continue;
            }
            let rule_set = proto::RuleSet { n: newest.n, digest: newest.digest.clone() };
            let record = proto::LogRecord {
                record: Some(proto::log_record::Record::RuleSet(rule_set)),
                ..proto::LogRecord::default()
            };
            self.outbox.control(*partition, &record.encode_to_vec())?;
            self.announced.insert(*partition, newest.n);
            has_announced = true;
        }
        if has_announced {
            self.outbox.flush();
        }
        Ok(())
    }

    fn reload(&mut self) -> Result<(), log::Error> {
        match self.loader.have_changed() {
            Ok(true) => {
                info!("rule files have changed");
                self.propose(true)
            }
            Ok(false) => self.follow_newest(),
            Err(error) => {
                self.loader.say_broken(&error.to_string());
                Ok(())
            }
        }
    }

    /// Loads the files and makes them the newest set; broken files leave the set in force.
    fn propose(&mut self, may_return: bool) -> Result<(), log::Error> {
        if let Some(set) = self.loader.load() {
            match self.rule_sets.propose(&set, may_return) {
                Ok(newest) => self.newest = Some(newest),
                Err(error) => self.loader.say_broken(&error.to_string()),
            }
        }
        self.announce()
    }

    /// Another worker may have made a newer set.
    fn follow_newest(&mut self) -> Result<(), log::Error> {
        match self.rule_sets.newest() {
            Ok(newest) => {
                self.newest = newest.or(self.newest.take());
                Ok(())
            }
            Err(error) => {
                warn!(%error, "looking for a newer rule set");
                Ok(())
            }
        }
    }

    /// Moves the clock of live partitions in which something is due though no record comes.
    fn tick(&mut self) -> Result<(), log::Error> {
        let (now, now_us) = (Instant::now(), wall_us());
        let mut has_ticked = false;
        for (partition, state) in &mut self.partitions {
            let is_due = state.is_live() && state.due_us().is_some_and(|due_us| due_us < now_us);
            let is_early = self.ticked.get(partition).is_some_and(|at| now < *at + TICK_EVERY);
            if !is_due || is_early || state.position() < self.reader.end(*partition)? {
                continue;
            }
            let tick = proto::Tick { instance: self.config.instance.clone() };
            let record = proto::LogRecord {
                record: Some(proto::log_record::Record::Tick(tick)),
                ..proto::LogRecord::default()
            };
            self.outbox.control(*partition, &record.encode_to_vec())?;
            self.ticked.insert(*partition, now);
            has_ticked = true;
        }
        if has_ticked {
            self.outbox.flush();
        }
        Ok(())
    }

    fn snapshot_all(&mut self) -> Result<(), log::Error> {
        if !self.partitions.values().any(RulesPartition::has_moved) {
            return Ok(());
        }
        if !self.outbox.drain(Instant::now() + DRAIN_WAIT)? {
            warn!("no snapshot: what was said is not durable yet");
            return Ok(());
        }
        for (partition, state) in &mut self.partitions {
            if !state.has_moved() || !state.is_live() {
                continue;
            }
            if let Some(failpoint) = &self.parts.failpoint {
                failpoint("before_snapshot");
            }
            let said = SaidPositions {
                alerts: self.log.offsets(Topic::Alerts, *partition)?.end,
                shadow: self.log.offsets(Topic::AlertsShadow, *partition)?.end,
            };
            match state.snapshot(&self.parts.store, self.log.log_id(), said) {
                Ok(oldest) => {
                    self.parts.health.set("state", Role::Rules, None);
                    self.log.release(Consumer::Rules, *partition, oldest)?;
                }
                Err(error) => self.parts.health.set("state", Role::Rules, Some(error.to_string())),
            }
        }
        self.fail_at("after_snapshot");
        Ok(())
    }

    fn is_at_end(&mut self) -> Result<bool, log::Error> {
        if !self.recoveries.is_empty() {
            return Ok(false);
        }
        for (partition, state) in &self.partitions {
            if state.position() < self.reader.end(*partition)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn export_lag(&mut self) -> Result<(), log::Error> {
        for (partition, state) in &self.partitions {
            let lag = self.reader.end(*partition)? - state.position();
            let label = partition.to_string();
            metrics::gauge!("urban_neuron_log_lag_records", "consumer" => "rules", "log_partition" => label)
                .set(lag as f64);
            counting::export(*partition, state.evaluator());
        }
        Ok(())
    }

    fn fail_at(&self, name: &'static str) {
        if let Some(failpoint) = &self.parts.failpoint {
            failpoint(name);
        }
    }
}

fn component(partition: u32) -> String {
    format!("partition {partition}")
}
