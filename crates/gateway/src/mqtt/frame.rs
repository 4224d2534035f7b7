//! The fixed header: where a packet starts and ends.

use super::{PacketError, ReasonCode};

/// Control packet types, the high half of the first byte.
pub mod packet_type {
    pub const CONNECT: u8 = 1;
    pub const CONNACK: u8 = 2;
    pub const PUBLISH: u8 = 3;
    pub const PUBACK: u8 = 4;
    pub const PUBREC: u8 = 5;
    pub const PUBREL: u8 = 6;
    pub const PUBCOMP: u8 = 7;
    pub const SUBSCRIBE: u8 = 8;
    pub const SUBACK: u8 = 9;
    pub const UNSUBSCRIBE: u8 = 10;
    pub const UNSUBACK: u8 = 11;
    pub const PINGREQ: u8 = 12;
    pub const PINGRESP: u8 = 13;
    pub const DISCONNECT: u8 = 14;
    pub const AUTH: u8 = 15;
}

/// One packet in the read buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Packet type and flags.
    pub first: u8,
    /// Variable header and payload.
    pub body: &'a [u8],
}

impl Frame<'_> {
    pub const fn packet_type(&self) -> u8 {
        self.first >> 4
    }

    pub const fn flags(&self) -> u8 {
        self.first & 0x0f
    }
}

/// Cuts the first packet off `buffer` and gives the bytes after it; `None` while it is not whole.
///
/// # Errors
/// A remaining length of more than four bytes, or a packet over `packet_bytes_max`, said as soon as the header is there.
#[inline]
pub fn split(buffer: &[u8], packet_bytes_max: usize) -> Result<Option<(Frame<'_>, &[u8])>, PacketError> {
    let Some((&first, rest)) = buffer.split_first() else { return Ok(None) };
    let (len, rest) = match rest {
        [len, rest @ ..] if *len < 0x80 => (usize::from(*len), rest),
        [low, high, rest @ ..] if *high < 0x80 => (usize::from(*low & 0x7f) | usize::from(*high) << 7, rest),
        _ => match long_length(rest)? {
            Some(found) => found,
            None => return Ok(None),
        },
    };
    if buffer.len() - rest.len() + len > packet_bytes_max {
        return Err(PacketError {
            reason: ReasonCode::PACKET_TOO_LARGE,
            what: "the packet is larger than the server's maximum packet size [MQTT-3.2.2-15]",
        });
    }
    Ok(rest.split_at_checked(len).map(|(body, rest)| (Frame { first, body }, rest)))
}

fn long_length(bytes: &[u8]) -> Result<Option<(usize, &[u8])>, PacketError> {
    let mut len = 0;
    for (at, &byte) in bytes.iter().take(4).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Ok(Some((len, &bytes[at + 1..])));
        }
    }
    if bytes.len() >= 4 {
        return Err(PacketError::malformed("the remaining length takes more than four bytes [MQTT-1.5.5-1]"));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_cut_when_it_is_whole() {
        let packet = [0x30, 3, 1, 2, 3, 0xc0];
        for short in 0..5 {
            assert_eq!(split(&packet[..short], 100), Ok(None), "{short} bytes");
        }
        assert_eq!(split(&packet, 100), Ok(Some((Frame { first: 0x30, body: &[1, 2, 3] }, &[0xc0][..]))));
    }

    #[test]
    fn lengths_of_each_width() {
        for len in [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
            let mut packet = vec![0x30];
            super::super::encode::put_varint(&mut packet, len as u32);
            packet.resize(packet.len() + len, 7);
            let (frame, rest) = split(&packet, usize::MAX).unwrap().unwrap();
            assert_eq!((frame.body.len(), rest.len()), (len, 0));
        }
    }

    #[test]
    fn too_long_is_said_from_the_header_alone() {
        assert_eq!(split(&[0x30, 0xff, 0x7f], 1000).unwrap_err().reason, ReasonCode::PACKET_TOO_LARGE);
        assert_eq!(split(&[0x30, 98], 100), Ok(None));
        assert_eq!(split(&[0x30, 99], 100).unwrap_err().reason, ReasonCode::PACKET_TOO_LARGE);
        assert_eq!(split(&[0x30, 0xff, 0xff, 0xff], 1000), Ok(None));
        assert_eq!(
            split(&[0x30, 0xff, 0xff, 0xff, 0xff], 1000).unwrap_err().reason,
            ReasonCode::MALFORMED_PACKET
        );
    }
}
