//! The data types of a packet's body.

use super::PacketError;

const SHORT: PacketError = PacketError::malformed("the packet ends inside a field");

/// Reads a packet's body from front to back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Reader { rest: body }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], PacketError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], PacketError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(SHORT)?;
        self.rest = rest;
        Ok(*array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, PacketError> {
        Ok(self.array::<1>()?[0])
    }

    #[inline]
    pub(super) fn two_bytes(&mut self) -> Result<u16, PacketError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(super) fn four_bytes(&mut self) -> Result<u32, PacketError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// A variable byte integer: at most four bytes, and no more than it needs.
    pub(super) fn varint(&mut self) -> Result<u32, PacketError> {
        let mut value = 0;
        for at in 0..4 {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                let is_padded = at > 0 && byte == 0;
                return if is_padded {
                    Err(PacketError::malformed(
                        "a variable byte integer is longer than it needs [MQTT-1.5.5-1]",
                    ))
                } else {
                    Ok(value)
                };
            }
        }
        Err(PacketError::malformed("a variable byte integer takes more than four bytes [MQTT-1.5.5-1]"))
    }

    #[inline]
    pub(super) fn binary(&mut self) -> Result<&'a [u8], PacketError> {
        let len = self.two_bytes()?;
        self.take(usize::from(len))
    }

    #[inline]
    pub(super) fn text(&mut self) -> Result<&'a str, PacketError> {
        let bytes = self.binary()?;
        let text = std::str::from_utf8(bytes)
            .map_err(|_| PacketError::malformed("a text is not UTF-8 [MQTT-1.5.4-1]"))?;
        if bytes.contains(&0) {
            return Err(PacketError::malformed("a text contains U+0000 [MQTT-1.5.4-2]"));
        }
        Ok(text)
    }

    /// A packet id that names something in flight.
    #[inline]
    pub(super) fn packet_id(&mut self) -> Result<u16, PacketError> {
        match self.two_bytes()? {
            0 => Err(PacketError::protocol("the packet identifier is 0 [MQTT-2.2.1-3]")),
            id => Ok(id),
        }
    }

    pub(super) fn end(self) -> Result<(), PacketError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(PacketError::malformed("bytes follow the packet's last field"))
        }
    }
}
