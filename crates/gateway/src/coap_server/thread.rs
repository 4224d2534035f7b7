//! One thread: its runtime, its sockets and its engine.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::CoapError;
use super::config::CoapConfig;
use super::counters::{CoapCounters, Meters};
use super::engine::Engine;
use super::sockets::Sockets;
use crate::intake::{IntakeSource, Wake};

/// How long after a failure of the log the next intake is asked for.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What a thread is started with.
pub(super) struct Start<S> {
    pub(super) config: CoapConfig,
    pub(super) source: S,
    pub(super) counters: Arc<CoapCounters>,
    pub(super) sockets: Vec<UdpSocket>,
    pub(super) stopped: watch::Receiver<Option<Instant>>,
}

/// Starts a thread and waits until it has its intake.
pub(super) fn spawn<S: IntakeSource>(index: usize, start: Start<S>) -> Result<JoinHandle<()>, CoapError> {
    let (ready, is_ready) = std_mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name(format!("coap-{index}")).spawn(move || main(start, &ready));
    let thread = thread.map_err(CoapError::Thread)?;
    match is_ready.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(CoapError::Thread(std::io::Error::other("it ended in a panic"))),
    }
}

fn main<S: IntakeSource>(start: Start<S>, ready: &std_mpsc::SyncSender<Result<(), CoapError>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            // The starter waits for it; if it does not any more, there is nobody to tell.
            ready.send(Err(CoapError::Thread(error))).ok();
            return;
        }
    };
    let made = {
        let _in_runtime = runtime.enter();
        Server::new(start)
    };
    match made {
        Ok(server) => {
            ready.send(Ok(())).ok();
            runtime.block_on(server.run());
        }
        Err(error) => drop(ready.send(Err(error))),
    }
}

struct Server<S: IntakeSource> {
    source: S,
    wake: Wake,
    signal: Arc<Notify>,
    sockets: Sockets,
    engine: Engine<S::Intake>,
    stopped: watch::Receiver<Option<Instant>>,
}

impl<S: IntakeSource> Server<S> {
    fn new(start: Start<S>) -> Result<Self, CoapError> {
        let signal = Arc::new(Notify::new());
        let wake: Wake = {
            let signal = signal.clone();
            Arc::new(move || signal.notify_one())
        };
        let intake = start.source.intake(wake.clone())?;
        let meters = Meters::new(start.counters, &start.config);
        Ok(Server {
            sockets: Sockets::new(start.sockets).map_err(CoapError::Thread)?,
            engine: Engine::new(start.config, intake, meters, Instant::now()),
            source: start.source,
            wake,
            signal,
            stopped: start.stopped,
        })
    }

    async fn run(mut self) {
        let deadline = loop {
            let due = self.engine.next_deadline();
            tokio::select! {
                () = self.sockets.readable() => self.sockets.read(&mut self.engine, self.source.now_us()),
                () = self.signal.notified() => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                () = sleep(RETRY_INTERVAL), if !self.engine.has_intake() => self.reopen(),
                deadline = stop_deadline(&mut self.stopped) => break deadline,
            }
            self.advance();
        };
        self.drain(deadline).await;
    }

    fn advance(&mut self) {
        if let Err(error) = self.engine.advance(Instant::now()) {
            tracing::error!(%error, "the log failed: what is not durable goes unanswered");
            self.reopen();
        }
        self.sockets.send(&mut self.engine);
    }

    fn reopen(&mut self) {
        match self.source.intake(self.wake.clone()) {
            Ok(intake) => self.engine.reopen(intake),
            Err(error) => tracing::warn!(%error, "the log gives no intake, trying again"),
        }
    }

    /// Answers what becomes durable until the deadline; reads nothing more.
    async fn drain(mut self, deadline: Instant) {
        self.advance();
        while !self.engine.is_idle() {
            let due = self.engine.next_deadline().unwrap_or(deadline).min(deadline);
            tokio::select! {
                () = self.signal.notified() => {}
                () = sleep_until(due) => {}
            }
            if Instant::now() >= deadline {
                tracing::warn!("the drain deadline passed: requests go unanswered");
                return;
            }
            self.advance();
        }
    }
}

async fn stop_deadline(stopped: &mut watch::Receiver<Option<Instant>>) -> Instant {
    match stopped.wait_for(Option::is_some).await {
        Ok(deadline) => deadline.unwrap_or_else(Instant::now),
        // The server was dropped without a stop: it serves on, as its documentation says.
        Err(_) => std::future::pending().await,
    }
}
