//! Writing messages.

use super::options::{ONE_BYTE, ONE_BYTE_BASE, PAYLOAD_MARKER, TWO_BYTES, TWO_BYTES_BASE};
use super::{Code, MessageType, Token, VERSION};

/// Writes one message behind what a buffer holds: header and token first, then options in the order of their numbers, then
/// the payload.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    number: u16,
}

impl<'a> Encoder<'a> {
    pub fn new(
        out: &'a mut Vec<u8>,
        message_type: MessageType,
        code: Code,
        message_id: u16,
        token: &Token,
    ) -> Self {
        let token = token.as_bytes();
        // A token has at most 8 bytes.
        out.push(VERSION << 6 | message_type.bits() << 4 | token.len() as u8);
        out.push(code.0);
        out.extend_from_slice(&message_id.to_be_bytes());
        out.extend_from_slice(token);
        Encoder { out, number: 0 }
    }

    /// Adds an option. Its number is not below that of the one before, its value at most 65,804 bytes long.
    pub fn option(&mut self, number: u16, value: &[u8]) -> &mut Self {
        debug_assert!(number >= self.number, "options in the order of their numbers");
        let delta = usize::from(number.saturating_sub(self.number));
        let head = self.out.len();
        self.out.push(0);
        let delta = self.extended(delta);
        let len = self.extended(value.len());
        self.out[head] = delta << 4 | len;
        self.out.extend_from_slice(value);
        self.number = number;
        self
    }

    /// Adds an option that is a number, in as few bytes as it needs; 0 is no byte.
    pub fn uint(&mut self, number: u16, value: u32) -> &mut Self {
        let bytes = value.to_be_bytes();
        let zeros = value.leading_zeros() as usize / 8;
        self.option(number, &bytes[zeros..])
    }

    /// Adds the payload, the last there is to add; an empty one is none.
    pub fn payload(&mut self, payload: &[u8]) {
        if !payload.is_empty() {
            self.out.push(PAYLOAD_MARKER);
            self.out.extend_from_slice(payload);
        }
    }

    /// Writes what a nibble cannot say, and gives the nibble.
    fn extended(&mut self, value: usize) -> u8 {
        if value < ONE_BYTE_BASE {
            value as u8
        } else if value < TWO_BYTES_BASE {
            self.out.push((value - ONE_BYTE_BASE) as u8);
            ONE_BYTE
        } else {
            self.out.extend_from_slice(&((value - TWO_BYTES_BASE) as u16).to_be_bytes());
            TWO_BYTES
        }
    }
}
