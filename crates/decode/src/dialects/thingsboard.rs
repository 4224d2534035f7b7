//! ThingsBoard's gateway and device APIs: <https://thingsboard.io/docs/reference/gateway-mqtt-api/> and
//! <https://thingsboard.io/docs/reference/mqtt-api/>. A message about several devices is a child each. The device API does not
//! name its device: that is the client that publishes.

use std::borrow::Cow;

use model::event_id::Identity;
use model::proto::Kind;
use model::{RawMessage, Reason, Rejection};

use super::flat_json;
use super::json_fields::{self, elements, members, milliseconds, skip};
use crate::dialect::{Certainty, Dialect};
use crate::draft::{Draft, DraftReading, DraftTime, DraftValue};
use crate::json::{JsonReader, JsonToken};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "thingsboard",
    version: 1,
    topics: "v1/gateway/telemetry, v1/gateway/attributes, v1/gateway/connect, v1/gateway/disconnect, v1/devices/me/telemetry, \
             v1/devices/me/attributes",
    standard: "ThingsBoard MQTT gateway and device API",
    certainty: Certainty::Documented,
    recognizes: |message| Api::of(message.topic).is_some(),
    device: |_| None,
    decode,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    GatewayTelemetry,
    GatewayAttributes,
    Connect,
    Disconnect,
    DeviceTelemetry,
    DeviceAttributes,
}

impl Api {
    fn of(topic: &str) -> Option<Self> {
        Some(match topic {
            "v1/gateway/telemetry" => Api::GatewayTelemetry,
            "v1/gateway/attributes" => Api::GatewayAttributes,
            "v1/gateway/connect" => Api::Connect,
            "v1/gateway/disconnect" => Api::Disconnect,
            "v1/devices/me/telemetry" => Api::DeviceTelemetry,
            "v1/devices/me/attributes" => Api::DeviceAttributes,
            _ => return None,
        })
    }
}

fn decode(message: &RawMessage<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let api = Api::of(message.topic).unwrap_or(Api::DeviceTelemetry);
    let mut reader = JsonReader::new(flat_json::payload_text(message.payload)?);
    let token = reader.value()?;
    let of_device =
        Source { message, device: message.publisher.into(), gateway_id: "", kind: Kind::Telemetry };
    match api {
        Api::GatewayTelemetry | Api::GatewayAttributes => {
            let kind = if api == Api::GatewayTelemetry { Kind::Telemetry } else { Kind::Event };
            opened(&reader, &token)?;
            members(&mut reader, |reader, device, token| {
                let source = Source { message, device, gateway_id: message.publisher, kind };
                source.points(reader, token, sink)
            })?;
        }
        Api::Connect | Api::Disconnect => {
            opened(&reader, &token)?;
            let mut device = None;
            members(&mut reader, |reader, key, token| {
                skip(reader, &token)?;
                if key == "device" {
                    device = json_fields::text(token);
                }
                Ok(())
            })?;
            reader.end()?;
            let status = if api == Api::Connect { "online" } else { "offline" };
            return connection(message, device, status, sink);
        }
        Api::DeviceTelemetry => of_device.points(&mut reader, token, sink)?,
        Api::DeviceAttributes => {
            Source { kind: Kind::Event, ..of_device }.points(&mut reader, token, sink)?
        }
    }
    reader.end()
}

fn opened(reader: &JsonReader<'_>, token: &JsonToken<'_>) -> Result<(), Rejection> {
    match token {
        JsonToken::Object => Ok(()),
        _ => Err(reader.rejection(Reason::InvalidValue, "an object is wanted, found another value before")),
    }
}

fn connection(
    message: &RawMessage<'_>,
    device: Option<Cow<'_, str>>,
    status: &'static str,
    sink: &mut Sink<'_>,
) -> Result<(), Rejection> {
    let device = device.ok_or_else(|| Rejection::new(Reason::MissingDeviceId, "device: it is missing"))?;
    let mut readings = sink.readings();
    readings.push(DraftReading::new("status", DraftValue::Text(status.into())));
    let mut draft = Draft::new(device, readings);
    draft.kind = Kind::Status;
    draft.gateway_id = message.publisher.into();
    sink.accept(message, draft)
}

/// Whose points they are.
struct Source<'m, 'a> {
    message: &'m RawMessage<'a>,
    device: Cow<'a, str>,
    gateway_id: &'a str,
    kind: Kind,
}

impl<'a> Source<'_, 'a> {
    /// One point or an array of them.
    fn points(
        &self,
        reader: &mut JsonReader<'a>,
        token: JsonToken<'a>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Rejection> {
        match token {
            JsonToken::Object => self.point(reader, sink),
            JsonToken::Array => {
                let mut is_empty = true;
                elements(reader, |reader, token| {
                    is_empty = false;
                    match token {
                        JsonToken::Object => self.point(reader, sink),
                        other => {
                            skip(reader, &other)?;
                            sink.reject(reader.rejection(
                                Reason::InvalidValue,
                                "a point is an object, found another value before",
                            ))
                        }
                    }
                })?;
                if is_empty {
                    sink.reject(Rejection::new(
                        Reason::NoReadings,
                        format!("{}: the array is empty", self.device),
                    ))
                } else {
                    Ok(())
                }
            }
            _ => sink.reject(
                reader.rejection(Reason::InvalidValue, "a point is an object, found another value before"),
            ),
        }
    }

    /// `{"ts": ms, "values": {..}}` or the values alone, the opening brace read.
    fn point(&self, reader: &mut JsonReader<'a>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let start = reader.at() - 1;
        let mut readings = sink.readings();
        let mut time = None;
        members(reader, |reader, key, token| match (&*key, token) {
            ("values", JsonToken::Object) => json_fields::readings(reader, None, &mut readings),
            ("ts", token @ (JsonToken::Number(_) | JsonToken::Text(_))) => {
                time = milliseconds(&token);
                Ok(())
            }
            (_, token) => json_fields::reading(reader, key, token, None, &mut readings),
        })?;
        if let Err(rejection) = json_fields::refuse_duplicate(&readings) {
            return sink.reject(rejection);
        }
        let mut draft = Draft::new(self.device.clone(), readings);
        draft.kind = self.kind;
        draft.gateway_id = self.gateway_id.into();
        if let Some(at_us) = time {
            draft.time = Some(DraftTime::of_device(at_us));
            draft.identity = Identity::Content(reader.slice(start, reader.at()).as_bytes());
        }
        sink.accept(self.message, draft)
    }
}
