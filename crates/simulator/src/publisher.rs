//! Publishes a city through rumqttc: one persistent session a gateway, QoS 1, every message until it is acknowledged.
//!
//! rumqttc is used for its sockets, codec and keep-alive. What is not acknowledged is kept here, not there: rumqttc
//! never sets DUP on what it sends again, and forgets all of it when the server has lost the session.
//!
//! Invariants: at most `in_flight_max` messages of a connection are unacknowledged, and at most `queued_max` wait
//! behind them; then the city waits too. A message is sent again with DUP set and its packet id [MQTT-4.4.0-1].

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

mod connection;
mod ledger;
mod tally;

use crate::{BrokerAddress, City, Error, Message, Progress, Summary};
use connection::Connection;
use ledger::Ledger;
use tally::Tally;

/// How often the city is asked what it has to say.
const TICK: Duration = Duration::from_millis(5);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Messages taken from the city at once, so that catching up leaves room for acknowledgements.
const TICK_MESSAGES_MAX: usize = 4_096;

/// How a city is published.
#[derive(Clone)]
pub struct PublisherConfig {
    pub broker: BrokerAddress,
    /// Client ids are this, `-` and the number of the gateway: sessions persist, so it is one a city.
    pub client_id_prefix: String,
    /// Name and password.
    pub credentials: Option<(String, String)>,
    /// How long the city speaks.
    pub duration: Duration,
    /// How long after that the last acknowledgements are waited for.
    pub drain: Duration,
    pub keep_alive: Duration,
    /// Unacknowledged messages of one connection.
    pub in_flight_max: u16,
    /// Messages that wait behind them.
    pub queued_max: usize,
    /// Where every acknowledged message is written down: a line for each time in it, `kind`, `device_id`, and
    /// `observed_at` in microseconds, divided by tabs.
    pub ledger: Option<PathBuf>,
}

impl PublisherConfig {
    pub fn new(broker: BrokerAddress, duration: Duration) -> Self {
        PublisherConfig {
            broker,
            client_id_prefix: "urban-neuron-city".to_owned(),
            credentials: None,
            duration,
            drain: Duration::from_secs(30),
            keep_alive: Duration::from_secs(30),
            in_flight_max: 200,
            queued_max: 2_000,
            ledger: None,
        }
    }
}

/// Publishes the city until its time is over or `progress`, called once a second, breaks off; then waits for the last
/// acknowledgements. Blocks. The city's time runs from its `start_us` at the pace of the clock.
///
/// # Errors
/// The broker refused a client, or was never reached; the ledger cannot be written; no runtime. A lost connection is
/// opened again and counted.
pub fn publish(
    config: &PublisherConfig,
    city: City,
    progress: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Summary, Error> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let ledger = config.ledger.as_deref().map(Ledger::create).transpose()?;
    LocalSet::new().block_on(&runtime, run(config, city, Tally::new(ledger), progress))
}

async fn run(
    config: &PublisherConfig,
    mut city: City,
    tally: Tally,
    progress: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Summary, Error> {
    let tally = Rc::new(RefCell::new(tally));
    let mut connections = JoinSet::new();
    let queues: Vec<mpsc::Sender<Message>> = (0..city.config().gateways.max(1))
        .map(|number| {
            let (queue, messages) = mpsc::channel(config.queued_max.max(1));
            connections.spawn_local(Connection::new(config, number, messages, tally.clone()).run());
            queue
        })
        .collect();
    tokio::select! {
        () = speak(config, &mut city, &queues) => {}
        () = report(&tally, progress) => {}
        Some(Ok(Err(error))) = connections.join_next() => return Err(error),
    }
    drop(queues);
    let deadline = Instant::now() + config.drain;
    // Past the deadline the connections are dropped, and what they hold stays counted as unacknowledged.
    while let Ok(Some(ended)) = timeout_at(deadline, connections.join_next()).await {
        if let Ok(Err(error)) = ended {
            return Err(error);
        }
    }
    connections.shutdown().await;
    let mut tally = tally.borrow_mut();
    tally.finish(&config.broker)
}

/// Lets the city speak for as long as it shall.
async fn speak(config: &PublisherConfig, city: &mut City, queues: &[mpsc::Sender<Message>]) {
    let started = Instant::now();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let elapsed = started.elapsed().min(config.duration);
        let now_us = city.config().start_us + elapsed.as_micros() as i64;
        let is_over = elapsed == config.duration;
        let messages = city.tick(now_us, TICK_MESSAGES_MAX);
        let is_behind = messages.len() >= TICK_MESSAGES_MAX;
        for message in messages {
            // A connection that has ended hands its error to the one who waits for it.
            if queues[message.gateway as usize].send(message).await.is_err() {
                return std::future::pending().await;
            }
        }
        // What the city had to say by the end is still sent, but a broker that cannot keep up does not make it longer.
        if is_over && (!is_behind || started.elapsed() > config.duration + config.drain) {
            return;
        }
    }
}

async fn report(tally: &RefCell<Tally>, mut progress: impl FnMut(&Progress) -> ControlFlow<()>) {
    let mut seconds = interval(PROGRESS_INTERVAL);
    seconds.tick().await;
    loop {
        seconds.tick().await;
        let now = tally.borrow().progress();
        if progress(&now).is_break() {
            return;
        }
    }
}

impl std::fmt::Debug for PublisherConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublisherConfig")
            .field("broker", &self.broker)
            .field("client_id_prefix", &self.client_id_prefix)
            .field("username", &self.credentials.as_ref().map(|(name, _)| name))
            .field("duration", &self.duration)
            .field("in_flight_max", &self.in_flight_max)
            .finish_non_exhaustive()
    }
}
