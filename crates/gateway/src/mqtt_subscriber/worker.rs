//! The subscriber's thread: one intake, one connection after another.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use rumqttc::MqttOptions;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::SubscriberError;
use super::backoff::Backoff;
use super::config::SubscriberConfig;
use super::connection::{Connection, Lost, Surroundings};
use super::status::Board;
use crate::intake::{Intake, IntakeError, IntakeSource, Wake};

/// How long after a failure of the log the next intake is asked for.
const INTAKE_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What the thread owns.
pub(super) struct Worker<S> {
    config: SubscriberConfig,
    options: MqttOptions,
    publisher: String,
    source: S,
    board: Arc<Board>,
    signal: Arc<Notify>,
    stop: watch::Receiver<Option<Instant>>,
    backoff: Backoff,
    is_subscribed: bool,
}

impl<S: IntakeSource> Worker<S> {
    pub(super) fn new(
        config: SubscriberConfig,
        options: MqttOptions,
        source: S,
        stop: watch::Receiver<Option<Instant>>,
        board: Arc<Board>,
    ) -> Self {
        Worker {
            publisher: config.url.to_string(),
            backoff: Backoff::new(config.reconnect_min, config.reconnect_max),
            config,
            options,
            source,
            board,
            signal: Arc::new(Notify::new()),
            stop,
            is_subscribed: false,
        }
    }

    /// The thread. Says over `ready` whether it could begin.
    pub(super) fn main(self, ready: &SyncSender<Result<(), SubscriberError>>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let made = runtime.map_err(SubscriberError::Thread).and_then(|runtime| Ok((runtime, self.intake()?)));
        let (result, made) = match made {
            Ok(made) => (Ok(()), Some(made)),
            Err(error) => (Err(error), None),
        };
        // The starter waits for it; if it does not any more, there is nobody to tell.
        drop(ready.send(result));
        if let Some((runtime, intake)) = made {
            runtime.block_on(self.run(intake));
        }
    }

    fn intake(&self) -> Result<S::Intake, IntakeError> {
        let signal = self.signal.clone();
        let wake: Wake = Arc::new(move || signal.notify_one());
        self.source.intake(wake)
    }

    async fn run(mut self, mut intake: S::Intake) {
        loop {
            match self.connect_and_serve(&mut intake).await {
                Ok(()) => return,
                Err(Lost::Log(error)) => {
                    tracing::error!(broker = self.publisher, %error, "the log failed: mqtt connection closed, nothing more acknowledged on it");
                    self.board.trouble(error.to_string());
                    let Some(next) = self.next_intake().await else { return };
                    intake = next;
                }
                Err(lost) => {
                    // What came at QoS 0 waits for no connection.
                    intake.flush();
                    tracing::warn!(broker = self.publisher, error = %lost, "mqtt connection lost");
                    self.board.trouble(lost.to_string());
                }
            }
            let wait = self.backoff.wait();
            if let Some(deadline) = self.stop_within(wait).await {
                return settle(&mut intake, &self.signal, deadline).await;
            }
        }
    }

    async fn connect_and_serve(&mut self, intake: &mut S::Intake) -> Result<(), Lost> {
        let source = &self.source;
        let around = Surroundings {
            config: &self.config,
            options: &self.options,
            publisher: &self.publisher,
            board: &self.board,
            signal: &self.signal,
            now_us: &|| source.now_us(),
        };
        let mut stop = self.stop.clone();
        let opened = tokio::select! {
            opened = Connection::open(around, self.is_subscribed) => opened?,
            // Nothing was taken on a connection that is not open yet. A sender that is gone never stops it.
            Ok(_) = stop.wait_for(Option::is_some) => return Ok(()),
        };
        let mut connection = opened;
        let opened_at = Instant::now();
        let ended = connection.serve(intake, &mut self.stop).await;
        self.is_subscribed = connection.is_subscribed();
        // A connection that ends at once, again and again, without having moved a message does not begin the waits anew:
        // whatever makes it fail, it does not become a busy loop.
        if connection.acknowledged() > 0 || opened_at.elapsed() > self.config.reconnect_max {
            self.backoff.reset();
        }
        ended
    }

    /// A new intake, as soon as the log gives one; `None` when it is to stop before that.
    async fn next_intake(&mut self) -> Option<S::Intake> {
        loop {
            match self.intake() {
                Ok(intake) => return Some(intake),
                Err(error) => tracing::warn!(%error, "the log gives no intake, trying again"),
            }
            if self.stop_within(INTAKE_RETRY_INTERVAL).await.is_some() {
                return None;
            }
        }
    }

    /// Waits; the deadline when it is to stop before that.
    async fn stop_within(&mut self, wait: Duration) -> Option<Instant> {
        tokio::select! {
            () = sleep(wait) => None,
            Ok(deadline) = self.stop.wait_for(Option::is_some) => *deadline,
        }
    }
}

/// Waits until what was pushed is durable: without a connection, that is messages of QoS 0 and redeliveries to come.
async fn settle<I: Intake>(intake: &mut I, signal: &Notify, deadline: Instant) {
    let last = intake.flush();
    while intake.durable().is_ok_and(|durable| durable < last) {
        if timeout_at(deadline, signal.notified()).await.is_err() {
            return;
        }
    }
}
