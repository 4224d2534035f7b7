//! As many messages as a benchmark can take: raw sockets, a ready-made packet in which only digits change,
//! acknowledgements counted in bulk. Costs a fraction of a microsecond a message, so that what is measured is the server.
//!
//! Invariants: a connection has at most `in_flight_max` unacknowledged messages; acknowledgements must come in the
//! order of the messages [MQTT-4.6.0-2], or the run fails. A lost connection ends the run: this is a yardstick, not a
//! gateway.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

mod acks;
mod connection;
mod packet;

use crate::{BrokerAddress, Error, Latencies, Progress, Summary};
use connection::FloodConnection;

const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// How much is sent.
#[derive(Clone, Debug)]
pub struct FloodConfig {
    pub broker: BrokerAddress,
    /// Client ids are this, `-` and a number; their sessions do not persist.
    pub client_id_prefix: String,
    pub connections: u32,
    /// Devices, spread over the connections; each connection speaks for its own in turn. At most 100 million.
    pub devices: u32,
    /// How long to send.
    pub duration: Duration,
    /// How long after that the last acknowledgements are waited for.
    pub drain: Duration,
    /// Messages a second of all connections together; as many as are acknowledged when `None`, and latencies are then
    /// 1 to 2 ms too high, because acknowledgements are collected.
    pub messages_per_second: Option<f64>,
    /// Unacknowledged messages of one connection.
    pub in_flight_max: u16,
    /// Threads that send, each with its share of the connections.
    pub threads: u32,
}

impl FloodConfig {
    pub fn new(broker: BrokerAddress, duration: Duration) -> Self {
        FloodConfig {
            broker,
            client_id_prefix: "urban-neuron-flood".to_owned(),
            connections: 20,
            devices: 10_000,
            duration,
            drain: Duration::from_secs(30),
            messages_per_second: None,
            in_flight_max: 1_000,
            threads: 1,
        }
    }
}

/// What the threads share.
#[derive(Debug, Default)]
struct Shared {
    sent: AtomicU64,
    acknowledged: AtomicU64,
    should_stop: AtomicBool,
}

/// What one thread counted.
#[derive(Default)]
struct Share {
    latencies: Latencies,
    last_ack: Option<Instant>,
}

/// Sends for the configured time or until `progress`, called once a second, breaks off; then waits for the last
/// acknowledgements. Blocks. `elapsed` of the summary ends with the last acknowledgement.
///
/// # Errors
/// A connection could not be opened or was lost, an answer broke the protocol, or a thread could not be started.
pub fn flood(
    config: &FloodConfig,
    mut progress: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Summary, Error> {
    let shared = Arc::new(Shared::default());
    let started = Instant::now();
    let (done, is_done) = channel();
    for thread in 0..config.threads.max(1) {
        spawn(config, thread, &shared, &done)?;
    }
    drop(done);
    let mut total = Share::default();
    loop {
        match is_done.recv_timeout(PROGRESS_INTERVAL) {
            Ok(share) => {
                let share = share?;
                total.latencies.merge(&share.latencies);
                total.last_ack = total.last_ack.max(share.last_ack);
            }
            Err(RecvTimeoutError::Timeout) => {
                if progress(&shared.progress(started, config.connections)).is_break() {
                    shared.should_stop.store(true, Ordering::Relaxed);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(Summary {
        elapsed: total.last_ack.map_or(Duration::ZERO, |last| last - started),
        sent: shared.sent.load(Ordering::Relaxed),
        acknowledged: shared.acknowledged.load(Ordering::Relaxed),
        latencies: total.latencies,
        ..Summary::default()
    })
}

impl Shared {
    fn progress(&self, started: Instant, connected: u32) -> Progress {
        Progress {
            elapsed: started.elapsed(),
            sent: self.sent.load(Ordering::Relaxed),
            acknowledged: self.acknowledged.load(Ordering::Relaxed),
            connected,
            ..Progress::default()
        }
    }
}

fn spawn(
    config: &FloodConfig,
    thread: u32,
    shared: &Arc<Shared>,
    done: &Sender<Result<Share, Error>>,
) -> Result<(), Error> {
    let (config, shared, done) = (config.clone(), shared.clone(), done.clone());
    let body = move || {
        let share = run_thread(&config, thread, &shared);
        // Nobody is there to be told when another thread has failed and ended the run.
        drop(done.send(share));
    };
    std::thread::Builder::new().name(format!("flood-{thread}")).spawn(body).map(drop).map_err(Error::Runtime)
}

fn run_thread(config: &FloodConfig, thread: u32, shared: &Arc<Shared>) -> Result<Share, Error> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let tasks = LocalSet::new();
    let connections = (thread..config.connections).step_by(config.threads.max(1) as usize);
    let running: Vec<_> = connections
        .map(|number| {
            let (config, shared) = (config.clone(), shared.clone());
            tasks
                .spawn_local(async move { FloodConnection::open(&config, number, shared).await?.run().await })
        })
        .collect();
    tasks.block_on(&runtime, async {
        let mut total = Share::default();
        for task in running {
            let share = task.await.map_err(|error| Error::Runtime(std::io::Error::other(error)))??;
            total.latencies.merge(&share.latencies);
            total.last_ack = total.last_ack.max(share.last_ack);
        }
        Ok(total)
    })
}
