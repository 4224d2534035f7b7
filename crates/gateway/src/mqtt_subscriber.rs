//! The MQTT subscriber: takes messages from a broker that is already there, over rumqttc.
//!
//! One thread a subscriber, with a runtime and an intake of its own. rumqttc gives sockets, TLS, codec and keep-alive;
//! its request channel is not used: acknowledgements are written to the connection on which their messages came, many
//! in one flush. What follows from that, and from a fresh event loop for every connection:
//!
//! * nothing is acknowledged before it is durable (I1), and acknowledgements leave in the order of arrival
//!   [MQTT-4.6.0-2];
//! * the task that reads never waits for a queue that only it empties;
//! * an acknowledgement cannot outlive its connection and hit another message's packet id in the next one. Events that
//!   rumqttc keeps over a reconnect cannot either.
//!
//! The session at the broker persists (`clean_session = false`, a stable client id): what was not acknowledged comes
//! again, marked DUP. Where the broker has lost the session, the filters are subscribed again. Subscriptions of an
//! earlier configuration stay in the broker's session until it expires or the client id changes.
//!
//! When the intake has no room, or `in_flight_max` messages are unacknowledged, the socket is not read and the broker
//! keeps its messages; pings go on, so the connection survives it. Most brokers have a limit of their own for that
//! (Mosquitto: `max_inflight_messages`, 20), and with it the rate is that many messages in each commit of the log.
//!
//! QoS 0 has nothing to acknowledge: it is counted apart, and lost with the process.

pub(crate) mod backoff;
mod broker_url;
mod config;
mod connection;
mod in_flight;
mod meters;
mod status;
pub(crate) mod tls;
mod worker;

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

pub use broker_url::{BrokerUrl, BrokerUrlError};
pub use config::{BrokerCredentials, BrokerTls, SubscriberConfig, SubscriptionQos};
pub use status::{SubscriberCounts, SubscriberStatus};
pub use tls::BrokerTlsError;

use crate::intake::{IntakeError, IntakeSource};
use status::Board;
use worker::Worker;

/// Why a subscriber cannot start. A broker that cannot be reached is none: it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum SubscriberError {
    #[error("{0}")]
    Config(&'static str),
    #[error("the TLS certificates cannot be used: {0}")]
    Tls(#[from] BrokerTlsError),
    #[error("a thread cannot be started: {0}")]
    Thread(#[source] std::io::Error),
    #[error(transparent)]
    Intake(#[from] IntakeError),
}

/// A running subscriber. Dropping it does not stop it.
pub struct MqttSubscriber {
    stop: watch::Sender<Option<Instant>>,
    thread: JoinHandle<()>,
    board: Arc<Board>,
}

impl MqttSubscriber {
    /// Starts the thread, which connects and takes messages from then on. Blocks until it has its intake.
    ///
    /// # Errors
    /// A config that makes no sense, certificates that cannot be used, or a log that gives no intake.
    pub fn start<S: IntakeSource>(config: SubscriberConfig, source: S) -> Result<Self, SubscriberError> {
        let options = config.options()?;
        let (stop, stopped) = watch::channel(None);
        let board = Arc::new(Board::new(&config));
        let worker = Worker::new(config, options, source, stopped, board.clone());
        let (ready, is_ready) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("mqtt-subscriber".to_owned())
            .spawn(move || worker.main(&ready))
            .map_err(SubscriberError::Thread)?;
        match is_ready.recv() {
            Ok(Ok(())) => Ok(MqttSubscriber { stop, thread, board }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(SubscriberError::Thread(std::io::Error::other("it ended in a panic"))),
        }
    }

    pub fn status(&self) -> SubscriberStatus {
        self.board.status()
    }

    /// Stops: reads nothing more, acknowledges what becomes durable within `deadline`, says DISCONNECT and closes. The
    /// broker keeps the rest. Blocks until it is done.
    pub fn stop(self, deadline: Duration) -> SubscriberStatus {
        self.stop.send_replace(Some(Instant::now() + deadline));
        if self.thread.join().is_err() {
            tracing::error!("the thread of an mqtt subscriber ended in a panic");
        }
        self.board.status()
    }
}
