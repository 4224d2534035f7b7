//! What the connections of one thread share: the intake, when it is flushed, and who waits for it.
//!
//! Invariants: an answer that waits for a flush leaves only when that flush is durable; at most one flush a turn of the
//! runtime; when the log fails, everything that is not durable goes unanswered.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use model::proto::Session;
use model::{DeviceRights, NotItsDevice, RawMessage};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::audit::Audit;
use super::authenticator::Authenticator;
use super::config::EndpointConfig;
use super::counters::Meters;
use super::flushes::Flushes;
use super::identity::Identity;
use super::mailbox::{Kick, Mailbox};
use super::session_registry::SessionRegistry;
use crate::alert_board::AlertBoard;
use crate::intake::{Intake, IntakeError, IntakeSource, Wake};

/// How long after a failure of the log the next intake is asked for.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What all threads of the endpoint share.
pub(super) struct Common<S> {
    pub(super) config: EndpointConfig,
    pub(super) source: S,
    pub(super) board: AlertBoard,
    pub(super) authenticator: Arc<dyn Authenticator>,
    pub(super) audit: Audit,
    pub(super) registry: Arc<SessionRegistry>,
}

/// The log failed before what was waited for became durable.
#[derive(Debug, thiserror::Error)]
#[error("the log failed before it was durable")]
pub(super) struct LogFailed;

/// Why a message is not on its way to the log.
#[derive(Debug)]
pub(super) enum NotPushed {
    /// There is no intake.
    LogFailed,
    /// Its sender may not speak for this device, or for none at all.
    NotAuthorized { device_id: Option<Box<str>> },
}

/// One thread's state.
pub(super) struct Shard<S: IntakeSource> {
    pub(super) common: Arc<Common<S>>,
    pub(super) meters: Meters,
    /// `None` while the log has failed and gives no new one.
    intake: RefCell<Option<S::Intake>>,
    wake: Wake,
    /// Rung by the intake, and by the first push of a flush.
    signal: Arc<Notify>,
    flushes: RefCell<Flushes<Arc<Mailbox>>>,
    unflushed_bytes: Cell<usize>,
    /// When the open flush must go out at the latest.
    flush_due: Cell<Option<Instant>>,
    /// Connections that are not read until the intake has room.
    blocked: RefCell<Vec<Arc<Mailbox>>>,
    /// How many times they were woken.
    blocked_stretch: Cell<u64>,
    connections: RefCell<HashMap<u64, Arc<Mailbox>>>,
    /// Where sockets are read into, one at a time.
    pub(super) scratch: Cell<Vec<u8>>,
    partial_bytes: Cell<usize>,
    /// What the meters were told of it.
    told_partial_bytes: Cell<usize>,
    /// Rung when the last connection is gone.
    is_empty: Notify,
}

impl<S: IntakeSource> Shard<S> {
    /// # Errors
    /// The log gives no intake.
    pub(super) fn new(common: Arc<Common<S>>, meters: Meters) -> Result<Self, IntakeError> {
        let signal = Arc::new(Notify::new());
        let wake: Wake = {
            let signal = signal.clone();
            Arc::new(move || signal.notify_one())
        };
        Ok(Shard {
            intake: RefCell::new(Some(common.source.intake(wake.clone())?)),
            common,
            meters,
            wake,
            signal,
            flushes: RefCell::new(Flushes::new()),
            unflushed_bytes: Cell::new(0),
            flush_due: Cell::new(None),
            blocked: RefCell::default(),
            blocked_stretch: Cell::new(0),
            connections: RefCell::default(),
            scratch: Cell::default(),
            partial_bytes: Cell::new(0),
            told_partial_bytes: Cell::new(0),
            is_empty: Notify::new(),
        })
    }

    pub(super) fn config(&self) -> &EndpointConfig {
        &self.common.config
    }

    pub(super) fn now_us(&self) -> i64 {
        self.common.source.now_us()
    }

    /// Hands a message of `identity` to the intake and gives the flush that will carry it.
    #[inline]
    pub(super) fn push(&self, message: &RawMessage<'_>, identity: &Identity) -> Result<u64, NotPushed> {
        let mut intake = self.intake.borrow_mut();
        let intake = intake.as_mut().ok_or(NotPushed::LogFailed)?;
        match identity.devices() {
            _ if identity.is_revoked() => return Err(NotPushed::NotAuthorized { device_id: None }),
            DeviceRights::All => {
                // MQTT acknowledges what is in the log, also as a dead letter.
                intake.push(message);
            }
            DeviceRights::Some(rights) => {
                let not_authorized =
                    |foreign: NotItsDevice| NotPushed::NotAuthorized { device_id: Some(foreign.device_id) };
                intake.push_for(message, rights).map_err(not_authorized)?;
            }
            DeviceRights::Nothing => return Err(NotPushed::NotAuthorized { device_id: None }),
        }
        self.unflushed_bytes.set(self.unflushed_bytes.get() + message.payload.len());
        Ok(self.touch())
    }

    /// Hands a session record to the intake, as [`Shard::push`] does a message.
    pub(super) fn put_session(&self, client_id: &str, session: Option<&Session>) -> Option<u64> {
        self.intake.borrow_mut().as_mut()?.put_session(client_id, session);
        Some(self.touch())
    }

    fn touch(&self) -> u64 {
        let mut flushes = self.flushes.borrow_mut();
        if !flushes.is_dirty() {
            flushes.mark_dirty();
            self.flush_due.set(Some(Instant::now() + self.config().flush_interval));
            // The flusher runs after the connections that are ready now: one flush for all of them.
            self.signal.notify_one();
        }
        flushes.open()
    }

