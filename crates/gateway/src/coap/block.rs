//! The value of Block1 and Block2 (RFC 7959 section 2.2).

use super::Options;

/// Which block of a body a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Up to 2^20 - 1, counted in blocks of this size.
    pub number: u32,
    /// Another block follows.
    pub has_more: bool,
    /// Blocks have 2^(4 + this) bytes: 0 to 6, and 7, which UDP does not know.
    pub size_exponent: u8,
}

impl Block {
    /// `None` where the value is longer than three bytes.
    pub fn parse(value: &[u8]) -> Option<Block> {
        let bits = Options::uint(value).filter(|_| value.len() <= 3)?;
        Some(Block { number: bits >> 4, has_more: bits & 8 != 0, size_exponent: (bits & 7) as u8 })
    }

    /// The value as a number.
    pub const fn bits(self) -> u32 {
        self.number << 4 | (self.has_more as u32) << 3 | self.size_exponent as u32
    }

    /// Bytes of one block; `None` for the size that is reserved.
    pub const fn size(self) -> Option<usize> {
        if self.size_exponent < 7 { Some(16 << self.size_exponent) } else { None }
    }

    /// Where the block begins in its body; `None` for the size that is reserved.
    pub const fn offset(self) -> Option<usize> {
        match self.size() {
            Some(size) => Some(self.number as usize * size),
            None => None,
        }
    }
}
