//! The Things Stack v3: <https://www.thethingsindustries.com/docs/integrations/data-formats/>. What is empty, 0 or false is
//! left out.

use std::borrow::Cow;

use model::event_id::Identity;
use model::proto::{Kind, LocationOrigin, TimeSource};
use model::{RawMessage, Reason, Rejection};

use super::json_fields::{self, elements, integer, members, number, rfc3339, skip};
use crate::dialect::{Certainty, Dialect};
use crate::draft::{Draft, DraftReading, DraftTime, DraftValue, push_unless_said};
use crate::json::{JsonReader, JsonToken};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "tts",
    version: 1,
    topics: "v3/{application_id}@{tenant_id}/devices/{device_id}/up, v3/{application_id}@{tenant_id}/devices/{device_id}/join, \
             v3/{application_id}@{tenant_id}/devices/{device_id}/location/solved",
    standard: "The Things Stack v3 data formats",
    certainty: Certainty::Documented,
    recognizes: |message| topic(message.topic).is_some(),
    device: |name| topic(name).map(|(device, _)| device),
    decode,
};

/// The device and the rest of `v3/{application}/devices/{device}/{event}`.
fn topic(topic: &str) -> Option<(&str, &str)> {
    let (application, rest) = topic.strip_prefix("v3/")?.split_once("/devices/")?;
    let (device, event) = rest.split_once('/')?;
    let is_known =
        matches!(event, "up" | "join" | "location/solved" | "service/data") || event.starts_with("down/");
    (!application.contains('/') && is_known).then_some((device, event))
}

/// What one message has said so far.
#[derive(Default)]
struct Parts<'a> {
    device: Option<Cow<'a, str>>,
    dev_eui: Option<Cow<'a, str>>,
    session_key_id: Option<Cow<'a, str>>,
    sequence: Option<i64>,
    port: Option<i64>,
    data: Option<Cow<'a, str>>,
    received_us: Option<i64>,
    is_simulated: bool,
    receiver: Receiver<'a>,
    place: Option<(f64, f64)>,
    battery: Option<DraftValue<'a>>,
    readings: Vec<DraftReading<'a>>,
    normalized: Vec<DraftReading<'a>>,
}

/// The gateway that heard the device best.
#[derive(Default)]
struct Receiver<'a> {
    gateway_id: Cow<'a, str>,
    rssi: Option<f64>,
    snr: Option<f64>,
    time_us: Option<i64>,
    place: Option<(f64, f64)>,
}

fn decode(message: &RawMessage<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let (device, event) = topic(message.topic).unwrap_or(("", "up"));
    let mut reader = json_fields::open_object(message.payload)?;
    let mut parts = Parts { readings: sink.readings(), ..Parts::default() };
    members(&mut reader, |reader, key, token| member(reader, &key, token, &mut parts))?;
    reader.end()?;
    if event == "join" {
        parts.readings.push(DraftReading::new("status", DraftValue::Text("online".into())));
    } else if let Some(event) = event.strip_prefix("down/") {
        parts.readings.push(DraftReading::new("downlink", DraftValue::Text(event.into())));
    }
    parts.finish(message, device, event, sink)
}

fn member<'a>(
    reader: &mut JsonReader<'a>,
    key: &str,
    token: JsonToken<'a>,
    parts: &mut Parts<'a>,
) -> Result<(), Rejection> {
    match (key, token) {
        ("end_device_ids", JsonToken::Object) => members(reader, |reader, key, token| {
            skip(reader, &token)?;
            match &*key {
                "device_id" => parts.device = json_fields::text(token),
                "dev_eui" => parts.dev_eui = json_fields::text(token),
                _ => {}
            }
            Ok(())
        }),
        ("uplink_message", JsonToken::Object) => {
            members(reader, |reader, key, token| uplink(reader, &key, token, parts))
        }
        ("location_solved", JsonToken::Object) => {
            members(reader, |reader, key, token| match (&*key, token) {
                ("location", JsonToken::Object) => {
                    parts.place = json_fields::place(reader)?;
                    parts.readings.push(DraftReading::new("status", DraftValue::Text("alive".into())));
                    Ok(())
                }
                (_, token) => skip(reader, &token),
            })
        }
        ("service_data" | "data", JsonToken::Object) => {
            json_fields::readings(reader, None, &mut parts.readings)
        }
        ("received_at", token) => {
            parts.received_us = parts.received_us.or(rfc3339(&token));
            Ok(())
        }
        ("simulated", token) => {
            parts.is_simulated = token == JsonToken::Boolean(true);
            skip(reader, &token)
        }
        (_, token) => skip(reader, &token),
    }
}

