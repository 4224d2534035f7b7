//! How other tasks and threads reach a connection: a wish to end, and a wake.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use tokio::sync::watch;

/// Why a connection is asked to end. The greatest that was asked for counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Kick {
    /// Acknowledge what is in flight, then go.
    ShuttingDown = 1,
    /// A newer connection has the client id.
    TakenOver = 2,
    /// The log failed: nothing in flight will be answered.
    LogFailed = 3,
    /// The deadline of the shutdown passed.
    Abort = 4,
}

/// One connection's mailbox.
pub(super) struct Mailbox {
    waker: AtomicWaker,
    kick: AtomicU8,
    gone: watch::Sender<bool>,
}

impl Mailbox {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Mailbox {
            waker: AtomicWaker::new(),
            kick: AtomicU8::new(0),
            gone: watch::Sender::new(false),
        })
    }

    /// Who is woken; call before looking at what it may be woken for.
    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    pub(super) fn kick(&self, kick: Kick) {
        self.kick.fetch_max(kick as u8, Ordering::AcqRel);
        self.wake();
    }

    pub(super) fn kicked(&self) -> Option<Kick> {
        match self.kick.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Kick::ShuttingDown),
            2 => Some(Kick::TakenOver),
            3 => Some(Kick::LogFailed),
            _ => Some(Kick::Abort),
        }
    }

    /// The connection is closed and nothing of it is left undone.
    pub(super) fn set_gone(&self) {
        self.gone.send_replace(true);
    }

    /// Waits until the connection is gone. Cancel safe.
    pub(super) async fn gone(&self) {
        // The sender lives in `self`, so the wait cannot end for any other reason.
        self.gone.subscribe().wait_for(|is_gone| *is_gone).await.ok();
    }
}
