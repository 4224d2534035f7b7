//! What goes wrong with a sensor, and for how long.

use super::random::Random;

/// A fault that a device is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Every value stays what it was.
    Stuck,
    /// One value far from what it should be.
    Spike,
    /// A value that stands for "no value": NaN as text, or -9999.
    Sentinel,
    /// The device has lost its clock.
    WrongClock,
    /// No network: what is measured is kept and sent later in one pack.
    Gap,
}

impl Fault {
    pub const ALL: [Fault; 5] = [Fault::Stuck, Fault::Spike, Fault::Sentinel, Fault::WrongClock, Fault::Gap];

    /// Any of them.
    pub(super) fn pick(random: &mut Random) -> Self {
        Fault::ALL[random.below(Fault::ALL.len() as u32) as usize]
    }

    /// Over how many reports it lasts.
    pub(super) fn reports(self, random: &mut Random) -> u32 {
        match self {
            Fault::Spike | Fault::Sentinel => 1,
            Fault::Stuck | Fault::WrongClock => 3 + random.below(8),
            Fault::Gap => 2 + random.below(6),
        }
    }
}
