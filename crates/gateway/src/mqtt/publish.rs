//! PUBLISH as clients send it: the hot path.

use super::properties::{Allowed, Properties, Value, id};
use super::reader::Reader;
use super::{Frame, PacketError, Qos, ReasonCode, Version, topic};

/// One PUBLISH, borrowed from the read buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Publish<'a> {
    pub qos: Qos,
    pub is_dup: bool,
    pub is_retain: bool,
    /// Empty only where a topic alias stands for it.
    pub topic: &'a str,
    /// 0 at QoS 0.
    pub packet_id: u16,
    pub topic_alias: Option<u16>,
    /// Empty when not said.
    pub content_type: &'a str,
    pub payload: &'a [u8],
}

const ALLOWED: Allowed = Allowed::new(&[
    id::PAYLOAD_FORMAT_INDICATOR,
    id::MESSAGE_EXPIRY_INTERVAL,
    id::CONTENT_TYPE,
    id::RESPONSE_TOPIC,
    id::CORRELATION_DATA,
    id::TOPIC_ALIAS,
    id::USER_PROPERTY,
    id::SUBSCRIPTION_IDENTIFIER,
]);

impl<'a> Publish<'a> {
    /// Reads a PUBLISH from its frame.
    ///
    /// # Errors
    /// What the standard forbids in it.
    #[inline]
    pub fn parse(version: Version, frame: Frame<'a>) -> Result<Self, PacketError> {
        let qos = Qos::from_bits(frame.flags() >> 1 & 3)
            .ok_or(PacketError::malformed("a PUBLISH has QoS 3 [MQTT-3.3.1-4]"))?;
        let is_dup = frame.flags() & 8 != 0;
        if is_dup && qos == Qos::AtMostOnce {
            return Err(PacketError::malformed("a PUBLISH of QoS 0 has the DUP flag [MQTT-3.3.1-2]"));
        }
        let mut reader = Reader::new(frame.body);
        let topic = reader.text()?;
        let packet_id = if qos == Qos::AtMostOnce { 0 } else { reader.packet_id()? };
        let mut publish = Publish {
            qos,
            is_dup,
            is_retain: frame.flags() & 1 != 0,
            topic,
            packet_id,
            topic_alias: None,
            content_type: "",
            payload: &[],
        };
        if version == Version::V5 {
            publish.read_properties(&mut reader)?;
        }
        publish.payload = reader.rest();
        publish.check_topic()?;
        Ok(publish)
    }

    fn read_properties(&mut self, reader: &mut Reader<'a>) -> Result<(), PacketError> {
        let mut properties = Properties::read(reader, ALLOWED)?;
        while let Some(property) = properties.next()? {
            match property {
                (id::TOPIC_ALIAS, Value::TwoBytes(0)) => {
                    return Err(PacketError {
                        reason: ReasonCode::TOPIC_ALIAS_INVALID,
                        what: "a topic alias is 0 [MQTT-3.3.2-8]",
                    });
                }
                (id::TOPIC_ALIAS, Value::TwoBytes(alias)) => self.topic_alias = Some(alias),
                (id::CONTENT_TYPE, Value::Text(content_type)) => self.content_type = content_type,
                (id::RESPONSE_TOPIC, Value::Text(response)) if !topic::is_valid_name(response) => {
                    return Err(PacketError::protocol("the response topic is no topic name [MQTT-3.3.2-14]"));
                }
                (id::SUBSCRIPTION_IDENTIFIER, _) => {
                    return Err(PacketError::protocol(
                        "a client's PUBLISH has a subscription identifier [MQTT-3.3.4-6]",
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_topic(&self) -> Result<(), PacketError> {
        let is_aliased = self.topic.is_empty() && self.topic_alias.is_some();
        if is_aliased || topic::is_valid_name(self.topic) {
            return Ok(());
        }
        if self.topic.is_empty() {
            return Err(PacketError::protocol(
                "a PUBLISH has neither topic nor topic alias (MQTT 5.0, 3.3.2.1)",
            ));
        }
        Err(PacketError {
            reason: ReasonCode::TOPIC_NAME_INVALID,
            what: "a topic name contains a wildcard [MQTT-3.3.2-2]",
        })
    }
}
