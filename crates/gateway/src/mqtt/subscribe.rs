//! SUBSCRIBE and UNSUBSCRIBE.

use super::properties::{Allowed, Properties, Value, id};
use super::reader::Reader;
use super::{PacketError, Qos, Version};

/// One SUBSCRIBE, checked; its filters are read by [`Subscribe::requests`].
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe<'a> {
    pub packet_id: u16,
    /// 5.0 only.
    pub subscription_identifier: Option<u32>,
    pub requests: Vec<SubscriptionRequest<'a>>,
}

/// One filter of a SUBSCRIBE. Whether it is valid and allowed is answered filter by filter in the SUBACK.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SubscriptionRequest<'a> {
    pub filter: &'a str,
    pub qos: Qos,
    pub is_no_local: bool,
    pub is_retain_as_published: bool,
    /// 0: retained messages are sent, 1: only for a new subscription, 2: not.
    pub retain_handling: u8,
}

/// One UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsubscribe<'a> {
    pub packet_id: u16,
    pub filters: Vec<&'a str>,
}

const SUBSCRIBE: Allowed = Allowed::new(&[id::SUBSCRIPTION_IDENTIFIER, id::USER_PROPERTY]);
const UNSUBSCRIBE: Allowed = Allowed::new(&[id::USER_PROPERTY]);

impl<'a> Subscribe<'a> {
    pub(super) fn parse(version: Version, body: &'a [u8]) -> Result<Self, PacketError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let mut subscription_identifier = None;
        if version == Version::V5 {
            let mut properties = Properties::read(&mut reader, SUBSCRIBE)?;
            while let Some((id, value)) = properties.next()? {
                match (id, value) {
                    (id::SUBSCRIPTION_IDENTIFIER, Value::Varint(0)) => {
                        return Err(PacketError::protocol(
                            "a subscription identifier is 0 (MQTT 5.0, 3.8.2.1.2)",
                        ));
                    }
                    (id::SUBSCRIPTION_IDENTIFIER, Value::Varint(found)) => {
                        subscription_identifier = Some(found)
                    }
                    _ => {}
                }
            }
        }
        let mut requests = Vec::new();
        while !reader.is_empty() {
            requests.push(SubscriptionRequest::read(version, &mut reader)?);
        }
        if requests.is_empty() {
            return Err(PacketError::protocol("a SUBSCRIBE has no topic filter [MQTT-3.8.3-2]"));
        }
        Ok(Subscribe { packet_id, subscription_identifier, requests })
    }
}

impl<'a> SubscriptionRequest<'a> {
    fn read(version: Version, reader: &mut Reader<'a>) -> Result<Self, PacketError> {
        let filter = reader.text()?;
        let options = reader.byte()?;
        let reserved = if version == Version::V5 { 0xc0 } else { 0xfc };
        if options & reserved != 0 {
            return Err(PacketError::malformed("reserved subscription options are set [MQTT-3.8.3-5]"));
        }
        let qos = Qos::from_bits(options & 3)
            .ok_or(PacketError::malformed("a subscription asks for QoS 3 (MQTT 5.0, 3.8.3.1)"))?;
        let retain_handling = options >> 4 & 3;
        if retain_handling == 3 {
            return Err(PacketError::protocol("the retain handling is 3 (MQTT 5.0, 3.8.3.1)"));
        }
        let is_no_local = options & 4 != 0;
        if is_no_local && filter.starts_with("$share/") {
            return Err(PacketError::protocol("no local on a shared subscription [MQTT-3.8.3-4]"));
        }
        let is_retain_as_published = options & 8 != 0;
        Ok(SubscriptionRequest { filter, qos, is_no_local, is_retain_as_published, retain_handling })
    }
}

impl<'a> Unsubscribe<'a> {
    pub(super) fn parse(version: Version, body: &'a [u8]) -> Result<Self, PacketError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        if version == Version::V5 {
            Properties::read(&mut reader, UNSUBSCRIBE)?.check()?;
        }
        let mut filters = Vec::new();
        while !reader.is_empty() {
            filters.push(reader.text()?);
        }
        if filters.is_empty() {
            return Err(PacketError::protocol("an UNSUBSCRIBE has no topic filter [MQTT-3.10.3-2]"));
        }
        Ok(Unsubscribe { packet_id, filters })
    }
}
