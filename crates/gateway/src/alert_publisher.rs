//! Says alerts at a broker that is already there, for consumers that know no other: the same topics and payloads as at the
//! endpoint, in MQTT 3.1.1.
//!
//! One thread, over rumqttc. Each connection begins with all that fires now, retained, and takes away what an earlier
//! connection left retained and no longer fires; then every later message follows in the order of publication at QoS 1.
//! MQTT is state, not history: a resolve that is said while there is no connection shows as a retained message that is
//! gone. Nothing is said before the board is live: it would not know yet what fires.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rumqttc::{
    AsyncClient, ClientError, ConnectionError, Event, EventLoop, MqttOptions, Outgoing, Packet, Publish, QoS,
    TlsConfiguration, Transport,
};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::alert_board::{AlertBoard, AlertSubscriber, AlertSubscription, Delivery};
use crate::mqtt::Qos;
use crate::mqtt_subscriber::backoff::Backoff;
use crate::mqtt_subscriber::{BrokerCredentials, BrokerTls, BrokerTlsError, BrokerUrl, tls};

const FILTER: &str = "urban-neuron/v1/alerts/#";
/// Messages that are on their way to the broker and not acknowledged, and as many that wait for their place.
const IN_FLIGHT_MAX: u16 = 100;
/// Topics that are to be cleared and not cleared yet. What is beyond it is found again by the next connection.
const STALE_TOPICS_MAX: usize = 100_000;
/// Largest packet either way; an alert is a few KiB.
const PACKET_BYTES_MAX: usize = 4 << 20;

/// Where alerts are said.
#[derive(Clone, Debug)]
pub struct AlertPublisherConfig {
    pub url: BrokerUrl,
    /// One a process: a broker closes the older of two connections that have the same.
    pub client_id: String,
    pub credentials: Option<BrokerCredentials>,
    /// Used with `mqtts` only.
    pub tls: BrokerTls,
    pub keep_alive: Duration,
    /// The first wait before connecting again, and the longest; between them it doubles, with jitter.
    pub reconnect_min: Duration,
    pub reconnect_max: Duration,
}

impl AlertPublisherConfig {
    pub fn new(url: BrokerUrl, client_id: impl Into<String>) -> Self {
        AlertPublisherConfig {
            url,
            client_id: client_id.into(),
            credentials: None,
            tls: BrokerTls::default(),
            keep_alive: Duration::from_secs(30),
            reconnect_min: Duration::from_millis(500),
            reconnect_max: Duration::from_secs(30),
        }
    }

    fn options(&self) -> Result<MqttOptions, BrokerTlsError> {
        let mut options = MqttOptions::new(&self.client_id, self.url.host(), self.url.port());
        options
            .set_clean_session(true)
            .set_keep_alive(self.keep_alive)
            .set_inflight(IN_FLIGHT_MAX)
            .set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
        if let Some(BrokerCredentials { username, password }) = &self.credentials {
            options.set_credentials(username, password);
        }
        if self.url.is_tls() {
            let config = TlsConfiguration::Rustls(tls::client_config(&self.tls)?);
            options.set_transport(Transport::tls_with_config(config));
        }
        Ok(options)
    }
}

