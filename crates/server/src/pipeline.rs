//! The whole path, from top to bottom: adapters -> intake (decode, normalize) -> log -> lake, and log -> rules -> alerts.
//!
//! [`Service::start`] builds what the roles of this process need over the log that the config names; [`Service::stop`]
//! closes the first input and drains what follows. Nothing here knows a message.

mod gateway_role;
mod lake_role;
mod opening;
pub mod rules_role;
mod shared;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use gateway::mqtt_endpoint::EndpointAddresses;
use log::{Log, TopicStatus};
use metrics_exporter_prometheus::PrometheusHandle;
use tracing::info;

use crate::admin::{Admin, AdminParts};
use crate::alert_follower;
use crate::config::{Config, LogKind};
use crate::decoders::Decoders;
use crate::health::{Health, Role};
use crate::metrics;
use crate::operations::{About, LocalOperations};
use crate::rule_questions;

use gateway_role::Gateway;
use shared::{Shared, Worker};

pub use shared::Stats;

/// A running process: its roles over its log.
pub struct Service {
    parts: Shared,
    gateway: Gateway,
    workers: Vec<Worker>,
    admin: Admin,
    log: Box<dyn RunningLog>,
    drain_deadline: Duration,
}

/// The log behind the roles, whichever it is.
trait RunningLog: Send {
    fn trouble(&self) -> Option<String>;
    fn status(&self) -> Vec<TopicStatus>;
    fn close(&self);
}

impl<L: Log> RunningLog for L {
    fn trouble(&self) -> Option<String> {
        Log::trouble(self)
    }

    fn status(&self) -> Vec<TopicStatus> {
        Log::status(self)
    }

    fn close(&self) {
        Log::close(self);
    }
}

impl Service {
    /// Starts the roles. Returns when every listener listens.
    ///
    /// # Errors
    /// Whatever keeps a part from starting; what was started is stopped again.
    pub fn start(config: &Config, roles: &[Role]) -> anyhow::Result<Service> {
        // Before anything counts: handles made earlier would count nowhere.
        let recorder = metrics::install().context("metrics")?;
        let parts = Shared::new(config, roles);
        match config.log.kind {
            LogKind::Embedded => {
                let log = opening::embedded(config, roles, &parts.failpoints)?;
                Self::start_on(log, config, roles, parts, recorder)
            }
            LogKind::Kafka => Self::start_on(opening::kafka(config)?, config, roles, parts, recorder),
        }
    }

    fn start_on<L: Log>(
        log: L,
        config: &Config,
        roles: &[Role],
        parts: Shared,
        recorder: PrometheusHandle,
    ) -> anyhow::Result<Service> {
        let decoders = Decoders::new(config)?;
        info!(log_id = %log.log_id(), instance = parts.instance, "starting");

        let follow_from = alert_follower::catch_up(&log, &parts.stream).context("reading what fires now")?;
        let mut workers = Vec::new();
        if roles.contains(&Role::Lake) {
            workers.push(lake_role::start(&log, config, &parts)?);
        }
        let mut questions = None;
        if roles.contains(&Role::Rules) {
            let (asking, asked) = rule_questions::channel();
            questions = Some(asking);
            workers.push(rules_role::start(&log, config, &parts, asked)?);
        }
        let mut gateway = Gateway::default();
        if roles.contains(&Role::Gateway) {
            workers.extend(gateway_role::start_followers(&log, config, &parts, &decoders, follow_from)?);
            gateway = Gateway::start(&log, config, &parts, &decoders)?;
        }
        if !roles.contains(&Role::Rules) {
            // Rules run in other processes; whether they are live is theirs to say.
            parts.stream.set_live(true);
        }
        let admin = Admin::start(
            &config.admin,
            AdminParts {
                about: About::new(&log.log_id(), roles),
                health: parts.health.clone(),
                metrics: recorder,
                operations: Arc::new(LocalOperations::new(log.clone(), decoders)),
                rules: Arc::new(rules_role::operations(&log, config, questions)?),
                lake_root: config.lake.root.clone(),
            },
        )?;
        let drain_deadline = config.drain_deadline;
        Ok(Service { parts, gateway, workers, admin, log: Box::new(log), drain_deadline })
    }

    /// Where the MQTT endpoint listens, with the ports that the system chose.
    pub fn endpoint_addresses(&self) -> EndpointAddresses {
        self.gateway.addresses()
    }

    pub fn admin_addresses(&self) -> &[SocketAddr] {
        self.admin.addresses()
    }

    pub fn health(&self) -> &Health {
        &self.parts.health
    }

    /// A worker ended though nobody asked: the process must end.
    pub fn has_failed(&self) -> bool {
        self.parts.has_failed.load(Ordering::Relaxed)
    }

    /// Brings what the components do not say by themselves up to date: the log's trouble and fill, refused messages.
    pub fn refresh(&self) {
        self.log.status().iter().for_each(export);
        self.parts.health.set("log", Role::Gateway, self.log.trouble());
        self.gateway.account(&self.parts);
    }

    pub fn stats(&self) -> Stats {
        self.gateway.account(&self.parts);
        self.parts.stats()
    }

    /// Closes the inputs, acknowledges what becomes durable, evaluates and lands it, and ends. Everything acknowledged is in
    /// the log whatever the deadline cuts off. Returns the last figures.
    pub fn stop(self, deadline: Option<Duration>) -> Stats {
        let ends_at = Instant::now() + deadline.unwrap_or(self.drain_deadline);
        info!("stopping: inputs first");
        let Service { parts, mut gateway, workers, admin, log, .. } = self;
        let alert_publisher = gateway.take_alert_publisher();
        gateway.account(&parts);
        gateway.stop(ends_at.saturating_duration_since(Instant::now()));
        for worker in &workers {
            worker.stop();
        }
        workers.into_iter().for_each(Worker::join);
        if let Some(publisher) = alert_publisher {
            publisher.stop(ends_at.saturating_duration_since(Instant::now()));
        }
        log.close();
        drop(admin);
        info!("stopped");
        parts.stats()
    }
}

/// How near one topic of the embedded log is to its limits.
fn export(status: &TopicStatus) {
    let gauge = |name: &'static str, value: f64| {
        ::metrics::gauge!(name, "topic" => status.topic.name()).set(value);
    };
    gauge("urban_neuron_log_disk_bytes", status.disk_bytes as f64);
    gauge("urban_neuron_log_disk_limit_bytes", status.disk_bytes_max as f64);
    gauge("urban_neuron_log_segment_files", status.segments as f64);
    gauge("urban_neuron_log_tail_bytes", status.tail_bytes as f64);
    gauge("urban_neuron_log_tail_limit_bytes", status.tail_bytes_max as f64);
    gauge("urban_neuron_log_clock_ahead_seconds", status.clock_ahead_us as f64 / 1e6);
}
