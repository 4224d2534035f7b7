//! ChirpStack v4, its events as protobuf: `integration.proto` and `gw.proto` of its API. What the JSON form says is said here.

use std::borrow::Cow;

use model::wire::WireType::{Bytes, Fixed32, Fixed64, Varint};
use model::wire::{Fields, Malformed};
use model::{RawMessage, Reason, Rejection};

use super::chirpstack::{self, EVENTS, Event, Receiver, Topic};
use super::{chirpstack_json, digits, json_fields};
use crate::base64_text;
use crate::dialect::{Certainty, Dialect};
use crate::draft::{DraftReading, DraftValue};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "chirpstack-protobuf",
    version: 1,
    topics: "application/{application_id}/device/{dev_eui}/event/up",
    standard: "ChirpStack v4 integration events, protobuf (integration.proto)",
    certainty: Certainty::Verified,
    recognizes: |message| {
        Topic::parse(message.topic).is_some_and(|topic| !topic.is_v3())
            && !chirpstack_json::is_json(message.payload)
    },
    device: chirpstack::topic_device,
    decode,
};

/// Levels of structures and lists in what a codec decoded.
const DEPTH_MAX: usize = 32;

fn decode(message: &RawMessage<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let topic = Topic::parse(message.topic);
    let (device, name) = topic.map_or(("", "up"), |topic| (topic.device, topic.event));
    if !EVENTS.contains(&name) {
        return Err(chirpstack::unknown_event(name));
    }
    if message.payload.is_empty() {
        return Err(Rejection::new(Reason::EmptyPayload, "the payload is empty"));
    }
    let mut event = Event { readings: sink.readings(), ..Event::default() };
    let mut fields = Fields::new(message.payload);
    event_fields(&mut fields, name, &mut event).map_err(|_| {
        let at = message.payload.len() - fields.rest().len();
        Rejection::new(Reason::MalformedProtobuf, format!("no ChirpStack event {name:?} at byte {at}"))
    })?;
    json_fields::refuse_duplicate(&event.readings)?;
    if name == "up" {
        event.sequence.get_or_insert(0);
    }
    event.finish(message, name, device, sink)
}

fn event_fields<'a>(fields: &mut Fields<'a>, name: &str, event: &mut Event<'a>) -> Result<(), Malformed> {
    // A log event has neither the id of the others nor, therefore, their numbers.
    let first = if name == "log" { 1 } else { 2 };
    while let Some((number, wire)) = fields.next_key()? {
        match (number, wire) {
            (1, Bytes) if !matches!(name, "log" | "txack") => {
                event.deduplication_id = Some(text(fields)?.into())
            }
            (number, Bytes) if number == first => event.time_us = Some(timestamp(fields.bytes()?)?),
            (number, Bytes) if number == first + 1 => event.device = device(fields.bytes()?)?,
            (number, wire) => event_field(fields, name, number, wire, event)?,
        }
    }
    Ok(())
}