/// Why a publisher cannot start. A broker that cannot be reached is none: it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum AlertPublisherError {
    #[error("the TLS certificates cannot be used: {0}")]
    Tls(#[from] BrokerTlsError),
    #[error("a thread cannot be started: {0}")]
    Thread(#[source] std::io::Error),
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Connection(Box<ConnectionError>),
    #[error("the broker takes alerts more slowly than they come")]
    Behind,
    #[error(transparent)]
    Client(Box<ClientError>),
}

impl From<ConnectionError> for Lost {
    fn from(error: ConnectionError) -> Self {
        Lost::Connection(Box::new(error))
    }
}

impl From<ClientError> for Lost {
    fn from(error: ClientError) -> Self {
        Lost::Client(Box::new(error))
    }
}

/// A running publisher. Dropping it does not stop it.
pub struct AlertPublisher {
    stop: watch::Sender<Option<Instant>>,
    thread: JoinHandle<()>,
}

impl AlertPublisher {
    /// Starts the thread, which connects and says what `board` has.
    ///
    /// # Errors
    /// Certificates that cannot be used, or no thread.
    pub fn start(config: AlertPublisherConfig, board: AlertBoard) -> Result<Self, AlertPublisherError> {
        let options = config.options()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(AlertPublisherError::Thread)?;
        let (stop, stopped) = watch::channel(None);
        let worker = Worker {
            broker: config.url.to_string(),
            backoff: Backoff::new(config.reconnect_min, config.reconnect_max),
            sound_after: config.reconnect_max,
            options,
            board,
            stop: stopped,
        };
        let thread = std::thread::Builder::new()
            .name("alert-publisher".to_owned())
            .spawn(move || runtime.block_on(worker.run()))
            .map_err(AlertPublisherError::Thread)?;
        Ok(AlertPublisher { stop, thread })
    }

    /// Stops: says what waits within `deadline`, then disconnects. What is retained at the broker stays. Blocks until it
    /// is done.
    pub fn stop(self, deadline: Duration) {
        self.stop.send_replace(Some(Instant::now() + deadline));
        if self.thread.join().is_err() {
            tracing::error!("the thread of the alert publisher ended in a panic");
        }
    }
}

/// What the thread owns.
struct Worker {
    broker: String,
    options: MqttOptions,
    board: AlertBoard,
    stop: watch::Receiver<Option<Instant>>,
    backoff: Backoff,
    /// A connection that lasted longer begins the waits anew.
    sound_after: Duration,
}

impl Worker {
    async fn run(mut self) {
        let connected = metrics::gauge!("urban_neuron_alert_publisher_connected");
        connected.set(0.0);
        loop {
            let begun = Instant::now();
            let ended = self.connect_and_say(&connected).await;
            connected.set(0.0);
            match ended {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(broker = self.broker, %error, "no connection to the broker of the alerts");
                }
            }
            if begun.elapsed() > self.sound_after {
                self.backoff.reset();
            }
            tokio::select! {
                () = sleep(self.backoff.wait()) => {}
                Ok(_) = self.stop.wait_for(Option::is_some) => return,
            }
        }
    }

    /// One connection, until it is lost or the publisher stops.
    async fn connect_and_say(&mut self, connected: &metrics::Gauge) -> Result<(), Lost> {
        let outbox = Outbox::new(&self.board);
        let Some(first) = outbox.first(&mut self.stop).await else { return Ok(()) };
        let (client, event_loop) = AsyncClient::new(self.options.clone(), usize::from(IN_FLIGHT_MAX));
        // Neither is ever dropped half way: a request that rumqttc has taken from its queue would be lost with it.
        tokio::select! {
            lost = outbox.listen(event_loop, connected, &self.board) => lost,
            said = outbox.say(&client, first, self.stop.clone()) => said,
            () = past_deadline(self.stop.clone()) => Ok(()),
        }
    }
}

/// Ends when the publisher is to have ended, whatever the broker does.
async fn past_deadline(mut stop: watch::Receiver<Option<Instant>>) {
    let deadline = stop.wait_for(Option::is_some).await.ok().and_then(|deadline| *deadline);
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        // Dropped without a stop: it goes on, as its documentation says.
        None => std::future::pending().await,
    }
}

/// What is to be said on one connection.
struct Outbox {
    subscriber: AlertSubscriber,
    signal: Arc<Notify>,
    /// Retained at the broker, and firing no more.
    stale_topics: Mutex<VecDeque<String>>,
    sent: AtomicU64,
    acknowledged: AtomicU64,
}

impl Outbox {
    fn new(board: &AlertBoard) -> Self {
        let signal = Arc::new(Notify::new());
        let wake = signal.clone();
        Outbox {
            subscriber: board.subscriber(move || wake.notify_one()),
            signal,
            stale_topics: Mutex::default(),
            sent: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
        }
    }

