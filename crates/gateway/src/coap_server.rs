//! The CoAP server: NB-IoT devices post their telemetry here.
//!
//! CON and NON over UDP (RFC 7252), bodies in blocks (RFC 7959, RFC 9175), No-Response (RFC 7967). Each of a few threads
//! has its own socket at every address and one intake, so a message never changes threads on its way to the log.
//!
//! Invariants: a response to what the intake was handed leaves only when it is durable (I1); a repeated message is one
//! event, and a repeated CON gets the same reply, byte for byte; no answer is larger than its request, since who asked may
//! not be who it says; every table has a limit in [`CoapConfig`] (I5).
//!
//! Where the standards leave a choice: what is not durable within a second is acknowledged empty and answered apart, unless
//! the client does not want the answer, for then the acknowledgement is all it hears; GET of anything is 4.04 or 4.05, so
//! that nobody is sent more than they send; a block that does not follow ends its upload.

mod config;
mod counters;
mod engine;
mod exchanges;
mod flights;
mod outbox;
mod remote;
mod reply;
mod request;
mod separate;
mod sockets;
mod thread;
mod uploads;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

pub use config::CoapConfig;
pub use counters::{CoapCounters, CoapCounts};

use crate::intake::{IntakeError, IntakeSource};

/// How long a confirmable message may be repeated (RFC 7252 section 4.8.2).
pub const EXCHANGE_LIFETIME: Duration = Duration::from_secs(247);
/// The same for a non-confirmable one.
pub const NON_LIFETIME: Duration = Duration::from_secs(145);

/// Addresses at most: a peer is noted with the number of its socket in a byte.
const ADDRESSES_MAX: usize = 64;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum CoapError {
    #[error("cannot listen on {address}: {source}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("1 to {ADDRESSES_MAX} addresses to listen on are wanted, found {0}")]
    Addresses(usize),
    #[error("a thread cannot be started: {0}")]
    Thread(#[source] io::Error),
    #[error(transparent)]
    Intake(#[from] IntakeError),
}

/// The running server. Dropping it does not stop it.
pub struct CoapServer {
    addresses: Vec<SocketAddr>,
    counters: Arc<CoapCounters>,
    stop: watch::Sender<Option<Instant>>,
    threads: Vec<JoinHandle<()>>,
}

impl CoapServer {
    /// Binds the addresses, starts the threads and serves. Blocks until every thread has its intake.
    ///
    /// # Errors
    /// An address that cannot be listened on, or a log that gives no intake.
    pub fn start<S: IntakeSource>(config: CoapConfig, source: S) -> Result<Self, CoapError> {
        if !(1..=ADDRESSES_MAX).contains(&config.listen.len()) {
            return Err(CoapError::Addresses(config.listen.len()));
        }
        let threads = config.threads.max(1);
        let mut addresses = Vec::new();
        let mut of_thread = Vec::new();
        of_thread.resize_with(threads, Vec::new);
        for &address in &config.listen {
            let listen_error = |source| CoapError::Listen { address, source };
            let sockets = sockets::bind(address, threads).map_err(listen_error)?;
            addresses.push(sockets[0].local_addr().map_err(listen_error)?);
            of_thread.iter_mut().zip(sockets).for_each(|(thread, socket)| thread.push(socket));
        }
        let counters = Arc::new(CoapCounters::default());
        let (stop, stopped) = watch::channel(None);
        let mut server = CoapServer { addresses, counters, stop, threads: Vec::new() };
        for (index, sockets) in of_thread.into_iter().enumerate() {
            let start = thread::Start {
                config: config.clone(),
                source: source.clone(),
                counters: server.counters.clone(),
                sockets,
                stopped: stopped.clone(),
            };
            match thread::spawn(index, start) {
                Ok(thread) => server.threads.push(thread),
                Err(error) => {
                    server.stop(Duration::ZERO);
                    return Err(error);
                }
            }
        }
        Ok(server)
    }

    /// Where it listens, with the ports that the system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Requests received, answered, refused and repeated.
    pub fn counters(&self) -> Arc<CoapCounters> {
        self.counters.clone()
    }

    /// Stops: reads nothing more, and answers what becomes durable within `deadline`. Blocks until it is done.
    pub fn stop(self, deadline: Duration) {
        self.stop.send_replace(Some(Instant::now() + deadline));
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the coap server ended in a panic");
            }
        }
    }
}
