//! Reads PUBACKs in bulk: in order, whole or cut anywhere.

/// Packet ids run from 1 to this and begin again.
pub(super) const PACKET_ID_MAX: u16 = u16::MAX;
const PUBACK_BYTES: usize = 4;

/// What the server sent that is not the next acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("after the acknowledgement of {last} came {found:02x?}")]
pub(super) struct NotTheNextAck {
    last: u16,
    found: [u8; PUBACK_BYTES],
}

/// Follows the acknowledgements of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Acks {
    last: u16,
    /// The beginning of a cut packet.
    cut: [u8; PUBACK_BYTES],
    cut_bytes: usize,
}

impl Acks {
    /// How many acknowledgements `bytes` bring.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<u64, NotTheNextAck> {
        let mut count = 0;
        while self.cut_bytes > 0 && !bytes.is_empty() {
            self.cut[self.cut_bytes] = bytes[0];
            self.cut_bytes += 1;
            bytes = &bytes[1..];
            if self.cut_bytes == PUBACK_BYTES {
                self.cut_bytes = 0;
                self.one(self.cut)?;
                count += 1;
            }
        }
        let (packets, rest) = bytes.as_chunks::<PUBACK_BYTES>();
        for packet in packets {
            self.one(*packet)?;
        }
        self.cut[self.cut_bytes..][..rest.len()].copy_from_slice(rest);
        self.cut_bytes += rest.len();
        Ok(count + packets.len() as u64)
    }

    #[inline]
    fn one(&mut self, packet: [u8; PUBACK_BYTES]) -> Result<(), NotTheNextAck> {
        let next = next_packet_id(self.last);
        let [high, low] = next.to_be_bytes();
        if packet != [0x40, 2, high, low] {
            return Err(NotTheNextAck { last: self.last, found: packet });
        }
        self.last = next;
        Ok(())
    }
}

#[inline]
pub(super) fn next_packet_id(last: u16) -> u16 {
    last % PACKET_ID_MAX + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_count_however_they_are_cut() {
        let bytes: Vec<u8> = (1..=100u16).flat_map(|id| [0x40, 2, (id >> 8) as u8, id as u8]).collect();
        for size in 1..=13 {
            let mut acks = Acks::default();
            let count: u64 = bytes.chunks(size).map(|chunk| acks.take(chunk).expect("in order")).sum();
            assert_eq!(count, 100, "cut into {size}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bytes in [[0x40, 2, 0, 2], [0x40, 2, 0, 0], [0x50, 2, 0, 1], [0x40, 3, 0, 1]] {
            assert!(Acks::default().take(&bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn ids_begin_again_after_the_greatest() {
        assert_eq!((next_packet_id(0), next_packet_id(65_534), next_packet_id(65_535)), (1, 65_535, 1));
    }
}
