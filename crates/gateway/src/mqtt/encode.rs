//! What the server says.

use super::frame::packet_type;
use super::properties::id;
use super::{Qos, ReasonCode, Version};

/// Appends a variable byte integer; `value` is below 2^28.
pub fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    // A longer text cannot be said on the wire; the server's own are bounded far below.
    let bytes = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn put_packet(out: &mut Vec<u8>, first: u8, body: &[u8]) {
    out.push(first);
    put_varint(out, body.len() as u32);
    out.extend_from_slice(body);
}

/// PUBACK, PUBREC or PUBCOMP that says success: the same four bytes in both versions.
#[inline]
pub const fn ack(kind: u8, packet_id: u16) -> [u8; 4] {
    let [high, low] = packet_id.to_be_bytes();
    [kind << 4, 2, high, low]
}

/// PUBACK or PUBREC of 5.0 that refuses.
pub const fn refusal(kind: u8, packet_id: u16, reason: ReasonCode) -> [u8; 5] {
    let [high, low] = packet_id.to_be_bytes();
    [kind << 4, 3, high, low, reason.0]
}

/// PUBCOMP for a packet id that is not known: 5.0 says so, 3.1.1 cannot.
pub fn put_pubcomp_not_found(out: &mut Vec<u8>, version: Version, packet_id: u16) {
    match version {
        Version::V311 => out.extend_from_slice(&ack(packet_type::PUBCOMP, packet_id)),
        Version::V5 => {
            let [high, low] = packet_id.to_be_bytes();
            let reason = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND.0;
            put_packet(out, packet_type::PUBCOMP << 4, &[high, low, reason]);
        }
    }
}

pub fn put_pingresp(out: &mut Vec<u8>) {
    out.extend_from_slice(&[packet_type::PINGRESP << 4, 0]);
}

/// What a CONNACK of 5.0 says beside the reason. `None` is left out.
#[derive(Clone, Debug, Default)]
pub struct ConnackProperties<'a> {
    pub session_expiry_seconds: Option<u32>,
    pub receive_maximum: Option<u16>,
    pub packet_bytes_max: Option<u32>,
    pub assigned_client_id: Option<&'a str>,
    pub topic_alias_maximum: u16,
    pub server_keep_alive_seconds: Option<u16>,
}

/// CONNACK that accepts.
pub fn put_connack(
    out: &mut Vec<u8>,
    version: Version,
    is_session_present: bool,
    said: &ConnackProperties<'_>,
) {
    let mut body = vec![u8::from(is_session_present), ReasonCode::SUCCESS.0];
    if version == Version::V5 {
        let mut properties = Vec::new();
        if let Some(seconds) = said.session_expiry_seconds {
            properties.push(id::SESSION_EXPIRY_INTERVAL);
            properties.extend_from_slice(&seconds.to_be_bytes());
        }
        if let Some(maximum) = said.receive_maximum {
            properties.push(id::RECEIVE_MAXIMUM);
            properties.extend_from_slice(&maximum.to_be_bytes());
        }
        if let Some(bytes) = said.packet_bytes_max {
            properties.push(id::MAXIMUM_PACKET_SIZE);
            properties.extend_from_slice(&bytes.to_be_bytes());
        }
        if let Some(client_id) = said.assigned_client_id {
            properties.push(id::ASSIGNED_CLIENT_IDENTIFIER);
            put_text(&mut properties, client_id);
        }
        if said.topic_alias_maximum > 0 {
            properties.push(id::TOPIC_ALIAS_MAXIMUM);
            properties.extend_from_slice(&said.topic_alias_maximum.to_be_bytes());
        }
        properties.extend_from_slice(&[id::SHARED_SUBSCRIPTION_AVAILABLE, 0]);
        if let Some(seconds) = said.server_keep_alive_seconds {
            properties.push(id::SERVER_KEEP_ALIVE);
            properties.extend_from_slice(&seconds.to_be_bytes());
        }
        put_varint(&mut body, properties.len() as u32);
        body.extend_from_slice(&properties);
    }
    put_packet(out, packet_type::CONNACK << 4, &body);
}

