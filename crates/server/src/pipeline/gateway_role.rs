//! The gateway role: adapters in front of the intake, heartbeats, and alerts for MQTT subscribers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use gateway::alert_publisher::AlertPublisher;
use gateway::coap_server::CoapServer;
use gateway::mqtt_endpoint::{AllowAnyone, Authenticator, EndpointAddresses, MqttEndpoint};
use gateway::mqtt_subscriber::MqttSubscriber;
use log::Log;

use super::shared::{Shared, Worker};
use crate::alert_follower::{self, Ends};
use crate::config::Config;
use crate::conservation::Account;
use crate::credentials::Credentials;
use crate::decoders::Decoders;
use crate::engine_configs;
use crate::health::Role;
use crate::heartbeat;
use crate::intake::PipelineSource;
use crate::registry_watch;
use crate::sessions;

/// The adapters of one process.
#[derive(Default)]
pub(super) struct Gateway {
    endpoint: Option<MqttEndpoint>,
    subscribers: Vec<MqttSubscriber>,
    coap: Option<CoapServer>,
    alert_publisher: Option<AlertPublisher>,
    /// Refused by the endpoint and in the books already.
    refused: AtomicU64,
    /// The same of the CoAP server.
    refused_by_coap: AtomicU64,
}

/// The threads beside the adapters.
pub(super) fn start_followers<L: Log>(
    log: &L,
    config: &Config,
    parts: &Shared,
    decoders: &Decoders,
    from: Ends,
) -> anyhow::Result<Vec<Worker>> {
    let (follower_log, stream) = (log.clone(), parts.stream.clone());
    let follower = parts.spawn("alert follower", Role::Gateway, move |stop| {
        alert_follower::follow(&follower_log, &stream, &from, stop)
    })?;
    let (heartbeat_log, instance) = (log.clone(), parts.instance.clone());
    let heartbeat = parts
        .spawn("heartbeat", Role::Gateway, move |stop| heartbeat::run(&heartbeat_log, &instance, stop))?;
    let mut workers = vec![follower, heartbeat];
    if config.registry.path.is_some() {
        let (section, decoders) = (config.registry.clone(), decoders.clone());
        workers.push(parts.spawn("registry watch", Role::Gateway, move |stop| {
            registry_watch::follow(&section, &decoders, stop)
        })?);
    }
    Ok(workers)
}

impl Gateway {
    pub fn start<L: Log>(
        log: &L,
        config: &Config,
        parts: &Shared,
        decoders: &Decoders,
    ) -> anyhow::Result<Self> {
        let source = |account| {
            let (clock, alerts) = (parts.clock.clone(), parts.stream.clone());
            PipelineSource::new(log.clone(), account, decoders.clone(), clock, alerts)
        };
        let mut gateway = Gateway::default();
        if engine_configs::has_endpoint(config) {
            let endpoint = MqttEndpoint::start(
                engine_configs::endpoint(config),
                source(parts.endpoint_account.clone()),
                parts.board.clone(),
                authenticator(config)?,
                sessions::read(log).context("reading the MQTT sessions")?,
            );
            gateway.endpoint = Some(endpoint.context("mqtt.endpoint")?);
        }
        for (at, section) in config.mqtt_subscribers.iter().enumerate() {
            let subscriber = MqttSubscriber::start(
                engine_configs::subscriber(section),
                source(parts.subscriber_account.clone()),
            );
            gateway.subscribers.push(subscriber.with_context(|| format!("mqtt.subscriber[{at}]"))?);
        }
        if !config.coap.listen.is_off() {
            let server = CoapServer::start(engine_configs::coap(config), source(parts.coap_account.clone()));
            gateway.coap = Some(server.context("coap")?);
        }
        if let Some(section) = &config.alerts_mqtt {
            let publisher_config = engine_configs::alert_publisher(section, &parts.instance);
            let publisher = AlertPublisher::start(publisher_config, parts.board.clone());
            gateway.alert_publisher = Some(publisher.context("alerts.mqtt")?);
        }
        parts.health.set("adapters", Role::Gateway, None);
        Ok(gateway)
    }

    pub fn addresses(&self) -> EndpointAddresses {
        self.endpoint.as_ref().map(|endpoint| endpoint.addresses().clone()).unwrap_or_default()
    }

    /// Enters what the adapters refused since the last call into the books.
    pub fn account(&self, parts: &Shared) {
        if let Some(endpoint) = &self.endpoint {
            enter_refused(&parts.endpoint_account, endpoint.counters().counts().refused, &self.refused);
        }
        if let Some(coap) = &self.coap {
            enter_refused(&parts.coap_account, coap.counters().counts().refused, &self.refused_by_coap);
        }
    }

    /// The publisher at a foreign broker, which outlives the adapters: what the rules still say goes there.
    pub fn take_alert_publisher(&mut self) -> Option<AlertPublisher> {
        self.alert_publisher.take()
    }

    /// Stops all adapters; what they took is acknowledged as it becomes durable, within the deadline.
    pub fn stop(self, deadline: Duration) {
        let ends_at = Instant::now() + deadline;
        if let Some(endpoint) = self.endpoint {
            endpoint.stop(deadline);
        }
        if let Some(coap) = self.coap {
            coap.stop(ends_at.saturating_duration_since(Instant::now()));
        }
        for subscriber in self.subscribers {
            subscriber.stop(ends_at.saturating_duration_since(Instant::now()));
        }
    }
}

fn enter_refused(account: &Account, refused: u64, entered: &AtomicU64) {
    let before = entered.fetch_max(refused, Ordering::Relaxed);
    account.refuse(refused.saturating_sub(before));
}

fn authenticator(config: &Config) -> anyhow::Result<Arc<dyn Authenticator>> {
    match &config.mqtt_endpoint.credentials_path {
        None => Ok(Arc::new(AllowAnyone)),
        Some(path) => Ok(Arc::new(Credentials::read(path).context("mqtt.endpoint.credentials_path")?)),
    }
}