/// What stands behind the device in each kind of event.
fn event_field<'a>(
    fields: &mut Fields<'a>,
    name: &str,
    number: u32,
    wire: model::wire::WireType,
    event: &mut Event<'a>,
) -> Result<(), Malformed> {
    match (name, number, wire) {
        ("up", 7, Varint) => event.sequence = i64::try_from(fields.varint()?).ok(),
        ("up", 8, Varint) => event.port = i64::try_from(fields.varint()?).ok(),
        ("up", 10, Bytes) => event.data = Some(base64_text::encode(fields.bytes()?).into()),
        ("up", 11, Bytes) | ("integration", 6, Bytes) => {
            structure(fields.bytes()?, "", 1, &mut event.readings)?
        }
        ("up", 12, Bytes) => event.heard_by(receiver(fields.bytes()?)?),
        ("status", 5, Varint) => {
            event.push("link_margin", DraftValue::Integer(i64::from(fields.varint()? as i32)))
        }
        ("status", 6, Varint) => event.push("external_power", DraftValue::Boolean(fields.varint()? != 0)),
        ("status", 8, Fixed32) => {
            let level = f32::from_bits(fields.fixed32()?);
            event.push("battery_level", DraftValue::Number(digits::shortest(level)));
        }
        ("ack", 4, Bytes) | ("txack", 4, Bytes) => {
            event.push("queue_item_id", DraftValue::Text(text(fields)?.into()))
        }
        ("ack", 5, Varint) => event.push("acknowledged", DraftValue::Boolean(fields.varint()? != 0)),
        ("log", 3, Varint) => {
            let level = match fields.varint()? {
                0 => "INFO",
                1 => "WARNING",
                _ => "ERROR",
            };
            event.push("log_level", DraftValue::Text(level.into()));
        }
        ("log", 4, Varint) => {
            let code = LOG_CODES.get(fields.varint()? as usize).copied().unwrap_or("UNKNOWN");
            event.push("log_code", DraftValue::Text(code.into()));
        }
        ("log", 5, Bytes) => event.push("log_description", DraftValue::Text(text(fields)?.into())),
        ("location", 4, Bytes) => location(fields.bytes()?, event)?,
        ("integration", 5, Bytes) => event.push("event_type", DraftValue::Text(text(fields)?.into())),
        (_, _, wire) => fields.skip(wire)?,
    }
    Ok(())
}

const LOG_CODES: [&str; 9] = [
    "UNKNOWN",
    "DOWNLINK_PAYLOAD_SIZE",
    "UPLINK_CODEC",
    "DOWNLINK_CODEC",
    "OTAA",
    "UPLINK_F_CNT_RESET",
    "UPLINK_MIC",
    "UPLINK_F_CNT_RETRANSMISSION",
    "DOWNLINK_GATEWAY",
];

fn text<'a>(fields: &mut Fields<'a>) -> Result<&'a str, Malformed> {
    std::str::from_utf8(fields.bytes()?).map_err(|_| Malformed)
}

/// `google.protobuf.Timestamp`, microseconds.
fn timestamp(message: &[u8]) -> Result<i64, Malformed> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    let mut fields = Fields::new(message);
    while let Some(key) = fields.next_key()? {
        match key {
            (1, Varint) => seconds = fields.varint()? as i64,
            (2, Varint) => nanos = fields.varint()? as i64,
            (_, wire) => fields.skip(wire)?,
        }
    }
    Ok(seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000))
}

fn device(message: &[u8]) -> Result<Option<Cow<'_, str>>, Malformed> {
    let mut device = None;
    let mut fields = Fields::new(message);
    while let Some(key) = fields.next_key()? {
        match key {
            (8, Bytes) => device = Some(text(&mut fields)?).filter(|eui| !eui.is_empty()),
            (_, wire) => fields.skip(wire)?,
        }
    }
    Ok(device.map(Cow::Borrowed))
}

fn receiver(message: &[u8]) -> Result<Receiver<'_>, Malformed> {
    let mut receiver = Receiver::default();
    let mut fields = Fields::new(message);
    while let Some(key) = fields.next_key()? {
        match key {
            (1, Bytes) => receiver.gateway_id = text(&mut fields)?.into(),
            (3, Bytes) => receiver.time_us = Some(timestamp(fields.bytes()?)?),
            (6, Varint) => receiver.rssi = Some(f64::from(fields.varint()? as i32)),
            (7, Fixed32) => receiver.snr = Some(digits::shortest(f32::from_bits(fields.fixed32()?))),
            (12, Bytes) => receiver.place = Location::parse(fields.bytes()?)?.place(),
            (_, wire) => fields.skip(wire)?,
        }
    }
    Ok(receiver)
}

/// `common.Location`.
#[derive(Default)]
struct Location {
    latitude: f64,
    longitude: f64,
    altitude: f64,
    accuracy: f64,
}