fn uplink<'a>(
    reader: &mut JsonReader<'a>,
    key: &str,
    token: JsonToken<'a>,
    parts: &mut Parts<'a>,
) -> Result<(), Rejection> {
    match (key, token) {
        ("session_key_id", token @ JsonToken::Text(_)) => parts.session_key_id = json_fields::text(token),
        ("f_cnt", token) => parts.sequence = integer(&token),
        ("f_port", token) => parts.port = integer(&token),
        ("frm_payload", token @ JsonToken::Text(_)) => parts.data = json_fields::text(token),
        // When the network server had it; the outer one is when the application server did.
        ("received_at", token @ JsonToken::Text(_)) => parts.received_us = rfc3339(&token),
        ("decoded_payload", JsonToken::Object) => {
            return json_fields::readings(reader, None, &mut parts.readings);
        }
        ("normalized_payload", JsonToken::Array) => {
            return elements(reader, |reader, token| match token {
                JsonToken::Object => measurement(reader, &mut parts.normalized),
                other => skip(reader, &other),
            });
        }
        ("rx_metadata", JsonToken::Array) => {
            return elements(reader, |reader, token| match token {
                JsonToken::Object => {
                    let receiver = receiver(reader)?;
                    let strength = |receiver: &Receiver<'_>| receiver.rssi.unwrap_or(f64::NEG_INFINITY);
                    if parts.receiver.gateway_id.is_empty() || strength(&receiver) > strength(&parts.receiver)
                    {
                        parts.receiver = receiver;
                    }
                    Ok(())
                }
                other => skip(reader, &other),
            });
        }
        ("last_battery_percentage", JsonToken::Object) => {
            return members(reader, |reader, key, token| {
                skip(reader, &token)?;
                if key == "value" {
                    parts.battery = Some(json_fields::scalar(token));
                }
                Ok(())
            });
        }
        ("locations", JsonToken::Object) => {
            return members(reader, |reader, _, token| match token {
                JsonToken::Object => {
                    parts.place = json_fields::place(reader)?.or(parts.place);
                    Ok(())
                }
                other => skip(reader, &other),
            });
        }
        (_, token) => return skip(reader, &token),
    }
    Ok(())
}

/// One measurement of the normalized schema: `{"time", "air": {..}, "soil": {..}, ..}`.
fn measurement<'a>(reader: &mut JsonReader<'a>, out: &mut Vec<DraftReading<'a>>) -> Result<(), Rejection> {
    let (from, mut time) = (out.len(), None);
    members(reader, |reader, key, token| match &*key {
        "time" => {
            time = rfc3339(&token).map(DraftTime::of_device);
            skip(reader, &token)
        }
        _ => json_fields::reading(reader, key, token, None, out),
    })?;
    for reading in &mut out[from..] {
        reading.time = time;
        if let Some((_, metric, unit)) = NORMALIZED.iter().find(|(path, _, _)| *path == reading.metric) {
            reading.metric = Cow::Borrowed(metric);
            reading.unit = Cow::Borrowed(unit);
        }
    }
    Ok(())
}

