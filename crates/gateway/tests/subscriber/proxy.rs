//! A wire-tap between the subscriber and a broker: writes down what passes, and cuts the wire when it is told to.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

/// What passed over one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire {
    /// Packet ids of the PUBLISH packets of QoS 1 from the broker, and whether they were marked DUP.
    pub(crate) published: Vec<(u16, bool)>,
    /// Packet ids of our PUBACKs.
    pub(crate) acknowledged: Vec<u16>,
    pub(crate) subscribes: usize,
    pub(crate) pings: usize,
    pub(crate) disconnects: usize,
}

/// The wire-tap.
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    wires: Vec<Wire>,
    sockets: Vec<TcpStream>,
    /// Newcomers are turned away.
    is_down: bool,
}

impl Proxy {
    pub(crate) fn start(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                connect(&shared, client, broker);
            }
        });
        Proxy { address, state }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All connections so far, the oldest first.
    pub(crate) fn wires(&self) -> Vec<Wire> {
        self.state.lock().wires.clone()
    }

    /// The newest connection.
    pub(crate) fn wire(&self) -> Wire {
        self.state.lock().wires.last().cloned().unwrap_or_default()
    }

    /// Cuts all connections and lets nobody in until [`Proxy::mend`].
    pub(crate) fn cut(&self) {
        let mut state = self.state.lock();
        state.is_down = true;
        for socket in state.sockets.drain(..) {
            // It may be closed already.
            drop(socket.shutdown(Shutdown::Both));
        }
    }

    pub(crate) fn mend(&self) {
        self.state.lock().is_down = false;
    }

    /// On each connection, what was acknowledged is the beginning of what was published on it, in order.
    pub(crate) fn assert_acks_in_order(&self) {
        for (at, wire) in self.wires().iter().enumerate() {
            let published: Vec<u16> = wire.published.iter().map(|(id, _)| *id).collect();
            let acknowledged = &wire.acknowledged;
            assert!(
                published.starts_with(acknowledged),
                "connection {at}: {acknowledged:?} of {published:?}"
            );
        }
    }
}

fn connect(state: &Arc<Mutex<State>>, client: TcpStream, broker: SocketAddr) {
    let mut locked = state.lock();
    let Some(broker) = (!locked.is_down).then(|| TcpStream::connect(broker).ok()).flatten() else { return };
    let wire = locked.wires.len();
    locked.wires.push(Wire::default());
    let copy = |socket: &TcpStream| socket.try_clone().expect("a second handle");
    locked.sockets.extend([copy(&client), copy(&broker)]);
    drop(locked);
    for (from, to) in [(copy(&client), copy(&broker)), (broker, client)] {
        let state = state.clone();
        thread::spawn(move || pass_on(from, to, |packet| note(&mut state.lock().wires[wire], packet)));
    }
}

/// Passes packets on, whole ones after they were noted; ends both sides with either.
fn pass_on(mut from: TcpStream, mut to: TcpStream, mut note: impl FnMut(&[u8])) {
    let mut unread = Vec::new();
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        unread.extend_from_slice(&bytes[..count]);
        while let Some(length) = packet_length(&unread) {
            note(&unread[..length]);
            unread.drain(..length);
        }
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    for socket in [from, to] {
        // Either may be closed already.
        drop(socket.shutdown(Shutdown::Both));
    }
}

/// The length of the first packet, if all of it is there.
fn packet_length(bytes: &[u8]) -> Option<usize> {
    let mut remaining = 0;
    for (at, byte) in bytes.iter().skip(1).enumerate() {
        remaining |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let length = 2 + at + remaining;
            return (length <= bytes.len()).then_some(length);
        }
    }
    None
}

fn note(wire: &mut Wire, packet: &[u8]) {
    let body = 1 + packet[1..].iter().position(|byte| byte & 0x80 == 0).expect("it has a length") + 1;
    let id_at = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    match packet[0] >> 4 {
        3 if packet[0] & 0x06 == 0x02 => {
            let topic_bytes = usize::from(id_at(body));
            wire.published.push((id_at(body + 2 + topic_bytes), packet[0] & 0x08 != 0));
        }
        4 => wire.acknowledged.push(id_at(body)),
        8 => wire.subscribes += 1,
        12 => wire.pings += 1,
        14 => wire.disconnects += 1,
        _ => {}
    }
}
