//! Huawei IoTDA's device topics: <https://support.huaweicloud.com/intl/en-us/api-iothub/iot_06_v5_3010.html>. Each service of a
//! device is a message of its own, with its own time; those of a gateway's children are children too.

use std::borrow::Cow;

use model::event_id::Identity;
use model::proto::Kind;
use model::{RawMessage, Reason, Rejection, time};

use super::json_fields::{self, elements, members, skip};
use super::local_time;
use crate::dialect::{Certainty, Dialect};
use crate::draft::{Draft, DraftReading, DraftTime, DraftValue};
use crate::json::{JsonReader, JsonToken};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "iotda-device",
    version: 1,
    topics: "$oc/devices/{device_id}/sys/properties/report, $oc/devices/{device_id}/sys/gateway/sub_devices/properties/report, \
             $oc/devices/{device_id}/sys/events/up, $oc/devices/{device_id}/sys/messages/up",
    standard: "Huawei Cloud IoTDA, MQTT device topics",
    certainty: Certainty::Documented,
    recognizes: |message| topic(message.topic).is_some(),
    device: |name| topic(name).map(|(device, _)| device),
    decode,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Report {
    Properties,
    OfChildren,
    Events,
    Messages,
}

/// The device or gateway, and what it reports.
fn topic(topic: &str) -> Option<(&str, Report)> {
    let (device, rest) = topic.strip_prefix("$oc/devices/")?.split_once("/sys/")?;
    let report = match rest {
        "properties/report" => Report::Properties,
        "gateway/sub_devices/properties/report" => Report::OfChildren,
        "events/up" => Report::Events,
        "messages/up" => Report::Messages,
        _ => return None,
    };
    (!device.is_empty() && !device.contains('/')).then_some((device, report))
}

fn decode(message: &RawMessage<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let (device, report) = topic(message.topic).unwrap_or(("", Report::OfChildren));
    if report == Report::Messages {
        return raw_message(message, device, sink);
    }
    let mut reader = json_fields::open_object(message.payload)?;
    let mut of_topic = Device { message, id: device.into(), gateway_id: "" };
    let mut is_empty = true;
    members(&mut reader, |reader, key, token| match (&*key, token) {
        // An event of a gateway may be about one of its children.
        ("object_device_id", token @ JsonToken::Text(_)) => {
            if let Some(id) = json_fields::text(token).filter(|id| *id != device) {
                (of_topic.id, of_topic.gateway_id) = (id, device);
            }
            Ok(())
        }
        ("services", JsonToken::Array) => {
            is_empty = false;
            of_topic.services(reader, sink)
        }
        ("devices", JsonToken::Array) if report == Report::OfChildren => {
            is_empty = false;
            elements(reader, |reader, token| match token {
                JsonToken::Object => child_device(message, device, reader, sink),
                other => skip(reader, &other),
            })
        }
        (_, token) => skip(reader, &token),
    })?;
    reader.end()?;
    if is_empty {
        return Err(Rejection::new(
            Reason::NoReadings,
            "services or devices: an array is wanted, it is missing",
        ));
    }
    Ok(())
}

/// `{"device_id": .., "services": [..]}`, its opening brace read.
fn child_device<'a>(
    message: &RawMessage<'a>,
    gateway_id: &'a str,
    reader: &mut JsonReader<'a>,
    sink: &mut Sink<'_>,
) -> Result<(), Rejection> {
    let mut device = Device { message, id: "".into(), gateway_id };
    let mut services_at = None;
    members(reader, |reader, key, token| match (&*key, token) {
        ("device_id", token) => {
            skip(reader, &token)?;
            device.id = json_fields::name(token).unwrap_or_default();
            Ok(())
        }
        ("services", JsonToken::Array) => {
            // Its id may stand behind its services.
            services_at = Some(reader.clone());
            skip(reader, &JsonToken::Array)
        }
        (_, token) => skip(reader, &token),
    })?;
    match services_at {
        _ if device.id.is_empty() => sink.reject(
            reader.rejection(Reason::MissingDeviceId, "device_id: it is missing in the device before"),
        ),
        Some(mut services) => device.services(&mut services, sink),
        None => sink
            .reject(reader.rejection(Reason::NoReadings, "services: they are missing in the device before")),
    }
}

struct Device<'m, 'a> {
    message: &'m RawMessage<'a>,
    id: Cow<'a, str>,
    gateway_id: &'a str,
}

impl<'a> Device<'_, 'a> {
    /// The services, the opening bracket read.
    fn services(&self, reader: &mut JsonReader<'a>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let mut is_empty = true;
        elements(reader, |reader, token| match token {
            JsonToken::Object => {
                is_empty = false;
                self.service(reader, sink)
            }
            other => skip(reader, &other),
        })?;
        if !is_empty {
            return Ok(());
        }
        sink.reject(reader.rejection(Reason::NoReadings, "services: none is in the array before"))
    }

    /// `{"service_id", "properties": {..}, "event_time"}`, or of an event `{"service_id", "event_type", "paras": {..}, ..}`.
    fn service(&self, reader: &mut JsonReader<'a>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let start = reader.at() - 1;
        let mut readings = sink.readings();
        let (mut time_us, mut kind) = (None, Kind::Telemetry);
        members(reader, |reader, key, token| match (&*key, token) {
            ("properties" | "paras", JsonToken::Object) => json_fields::readings(reader, None, &mut readings),
            ("event_time", JsonToken::Text(text)) => {
                time_us = event_time(&text);
                Ok(())
            }
            ("event_type", token @ JsonToken::Text(_)) => {
                kind = Kind::Event;
                readings.push(DraftReading::new("event_type", json_fields::scalar(token)));
                Ok(())
            }
            (_, token) => skip(reader, &token),
        })?;
        let mut draft = Draft::new(self.id.clone(), readings);
        draft.kind = kind;
        draft.gateway_id = self.gateway_id.into();
        if let Some(at_us) = time_us {
            draft.time = Some(DraftTime::of_device(at_us));
            draft.identity = Identity::Content(reader.slice(start, reader.at()).as_bytes());
        }
        sink.accept(self.message, draft)
    }
}

/// `yyyyMMdd'T'HHmmss'Z'` or `yyyy-MM-dd'T'HH:mm:ss.SSS'Z'`, UTC both.
fn event_time(text: &str) -> Option<i64> {
    let compact = || {
        let (date, of_day) = text.strip_suffix('Z')?.split_once('T')?;
        local_time::parse_digits(&format!("{date}{of_day}"))
    };
    time::parse_rfc3339(text).ok().or_else(compact)
}

/// Whatever the device sends: `{"content": ..}` as the vendor's SDKs wrap it, another object, or a text.
fn raw_message(message: &RawMessage<'_>, device: &str, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let mut readings = sink.readings();
    let payload = message.payload.trim_ascii();
    if payload.starts_with(b"{") {
        let mut reader = json_fields::open_object(payload)?;
        members(&mut reader, |reader, key, token| match (&*key, token) {
            ("content", JsonToken::Object) => json_fields::readings(reader, None, &mut readings),
            ("object_device_id" | "name" | "id", token) => skip(reader, &token),
            (_, token) => json_fields::reading(reader, key, token, None, &mut readings),
        })?;
        reader.end()?;
        json_fields::refuse_duplicate(&readings)?;
    } else {
        let text = super::flat_json::payload_text(payload)?;
        readings.push(DraftReading::new("message", DraftValue::Text(text.into())));
    }
    let mut draft = Draft::new(device, readings);
    draft.kind = Kind::Event;
    sink.accept(message, draft)
}
