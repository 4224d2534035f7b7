//! ChirpStack v3: <https://www.chirpstack.io/application-server/integrations/events/>. Its applications are counted, EUIs are
//! base64 or hex by its marshaler, and what a codec decoded is a JSON text in `objectJSON`, or `object`.

use std::borrow::Cow;

use model::{RawMessage, Rejection};

use super::chirpstack::{self, Event, Receiver, Topic};
use super::digits;
use super::json_fields::{self, elements, integer, members, number, rfc3339, skip};
use crate::base64_text;
use crate::dialect::{Certainty, Dialect};
use crate::json::{JsonReader, JsonToken};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "chirpstack-v3",
    version: 1,
    topics: "application/{application_number}/device/{dev_eui}/event/up, application/{application_number}/device/{dev_eui}/rx",
    standard: "ChirpStack Application Server v3 integration events, JSON",
    certainty: Certainty::Documented,
    recognizes: |message| Topic::parse(message.topic).is_some_and(|topic| topic.is_v3()),
    device: chirpstack::topic_device,
    decode,
};

/// What one event has said so far.
#[derive(Default)]
struct Parts<'a> {
    event: Event<'a>,
    object_json: Option<Cow<'a, str>>,
}

fn decode(message: &RawMessage<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let topic = Topic::parse(message.topic);
    let (device, name) = topic.map_or(("", "up"), |topic| (topic.device, topic.event));
    let mut reader = json_fields::open_object(message.payload)?;
    let mut parts = Parts::default();
    parts.event.readings = sink.readings();
    members(&mut reader, |reader, key, token| member(reader, &key, token, &mut parts))?;
    reader.end()?;
    let Parts { mut event, object_json } = parts;
    if let Some(text) = object_json.as_deref() {
        let mut object = JsonReader::new(text);
        if object.value()? == JsonToken::Object {
            json_fields::readings(&mut object, None, &mut event.readings)?;
            object.end()?;
        }
    }
    json_fields::refuse_duplicate(&event.readings)?;
    // The topic's EUI is hex, which that of the payload need not be.
    event.finish(message, name, device, sink)
}

fn member<'a>(
    reader: &mut JsonReader<'a>,
    key: &str,
    token: JsonToken<'a>,
    parts: &mut Parts<'a>,
) -> Result<(), Rejection> {
    let event = &mut parts.event;
    match (key, token) {
        ("fCnt", token) => event.sequence = integer(&token),
        ("fPort", token) => event.port = integer(&token),
        ("data", token @ JsonToken::Text(_)) => event.data = json_fields::text(token),
        ("objectJSON", token @ JsonToken::Text(_)) => parts.object_json = json_fields::text(token),
        ("object", JsonToken::Object) => return json_fields::readings(reader, None, &mut event.readings),
        ("publishedAt", token) => event.time_us = rfc3339(&token),
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
        ("location", JsonToken::Object) => {
            event.place = json_fields::place(reader)?;
        }
        ("error", token @ JsonToken::Text(_)) => event.push("log_description", json_fields::scalar(token)),
        ("type", token @ JsonToken::Text(_)) => event.push("log_code", json_fields::scalar(token)),
        (
            "margin" | "externalPowerSource" | "batteryLevel" | "acknowledged",
            token @ (JsonToken::Number(_) | JsonToken::Boolean(_) | JsonToken::Text(_)),
        ) => {
            if let Some(metric) = super::chirpstack_json::metric(key) {
                event.push(metric, json_fields::scalar(token));
            }
        }
        (_, token) => return skip(reader, &token),
    }
    Ok(())
}

/// An EUI in hex, which one of the marshalers writes in base64.
fn hex_eui(eui: Cow<'_, str>) -> Cow<'_, str> {
    match base64_text::decode(eui.as_bytes()) {
        Some(bytes) if bytes.len() == 8 && eui.len() != 16 => digits::hex_text(bytes).into(),
        _ => eui,
    }
}

fn receiver<'a>(reader: &mut JsonReader<'a>) -> Result<Receiver<'a>, Rejection> {
    let mut receiver = Receiver::default();
    members(reader, |reader, key, token| {
        match (&*key, token) {
            ("gatewayID", token @ JsonToken::Text(_)) => {
                receiver.gateway_id = hex_eui(json_fields::text(token).unwrap_or_default())
            }
            ("time", token) => receiver.time_us = rfc3339(&token),
            ("rssi", token) => receiver.rssi = number(&token),
            ("loRaSNR", token) => receiver.snr = number(&token),
            ("location", JsonToken::Object) => receiver.place = json_fields::place(reader)?,
            (_, token) => skip(reader, &token)?,
        }
        Ok(())
    })?;
    Ok(receiver)
}
