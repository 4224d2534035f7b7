//! SIGTERM and SIGINT: the first asks for a drain, the second ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

/// Whether somebody asked us to stop.
pub(super) struct StopSignal {
    is_raised: Arc<AtomicBool>,
    raised: Receiver<()>,
}

impl StopSignal {
    /// Begins to listen for both signals.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let is_raised = Arc::new(AtomicBool::new(false));
        let (raise, raised) = sync_channel(1);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("signals")?;
        // Registered before this returns, so that no signal ends the process without a drain.
        let (mut terminate, mut interrupt) = {
            let _context = runtime.enter();
            (
                signal(SignalKind::terminate()).context("SIGTERM")?,
                signal(SignalKind::interrupt()).context("SIGINT")?,
            )
        };
        let flag = is_raised.clone();
        let wait = move || {
            for is_first in [true, false] {
                runtime.block_on(async {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                });
                if is_first {
                    flag.store(true, Ordering::Relaxed);
                    // Nobody waits any more: the command is ending already.
                    raise.send(()).ok();
                }
            }
            std::process::exit(1)
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(wait).context("signals")?;
        Ok(StopSignal { is_raised, raised })
    }

    pub(super) fn is_raised(&self) -> bool {
        self.is_raised.load(Ordering::Relaxed)
    }

    /// Waits for a signal, at most so long; true when one came.
    pub(super) fn wait(&self, at_most: Duration) -> bool {
        match self.raised.recv_timeout(at_most) {
            Err(RecvTimeoutError::Timeout) => self.is_raised(),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
        }
    }
}