impl Location {
    fn parse(message: &[u8]) -> Result<Self, Malformed> {
        let mut location = Location::default();
        let mut fields = Fields::new(message);
        while let Some(key) = fields.next_key()? {
            match key {
                (1, Fixed64) => location.latitude = f64::from_bits(fields.fixed64()?),
                (2, Fixed64) => location.longitude = f64::from_bits(fields.fixed64()?),
                (3, Fixed64) => location.altitude = f64::from_bits(fields.fixed64()?),
                (5, Fixed32) => location.accuracy = digits::shortest(f32::from_bits(fields.fixed32()?)),
                (_, wire) => fields.skip(wire)?,
            }
        }
        Ok(location)
    }

    /// Nothing where they are no degrees, or both 0: not said.
    fn place(&self) -> Option<(f64, f64)> {
        let Location { latitude, longitude, .. } = *self;
        let is_place =
            latitude.abs() <= 90.0 && longitude.abs() <= 180.0 && (latitude, longitude) != (0.0, 0.0);
        is_place.then_some((latitude, longitude))
    }
}

fn location<'a>(message: &'a [u8], event: &mut Event<'a>) -> Result<(), Malformed> {
    let location = Location::parse(message)?;
    event.place = location.place();
    event.push("altitude", DraftValue::Number(location.altitude));
    event.push("location_accuracy", DraftValue::Number(location.accuracy));
    Ok(())
}

/// `google.protobuf.Struct`: its members are readings under their path.
fn structure<'a>(
    message: &'a [u8],
    path: &str,
    depth: usize,
    out: &mut Vec<DraftReading<'a>>,
) -> Result<(), Malformed> {
    let mut fields = Fields::new(message);
    while let Some(key) = fields.next_key()? {
        match key {
            (1, Bytes) => {
                let (mut name, mut content) = ("", None);
                let mut entry = Fields::new(fields.bytes()?);
                while let Some(key) = entry.next_key()? {
                    match key {
                        (1, Bytes) => name = text(&mut entry)?,
                        (2, Bytes) => content = Some(entry.bytes()?),
                        (_, wire) => entry.skip(wire)?,
                    }
                }
                let path =
                    if path.is_empty() { Cow::Borrowed(name) } else { format!("{path}.{name}").into() };
                value(content.unwrap_or_default(), path, depth, out)?;
            }
            (_, wire) => fields.skip(wire)?,
        }
    }
    Ok(())
}

/// `google.protobuf.Value`.
fn value<'a>(
    message: &'a [u8],
    path: Cow<'a, str>,
    depth: usize,
    out: &mut Vec<DraftReading<'a>>,
) -> Result<(), Malformed> {
    if depth > DEPTH_MAX {
        return Err(Malformed);
    }
    let mut found = DraftValue::None;
    let mut fields = Fields::new(message);
    while let Some(key) = fields.next_key()? {
        match key {
            (1, Varint) => drop(fields.varint()?),
            (2, Fixed64) => found = DraftValue::Number(f64::from_bits(fields.fixed64()?)),
            (3, Bytes) => found = DraftValue::Text(text(&mut fields)?.into()),
            (4, Varint) => found = DraftValue::Boolean(fields.varint()? != 0),
            (5, Bytes) => return structure(fields.bytes()?, &path, depth + 1, out),
            (6, Bytes) => return list(fields.bytes()?, &path, depth + 1, out),
            (_, wire) => fields.skip(wire)?,
        }
    }
    out.push(DraftReading::new(path, found));
    Ok(())
}

fn list<'a>(
    message: &'a [u8],
    path: &str,
    depth: usize,
    out: &mut Vec<DraftReading<'a>>,
) -> Result<(), Malformed> {
    let mut fields = Fields::new(message);
    let mut at = 0;
    while let Some(key) = fields.next_key()? {
        match key {
            (1, Bytes) => {
                value(fields.bytes()?, format!("{path}.{at}").into(), depth, out)?;
                at += 1;
            }
            (_, wire) => fields.skip(wire)?,
        }
    }
    Ok(())
}
