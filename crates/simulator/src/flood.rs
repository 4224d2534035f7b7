//! As many messages as a benchmark can take: raw sockets, a ready-made packet in which only digits change,
//! acknowledgements counted in bulk. Costs a fraction of a microsecond a message, so that what is measured is the server.
//!
//! A thread looks at its sockets in turn and sleeps in between: a poller would wake for every acknowledgement of a server
//! that sends each by itself.
//!
//! Invariants: a connection has at most `in_flight_max` unacknowledged messages; acknowledgements must come in the
//! order of the messages [MQTT-4.6.0-2], or the run fails. A lost connection ends the run: this is a yardstick, not a
//! gateway.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

mod acks;
mod connection;
mod packet;

use crate::{BrokerAddress, Error, Latencies, Progress, Summary};
use connection::FloodConnection;

const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// The shortest sleep between two looks: what a latency may be too high by when the flood is paced.
const PAUSE_MIN: Duration = Duration::from_micros(200);
/// The longest, of a flood that is not paced and gets few acknowledgements.
const PAUSE_MAX: Duration = Duration::from_millis(8);

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
    /// up to 8 ms too high, because acknowledgements are collected.
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
    let numbers = (thread..config.connections).step_by(config.threads.max(1) as usize);
    let mut connections = numbers
        .map(|number| FloodConnection::open(config, number, shared.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    let window = connections.len() as u64 * u64::from(config.in_flight_max);
    let mut pause = PAUSE_MIN;
    let mut last_acknowledged = 0;
    loop {
        let now = Instant::now();
        let mut is_any_busy = false;
        for connection in &mut connections {
            is_any_busy |= connection.turn(now)?;
        }
        if !is_any_busy {
            break;
        }
        let acknowledged = connections.iter().map(FloodConnection::acknowledged).sum::<u64>();
        let is_few = (acknowledged - last_acknowledged) * 8 < window;
        last_acknowledged = acknowledged;
        pause = if is_few && config.messages_per_second.is_none() {
            (pause * 2).min(PAUSE_MAX)
        } else {
            PAUSE_MIN
        };
        std::thread::sleep(pause);
    }
    let mut total = Share::default();
    for share in connections.into_iter().map(FloodConnection::close) {
        total.latencies.merge(&share.latencies);
        total.last_ack = total.last_ack.max(share.last_ack);
    }
    Ok(total)
}
