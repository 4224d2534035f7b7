//! Who sent a datagram, and how its messages are told apart.

use std::net::{IpAddr, SocketAddr};

use crate::coap::Token;

/// A peer at one of our sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Remote {
    pub(super) address: SocketAddr,
    /// Which of the thread's sockets it speaks to; answers leave there.
    pub(super) socket: u8,
}

impl Remote {
    /// Names one message of this peer: peer, message id and token folded into 32 bits (FNV-1a). Payload and path tell apart
    /// beside it what falls together here.
    pub(super) fn packet_id(&self, message_id: u16, token: &Token) -> u32 {
        let mut hash = 0x811c_9dc5_u32;
        let mut fold = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
            }
        };
        match self.address.ip() {
            IpAddr::V4(ip) => fold(&ip.octets()),
            IpAddr::V6(ip) => fold(&ip.octets()),
        }
        fold(&self.address.port().to_be_bytes());
        fold(&message_id.to_be_bytes());
        fold(token.as_bytes());
        hash
    }
}
