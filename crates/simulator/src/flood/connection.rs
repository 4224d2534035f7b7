//! One connection of a flood: fills its window, and reads what was acknowledged.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use super::acks::{Acks, next_packet_id};
use super::packet::{DISCONNECT, Template, connect};
use super::{FloodConfig, Share, Shared};
use crate::{Error, Latencies};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of packets made before they are written.
const WRITE_BYTES: usize = 64 * 1024;
const READ_BYTES: usize = 16 * 1024;
pub(super) struct FloodConnection {
    stream: TcpStream,
    broker: String,
    shared: Arc<Shared>,
    template: Template,
    messages: Messages,
    in_flight_max: u64,
    rate: Option<f64>,
    started: Instant,
    send_until: Instant,
    give_up_at: Instant,
    sent: u64,
    acknowledged: u64,
    acks: Acks,
    /// When how many messages were made, oldest first: as many as are in flight at most.
    sent_at: VecDeque<(Instant, u64)>,
    unwritten: Vec<u8>,
    written: usize,
    latencies: Latencies,
    last_ack: Option<Instant>,
}

/// Which device speaks next, and what it says.
struct Messages {
    first_device: u32,
    step: u32,
    devices: u32,
    next_device: u32,
    packet_id: u16,
    /// Every round of the devices has a later time than the one before, so that no two messages are the same event.
    round_ms: i64,
    noise: u64,
}

impl FloodConnection {
    pub(super) fn open(config: &FloodConfig, number: u32, shared: Arc<Shared>) -> Result<Self, Error> {
        let broker = config.broker.to_string();
        let opened = open_session(config, number);
        let (stream, answer) =
            opened.map_err(|source| Error::Connection { broker: broker.clone(), source })?;
        if answer != [0x20, 2, 0, 0] {
            return Err(Error::Protocol { broker, what: format!("a CONNACK of {answer:02x?}") });
        }
        let started = Instant::now();
        let connections = config.connections.max(1);
        Ok(FloodConnection {
            stream,
            broker,
            shared,
            template: Template::new(),
            messages: Messages {
                first_device: number.min(config.devices.saturating_sub(1)),
                step: connections,
                devices: config.devices.max(1),
                next_device: config.devices,
                packet_id: 0,
                round_ms: 0,
                noise: u64::from(number),
            },
            in_flight_max: u64::from(config.in_flight_max.max(1)),
            rate: config.messages_per_second.map(|rate| rate / f64::from(connections)),
            started,
            send_until: started + config.duration,
            give_up_at: started + config.duration + config.drain,
            sent: 0,
            acknowledged: 0,
            acks: Acks::default(),
            sent_at: VecDeque::new(),
            unwritten: Vec::with_capacity(WRITE_BYTES + 1_024),
            written: 0,
            latencies: Latencies::default(),
            last_ack: None,
        })
    }

    /// Sends and reads what it can without waiting; false once it has nothing more to do.
    pub(super) fn turn(&mut self, now: Instant) -> Result<bool, Error> {
        self.exchange(now).map_err(|source| Error::Connection { broker: self.broker.clone(), source })
    }

    fn exchange(&mut self, now: Instant) -> io::Result<bool> {
        self.read()?;
        let is_sending = now < self.send_until && !self.shared.should_stop.load(Ordering::Relaxed);
        if is_sending {
            self.fill(now);
        }
        self.write()?;
        let is_settled = self.acknowledged == self.sent && self.unwritten.is_empty();
        Ok(is_sending || !(is_settled || now >= self.give_up_at))
    }

    /// Says goodbye. The session does not persist: whether the server hears it changes nothing.
    pub(super) fn close(mut self) -> Share {
        drop(self.stream.write(&DISCONNECT));
        Share { latencies: self.latencies, last_ack: self.last_ack }
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Makes the packets that the window and the pace allow.
    fn fill(&mut self, now: Instant) {
        let free = self.in_flight_max - (self.sent - self.acknowledged);
        let allowed = match self.rate {
            Some(rate) => {
                ((rate * (now - self.started).as_secs_f64()) as u64).saturating_sub(self.sent).min(free)
            }
            // A window that is nearly full waits until a quarter is free: large writes are what makes this cheap.
            None if free * 4 < self.in_flight_max => 0,
            None => free,
        };
        let mut made = 0;
        while made < allowed && self.unwritten.len() < WRITE_BYTES {
            self.messages.append(&mut self.template, &mut self.unwritten);
            made += 1;
        }
        if made > 0 {
            self.sent += made;
            self.shared.sent.fetch_add(made, Ordering::Relaxed);
            self.sent_at.push_back((now, made));
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while self.written < self.unwritten.len() {
            match self.stream.write(&self.unwritten[self.written..]) {
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.unwritten.clear();
        self.written = 0;
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        let mut answers = [0; READ_BYTES];
        loop {
            let bytes = match self.stream.read(&mut answers) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let count = self.acks.take(&answers[..bytes]).map_err(io::Error::other)?;
            self.acknowledged += count;
            self.shared.acknowledged.fetch_add(count, Ordering::Relaxed);
            self.note_latencies(count);
            if bytes < READ_BYTES {
                return Ok(());
            }
        }
    }

    fn note_latencies(&mut self, mut count: u64) {
        let now = Instant::now();
        self.last_ack = Some(now);
        while count > 0
            && let Some((sent_at, left)) = self.sent_at.front_mut()
        {
            let of_these = count.min(*left);
            self.latencies.record_many(now - *sent_at, of_these);
            *left -= of_these;
            count -= of_these;
            if *left == 0 {
                self.sent_at.pop_front();
            }
        }
    }
}

fn open_session(config: &FloodConfig, number: u32) -> io::Result<(TcpStream, [u8; 4])> {
    let host = config.broker.host.trim_matches(['[', ']']);
    let mut last_error = io::ErrorKind::NotFound.into();
    for address in (host, config.broker.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return greet(stream, &format!("{}-{number}", config.client_id_prefix)),
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

fn greet(mut stream: TcpStream, client_id: &str) -> io::Result<(TcpStream, [u8; 4])> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
    stream.write_all(&connect(client_id))?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    stream.set_nonblocking(true)?;
    Ok((stream, answer))
}

impl Messages {
    #[inline]
    fn append(&mut self, template: &mut Template, packets: &mut Vec<u8>) {
        if self.next_device >= self.devices {
            self.begin_round(template);
        }
        self.packet_id = next_packet_id(self.packet_id);
        // A Weyl sequence: its bits are even enough for values that only have to differ.
        self.noise = self.noise.wrapping_add(0x9e37_79b9_7f4a_7c15);
        template.append(packets, self.packet_id, self.next_device, self.noise >> 7);
        self.next_device += self.step;
    }

    fn begin_round(&mut self, template: &mut Template) {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.round_ms = (self.round_ms + 1).max(since_1970.as_millis() as i64);
        template.set_time(self.round_ms);
        self.next_device = self.first_device;
    }
}
