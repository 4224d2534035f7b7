//! Every packet that a client may send after its CONNECT.

use super::frame::packet_type;
use super::properties::{Allowed, Properties, Value, id};
use super::reader::Reader;
use super::{Frame, PacketError, Publish, ReasonCode, Subscribe, Unsubscribe, Version};

/// A client's packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet<'a> {
    Publish(Publish<'a>),
    Puback { packet_id: u16 },
    Pubrec { packet_id: u16 },
    Pubrel { packet_id: u16 },
    Pubcomp { packet_id: u16 },
    Subscribe(Subscribe<'a>),
    Unsubscribe(Unsubscribe<'a>),
    Pingreq,
    Disconnect { reason: ReasonCode, session_expiry_seconds: Option<u32> },
}

const ACK: Allowed = Allowed::new(&[id::REASON_STRING, id::USER_PROPERTY]);
const DISCONNECT: Allowed =
    Allowed::new(&[id::SESSION_EXPIRY_INTERVAL, id::REASON_STRING, id::USER_PROPERTY]);

impl<'a> Packet<'a> {
    /// Reads one packet of a client that is connected.
    ///
    /// # Errors
    /// What the standard forbids in it, a second CONNECT, AUTH (no authentication method is agreed on), and packets that
    /// only a server sends.
    #[inline]
    pub fn parse(version: Version, frame: Frame<'a>) -> Result<Self, PacketError> {
        if frame.packet_type() == packet_type::PUBLISH {
            return Ok(Packet::Publish(Publish::parse(version, frame)?));
        }
        Self::parse_other(version, frame)
    }

    fn parse_other(version: Version, frame: Frame<'a>) -> Result<Self, PacketError> {
        let kind = frame.packet_type();
        let flags = match kind {
            packet_type::PUBREL | packet_type::SUBSCRIBE | packet_type::UNSUBSCRIBE => 2,
            _ => 0,
        };
        if frame.flags() != flags {
            return Err(PacketError::malformed(
                "reserved flags of the fixed header are not as they must be [MQTT-2.1.3-1]",
            ));
        }
        let body = frame.body;
        Ok(match kind {
            packet_type::PUBACK => {
                Packet::Puback { packet_id: read_ack(version, body, ReasonCode::is_publish_answer)? }
            }
            packet_type::PUBREC => {
                Packet::Pubrec { packet_id: read_ack(version, body, ReasonCode::is_publish_answer)? }
            }
            packet_type::PUBREL => {
                Packet::Pubrel { packet_id: read_ack(version, body, ReasonCode::is_release)? }
            }
            packet_type::PUBCOMP => {
                Packet::Pubcomp { packet_id: read_ack(version, body, ReasonCode::is_release)? }
            }
            packet_type::SUBSCRIBE => Packet::Subscribe(Subscribe::parse(version, body)?),
            packet_type::UNSUBSCRIBE => Packet::Unsubscribe(Unsubscribe::parse(version, body)?),
            packet_type::PINGREQ => {
                Reader::new(body).end()?;
                Packet::Pingreq
            }
            packet_type::DISCONNECT => read_disconnect(version, body)?,
            packet_type::CONNECT => return Err(PacketError::protocol("a second CONNECT [MQTT-3.1.0-2]")),
            packet_type::AUTH if version == Version::V5 => {
                return Err(PacketError::protocol("AUTH without an authentication method [MQTT-4.12.0-6]"));
            }
            0 | packet_type::AUTH => {
                return Err(PacketError::malformed("a forbidden packet type (MQTT, 2.1.2)"));
            }
            _ => return Err(PacketError::protocol("a packet that only a server sends (MQTT, 2.1.2)")),
        })
    }
}

fn read_ack(version: Version, body: &[u8], is_allowed: fn(ReasonCode) -> bool) -> Result<u16, PacketError> {
    let mut reader = Reader::new(body);
    let packet_id = reader.packet_id()?;
    // 5.0: success and no properties may be left out, from the back.
    if version == Version::V5 && !reader.is_empty() {
        if !is_allowed(ReasonCode(reader.byte()?)) {
            return Err(PacketError::malformed(
                "a reason code that this packet does not have (MQTT 5.0, 2.4)",
            ));
        }
        if !reader.is_empty() {
            Properties::read(&mut reader, ACK)?.check()?;
        }
    }
    reader.end()?;
    Ok(packet_id)
}

fn read_disconnect(version: Version, body: &[u8]) -> Result<Packet<'_>, PacketError> {
    let mut reader = Reader::new(body);
    let (mut reason, mut session_expiry_seconds) = (ReasonCode::SUCCESS, None);
    if version == Version::V5 && !reader.is_empty() {
        reason = ReasonCode(reader.byte()?);
        if !reason.is_clients_disconnect() {
            return Err(PacketError::malformed(
                "a reason code that a client's DISCONNECT does not have [MQTT-3.14.2-1]",
            ));
        }
        if !reader.is_empty() {
            let mut properties = Properties::read(&mut reader, DISCONNECT)?;
            while let Some(property) = properties.next()? {
                if let (id::SESSION_EXPIRY_INTERVAL, Value::FourBytes(seconds)) = property {
                    session_expiry_seconds = Some(seconds);
                }
            }
        }
    }
    reader.end()?;
    Ok(Packet::Disconnect { reason, session_expiry_seconds })
}