    pub(super) fn is_durable(&self, flush: u64) -> bool {
        self.flushes.borrow().is_durable(flush)
    }

    /// Wakes `mailbox` when the open flush is durable, or never will be.
    pub(super) fn wake_when_durable(&self, mailbox: &Arc<Mailbox>) {
        self.flushes.borrow_mut().wait(mailbox.clone());
    }

    /// Waits until `flush`, which has just been pushed to, is durable.
    pub(super) async fn durable(&self, flush: u64, mailbox: &Arc<Mailbox>) -> Result<(), LogFailed> {
        self.wake_when_durable(mailbox);
        poll_fn(|cx| {
            mailbox.register(cx.waker());
            let flushes = self.flushes.borrow();
            if flushes.is_durable(flush) {
                Poll::Ready(Ok(()))
            } else if flushes.has_failed(flush) || mailbox.kicked() == Some(Kick::Abort) {
                Poll::Ready(Err(LogFailed))
            } else {
                Poll::Pending
            }
        })
        .await
    }

    pub(super) fn has_room(&self) -> bool {
        self.intake.borrow().as_ref().is_some_and(Intake::has_room)
    }

    /// Wakes `mailbox` when the intake has room again. Gives the stretch without room that it is noted in, and is told
    /// the last it was noted in, so that it is noted once.
    pub(super) fn wake_when_room(&self, mailbox: &Arc<Mailbox>, noted_in: Option<u64>) -> u64 {
        let stretch = self.blocked_stretch.get();
        if noted_in != Some(stretch) {
            self.blocked.borrow_mut().push(mailbox.clone());
        }
        stretch
    }

    fn unblock(&self) {
        self.blocked_stretch.set(self.blocked_stretch.get() + 1);
        self.blocked.borrow_mut().drain(..).for_each(|mailbox| mailbox.wake());
    }

    /// Counts bytes of unfinished packets; false where that would be too many.
    pub(super) fn hold_partial(&self, before: usize, after: usize) -> bool {
        let held = self.partial_bytes.get() - before + after;
        self.partial_bytes.set(held);
        after <= before || held <= self.config().partial_bytes_max
    }

    pub(super) fn enter(&self, id: u64, mailbox: &Arc<Mailbox>) {
        self.connections.borrow_mut().insert(id, mailbox.clone());
    }

    pub(super) fn leave(&self, id: u64) {
        let mut connections = self.connections.borrow_mut();
        connections.remove(&id);
        if connections.is_empty() {
            self.is_empty.notify_one();
        }
    }

    /// Waits until no connection is left. Cancel safe.
    pub(super) async fn empty(&self) {
        while self.connection_count() > 0 {
            self.is_empty.notified().await;
        }
    }

    pub(super) fn connection_count(&self) -> usize {
        self.connections.borrow().len()
    }

    pub(super) fn kick_all(&self, kick: Kick) {
        for mailbox in self.connections.borrow().values() {
            mailbox.kick(kick);
        }
    }

    /// Flushes and releases for as long as the thread lives.
    pub(super) async fn pump(&self) {
        loop {
            if self.intake.borrow().is_none() {
                sleep(RETRY_INTERVAL).await;
                self.reopen();
                continue;
            }
            let due = self.flush_due.get();
            tokio::select! {
                () = self.signal.notified() => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
            self.advance();
        }
    }

    fn advance(&self) {
        let durable = match self.intake.borrow_mut().as_mut() {
            Some(intake) => intake.durable(),
            None => return,
        };
        match durable {
            Ok(ticket) => self.flushes.borrow_mut().settle(ticket).for_each(|mailbox| mailbox.wake()),
            Err(error) => return self.fail(&error),
        }
        if self.should_flush() {
            self.flush();
        }
        if !self.blocked.borrow().is_empty() && self.has_room() {
            self.unblock();
        }
        let partial_bytes = self.partial_bytes.get();
        let told = self.told_partial_bytes.replace(partial_bytes);
        self.meters.partial_bytes.increment(partial_bytes as f64 - told as f64);
    }

    /// A flush goes out when the one before it is durable: the log's own pace decides how much it carries. Sooner only
    /// when it is large or has waited.
    fn should_flush(&self) -> bool {
        let flushes = self.flushes.borrow();
        flushes.is_dirty()
            && (!flushes.is_any_sealed()
                || self.unflushed_bytes.get() >= self.config().flush_bytes
                || self.flush_due.get().is_some_and(|due| due <= Instant::now()))
    }

    fn flush(&self) {
        let Some(ticket) = self.intake.borrow_mut().as_mut().map(Intake::flush) else { return };
        self.flushes.borrow_mut().seal(ticket);
        self.unflushed_bytes.set(0);
        self.flush_due.set(None);
        // It may be durable already, and the wake for that may have come before the seal.
        self.signal.notify_one();
    }

    fn fail(&self, error: &IntakeError) {
        tracing::error!(%error, connections = self.connection_count(), "the log failed: closing its connections unacknowledged");
        self.intake.borrow_mut().take();
        self.flush_due.set(None);
        self.unflushed_bytes.set(0);
        self.flushes.borrow_mut().fail().for_each(|mailbox| mailbox.wake());
        self.kick_all(Kick::LogFailed);
        self.unblock();
        self.reopen();
    }

    fn reopen(&self) {
        match self.common.source.intake(self.wake.clone()) {
            Ok(intake) => {
                *self.intake.borrow_mut() = Some(intake);
                self.signal.notify_one();
            }
            Err(error) => tracing::warn!(%error, "the log gives no intake, trying again"),
        }
    }
}
