//! Random numbers that are the same on every machine and in every version: SplitMix64.

/// One stream. Equal seeds give equal numbers.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// The stream of one device. The seed is scattered before the index is added: neighbours must not share numbers.
    pub(super) fn of(seed: u64, index: u32) -> Self {
        let mut root = Random(seed);
        Random(root.next().wrapping_add(u64::from(index).wrapping_mul(0xd6e8_feb8_6659_fd93)))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// In [0, limit), 0 for an empty range.
    pub(super) fn below(&mut self, limit: u32) -> u32 {
        ((u64::from(limit) * (self.next() >> 32)) >> 32) as u32
    }

    /// True `count` times of `total`.
    pub(super) fn is_one_of(&mut self, count: u32, total: u32) -> bool {
        self.below(total) < count
    }

    /// Around 0 with a standard deviation of 1: a sum of uniform numbers is near enough for a sensor's noise.
    pub(super) fn noise(&mut self) -> f64 {
        (self.unit() + self.unit() + self.unit() - 1.5) * 2.0
    }
}
