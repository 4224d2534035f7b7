//! What every part of a process shares, and the threads of its roles.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use gateway::{AlertBoard, AlertBoardLimits};
use tracing::error;

use crate::alert_stream::AlertStream;
use crate::clock::ReceiveClock;
use crate::config::Config;
use crate::conservation::{Account, Balance};
use crate::failpoints::Failpoints;
use crate::health::{Health, Role};
use crate::pipeline_stats::PipelineStats;

/// Shared by the roles of one process.
#[derive(Clone)]
pub(super) struct Shared {
    pub health: Health,
    pub stats: Arc<PipelineStats>,
    pub board: AlertBoard,
    pub stream: AlertStream,
    pub endpoint_account: Arc<Account>,
    pub subscriber_account: Arc<Account>,
    pub coap_account: Arc<Account>,
    pub clock: ReceiveClock,
    pub failpoints: Failpoints,
    /// Random per process start, hex digits: marks our heartbeats and ticks.
    pub instance: String,
    pub has_failed: Arc<AtomicBool>,
}

/// What a process has done since its start.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub balance: Balance,
    pub rows_landed: u64,
    /// Messages whose rows have landed.
    pub messages_landed: u64,
    /// Repeats and undecodable records that the lake passed over.
    pub messages_passed_over: u64,
    pub messages_evaluated: u64,
    pub alerts_raised: u64,
    pub alerts_resolved: u64,
    pub alerts_firing: usize,
    pub sensor_to_alert_p50: Option<Duration>,
    pub sensor_to_alert_p99: Option<Duration>,
}

impl Shared {
    pub fn new(config: &Config, roles: &[Role]) -> Self {
        let board = AlertBoard::new(AlertBoardLimits::default());
        Shared {
            health: Health::new(roles),
            stats: Arc::default(),
            stream: AlertStream::new(board.clone()),
            board,
            endpoint_account: Account::new("mqtt_endpoint"),
            subscriber_account: Account::new("mqtt_subscriber"),
            coap_account: Account::new("coap"),
            clock: ReceiveClock::default(),
            failpoints: Failpoints::new(config.testing.abort_at.as_ref()),
            instance: random_hex(),
            has_failed: Arc::default(),
        }
    }

    pub fn stats(&self) -> Stats {
        let (alerts_raised, alerts_resolved) = self.stream.totals();
        Stats {
            balance: [&self.endpoint_account, &self.subscriber_account, &self.coap_account]
                .into_iter()
                .fold(Balance::default(), |sum, account| sum.plus(&account.balance())),
            rows_landed: self.stats.rows(),
            messages_landed: self.stats.landed_messages(),
            messages_passed_over: self.stats.lake_passed_over(),
            messages_evaluated: self.stats.evaluated(),
            alerts_raised,
            alerts_resolved,
            alerts_firing: self.stream.firing_count(),
            sensor_to_alert_p50: self.stats.sensor_to_alert().quantile(0.5),
            sensor_to_alert_p99: self.stats.sensor_to_alert().quantile(0.99),
        }
    }

    /// Starts a thread of `role`. When it ends with an error the role is not ready and the process has failed.
    pub fn spawn<E: std::fmt::Display>(
        &self,
        name: &'static str,
        role: Role,
        work: impl FnOnce(&AtomicBool) -> Result<(), E> + Send + 'static,
    ) -> anyhow::Result<Worker> {
        let stop = Arc::new(AtomicBool::new(false));
        let (health, has_failed, stopped) = (self.health.clone(), self.has_failed.clone(), stop.clone());
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                if let Err(cause) = work(&stopped) {
                    error!(worker = name, %cause, "the worker ended");
                    health.set(name, role, Some(cause.to_string()));
                    has_failed.store(true, Ordering::Relaxed);
                }
            })
            .with_context(|| format!("starting the thread of the {name}"))?;
        Ok(Worker { name, stop, thread })
    }
}

/// A thread, and how it is told to end.
pub(super) struct Worker {
    name: &'static str,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Tells it to drain and end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
    }

    pub fn join(self) {
        if self.thread.join().is_err() {
            error!(worker = self.name, "the worker ended in a panic");
        }
    }
}

/// 16 hex digits, new in each process.
fn random_hex() -> String {
    use std::hash::{BuildHasher, Hasher};
    format!("{:016x}", std::hash::RandomState::new().build_hasher().finish())
}
