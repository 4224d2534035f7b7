//! The way of one log partition from its assignment to the log, on a thread of its own: a large snapshot opens in seconds and
//! a range read from the lake can take much longer, while the worker must go on polling its group and evaluating the others.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use lake::Source;
use log::{Log, Topic};

use crate::rule_sets::RuleSets;
use crate::rules_partition::{RulesPartition, Said, StandStill};
use crate::state_store::StateStore;

/// Chunks that wait for the worker.
const WAITING_CHUNKS_MAX: usize = 4;

/// What a partition is restored from.
#[derive(Clone, Debug)]
pub struct RecoverySources {
    pub store: StateStore,
    pub rule_sets: RuleSets,
    pub lake: PathBuf,
    pub tenant: String,
}

/// What a recovery has to say.
pub enum Recovered {
    /// Said by records that only the lake holds.
    Said(Said),
    /// The partition, and the offset from which it reads the log.
    Done(Box<RulesPartition>, i64),
    Failed(StandStill),
}

/// A recovery under way. Dropped, it ends at the next chunk.
pub struct Recovery {
    events: Option<Receiver<Recovered>>,
    thread: Option<JoinHandle<()>>,
}

impl Recovery {
    /// # Errors
    /// The system gives no thread.
    pub fn start<L: Log>(log: &L, sources: RecoverySources, partition: u32) -> std::io::Result<Self> {
        let (sender, events) = sync_channel(WAITING_CHUNKS_MAX);
        let log = log.clone();
        let name = format!("rules recovery {partition}");
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let outcome = match recover(&log, &sources, partition, &sender) {
                Ok((state, start)) => Recovered::Done(Box::new(state), start),
                Err(cause) => Recovered::Failed(cause),
            };
            // Nobody listens when the partition was taken away meanwhile.
            drop(sender.send(outcome));
        })?;
        Ok(Recovery { events: Some(events), thread: Some(thread) })
    }

    /// What it has to say now; never blocks. After `Done` or `Failed` there is nothing more.
    pub fn poll(&self) -> Option<Recovered> {
        match self.events.as_ref()?.try_recv() {
            Ok(event) => Some(event),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Recovered::Failed(StandStill::Abandoned)),
        }
    }
}

impl Drop for Recovery {
    fn drop(&mut self) {
        self.events = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been reported by its own thread.
            drop(thread.join());
        }
    }
}

fn recover<L: Log>(
    log: &L,
    sources: &RecoverySources,
    partition: u32,
    events: &SyncSender<Recovered>,
) -> Result<(RulesPartition, i64), StandStill> {
    let RecoverySources { store, rule_sets, lake, tenant } = sources;
    let mut state = RulesPartition::recover(log, store, rule_sets, partition, tenant)?;
    let first = log.offsets(Topic::Telemetry, partition)?.start;
    if state.window_from() < first {
        let source = Source { log_id: log.log_id(), log_partition: partition };
        let wanted = state.window_from()..first;
        state.take_from_lake(lake, source, wanted, rule_sets, &mut |said| match events
            .send(Recovered::Said(said))
        {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        })?;
    }
    let start = state.window_from().max(first);
    Ok((state, start))
}
