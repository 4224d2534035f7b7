//! Listening sockets, and the spreading of what they accept over the threads.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::transport::TransportKind;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;
/// After an accept that failed for want of something (file descriptors, memory).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Peers that vanish without a word are noticed by the kernel, whatever their keep-alive.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(60);

/// A socket that is on its way to its thread.
pub(super) struct Accepted {
    pub(super) tcp: TcpStream,
    pub(super) kind: TransportKind,
    pub(super) permit: Permit,
}

/// One of the connections that may be; dropping it gives it back.
pub(super) struct Permit {
    total: Arc<AtomicUsize>,
    of_thread: Arc<AtomicUsize>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.total.fetch_sub(1, Ordering::Relaxed);
        self.of_thread.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Binds a listening socket.
///
/// # Errors
/// The address is taken, or not this machine's.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // Both loopbacks are listed; one socket for both would take the other's port.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Hands sockets to threads: each to the one that has the fewest.
#[derive(Clone)]
pub(super) struct Spreader {
    pub(super) connections_max: usize,
    pub(super) total: Arc<AtomicUsize>,
    pub(super) threads: Vec<(mpsc::Sender<Accepted>, Arc<AtomicUsize>)>,
}

impl Spreader {
    /// Accepts until the task ends. Cancel safe: a socket is either with its thread or closed.
    pub(super) async fn accept_from(&self, listener: TcpListener, kind: TransportKind) {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "a listening socket cannot be used");
                return;
            }
        };
        loop {
            match listener.accept().await {
                Ok((tcp, _)) => self.hand_on(tcp, kind.clone()).await,
                // A peer that left before it was accepted is nobody's trouble.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    async fn hand_on(&self, tcp: tokio::net::TcpStream, kind: TransportKind) {
        let Some(tcp) = prepare(tcp) else { return };
        let Some((sender, of_thread)) =
            self.threads.iter().min_by_key(|(_, count)| count.load(Ordering::Relaxed))
        else {
            return;
        };
        let total = self.total.fetch_add(1, Ordering::Relaxed) + 1;
        of_thread.fetch_add(1, Ordering::Relaxed);
        let permit = Permit { total: self.total.clone(), of_thread: of_thread.clone() };
        if total > self.connections_max {
            metrics::counter!("urban_neuron_mqtt_endpoint_refused_connections_total", "reason" => "connections_max")
                .increment(1);
            return;
        }
        // It fails only when the thread has ended, and the socket closes with it.
        sender.send(Accepted { tcp, kind, permit }).await.ok();
    }
}

fn prepare(tcp: tokio::net::TcpStream) -> Option<TcpStream> {
    let prepared = tcp.into_std().and_then(|tcp| {
        // An acknowledgement is small and waited for.
        tcp.set_nodelay(true)?;
        SockRef::from(&tcp).set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEP_ALIVE))?;
        Ok(tcp)
    });
    // The peer is gone already.
    prepared.ok()
}
