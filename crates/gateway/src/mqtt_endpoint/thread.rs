//! One thread: its runtime, its connections, and how it ends.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, timeout_at};

use super::connection::Connection;
use super::counters::{EndpointCounters, Meters};
use super::handshake::{HandshakeError, Peer, shake_hands};
use super::listener::{Accepted, Spreader};
use super::mailbox::{Kick, Mailbox};
use super::shard::{Common, Shard};
use super::transport::Transport;
use super::{EndpointError, Listening, janitor};
use crate::intake::IntakeSource;

/// How long connections have for their last words once the deadline has passed.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// What a thread is started with.
pub(super) struct Start<S> {
    pub(super) common: Arc<Common<S>>,
    pub(super) counters: Arc<EndpointCounters>,
    pub(super) accepted: mpsc::Receiver<Accepted>,
    /// Only one thread accepts.
    pub(super) listening: Option<(Spreader, Listening)>,
    pub(super) stopped: watch::Receiver<Option<Instant>>,
}

/// Starts a thread and waits until it has its intake.
pub(super) fn spawn<S: IntakeSource>(index: usize, start: Start<S>) -> Result<JoinHandle<()>, EndpointError> {
    let (ready, is_ready) = std_mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name(format!("mqtt-{index}")).spawn(move || main(start, &ready));
    let thread = thread.map_err(EndpointError::Thread)?;
    match is_ready.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(EndpointError::Thread(std::io::Error::other("it ended in a panic"))),
    }
}

fn main<S: IntakeSource>(start: Start<S>, ready: &std_mpsc::SyncSender<Result<(), EndpointError>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let meters = Meters::new(start.counters.clone(), &start.common.config);
    let made = runtime.map_err(EndpointError::Thread).and_then(|runtime| {
        let shard = Shard::new(start.common.clone(), meters)?;
        Ok((runtime, Rc::new(shard)))
    });
    let (result, made) = match made {
        Ok(made) => (Ok(()), Some(made)),
        Err(error) => (Err(error), None),
    };
    // The starter waits for it; if it does not any more, there is nobody to tell.
    ready.send(result).ok();
    if let Some((runtime, shard)) = made {
        LocalSet::new().block_on(&runtime, serve(shard, start));
    }
}

async fn serve<S: IntakeSource>(shard: Rc<Shard<S>>, start: Start<S>) {
    let Start { mut accepted, listening, mut stopped, .. } = start;
    let pump = {
        let shard = shard.clone();
        spawn_local(async move { shard.pump().await })
    };
    let mut only_one_has = Vec::new();
    if let Some((spreader, listeners)) = listening {
        let shard = shard.clone();
        only_one_has.push(spawn_local(async move { janitor::run(&shard).await }));
        for (listener, kind) in listeners {
            let spreader = spreader.clone();
            only_one_has.push(spawn_local(async move { spreader.accept_from(listener, kind).await }));
        }
    }
    let mut next_id = 0;
    let deadline = loop {
        tokio::select! {
            Some(socket) = accepted.recv() => {
                next_id += 1;
                spawn_local(serve_connection(shard.clone(), next_id, socket));
            }
            deadline = stop_deadline(&mut stopped) => break deadline,
        }
    };
    only_one_has.iter().for_each(|task| task.abort());
    drain(&shard, deadline).await;
    pump.abort();
}

async fn stop_deadline(stopped: &mut watch::Receiver<Option<Instant>>) -> Instant {
    match stopped.wait_for(Option::is_some).await {
        Ok(deadline) => deadline.unwrap_or_else(Instant::now),
        // The endpoint was dropped without a stop: it serves on, as its documentation says.
        Err(_) => std::future::pending().await,
    }
}

/// Acknowledges what is in flight and closes all connections; what is not done by the deadline is cut off.
async fn drain<S: IntakeSource>(shard: &Shard<S>, deadline: Instant) {
    shard.kick_all(Kick::ShuttingDown);
    if timeout_at(deadline, shard.empty()).await.is_err() {
        tracing::warn!(
            connections = shard.connection_count(),
            "the drain deadline passed: closing connections"
        );
        shard.kick_all(Kick::Abort);
        // What is still there after that is closed with the runtime.
        timeout_at(Instant::now() + ABORT_GRACE, shard.empty()).await.ok();
    }
}

async fn serve_connection<S: IntakeSource>(shard: Rc<Shard<S>>, id: u64, socket: Accepted) {
    let Accepted { tcp, kind, permit } = socket;
    let mailbox = Mailbox::new();
    shard.enter(id, &mailbox);
    shard.meters.connections.increment(1.0);
    let deadline = Instant::now() + shard.config().connect_timeout;
    let opened = async {
        let address = peer_address(&tcp);
        let tcp = TcpStream::from_std(tcp)?;
        let accept = Transport::accept(tcp, kind, shard.config().packet_bytes_max);
        let mut transport = timeout_at(deadline, accept).await.map_err(|_| HandshakeError::Timeout)??;
        let peer = Peer { address, certificate_names: transport.certificate_names() };
        let agreed = shake_hands(&shard, &mut transport, &mailbox, &peer, deadline).await?;
        Ok((transport, agreed))
    };
    match opened.await {
        Ok((transport, agreed)) => {
            Connection::new(shard.clone(), mailbox.clone(), transport, agreed).run().await
        }
        Err(error) => {
            let error: HandshakeError = error;
            shard.meters.not_admitted(error.name());
            tracing::debug!(%error, "mqtt connection refused");
        }
    }
    mailbox.set_gone();
    shard.meters.connections.decrement(1.0);
    shard.leave(id);
    drop(permit);
}

/// Where it comes from; a v4 address is one also on a v6 socket.
fn peer_address(tcp: &std::net::TcpStream) -> IpAddr {
    // A peer that has no address any more is gone, and the first read says so.
    tcp.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip().to_canonical())
}
