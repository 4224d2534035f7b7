//! UDP sockets: several threads share an address, and the kernel keeps each peer at one of them.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::task::Poll;

use socket2::{Domain, Protocol, Socket, Type};

use super::engine::Engine;
use super::remote::Remote;
use crate::intake::Intake;

/// What the kernel may keep for us while the thread is elsewhere; it gives what `net.core.rmem_max` allows.
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;

/// The largest datagram there is.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Datagrams that are read from one socket before what they bring is moved on.
const READS_MAX: usize = 256;

/// Binds as many sockets to an address as there are threads.
///
/// # Errors
/// The address is taken, or not this machine's.
pub(super) fn bind(address: SocketAddr, threads: usize) -> io::Result<Vec<UdpSocket>> {
    let first = bind_one(address, false)?;
    if threads == 1 {
        return Ok(vec![first]);
    }
    // Sockets that share say nothing when another process shares too: the first look is one that does not.
    let address = first.local_addr()?;
    drop(first);
    (0..threads).map(|_| bind_one(address, true)).collect()
}

fn bind_one(address: SocketAddr, is_shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if is_shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    // More than the kernel allows is not an error; a kernel that refuses leaves its own default.
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES).ok();
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The sockets of one thread.
pub(super) struct Sockets {
    sockets: Vec<tokio::net::UdpSocket>,
    buffer: Vec<u8>,
}

impl Sockets {
    /// # Errors
    /// The runtime cannot watch them.
    pub(super) fn new(sockets: Vec<UdpSocket>) -> io::Result<Self> {
        let sockets = sockets.into_iter().map(tokio::net::UdpSocket::from_std).collect::<Result<_, _>>()?;
        Ok(Sockets { sockets, buffer: vec![0; DATAGRAM_BYTES_MAX] })
    }

    /// Waits until one can be read. Cancel safe.
    pub(super) async fn readable(&self) {
        poll_fn(|cx| {
            // All are asked, so that each wakes us.
            let is_ready = |socket: &&tokio::net::UdpSocket| socket.poll_recv_ready(cx).is_ready();
            match self.sockets.iter().filter(is_ready).count() {
                0 => Poll::Pending,
                _ => Poll::Ready(()),
            }
        })
        .await;
    }

    /// Hands what has come to the engine, up to a bound.
    pub(super) fn read<I: Intake>(&mut self, engine: &mut Engine<I>, received_at_us: i64) {
        let now = tokio::time::Instant::now();
        for (index, socket) in self.sockets.iter().enumerate() {
            for _ in 0..READS_MAX {
                match socket.try_recv_from(&mut self.buffer) {
                    Ok((len, address)) => {
                        // A thread has as many sockets as there are addresses to listen on.
                        let remote = Remote { address, socket: index as u8 };
                        engine.datagram(remote, &self.buffer[..len], received_at_us, now);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // A peer is gone, as an answer to an earlier datagram said.
                    Err(error) => tracing::debug!(%error, "reading a datagram"),
                }
            }
        }
    }

    /// Sends what the engine has to say. What the kernel does not take at once is lost, as on any network.
    pub(super) fn send<I: Intake>(&self, engine: &mut Engine<I>) {
        for (remote, datagram) in engine.out.datagrams() {
            let socket = &self.sockets[usize::from(remote.socket)];
            if let Err(error) = socket.try_send_to(datagram, remote.address) {
                engine.meters.unsent();
                tracing::debug!(peer = %remote.address, %error, "sending a datagram");
            }
        }
        engine.out.clear();
    }
}
