//! The MQTT endpoint: devices and gateways publish here, and who wants alerts subscribes here.
//!
//! A server of its own for MQTT 3.1.1 and 5.0 over TCP, TLS and WebSocket. It routes nothing between clients: what is
//! published goes to the intake, what is delivered comes from the [`AlertBoard`]. Each of a few threads runs a runtime of
//! its own with its connections and one intake, so a message never changes threads on its way to the log.
//!
//! Invariants: PUBACK and PUBREC leave only when their flush is durable, in the order of arrival (I1); a persistent session
//! is durable before its CONNACK, and its filters before the SUBACK; every message is acknowledged, refused or abandoned
//! with its connection, and counted so (I2); every queue and buffer has a limit in [`EndpointConfig`] (I5).
//!
//! Where the standards leave a choice: a subscription asked for at QoS 2 is granted at QoS 1; a delivery that was not
//! acknowledged is not repeated on the next connection, which gets what fires now instead; SUBSCRIBE is not answered while
//! the board is not live; `$` topics other than `$SYS/` and `$share/` may be published to, because cloud platforms' devices
//! do; wills whose delay runs are lost when the process ends; no will is published when the server itself goes.

mod ack_queue;
mod audit;
mod authenticator;
mod certificate_names;
mod config;
mod connection;
mod counters;
mod deadlines;
mod end;
mod farewell;
mod flushes;
mod handshake;
mod identity;
mod janitor;
mod listener;
mod mailbox;
mod publishing;
mod session;
mod session_registry;
mod shard;
mod subscriptions;
mod thread;
mod tls;
mod transport;
mod websocket;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use model::proto::Session;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

pub use authenticator::{Admission, AllowAnyone, Applicant, Authenticator};
pub use config::{EndpointConfig, TlsFiles};
pub use counters::{EndpointCounters, EndpointCounts};
pub use identity::Identity;
pub use subscriptions::ALERTS_ROOT;
pub use tls::{TlsError, TlsInForce};

use crate::alert_board::AlertBoard;
use crate::intake::{IntakeError, IntakeSource};
use audit::Audit;
use listener::Spreader;
use session_registry::SessionRegistry;
use shard::Common;
use transport::TransportKind;

/// Sockets on their way from a listener to a thread.
const ACCEPTED_MAX: usize = 1024;

/// Why the endpoint cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error("cannot listen on {address}: {source}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("a TLS address is given, but no certificate")]
    NoCertificate,
    #[error("the TLS certificate cannot be used: {0}")]
    Tls(#[from] TlsError),
    #[error("no address to listen on")]
    NoAddress,
    #[error("a thread cannot be started: {0}")]
    Thread(#[source] io::Error),
    #[error(transparent)]
    Intake(#[from] IntakeError),
}

/// The running endpoint. Dropping it does not stop it.
pub struct MqttEndpoint {
    addresses: EndpointAddresses,
    counters: Arc<EndpointCounters>,
    sessions: Arc<SessionRegistry>,
    tls: Option<Arc<TlsInForce>>,
    stop: watch::Sender<Option<Instant>>,
    threads: Vec<JoinHandle<()>>,
}

/// Where the endpoint listens, with the ports that the system chose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointAddresses {
    pub tcp: Vec<SocketAddr>,
    pub tls: Vec<SocketAddr>,
    pub websocket: Vec<SocketAddr>,
}

impl MqttEndpoint {
    /// Binds the addresses, starts the threads and serves. `sessions` are the persistent sessions that the log holds, by
    /// client id. Blocks until every thread has its intake.
    ///
    /// # Errors
    /// An address that cannot be listened on, a certificate that cannot be used, or a log that gives no intake.
    pub fn start<S: IntakeSource>(
        config: EndpointConfig,
        source: S,
        board: AlertBoard,
        authenticator: Arc<dyn Authenticator>,
        sessions: Vec<(String, Session)>,
    ) -> Result<Self, EndpointError> {
        let tls = config
            .tls
            .as_ref()
            .filter(|_| !config.listen_tls.is_empty())
            .map(TlsInForce::read)
            .transpose()?;
        let (listeners, addresses) = listen(&config, tls.as_ref())?;
        let now_us = source.now_us();
        let registry = SessionRegistry::new(config.sessions_max, sessions, Instant::now(), now_us);
        let registry = Arc::new(registry);
        let counters = Arc::new(EndpointCounters::default());
        let common = Arc::new(Common {
            config,
            source,
            board,
            authenticator,
            audit: Audit::new(),
            registry: registry.clone(),
        });
        let (stop, stopped) = watch::channel(None);
        let (spreader, receivers) = spreader(&common.config);
        let mut endpoint =
            MqttEndpoint { addresses, counters, sessions: registry, tls, stop, threads: Vec::new() };
        let mut listening = Some((spreader, listeners));
        for (index, accepted) in receivers.into_iter().enumerate() {
            let start = thread::Start {
                common: common.clone(),
                counters: endpoint.counters.clone(),
                accepted,
                // The first thread accepts for all, and keeps the sessions in order.
                listening: listening.take(),
                stopped: stopped.clone(),
            };
            match thread::spawn(index, start) {
                Ok(thread) => endpoint.threads.push(thread),
                Err(error) => {
                    endpoint.stop(Duration::ZERO);
                    return Err(error);
                }
            }
        }
        Ok(endpoint)
    }

    pub fn addresses(&self) -> &EndpointAddresses {
        &self.addresses
    }

    /// Messages received, acknowledged, refused and abandoned.
    pub fn counters(&self) -> Arc<EndpointCounters> {
        self.counters.clone()
    }

    /// What the TLS listeners show, where there are some: to read its files again.
    pub fn tls(&self) -> Option<&Arc<TlsInForce>> {
        self.tls.as_ref()
    }

    /// Wakes the connections after an [`Identity`] was revoked.
    pub fn connections_waker(&self) -> ConnectionsWaker {
        ConnectionsWaker(self.sessions.clone())
    }

    /// Stops: accepts and reads nothing more, acknowledges what becomes durable within `deadline`, says DISCONNECT and
    /// closes. Blocks until it is done, at most a second beyond `deadline`.
    pub fn stop(self, deadline: Duration) {
        self.stop.send_replace(Some(Instant::now() + deadline));
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the mqtt endpoint ended in a panic");
            }
        }
    }
}

