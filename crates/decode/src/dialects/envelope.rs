//! The protobuf envelope as a device sends it: `urban_neuron.v1.Telemetry`.
//!
//! What only we can say is not taken from it: when it was received, where it came from, whether it was retained or sent
//! again. Its event id, where it has one, is its identity.

use model::envelope::LocationView;
use model::event_id::Identity;
use model::proto::{Flag, Kind, LocationOrigin, TimeSource};
use model::{LogRecordView, RawMessage, Reason, Rejection, TelemetryView, ValueView};

use super::own_topic::{self, Form};
use crate::dialect::{Certainty, Dialect};
use crate::draft::{Draft, DraftReading, DraftTime, DraftValue};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "envelope",
    version: 1,
    topics: "urban-neuron/v1/devices/{device_id}/telemetry",
    standard: "proto/urban_neuron/v1/telemetry.proto",
    certainty: Certainty::Verified,
    recognizes: |message| own_topic::form(message) == Some(Form::Envelope),
    device: own_topic::telemetry_device,
    decode,
};

fn decode(message: &RawMessage<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    if message.payload.is_empty() {
        return Err(Rejection::new(Reason::EmptyPayload, "the payload is empty"));
    }
    // A device may leave the event id out; the view wants one.
    let mut with_id = Vec::new();
    let view = match TelemetryView::parse(message.payload) {
        Ok(view) => view,
        Err(_) => {
            with_id.extend_from_slice(&[0x12, 16]);
            with_id.extend_from_slice(&[0; 16]);
            with_id.extend_from_slice(message.payload);
            TelemetryView::parse(&with_id).map_err(|_| malformed(message.payload))?
        }
    };
    let device = own_topic::telemetry_device(message.topic);
    if device.is_some_and(|device| device != view.device_id) {
        let what = format!(
            "device_id: the topic says {:?}, the envelope {:?}",
            device.unwrap_or_default(),
            view.device_id
        );
        return Err(Rejection::new(Reason::InvalidDeviceId, what));
    }
    let mut readings = sink.readings();
    for reading in view.readings() {
        let mut draft = DraftReading::new(reading.metric, value(reading.value));
        draft.unit = reading.unit.into();
        draft.quality = (reading.quality as i32 != 0).then_some(reading.quality);
        draft.time = reading.time.map(|time| claim(time.observed_at_us, time.observed_at_source));
        readings.push(draft);
    }
    let mut draft = Draft::new(view.device_id, readings);
    if view.event_id != [0; 16] {
        draft.identity = Identity::Id(&view.event_id);
    } else if view.observed_at_us != 0 || view.sequence.is_some() {
        draft.identity = Identity::Content(message.payload);
    }
    draft.kind = if view.kind == Kind::Unspecified { Kind::Telemetry } else { view.kind };
    draft.time = (view.observed_at_us != 0).then(|| claim(view.observed_at_us, view.observed_at_source));
    draft.sequence = view.sequence;
    draft.location = view.location.map(location).transpose()?;
    draft.domain = check_domain(view.domain)?;
    draft.asset_id = view.asset_id.into();
    draft.gateway_id = view.source().gateway_id.into();
    draft.is_historical = view.has_flag(Flag::Historical);
    draft.is_simulated = view.has_flag(Flag::Simulated);
    sink.accept(message, draft)
}

fn value(value: ValueView<'_>) -> DraftValue<'_> {
    match value {
        ValueView::Number(number) => DraftValue::Number(number),
        ValueView::Integer(integer) => DraftValue::Integer(integer),
        ValueView::Boolean(boolean) => DraftValue::Boolean(boolean),
        ValueView::Text(text) => DraftValue::Text(text.into()),
        ValueView::None => DraftValue::None,
    }
}

/// A device knows where it is, or its gateway does; what the registry says it cannot say.
fn location(sent: LocationView) -> Result<(f64, f64, LocationOrigin), Rejection> {
    let LocationView { latitude, longitude, origin } = sent;
    if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
        let what =
            format!("location: WGS-84 degrees are wanted, found latitude {latitude}, longitude {longitude}");
        return Err(Rejection::new(Reason::InvalidValue, what));
    }
    let is_gateway = origin == LocationOrigin::Gateway;
    Ok((latitude, longitude, if is_gateway { LocationOrigin::Gateway } else { LocationOrigin::Device }))
}

fn claim(at_us: i64, source: TimeSource) -> DraftTime {
    let source = match source {
        TimeSource::Gateway | TimeSource::Platform => source,
        _ => TimeSource::Device,
    };
    DraftTime { at_us, source }
}

/// A domain names a folder of the lake.
pub(super) fn check_domain(domain: &str) -> Result<&str, Rejection> {
    let is_name = domain.len() <= 32
        && domain.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if is_name {
        return Ok(domain);
    }
    let found: String = domain.chars().take(40).collect();
    Err(Rejection::new(
        Reason::InvalidValue,
        format!("domain: 1 to 32 of a-z, 0-9 and _ are wanted, found {found:?}"),
    ))
}

/// Says what the bytes are instead, as far as that can be told.
fn malformed(payload: &[u8]) -> Rejection {
    let what = match LogRecordView::parse(payload) {
        Ok(_) => "a LogRecord; send the Telemetry in it",
        Err(_) => "no urban_neuron.v1.Telemetry with a device_id and at least one reading that has a metric",
    };
    Rejection::new(Reason::MalformedProtobuf, format!("the payload of {} bytes is {what}", payload.len()))
}
