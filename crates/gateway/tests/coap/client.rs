//! A server on a free port, and a client that sends what it is told, byte for byte.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use urban_neuron_gateway::coap::{Block, Code, Encoder, Message, MessageType, Options, Token, number};
use urban_neuron_gateway::coap_server::{CoapConfig, CoapCounts, CoapServer};

use super::fake_log::{FakeLog, PATIENCE};

pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
pub(crate) const LOOPBACK_6: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::LOCALHOST), 0);

pub(crate) struct Server {
    server: Option<CoapServer>,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(log: &FakeLog) -> Self {
        Self::with(log, |_| ())
    }

    pub(crate) fn with(log: &FakeLog, change: impl FnOnce(&mut CoapConfig)) -> Self {
        let mut config = CoapConfig { listen: vec![LOOPBACK], threads: 1, ..CoapConfig::default() };
        change(&mut config);
        let server = CoapServer::start(config, log.clone()).unwrap();
        let address = server.addresses()[0];
        Server { server: Some(server), address }
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.server.as_ref().unwrap().addresses().to_vec()
    }

    pub(crate) fn counts(&self) -> CoapCounts {
        self.server.as_ref().unwrap().counters().counts()
    }

    pub(crate) fn stop(mut self, deadline: Duration) {
        self.server.take().unwrap().stop(deadline);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop(Duration::ZERO);
        }
    }
}

/// A message to send.
#[derive(Clone)]
pub(crate) struct Post<'a> {
    pub(crate) message_type: MessageType,
    pub(crate) code: Code,
    pub(crate) message_id: u16,
    pub(crate) token: &'a [u8],
    pub(crate) path: &'a [&'a str],
    pub(crate) content_format: Option<u32>,
    pub(crate) block1: Option<Block>,
    pub(crate) size1: Option<u32>,
    pub(crate) no_response: Option<u32>,
    pub(crate) request_tag: Option<&'a [u8]>,
    pub(crate) payload: &'a [u8],
}

impl<'a> Post<'a> {
    /// A confirmable POST of flat JSON to `/t/well-1`.
    pub(crate) fn new(message_id: u16, payload: &'a [u8]) -> Self {
        Post {
            message_type: MessageType::Confirmable,
            code: Code::POST,
            message_id,
            token: b"tok",
            path: &["t", "well-1"],
            content_format: Some(50),
            block1: None,
            size1: None,
            no_response: None,
            request_tag: None,
            payload,
        }
    }

    pub(crate) fn non(self) -> Self {
        Post { message_type: MessageType::NonConfirmable, ..self }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let token = Token::new(self.token).unwrap();
        let mut encoder = Encoder::new(&mut out, self.message_type, self.code, self.message_id, &token);
        for segment in self.path {
            encoder.option(number::URI_PATH, segment.as_bytes());
        }
        let block1 = self.block1.map(Block::bits);
        let numbers = [
            (number::CONTENT_FORMAT, self.content_format),
            (number::BLOCK1, block1),
            (number::SIZE1, self.size1),
            (number::NO_RESPONSE, self.no_response),
        ];
        for (number, value) in numbers {
            if let Some(value) = value {
                encoder.uint(number, value);
            }
        }
        if let Some(tag) = self.request_tag {
            encoder.option(number::REQUEST_TAG, tag);
        }
        encoder.payload(self.payload);
        out
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) message_type: MessageType,
    pub(crate) code: Code,
    pub(crate) message_id: u16,
    pub(crate) token: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Answer {
    pub(crate) fn option(&self, number: u16) -> Option<u32> {
        let mut options = Message::parse(&self.bytes).unwrap().options;
        options.find(|(found, _)| *found == number).map(|(_, value)| Options::uint(value).unwrap())
    }
}

pub(crate) struct Client {
    socket: UdpSocket,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(if address.is_ipv4() { LOOPBACK } else { LOOPBACK_6 }).unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { socket }
    }

    pub(crate) fn send(&self, datagram: &[u8]) {
        self.socket.send(datagram).unwrap();
    }

    pub(crate) fn receive(&self) -> Answer {
        let mut buffer = [0; 2048];
        let len = self.socket.recv(&mut buffer).expect("an answer");
        let message = Message::parse(&buffer[..len]).unwrap();
        Answer {
            bytes: buffer[..len].to_vec(),
            message_type: message.message_type,
            code: message.code,
            message_id: message.message_id,
            token: message.token.as_bytes().to_vec(),
            payload: message.payload.to_vec(),
        }
    }

    pub(crate) fn ask(&self, post: &Post<'_>) -> Answer {
        self.send(&post.encode());
        self.receive()
    }

    /// Nothing came: what is sent after it is answered first.
    pub(crate) fn expect_silence(&self) {
        const PING: [u8; 4] = [0x40, 0x00, 0xfe, 0xfe];
        self.send(&PING);
        let answer = self.receive();
        assert_eq!((answer.message_type, answer.message_id), (MessageType::Reset, 0xfefe), "{answer:?}");
    }
}
