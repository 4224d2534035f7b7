//! Parquet's hybrid of run lengths and bit-packed groups, written from runs: a long run costs a few bytes and no work
//! a value.

/// Values in a bit-packed group.
const GROUP: usize = 8;

/// Writes unsigned numbers of a fixed bit width.
pub(crate) struct HybridEncoder<'a> {
    out: &'a mut Vec<u8>,
    bit_width: u32,
    /// Values of a bit-packed run that is not written yet; whole groups, and what may become one.
    literals: Vec<u32>,
}

/// Bits that hold every number up to `max`.
pub(crate) fn bit_width(max: u32) -> u32 {
    u32::BITS - max.leading_zeros()
}

impl<'a> HybridEncoder<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, bit_width: u32) -> Self {
        HybridEncoder { out, bit_width, literals: Vec::new() }
    }

    /// Appends `value` `count` times.
    pub(crate) fn put(&mut self, value: u32, mut count: usize) {
        let open = self.literals.len() % GROUP;
        if open > 0 {
            // A group once begun has to be filled, whatever follows.
            let fill = count.min(GROUP - open);
            self.literals.extend(std::iter::repeat_n(value, fill));
            count -= fill;
        }
        if count >= GROUP {
            self.flush_literals();
            self.put_run(value, count);
        } else {
            self.literals.extend(std::iter::repeat_n(value, count));
        }
    }

    /// Writes what is open. The last group is filled with zeros, which the reader's count cuts off.
    pub(crate) fn finish(mut self) {
        self.literals.resize(self.literals.len().next_multiple_of(GROUP), 0);
        self.flush_literals();
    }

    fn put_run(&mut self, value: u32, count: usize) {
        put_varint(self.out, (count as u64) << 1);
        let bytes = self.bit_width.div_ceil(8) as usize;
        self.out.extend_from_slice(&value.to_le_bytes()[..bytes]);
    }

    fn flush_literals(&mut self) {
        if self.literals.is_empty() {
            return;
        }
        put_varint(self.out, ((self.literals.len() / GROUP) as u64) << 1 | 1);
        let (mut bits, mut filled) = (0u64, 0);
        for &value in &self.literals {
            bits |= u64::from(value) << filled;
            filled += self.bit_width;
            while filled >= 8 {
                self.out.push(bits as u8);
                bits >>= 8;
                filled -= 8;
            }
        }
        self.literals.clear();
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The slow way back, from the format's text.
    fn decode(bytes: &[u8], bit_width: u32, count: usize) -> Vec<u32> {
        let mut values = Vec::new();
        let mut at = 0;
        while values.len() < count {
            let (mut header, mut shift) = (0u64, 0);
            loop {
                header |= u64::from(bytes[at] & 0x7f) << shift;
                shift += 7;
                at += 1;
                if bytes[at - 1] < 0x80 {
                    break;
                }
            }
            if header & 1 == 0 {
                let width = bit_width.div_ceil(8) as usize;
                let mut value = [0; 4];
                value[..width].copy_from_slice(&bytes[at..at + width]);
                at += width;
                values.extend(std::iter::repeat_n(u32::from_le_bytes(value), (header >> 1) as usize));
            } else {
                let bits = (header >> 1) as usize * GROUP * bit_width as usize;
                let bit = |n: usize| u32::from(bytes[at + n / 8] >> (n % 8) & 1);
                for start in (0..bits).step_by(bit_width.max(1) as usize) {
                    values.push((0..bit_width as usize).map(|n| bit(start + n) << n).sum());
                }
                at += bits / 8;
                if bit_width == 0 {
                    values.extend(std::iter::repeat_n(0, (header >> 1) as usize * GROUP));
                }
            }
        }
        assert_eq!(at, bytes.len());
        values.truncate(count);
        values
    }

    proptest! {
        #[test]
        fn runs_come_back(bit_width in 0u32..=32, runs in prop::collection::vec((any::<u32>(), 1usize..40), 0..60)) {
            let mask = (1u64 << bit_width).wrapping_sub(1) as u32;
            let (mut out, mut expected) = (Vec::new(), Vec::new());
            let mut encoder = HybridEncoder::new(&mut out, bit_width);
            for (value, count) in runs {
                encoder.put(value & mask, count);
                expected.extend(std::iter::repeat_n(value & mask, count));
            }
            encoder.finish();
            prop_assert_eq!(decode(&out, bit_width, expected.len()), expected);
        }
    }

    #[test]
    fn widths_hold_their_numbers() {
        for (max, bits) in [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (u32::MAX, 32)] {
            assert_eq!(bit_width(max), bits);
        }
    }
}
