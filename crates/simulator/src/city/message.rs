//! A message as it goes to the broker.

use super::fault::Fault;

/// What a message is, for those who check what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    Reading,
    /// A reading that carries the traces of a fault.
    Faulty(Fault),
    /// A pack of what was measured during a gap: SenML with the times of its readings.
    LatePack,
    /// Cut or garbled: nobody can decode it.
    Malformed,
    /// The message before it once more, byte for byte.
    Repeat,
}

impl MessageKind {
    /// Name in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            MessageKind::Reading => "reading",
            MessageKind::Faulty(Fault::WrongClock) => "wrong_clock",
            MessageKind::Faulty(_) => "faulty",
            MessageKind::LatePack => "late_pack",
            MessageKind::Malformed => "malformed",
            MessageKind::Repeat => "repeat",
        }
    }
}

/// One message of one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    /// The gateway that publishes it.
    pub gateway: u32,
    pub device_id: String,
    pub kind: MessageKind,
    /// The times that it claims for its readings, microseconds since 1970-01-01T00:00:00Z, each once.
    pub observed_at_us: Vec<i64>,
}
