//! What a connection leaves behind once it has ended: its will, its session's record, and a peer that may still be writing.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

use super::end::End;
use super::mailbox::Mailbox;
use super::publishing::Publishing;
use super::session::ClientSession;
use super::shard::Shard;
use super::transport::Transport;
use crate::intake::IntakeSource;
use crate::mqtt::frame::packet_type;

/// How long the last words may take, and then how long and how much is still read after them.
pub(super) const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES_MAX: u64 = 4 << 20;

/// Publishes or keeps the will, writes the session's record, and gives the client id back once all of it is durable.
pub(super) async fn leave<S: IntakeSource>(
    shard: &Shard<S>,
    mailbox: &Arc<Mailbox>,
    mut session: ClientSession,
    publishing: &Publishing,
    end: &End,
) {
    session.settle_will(end, shard);
    let stored = session.store(end, shard);
    // What was taken at QoS 2 must be durable before the next connection may answer a repeat of it.
    let last = stored.max(publishing.acks.last_flush().filter(|_| session.is_persistent()));
    let is_durable = match last {
        Some(flush) => shard.durable(flush, mailbox).await.is_ok(),
        None => true,
    };
    if !is_durable {
        for packet_id in publishing.acks.packet_ids(packet_type::PUBREC) {
            session.unreleased.remove(&packet_id);
        }
    }
    let client_id = session.client_id.clone();
    shard.common.registry.release(&client_id, session.into_kept(Instant::now()));
}

/// Throws away what the peer still sends, for a while: closing a socket with bytes unread resets the connection, and the
/// last words are lost.
pub(super) async fn linger(mut transport: Transport, end: &End) {
    if end.is_ours() {
        let rest = async {
            tokio::io::copy(&mut (&mut transport).take(LINGER_BYTES_MAX), &mut tokio::io::sink()).await
        };
        // Whatever it ends with, the connection is over.
        timeout(LINGER, rest).await.ok();
    }
}
