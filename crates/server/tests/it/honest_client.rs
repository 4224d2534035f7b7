//! An honest MQTT 3.1.1 publisher: a persistent session, QoS 1, and whatever was not acknowledged is sent again with DUP and
//! its packet id, over as many connections as it takes.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Messages that may wait for their acknowledgement.
pub const IN_FLIGHT_MAX: usize = 200;
const PATIENCE: Duration = Duration::from_secs(90);

/// One publisher.
pub struct HonestClient {
    address: SocketAddr,
    client_id: String,
    stream: Option<TcpStream>,
    next_packet_id: u16,
    /// Not acknowledged, by packet id.
    pending: BTreeMap<u16, Pending>,
    received: Vec<u8>,
    acknowledged: Vec<u64>,
}

struct Pending {
    topic: String,
    payload: Vec<u8>,
    number: u64,
    /// It may have arrived: sent again, it says so.
    was_sent: bool,
}

impl HonestClient {
    pub fn new(address: SocketAddr, client_id: &str) -> Self {
        HonestClient {
            address,
            client_id: client_id.to_owned(),
            stream: None,
            next_packet_id: 0,
            pending: BTreeMap::new(),
            received: Vec::new(),
            acknowledged: Vec::new(),
        }
    }

    /// Publishes message `number`; waits while too many are unacknowledged. Lost connections are opened again.
    pub fn publish(&mut self, topic: &str, payload: &[u8], number: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.pending.len() >= IN_FLIGHT_MAX {
            assert!(Instant::now() < deadline, "{}: no acknowledgement for {PATIENCE:?}", self.client_id);
            self.turn();
        }
        let packet_id = self.free_packet_id();
        let was_sent = self.stream.is_some();
        let pending = Pending { topic: topic.to_owned(), payload: payload.to_vec(), number, was_sent };
        self.pending.insert(packet_id, pending);
        let packet = publish_packet(topic, payload, packet_id, false);
        self.with_stream(|stream| stream.write_all(&packet));
        self.turn();
    }

    /// Waits until nothing is unacknowledged; gives the numbers of all acknowledged messages.
    pub fn finish(mut self) -> Vec<u64> {
        let deadline = Instant::now() + PATIENCE;
        while !self.pending.is_empty() {
            let left = self.pending.len();
            assert!(Instant::now() < deadline, "{}: {left} never acknowledged", self.client_id);
            self.turn();
        }
        self.acknowledged
    }

    fn free_packet_id(&mut self) -> u16 {
        loop {
            self.next_packet_id = self.next_packet_id.checked_add(1).unwrap_or(1);
            if !self.pending.contains_key(&self.next_packet_id) {
                return self.next_packet_id;
            }
        }
    }

    /// Messages that wait for their acknowledgement.
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Reads what acknowledgements there are; connects again when the connection is gone.
    pub fn turn(&mut self) -> usize {
        self.read();
        self.in_flight()
    }

    fn read(&mut self) {
        if self.stream.is_none() {
            // A server that is down, or just starting, refuses: the next turn tries again.
            if self.connect().is_err() {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            return;
        }
        let mut buffer = [0; 4096];
        let mut got = 0;
        self.with_stream(|stream| {
            got = match stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(got) => got,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    0
                }
                Err(error) => return Err(error),
            };
            Ok(())
        });
        self.received.extend_from_slice(&buffer[..got]);
        while let [0x40, 2, high, low, ..] = *self.received.as_slice() {
            let packet_id = u16::from_be_bytes([high, low]);
            let pending = self.pending.remove(&packet_id).expect("an acknowledgement of what was sent");
            self.acknowledged.push(pending.number);
            self.received.drain(..4);
        }
    }

    fn connect(&mut self) -> io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(1))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(&connect_packet(&self.client_id))?;
        let mut connack = [0; 4];
        stream.read_exact(&mut connack)?;
        assert_eq!((connack[0], connack[1], connack[3]), (0x20, 2, 0), "CONNACK");
        stream.set_read_timeout(Some(Duration::from_millis(1)))?;
        for (packet_id, pending) in &mut self.pending {
            let is_dup = std::mem::replace(&mut pending.was_sent, true);
            stream.write_all(&publish_packet(&pending.topic, &pending.payload, *packet_id, is_dup))?;
        }
        self.received.clear();
        self.stream = Some(stream);
        Ok(())
    }

    fn with_stream(&mut self, work: impl FnOnce(&mut TcpStream) -> io::Result<()>) {
        if let Some(stream) = &mut self.stream
            && work(stream).is_err()
        {
            self.stream = None;
        }
    }
}

fn connect_packet(client_id: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, "MQTT");
    // Level 4, no flags: the session persists. Keep-alive 60 s.
    body.extend_from_slice(&[4, 0, 0, 60]);
    put_text(&mut body, client_id);
    packet(0x10, &body)
}

fn publish_packet(topic: &str, payload: &[u8], packet_id: u16, is_dup: bool) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, topic);
    body.extend_from_slice(&packet_id.to_be_bytes());
    body.extend_from_slice(payload);
    packet(if is_dup { 0x3a } else { 0x32 }, &body)
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut left = body.len();
    loop {
        let byte = (left % 128) as u8;
        left /= 128;
        packet.push(if left > 0 { byte | 0x80 } else { byte });
        if left == 0 {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}