/// The normalized schema: path, metric, unit.
const NORMALIZED: &[(&str, &str, &str)] = &[
    ("air.temperature", "temperature", "Cel"),
    ("air.relativeHumidity", "humidity", "%"),
    ("air.pressure", "barometric_pressure", "hPa"),
    ("air.co2", "co2", "[ppm]"),
    ("air.lightIntensity", "illuminance", "lx"),
    ("wind.speed", "wind_speed", "m/s"),
    ("wind.direction", "wind_direction", "deg"),
    ("soil.depth", "soil_depth", "cm"),
    ("soil.moisture", "soil_moisture", "%"),
    ("soil.temperature", "soil_temperature", "Cel"),
    ("soil.ec", "soil_conductivity", "mS/cm"),
    ("soil.pH", "soil_ph", "[pH]"),
    ("soil.n", "soil_nitrogen", "[ppm]"),
    ("soil.p", "soil_phosphorus", "[ppm]"),
    ("soil.k", "soil_potassium", "[ppm]"),
];

fn receiver<'a>(reader: &mut JsonReader<'a>) -> Result<Receiver<'a>, Rejection> {
    let mut receiver = Receiver::default();
    members(reader, |reader, key, token| {
        match (&*key, token) {
            ("gateway_ids", JsonToken::Object) => members(reader, |reader, key, token| {
                skip(reader, &token)?;
                if key == "gateway_id" {
                    receiver.gateway_id = json_fields::text(token).unwrap_or_default();
                }
                Ok(())
            })?,
            ("time", token) => receiver.time_us = rfc3339(&token),
            ("rssi", token) => receiver.rssi = number(&token),
            ("snr", token) => receiver.snr = number(&token),
            ("location", JsonToken::Object) => receiver.place = json_fields::place(reader)?,
            (_, token) => skip(reader, &token)?,
        }
        Ok(())
    })?;
    Ok(receiver)
}

impl Parts<'_> {
    fn finish(
        mut self,
        message: &RawMessage<'_>,
        device: &str,
        event: &str,
        sink: &mut Sink<'_>,
    ) -> Result<(), Rejection> {
        if self.readings.is_empty() {
            self.readings.append(&mut self.normalized);
        }
        if self.readings.is_empty()
            && let Some(data) = self.data.take()
        {
            self.readings.push(DraftReading::new("payload", DraftValue::Text(data)));
            self.readings
                .extend(self.port.map(|port| DraftReading::new("f_port", DraftValue::Integer(port))));
        }
        for (metric, value) in [("rssi", self.receiver.rssi), ("snr", self.receiver.snr)] {
            push_unless_said(&mut self.readings, metric, value.map(DraftValue::Number));
        }
        push_unless_said(&mut self.readings, "battery_level", self.battery.take());
        let device = self.device.unwrap_or(device.into());
        if device.is_empty() {
            return Err(Rejection::new(Reason::MissingDeviceId, "end_device_ids.device_id: it is missing"));
        }
        let is_uplink = event == "up";
        let sequence = if is_uplink { Some(self.sequence.unwrap_or(0)) } else { self.sequence };
        let id = match (&self.session_key_id, sequence) {
            (Some(session), Some(sequence)) => {
                Some(format!("{}/{session}/{sequence}", self.dev_eui.unwrap_or_default()))
            }
            _ => None,
        };
        let mut draft = Draft::new(device, self.readings);
        draft.identity = match &id {
            Some(id) => Identity::Id(id.as_bytes()),
            None => Identity::Content(message.payload),
        };
        draft.kind = match event {
            "up" => Kind::Telemetry,
            "join" => Kind::Status,
            _ => Kind::Event,
        };
        draft.time = match (self.receiver.time_us, self.received_us) {
            (Some(at_us), _) => Some(DraftTime { at_us, source: TimeSource::Gateway }),
            (None, Some(at_us)) => Some(DraftTime { at_us, source: TimeSource::Platform }),
            (None, None) => None,
        };
        draft.sequence = sequence;
        draft.gateway_id = self.receiver.gateway_id;
        draft.is_simulated = self.is_simulated;
        let of_device = self.place.map(|(latitude, longitude)| (latitude, longitude, LocationOrigin::Device));
        let of_gateway = self.receiver.place.map(|(lat, lon)| (lat, lon, LocationOrigin::Gateway));
        draft.location = of_device.or(of_gateway);
        sink.accept(message, draft)
    }
}
