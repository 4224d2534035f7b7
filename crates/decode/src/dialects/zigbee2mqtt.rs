//! Zigbee2MQTT: <https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html>. One flat object a device, without a time
//! unless `last_seen` is on; old versions send numbers as texts.

use std::borrow::Cow;

use model::event_id::Identity;
use model::proto::{Kind, TimeSource};
use model::{RawMessage, Reason, Rejection};

use super::json_fields::{self, members, skip};
use crate::dialect::{Certainty, Dialect};
use crate::draft::{Draft, DraftReading, DraftTime, DraftValue};
use crate::json::{JsonReader, JsonToken};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "zigbee2mqtt",
    version: 1,
    topics: "zigbee2mqtt/{friendly_name}, zigbee2mqtt/{friendly_name}/availability, zigbee2mqtt/bridge/state",
    standard: "Zigbee2MQTT, MQTT topics and messages",
    certainty: Certainty::Documented,
    recognizes: |message| name(message.topic).is_some(),
    device: name,
    decode,
};

/// The friendly name, which may have slashes; what is said of the bridge itself is of no device, but for its state.
fn name(topic: &str) -> Option<&str> {
    let rest = topic.strip_prefix("zigbee2mqtt/")?;
    if rest == "bridge/state" {
        return Some("bridge");
    }
    let is_command = ["/set", "/get"].iter().any(|end| rest.ends_with(end)) || rest.contains("/set/");
    let name = rest.strip_suffix("/availability").unwrap_or(rest);
    (!rest.starts_with("bridge/") && !is_command && !name.is_empty()).then_some(name)
}

/// What a member means where its name or unit is not the catalog's: sent, metric, unit.
const MEANINGS: &[(&str, &str, &str)] = &[
    ("pressure", "barometric_pressure", "hPa"),
    ("illuminance_lux", "illuminance", "lx"),
    ("voltage", "voltage", "V"),
    ("occupancy", "motion", ""),
    ("contact", "contact", ""),
];

fn decode(message: &RawMessage<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let name = device_id(name(message.topic).unwrap_or_default());
    if message.topic.ends_with("/availability") || message.topic == "zigbee2mqtt/bridge/state" {
        return availability(message, name, sink);
    }
    let mut reader = json_fields::open_object(message.payload)?;
    let mut readings = sink.readings();
    let mut time = None;
    members(&mut reader, |reader, key, token| match &*key {
        "last_seen" => {
            time = json_fields::milliseconds(&token);
            skip(reader, &token)
        }
        // What the device is and could be updated to is no measurement.
        "device" | "update" | "update_available" => skip(reader, &token),
        _ => json_fields::reading(reader, key, token, None, &mut readings),
    })?;
    reader.end()?;
    json_fields::refuse_duplicate(&readings)?;
    give_meaning(&mut readings);
    let mut draft = Draft::new(name, readings);
    if let Some(at_us) = time {
        draft.time = Some(DraftTime { at_us, source: TimeSource::Gateway });
        draft.identity = Identity::Content(message.payload);
    }
    sink.accept(message, draft)
}

fn give_meaning(readings: &mut [DraftReading<'_>]) {
    // A device on a battery tells its voltage in millivolts, a plug in volts.
    let is_on_battery = readings.iter().any(|reading| reading.metric == "battery");
    for reading in readings {
        if let Some((_, metric, unit)) = MEANINGS.iter().find(|(sent, _, _)| *sent == reading.metric) {
            (reading.metric, reading.unit) = ((*metric).into(), (*unit).into());
            if *metric == "voltage" && is_on_battery {
                (reading.metric, reading.unit) = ("battery_voltage".into(), "mV".into());
            }
        }
    }
}

/// A slash parts levels of a topic and cannot stand in a device id.
pub(super) fn device_id(name: &str) -> Cow<'_, str> {
    if name.contains('/') { Cow::Owned(name.replace('/', ":")) } else { Cow::Borrowed(name) }
}

/// `{"state": "online"}`, or the bare word of old versions.
fn availability(message: &RawMessage<'_>, name: Cow<'_, str>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let mut state = None;
    match message.payload.trim_ascii() {
        payload if payload.starts_with(b"{") => {
            let mut reader = json_fields::open_object(payload)?;
            members(&mut reader, |reader: &mut JsonReader<'_>, key, token: JsonToken<'_>| {
                skip(reader, &token)?;
                if key == "state" {
                    state = json_fields::text(token);
                }
                Ok(())
            })?;
            reader.end()?;
        }
        word => state = std::str::from_utf8(word).ok().map(Cow::Borrowed),
    }
    status(message, name, state.as_deref(), sink)
}

/// A status by the words of MQTT devices for it.
pub(super) fn status(
    message: &RawMessage<'_>,
    name: Cow<'_, str>,
    word: Option<&str>,
    sink: &mut Sink<'_>,
) -> Result<(), Rejection> {
    let status = ["online", "offline"]
        .into_iter()
        .find(|status| word.is_some_and(|word| word.eq_ignore_ascii_case(status)));
    let Some(status) = status else {
        let found: String = word.unwrap_or_default().chars().take(40).collect();
        let what = format!("status: online or offline is wanted, found {found:?}");
        return Err(Rejection::new(Reason::InvalidValue, what));
    };
    let mut readings = sink.readings();
    readings.push(DraftReading::new("status", DraftValue::Text(status.into())));
    let mut draft = Draft::new(name, readings);
    draft.kind = Kind::Status;
    sink.accept(message, draft)
}
