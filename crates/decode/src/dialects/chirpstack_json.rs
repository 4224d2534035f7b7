//! ChirpStack v4, its events as protobuf JSON: <https://www.chirpstack.io/docs/chirpstack/integrations/events.html>.
//!
//! Protobuf JSON leaves out what is zero, false or empty, so that a missing `fCnt` is 0. Numbers may come as texts.

use model::{RawMessage, Rejection};

use super::chirpstack::{self, EVENTS, Event, Receiver, Topic};
use super::json_fields::{self, elements, integer, members, number, rfc3339, skip};
use crate::dialect::{Certainty, Dialect};
use crate::draft::DraftValue;
use crate::json::{JsonReader, JsonToken};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "chirpstack-json",
    version: 1,
    topics: "application/{application_id}/device/{dev_eui}/event/up",
    standard: "ChirpStack v4 integration events, protobuf JSON",
    certainty: Certainty::Verified,
    recognizes: |message| {
        Topic::parse(message.topic).is_some_and(|topic| !topic.is_v3()) && is_json(message.payload)
    },
    device: chirpstack::topic_device,
    decode,
};

/// A protobuf event begins with a field's key, and a brace is none.
pub(super) fn is_json(payload: &[u8]) -> bool {
    matches!(payload.trim_ascii_start().first(), None | Some(b'{')) || payload.starts_with(b"\xef\xbb\xbf")
}

fn decode(message: &RawMessage<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let topic = Topic::parse(message.topic);
    let (device, name) = topic.map_or(("", "up"), |topic| (topic.device, topic.event));
    if !EVENTS.contains(&name) {
        return Err(chirpstack::unknown_event(name));
    }
    let mut reader = json_fields::open_object(message.payload)?;
    let mut event = Event { readings: sink.readings(), ..Event::default() };
    members(&mut reader, |reader, key, token| member(reader, &key, token, &mut event))?;
    reader.end()?;
    json_fields::refuse_duplicate(&event.readings)?;
    if name == "up" {
        event.sequence.get_or_insert(0);
    }
    event.finish(message, name, device, sink)
}

fn member<'a>(
    reader: &mut JsonReader<'a>,
    key: &str,
    token: JsonToken<'a>,
    event: &mut Event<'a>,
) -> Result<(), Rejection> {
    match (key, token) {
        ("deduplicationId", token @ JsonToken::Text(_)) => event.deduplication_id = json_fields::text(token),
        ("time", token @ JsonToken::Text(_)) => event.time_us = rfc3339(&token),
        ("deviceInfo", JsonToken::Object) => {
            return members(reader, |reader, key, token| {
                skip(reader, &token)?;
                if key == "devEui" {
                    event.device = json_fields::text(token);
                }
                Ok(())
            });
        }
        ("fCnt", token) => event.sequence = integer(&token),
        ("fPort", token) => event.port = integer(&token),
        ("data", token @ JsonToken::Text(_)) => event.data = json_fields::text(token),
        ("object", JsonToken::Object) => return json_fields::readings(reader, None, &mut event.readings),
        ("rxInfo", JsonToken::Array) => {
            return elements(reader, |reader, token| match token {
                JsonToken::Object => {
                    let receiver = receiver(reader)?;
                    event.heard_by(receiver);
                    Ok(())
                }
                other => skip(reader, &other),
            });
        }
        ("location", JsonToken::Object) => return location(reader, event),
        (key, token @ (JsonToken::Number(_) | JsonToken::Text(_) | JsonToken::Boolean(_))) => {
            if let Some(metric) = metric(key) {
                event.push(metric, json_fields::scalar(token));
            }
        }
        (_, token) => return skip(reader, &token),
    }
    Ok(())
}

/// What `status`, `ack`, `txack`, `log` and `integration` say.
pub(super) fn metric(member: &str) -> Option<&'static str> {
    Some(match member {
        "margin" => "link_margin",
        "externalPowerSource" => "external_power",
        "batteryLevel" => "battery_level",
        "acknowledged" => "acknowledged",
        "queueItemId" => "queue_item_id",
        "level" => "log_level",
        "code" => "log_code",
        "description" => "log_description",
        "eventType" => "event_type",
        _ => return None,
    })
}

fn receiver<'a>(reader: &mut JsonReader<'a>) -> Result<Receiver<'a>, Rejection> {
    let mut receiver = Receiver::default();
    members(reader, |reader, key, token| {
        match (&*key, token) {
            ("gatewayId", token @ JsonToken::Text(_)) => {
                receiver.gateway_id = json_fields::text(token).unwrap_or_default()
            }
            ("gwTime", token) => receiver.time_us = rfc3339(&token),
            ("rssi", token) => receiver.rssi = number(&token),
            ("snr", token) => receiver.snr = number(&token),
            ("location", JsonToken::Object) => receiver.place = json_fields::place(reader)?,
            (_, token) => skip(reader, &token)?,
        }
        Ok(())
    })?;
    Ok(receiver)
}

/// Where the network found the device: altitude and accuracy are readings.
fn location<'a>(reader: &mut JsonReader<'a>, event: &mut Event<'a>) -> Result<(), Rejection> {
    let (mut latitude, mut longitude) = (None, None);
    let (mut altitude, mut accuracy) = (0.0, 0.0);
    members(reader, |reader, key, token| {
        match &*key {
            "latitude" => latitude = number(&token).filter(|degrees| degrees.abs() <= 90.0),
            "longitude" => longitude = number(&token).filter(|degrees| degrees.abs() <= 180.0),
            "altitude" => altitude = number(&token).unwrap_or_default(),
            "accuracy" => accuracy = number(&token).unwrap_or_default(),
            _ => {}
        }
        skip(reader, &token)
    })?;
    event.place = latitude.zip(longitude);
    event.push("altitude", DraftValue::Number(altitude));
    event.push("location_accuracy", DraftValue::Number(accuracy));
    Ok(())
}
