//! The MQTT wire format in the server's role: 3.1.1 and 5.0, parsed where it stands in the read buffer.
//!
//! Owns every rule of the standards that can be decided on one packet alone; knows no socket, session or intake.
//! Invariants: no input panics; nothing is allocated for a PUBLISH; each refusal carries the reason code of MQTT 5.0
//! and a text with the number of the clause it breaks.
//!
//! [`frame::split`] cuts a packet off a buffer, [`Connect::parse`] and [`Packet::parse`] read it, [`encode`] writes the
//! server's answers.

pub mod connect;
pub mod encode;
pub mod frame;
pub mod packet;
mod properties;
pub mod publish;
mod reader;
pub mod reason_code;
pub mod subscribe;
pub mod topic;

pub use connect::{Connect, ConnectError, Will};
pub use frame::Frame;
pub use packet::Packet;
pub use publish::Publish;
pub use reason_code::ReasonCode;
pub use subscribe::{Subscribe, SubscriptionRequest, Unsubscribe};

/// The versions spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V311,
    V5,
}

/// Quality of service of a PUBLISH or a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Qos {
    AtMostOnce,
    AtLeastOnce,
    ExactlyOnce,
}

impl Qos {
    /// `None` for 3 and above [MQTT-3.3.1-4].
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Qos::AtMostOnce),
            1 => Some(Qos::AtLeastOnce),
            2 => Some(Qos::ExactlyOnce),
            _ => None,
        }
    }

    pub const fn bits(self) -> u8 {
        self as u8
    }
}

/// A packet that breaks the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct PacketError {
    pub reason: ReasonCode,
    /// What is wrong, with the clause of MQTT 5.0 (3.1.1 has the same rule unless it says otherwise).
    pub what: &'static str,
}

impl PacketError {
    pub(crate) const fn malformed(what: &'static str) -> Self {
        PacketError { reason: ReasonCode::MALFORMED_PACKET, what }
    }

    pub(crate) const fn protocol(what: &'static str) -> Self {
        PacketError { reason: ReasonCode::PROTOCOL_ERROR, what }
    }
}