/// Makes every connection look at once whether it may still be.
#[derive(Clone)]
pub struct ConnectionsWaker(Arc<SessionRegistry>);

impl ConnectionsWaker {
    pub fn wake_all(&self) {
        self.0.wake_all();
    }
}

type Listening = Vec<(TcpListener, TransportKind)>;

fn listen(
    config: &EndpointConfig,
    tls: Option<&Arc<TlsInForce>>,
) -> Result<(Listening, EndpointAddresses), EndpointError> {
    let mut listeners = Vec::new();
    let tls = match tls {
        Some(tls) => TransportKind::Tls(tls.clone()),
        None if config.listen_tls.is_empty() => TransportKind::Tcp,
        None => return Err(EndpointError::NoCertificate),
    };
    let addresses = EndpointAddresses {
        tcp: bind_all(&config.listen, &TransportKind::Tcp, &mut listeners)?,
        tls: bind_all(&config.listen_tls, &tls, &mut listeners)?,
        websocket: bind_all(&config.listen_websocket, &TransportKind::WebSocket, &mut listeners)?,
    };
    if listeners.is_empty() { Err(EndpointError::NoAddress) } else { Ok((listeners, addresses)) }
}

fn bind_all(
    addresses: &[SocketAddr],
    kind: &TransportKind,
    listeners: &mut Listening,
) -> Result<Vec<SocketAddr>, EndpointError> {
    let mut bound = Vec::new();
    for &address in addresses {
        let listen_error = |source| EndpointError::Listen { address, source };
        match listener::bind(address) {
            Ok(listener) => {
                bound.push(listener.local_addr().map_err(listen_error)?);
                listeners.push((listener, kind.clone()));
            }
            Err(error) if addresses.len() > 1 && is_ipv6_missing(address, &error) => {
                tracing::warn!(%address, %error, "this machine has no IPv6: listening on the other addresses only");
            }
            Err(source) => return Err(listen_error(source)),
        }
    }
    Ok(bound)
}

fn is_ipv6_missing(address: SocketAddr, error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    let is_missing =
        error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT);
    address.is_ipv6() && address.ip().is_loopback() && is_missing
}

fn spreader(config: &EndpointConfig) -> (Spreader, Vec<mpsc::Receiver<listener::Accepted>>) {
    let mut threads = Vec::new();
    let mut receivers = Vec::new();
    for _ in 0..config.threads.max(1) {
        let (sender, receiver) = mpsc::channel(ACCEPTED_MAX);
        threads.push((sender, Arc::new(AtomicUsize::new(0))));
        receivers.push(receiver);
    }
    (Spreader { connections_max: config.connections_max, total: Arc::default(), threads }, receivers)
}