/// CONNACK that refuses; nothing where 3.1.1 has no return code for it.
pub fn put_connack_refusal(out: &mut Vec<u8>, version: Version, reason: ReasonCode, what: &str) {
    match version {
        Version::V311 => {
            if let Some(code) = reason.return_code_v311() {
                put_packet(out, packet_type::CONNACK << 4, &[0, code]);
            }
        }
        Version::V5 => {
            let mut body = vec![0, reason.0];
            put_reason_string(&mut body, what);
            put_packet(out, packet_type::CONNACK << 4, &body);
        }
    }
}

/// DISCONNECT of 5.0; 3.1.1 has none from a server. The text is left out where the packet would be over
/// `packet_bytes_max` [MQTT-3.14.2-3].
pub fn put_disconnect(out: &mut Vec<u8>, reason: ReasonCode, what: &str, packet_bytes_max: u32) {
    let mut body = vec![reason.0];
    put_reason_string(&mut body, what);
    if body.len() + 3 > packet_bytes_max as usize {
        // Some clients (rumqttc) do not take a DISCONNECT without its property length.
        body.truncate(1);
        body.push(0);
    }
    put_packet(out, packet_type::DISCONNECT << 4, &body);
}

fn put_reason_string(body: &mut Vec<u8>, what: &str) {
    if what.is_empty() {
        body.push(0);
        return;
    }
    put_varint(body, what.len() as u32 + 3);
    body.push(id::REASON_STRING);
    put_text(body, what);
}

/// SUBACK, one code a filter. What 3.1.1 knows no code for is 0x80.
pub fn put_suback(out: &mut Vec<u8>, version: Version, packet_id: u16, codes: &[ReasonCode]) {
    let mut body = packet_id.to_be_bytes().to_vec();
    match version {
        Version::V311 => body.extend(codes.iter().map(|code| code.0.min(ReasonCode::UNSPECIFIED_ERROR.0))),
        Version::V5 => {
            body.push(0);
            body.extend(codes.iter().map(|code| code.0));
        }
    }
    put_packet(out, packet_type::SUBACK << 4, &body);
}

/// UNSUBACK; 3.1.1 has no codes.
pub fn put_unsuback(out: &mut Vec<u8>, version: Version, packet_id: u16, codes: &[ReasonCode]) {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
        body.extend(codes.iter().map(|code| code.0));
    }
    put_packet(out, packet_type::UNSUBACK << 4, &body);
}

/// A delivery to a subscriber.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub qos: Qos,
    pub is_retain: bool,
    /// Not written at QoS 0.
    pub packet_id: u16,
    pub subscription_identifiers: &'a [u32],
    pub user_properties: &'a [(String, String)],
}

/// Appends a PUBLISH, unless it would be over `packet_bytes_max`: then nothing is sent and the client is none the wiser,
/// as the standard has it [MQTT-3.1.2-25].
pub fn put_publish(out: &mut Vec<u8>, version: Version, said: &Outgoing<'_>, packet_bytes_max: u32) -> bool {
    let mut header = Vec::with_capacity(said.topic.len() + 64);
    put_text(&mut header, said.topic);
    if said.qos != Qos::AtMostOnce {
        header.extend_from_slice(&said.packet_id.to_be_bytes());
    }
    if version == Version::V5 {
        let mut properties = Vec::new();
        for identifier in said.subscription_identifiers {
            properties.push(id::SUBSCRIPTION_IDENTIFIER);
            put_varint(&mut properties, *identifier);
        }
        for (name, value) in said.user_properties {
            properties.push(id::USER_PROPERTY);
            put_text(&mut properties, name);
            put_text(&mut properties, value);
        }
        put_varint(&mut header, properties.len() as u32);
        header.extend_from_slice(&properties);
    }
    let remaining = header.len() + said.payload.len();
    // At most five bytes of fixed header stand before it.
    if remaining + 5 > packet_bytes_max as usize {
        return false;
    }
    out.push(packet_type::PUBLISH << 4 | said.qos.bits() << 1 | u8::from(said.is_retain));
    put_varint(out, remaining as u32);
    out.extend_from_slice(&header);
    out.extend_from_slice(said.payload);
    true
}
