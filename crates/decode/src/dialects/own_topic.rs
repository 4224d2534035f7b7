//! The product's own topics, and which of the forms that they take a payload has.

use model::RawMessage;

const DEVICES: &str = "urban-neuron/v1/devices/";

/// The device of `urban-neuron/v1/devices/{device_id}/{last}`.
pub(crate) fn device<'a>(topic: &'a str, last: &str) -> Option<&'a str> {
    topic.strip_prefix(DEVICES)?.strip_suffix(last)?.strip_suffix('/')
}

/// The device of a telemetry topic.
pub(crate) fn telemetry_device(topic: &str) -> Option<&str> {
    device(topic, "telemetry")
}

/// What a payload on a telemetry topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    FlatJson,
    SenmlJson,
    SenmlCbor,
    Envelope,
}

/// The form, by the content type where one is given, else by the first bytes; nothing on other topics.
pub(crate) fn form(message: &RawMessage<'_>) -> Option<Form> {
    let device = telemetry_device(message.topic)?;
    let by_type = match message.content_type {
        "" => None,
        "application/senml+json" => Some(Form::SenmlJson),
        "application/senml+cbor" => Some(Form::SenmlCbor),
        "application/json" => Some(json_form(message.payload)),
        "application/protobuf" | "application/x-protobuf" => Some(Form::Envelope),
        _ => None,
    };
    Some(by_type.unwrap_or_else(|| by_bytes(message.payload, device)))
}

fn by_bytes(payload: &[u8], device: &str) -> Form {
    // Field 1 of the envelope is the device id. Its key is also a line feed, so that this comes before white space.
    // The longest id there is, of 128 bytes, needs a second byte of length.
    let len = [device.len() as u8, 0x01];
    let head = if device.len() < 128 { &len[..1] } else { &len };
    let is_envelope = device.len() <= 128
        && payload
            .strip_prefix(&[0x0a])
            .and_then(|rest| rest.strip_prefix(head))
            .is_some_and(|rest| rest.starts_with(device.as_bytes()));
    if is_envelope {
        return Form::Envelope;
    }
    match payload.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => json_form(payload),
        Some(0x80..=0x9f) => Form::SenmlCbor,
        _ => Form::FlatJson,
    }
}

/// An array is SenML when the first key in it is one of its labels; flat messages begin with a name of their own.
fn json_form(payload: &[u8]) -> Form {
    const LABELS: [&[u8]; 15] = [
        b"bn", b"bt", b"bu", b"bv", b"bs", b"bver", b"n", b"u", b"v", b"vs", b"vb", b"vd", b"s", b"t", b"ut",
    ];
    let mut rest = payload;
    for mark in [b"[", b"{", b"\""] {
        let Some(behind) = rest.trim_ascii_start().strip_prefix(mark) else { return Form::FlatJson };
        rest = behind;
    }
    let ends_key = |label: &&[u8]| rest.strip_prefix(*label).is_some_and(|rest| rest.first() == Some(&b'"'));
    if LABELS.iter().any(ends_key) { Form::SenmlJson } else { Form::FlatJson }
}