    /// What fires when the board becomes live; `None` when the publisher stops before.
    async fn first(&self, stop: &mut watch::Receiver<Option<Instant>>) -> Option<Vec<Delivery>> {
        while !self.subscriber.is_live() {
            tokio::select! {
                () = self.signal.notified() => {}
                Ok(_) = stop.wait_for(Option::is_some) => return None,
            }
        }
        let all = AlertSubscription {
            filter: FILTER.to_owned(),
            qos: Qos::AtLeastOnce,
            is_retain_as_published: true,
            subscription_identifier: None,
        };
        Some(self.subscriber.subscribe(all, true))
    }

    /// Reads from the broker until the connection ends; `Ok` after our own DISCONNECT.
    async fn listen(
        &self,
        mut event_loop: EventLoop,
        connected: &metrics::Gauge,
        board: &AlertBoard,
    ) -> Result<(), Lost> {
        loop {
            match event_loop.poll().await? {
                Event::Incoming(Packet::ConnAck(_)) => connected.set(1.0),
                Event::Incoming(Packet::Publish(publish)) => self.look_at(publish, board),
                Event::Incoming(Packet::PubAck(_)) => {
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                    self.signal.notify_one();
                }
                Event::Outgoing(Outgoing::Disconnect) => return Ok(()),
                _ => {}
            }
        }
    }

    /// Our own messages come back as news; what comes as retained was there before this connection.
    fn look_at(&self, publish: Publish, board: &AlertBoard) {
        let is_left = publish.retain && !publish.payload.is_empty() && !board.is_retained(&publish.topic);
        let mut stale = self.stale_topics.lock();
        if is_left && stale.len() < STALE_TOPICS_MAX {
            stale.push_back(publish.topic);
            self.signal.notify_one();
        }
    }

    /// Sends until the publisher stops, then waits for the acknowledgements and disconnects.
    async fn say(
        &self,
        client: &AsyncClient,
        first: Vec<Delivery>,
        mut stop: watch::Receiver<Option<Instant>>,
    ) -> Result<(), Lost> {
        client.subscribe(FILTER, QoS::AtMostOnce).await?;
        for delivery in &first {
            self.send(client, delivery).await?;
        }
        drop(first);
        let deadline = loop {
            self.send_what_waits(client).await?;
            tokio::select! {
                () = self.signal.notified() => {}
                stopped = stop.wait_for(Option::is_some) => match stopped {
                    Ok(deadline) => break *deadline,
                    // Dropped without a stop: it goes on, as its documentation says.
                    Err(_) => std::future::pending().await,
                },
            }
        };
        self.send_what_waits(client).await?;
        while self.acknowledged.load(Ordering::Relaxed) < self.sent.load(Ordering::Relaxed) {
            let until = deadline.unwrap_or_else(Instant::now);
            if timeout_at(until, self.signal.notified()).await.is_err() {
                break;
            }
        }
        client.disconnect().await?;
        // `listen` ends the connection once that is written.
        std::future::pending().await
    }

    async fn send_what_waits(&self, client: &AsyncClient) -> Result<(), Lost> {
        loop {
            if self.subscriber.is_overflowed() {
                return Err(Lost::Behind);
            }
            let stale = self.stale_topics.lock().pop_front();
            if let Some(mqtt_topic) = stale {
                self.publish(client, &mqtt_topic, true, Vec::new()).await?;
            } else if let Some(delivery) = self.subscriber.next_delivery() {
                self.send(client, &delivery).await?;
            } else {
                return Ok(());
            }
        }
    }

    async fn send(&self, client: &AsyncClient, delivery: &Delivery) -> Result<(), Lost> {
        let message = &delivery.message;
        self.publish(client, &message.mqtt_topic, delivery.is_retain, message.payload.to_vec()).await
    }

    async fn publish(
        &self,
        client: &AsyncClient,
        mqtt_topic: &str,
        is_retain: bool,
        payload: Vec<u8>,
    ) -> Result<(), Lost> {
        client.publish(mqtt_topic, QoS::AtLeastOnce, is_retain, payload).await?;
        self.sent.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("urban_neuron_alert_publisher_messages_total").increment(1);
        Ok(())
    }
}
