//! What a dialect is, and the table of all of them: adding one is one file and one line here.

use model::{RawMessage, Rejection};

use crate::dialects;
use crate::sink::Sink;

/// How well a dialect is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// Recomputed from the standard's own vectors, or run against a real peer.
    Verified,
    /// As the vendor's documents say.
    Documented,
    /// As seen in messages of the field.
    Captured,
    /// Parts of it are a guess, which the dialect's page names.
    Unverified,
}

impl Certainty {
    pub const fn name(self) -> &'static str {
        match self {
            Certainty::Verified => "verified",
            Certainty::Documented => "documented",
            Certainty::Captured => "captured",
            Certainty::Unverified => "unverified",
        }
    }
}

/// One payload dialect.
pub(crate) struct Dialect {
    /// Stable: it is part of event ids and stands in the envelope.
    pub name: &'static str,
    /// Raised when the same bytes come to mean something else.
    pub version: u32,
    /// The topics or paths that it is known by, for people.
    pub topics: &'static str,
    /// Where it is written down.
    pub standard: &'static str,
    /// How well it is known that this is what is sent.
    pub certainty: Certainty,
    /// Whether a message is of this dialect.
    pub recognizes: fn(&RawMessage<'_>) -> bool,
    /// The device that the topic or path names, if it names one.
    pub device: for<'a> fn(&'a str) -> Option<&'a str>,
    /// Hands every child to the sink.
    pub decode: fn(&RawMessage<'_>, &mut Sink<'_>) -> Result<(), Rejection>,
}

/// All dialects, in the order in which they are tried: the commonest first. No message is of two of them.
pub(crate) const DIALECTS: &[&Dialect] = &[
    &dialects::flat_json::DIALECT,
    &dialects::senml_json::DIALECT,
    &dialects::senml_cbor::DIALECT,
    &dialects::envelope::DIALECT,
    &dialects::status::DIALECT,
    &dialects::chirpstack_json::DIALECT,
    &dialects::chirpstack_protobuf::DIALECT,
    &dialects::chirpstack_v3::DIALECT,
    &dialects::tts::DIALECT,
    &dialects::zigbee2mqtt::DIALECT,
    &dialects::tasmota::DIALECT,
    &dialects::thingsboard::DIALECT,
    &dialects::iotda_device::DIALECT,
    &dialects::alink::DIALECT,
    &dialects::onenet_device::DIALECT,
    &dialects::homie::DIALECT,
    &dialects::sparkplug::DIALECT,
    &dialects::hj212::DIALECT,
    &dialects::gb26875::DIALECT,
    &dialects::sl651::DIALECT,
    &dialects::cjt188::DIALECT,
    &dialects::dlt645::DIALECT,
    &dialects::jt808::DIALECT,
    &dialects::modbus_rtu::DIALECT,
];

/// A dialect by its name.
pub(crate) fn find(name: &str) -> Option<&'static Dialect> {
    DIALECTS.iter().copied().find(|dialect| dialect.name == name)
}

/// The dialect of a message.
pub(crate) fn recognize(message: &RawMessage<'_>) -> Option<&'static Dialect> {
    DIALECTS.iter().copied().find(|dialect| (dialect.recognizes)(message))
}
