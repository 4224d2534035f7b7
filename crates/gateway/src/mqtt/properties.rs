//! The properties of MQTT 5.0: types, which packet may carry them, and that they stand once.

use super::PacketError;
use super::reader::Reader;

/// Property identifiers (MQTT 5.0, table 2-4).
pub(super) mod id {
    pub(crate) const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
    pub(crate) const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
    pub(crate) const CONTENT_TYPE: u8 = 0x03;
    pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
    pub(crate) const CORRELATION_DATA: u8 = 0x09;
    pub(crate) const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
    pub(crate) const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
    pub(crate) const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
    pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
    pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
    pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub(crate) const WILL_DELAY_INTERVAL: u8 = 0x18;
    pub(crate) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub(crate) const RESPONSE_INFORMATION: u8 = 0x1A;
    pub(crate) const SERVER_REFERENCE: u8 = 0x1C;
    pub(crate) const REASON_STRING: u8 = 0x1F;
    pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub(crate) const TOPIC_ALIAS: u8 = 0x23;
    pub(crate) const MAXIMUM_QOS: u8 = 0x24;
    pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
    pub(crate) const USER_PROPERTY: u8 = 0x26;
    pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub(crate) const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
    pub(crate) const SUBSCRIPTION_IDENTIFIER_AVAILABLE: u8 = 0x29;
    pub(crate) const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2A;
}

/// The properties that one kind of packet may carry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed(u64);

impl Allowed {
    pub(super) const fn new(ids: &[u8]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < ids.len() {
            bits |= 1 << ids[at];
            at += 1;
        }
        Allowed(bits)
    }
}

/// A property's value, by its type on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Byte(u8),
    TwoBytes(u16),
    FourBytes(u32),
    Varint(u32),
    Text(&'a str),
    Binary,
    Pair,
}

/// The properties of one packet, in the order in which they stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Properties<'a> {
    reader: Reader<'a>,
    allowed: Allowed,
    seen: u64,
}

impl<'a> Properties<'a> {
    /// Takes the length and the properties off the packet.
    pub(super) fn read(reader: &mut Reader<'a>, allowed: Allowed) -> Result<Self, PacketError> {
        let len = reader.varint()? as usize;
        Ok(Properties { reader: Reader::new(reader.take(len)?), allowed, seen: 0 })
    }

    /// The next property.
    ///
    /// # Errors
    /// Unknown, not this packet's, twice, or not of its type.
    pub(super) fn next(&mut self) -> Result<Option<(u8, Value<'a>)>, PacketError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        // Every identifier of 5.0 is one byte long; a longer varint is unknown in any case.
        let id = u8::try_from(self.reader.varint()?).ok().filter(|id| *id < 64).ok_or(UNKNOWN)?;
        let bit = 1 << id;
        if self.allowed.0 & bit == 0 {
            return Err(UNKNOWN);
        }
        if self.seen & bit != 0 && id != id::USER_PROPERTY {
            return Err(PacketError::protocol("a property stands twice (MQTT 5.0, 2.2.2.2)"));
        }
        self.seen |= bit;
        Ok(Some((id, read_value(&mut self.reader, id)?)))
    }

    /// Reads what is left for its checks alone.
    pub(super) fn check(mut self) -> Result<(), PacketError> {
        while self.next()?.is_some() {}
        Ok(())
    }
}

const UNKNOWN: PacketError =
    PacketError::malformed("a property that is unknown or not of this packet (MQTT 5.0, 2.2.2.2)");

fn read_value<'a>(reader: &mut Reader<'a>, id: u8) -> Result<Value<'a>, PacketError> {
    Ok(match id {
        id::PAYLOAD_FORMAT_INDICATOR | id::REQUEST_PROBLEM_INFORMATION | id::REQUEST_RESPONSE_INFORMATION => {
            match reader.byte()? {
                flag @ 0..=1 => Value::Byte(flag),
                _ => return Err(PacketError::protocol("a property that is 0 or 1 has another value")),
            }
        }
        id::MAXIMUM_QOS
        | id::RETAIN_AVAILABLE
        | id::WILDCARD_SUBSCRIPTION_AVAILABLE
        | id::SUBSCRIPTION_IDENTIFIER_AVAILABLE
        | id::SHARED_SUBSCRIPTION_AVAILABLE => Value::Byte(reader.byte()?),
        id::SERVER_KEEP_ALIVE | id::RECEIVE_MAXIMUM | id::TOPIC_ALIAS_MAXIMUM | id::TOPIC_ALIAS => {
            Value::TwoBytes(reader.two_bytes()?)
        }
        id::MESSAGE_EXPIRY_INTERVAL
        | id::SESSION_EXPIRY_INTERVAL
        | id::WILL_DELAY_INTERVAL
        | id::MAXIMUM_PACKET_SIZE => Value::FourBytes(reader.four_bytes()?),
        id::SUBSCRIPTION_IDENTIFIER => Value::Varint(reader.varint()?),
        id::CONTENT_TYPE
        | id::RESPONSE_TOPIC
        | id::ASSIGNED_CLIENT_IDENTIFIER
        | id::AUTHENTICATION_METHOD
        | id::RESPONSE_INFORMATION
        | id::SERVER_REFERENCE
        | id::REASON_STRING => Value::Text(reader.text()?),
        id::CORRELATION_DATA | id::AUTHENTICATION_DATA => {
            reader.binary()?;
            Value::Binary
        }
        id::USER_PROPERTY => {
            reader.text()?;
            reader.text()?;
            Value::Pair
        }
        _ => return Err(UNKNOWN),
    })
}
