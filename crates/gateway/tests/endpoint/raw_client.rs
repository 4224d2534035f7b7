//! A client that says exactly what the test wants, byte by byte.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::fake_log::PATIENCE;

pub(crate) struct RawClient {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// A packet as the server sent it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    pub(crate) first: u8,
    pub(crate) body: Vec<u8>,
}

impl Said {
    pub(crate) fn kind(&self) -> u8 {
        self.first >> 4
    }

    pub(crate) fn packet_id(&self) -> u16 {
        u16::from_be_bytes([self.body[0], self.body[1]])
    }

    /// Topic, payload and retain flag of a PUBLISH of QoS 0 in 3.1.1.
    pub(crate) fn publish_v311(&self) -> (String, Vec<u8>, bool) {
        assert_eq!(self.kind(), 3, "{self:?}");
        let len = usize::from(self.packet_id());
        let skip = if self.first & 6 == 0 { 0 } else { 2 };
        let topic = String::from_utf8(self.body[2..2 + len].to_vec()).unwrap();
        (topic, self.body[2 + len + skip..].to_vec(), self.first & 1 == 1)
    }
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut out = (text.len() as u16).to_be_bytes().to_vec();
    out.extend_from_slice(text.as_bytes());
    out
}

pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    urban_neuron_gateway::mqtt::encode::put_varint(&mut out, body.len() as u32);
    out.extend_from_slice(body);
    out
}

/// What a CONNECT says.
pub(crate) struct Connect<'a> {
    pub(crate) level: u8,
    pub(crate) client_id: &'a str,
    pub(crate) is_clean: bool,
    pub(crate) keep_alive: u16,
    /// 5.0 only.
    pub(crate) properties: Vec<u8>,
    /// Topic, payload, properties.
    pub(crate) will: Option<(&'a str, &'a [u8], Vec<u8>)>,
    pub(crate) username: Option<&'a str>,
    pub(crate) password: Option<&'a str>,
}

impl Default for Connect<'_> {
    fn default() -> Self {
        Connect {
            level: 4,
            client_id: "c",
            is_clean: true,
            keep_alive: 60,
            properties: Vec::new(),
            will: None,
            username: None,
            password: None,
        }
    }
}

impl Connect<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let flags = flag(self.is_clean, 2)
            | flag(self.will.is_some(), 4)
            | flag(self.password.is_some(), 0x40)
            | flag(self.username.is_some(), 0x80);
        let mut body = text("MQTT");
        body.extend_from_slice(&[self.level, flags]);
        body.extend_from_slice(&self.keep_alive.to_be_bytes());
        if self.level == 5 {
            body.push(self.properties.len() as u8);
            body.extend_from_slice(&self.properties);
        }
        body.extend(text(self.client_id));
        if let Some((topic, payload, properties)) = &self.will {
            if self.level == 5 {
                body.push(properties.len() as u8);
                body.extend_from_slice(properties);
            }
            body.extend(text(topic));
            body.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            body.extend_from_slice(payload);
        }
        for credential in [self.username, self.password].into_iter().flatten() {
            body.extend(text(credential));
        }
        packet(0x10, &body)
    }
}

/// A PUBLISH; `properties` `None` for 3.1.1.
pub(crate) fn publish(
    qos: u8,
    packet_id: u16,
    topic: &str,
    payload: &[u8],
    properties: Option<&[u8]>,
) -> Vec<u8> {
    let mut body = text(topic);
    if qos > 0 {
        body.extend_from_slice(&packet_id.to_be_bytes());
    }
    if let Some(properties) = properties {
        body.push(properties.len() as u8);
        body.extend_from_slice(properties);
    }
    body.extend_from_slice(payload);
    packet(0x30 | qos << 1, &body)
}

/// A SUBSCRIBE of one filter; `properties` `None` for 3.1.1.
pub(crate) fn subscribe(packet_id: u16, filter: &str, options: u8, properties: Option<&[u8]>) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if let Some(properties) = properties {
        body.push(properties.len() as u8);
        body.extend_from_slice(properties);
    }
    body.extend(text(filter));
    body.push(options);
    packet(0x82, &body)
}

pub(crate) const PINGREQ: [u8; 2] = [0xc0, 0];
pub(crate) const PINGRESP: Said = Said { first: 0xd0, body: Vec::new() };
pub(crate) const DISCONNECT: [u8; 2] = [0xe0, 0];

impl RawClient {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        RawClient { stream, buffer: Vec::new() }
    }

    /// Connects and gives the CONNACK's body.
    pub(crate) fn connect(address: SocketAddr, connect: &Connect<'_>) -> (Self, Vec<u8>) {
        let mut client = Self::open(address);
        client.send(&connect.encode());
        let connack = client.read();
        assert_eq!(connack.first, 0x20, "{connack:?}");
        (client, connack.body)
    }

    /// Connects and expects to be let in.
    pub(crate) fn connected(address: SocketAddr, connect: &Connect<'_>) -> Self {
        let (client, connack) = Self::connect(address, connect);
        assert_eq!(connack[1], 0, "{connack:?}");
        client
    }

    /// Connects as often as it takes to be let in: a server that is just closing connections may close this one too.
    pub(crate) fn reconnected(address: SocketAddr, connect: &Connect<'_>) -> Self {
        let deadline = std::time::Instant::now() + super::fake_log::PATIENCE;
        loop {
            let mut client = Self::open(address);
            client.send(&connect.encode());
            match client.try_read() {
                Some(said) => {
                    assert_eq!((said.first, said.body[1]), (0x20, 0), "{said:?}");
                    return client;
                }
                None => assert!(std::time::Instant::now() < deadline, "never let in again"),
            }
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next packet.
    pub(crate) fn read(&mut self) -> Said {
        self.try_read().expect("the server closed the connection")
    }

    /// The next packet; `None` at the end.
    pub(crate) fn try_read(&mut self) -> Option<Said> {
        loop {
            let found = urban_neuron_gateway::mqtt::frame::split(&self.buffer, usize::MAX).unwrap();
            if let Some((frame, rest)) = found {
                let said = Said { first: frame.first, body: frame.body.to_vec() };
                let used = self.buffer.len() - rest.len();
                self.buffer.drain(..used);
                return Some(said);
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.buffer.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    /// Everything until the server closes.
    pub(crate) fn read_to_end(&mut self) -> Vec<Said> {
        std::iter::from_fn(|| self.try_read()).collect()
    }

    /// The server answers a ping next: nothing was said before it.
    pub(crate) fn expect_silence(&mut self) {
        self.send(&PINGREQ);
        assert_eq!(self.read(), PINGRESP);
    }

    /// Nothing comes within `duration`: for what is not read while the server does not read.
    pub(crate) fn is_silent_for(&mut self, duration: Duration) -> bool {
        self.stream.set_read_timeout(Some(duration)).unwrap();
        let result = self.stream.read(&mut [0; 1]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        matches!(result, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }
}
