//! Ends sessions whose time is over, and publishes wills whose delay has passed.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::mailbox::Mailbox;
use super::session::publish_will;
use super::shard::Shard;
use crate::intake::IntakeSource;

/// How often it looks; wills and expiries are in seconds.
const INTERVAL: Duration = Duration::from_millis(100);
/// Sessions of one look, so that many at once do not hold the registry.
const COUNT_MAX: usize = 1000;

/// Runs on one thread for as long as it lives.
pub(super) async fn run<S: IntakeSource>(shard: &Shard<S>) {
    loop {
        sleep(INTERVAL).await;
        if shard.has_room() {
            sweep(shard).await;
        }
    }
}

async fn sweep<S: IntakeSource>(shard: &Shard<S>) {
    let mailbox = Mailbox::new();
    let due = shard.common.registry.take_due(Instant::now(), &mailbox, COUNT_MAX);
    let mut last = None;
    for session in &due {
        if let Some(will) = &session.will {
            publish_will(shard, &session.client_id, will);
        }
        if session.is_expired {
            last = last.max(shard.put_session(&session.client_id, None));
        }
    }
    if let Some(flush) = last
        && shard.durable(flush, &mailbox).await.is_err()
    {
        // Without its tombstone an ended session only lives on until the next start, which ends it again.
        tracing::warn!("ended sessions were not written to the log");
    }
    for session in due.iter().filter(|session| session.is_expired) {
        shard.common.registry.release(&session.client_id, None);
    }
    mailbox.set_gone();
}
