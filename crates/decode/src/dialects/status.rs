//! `urban-neuron/v1/devices/{device_id}/status`: the text `online`, `offline` or `alive`.

use model::proto::Kind;
use model::{RawMessage, Reason, Rejection};

use super::own_topic;
use crate::dialect::{Certainty, Dialect};
use crate::draft::{Draft, DraftReading, DraftValue};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "status",
    version: 1,
    topics: "urban-neuron/v1/devices/{device_id}/status",
    standard: "docs/dialects/status.md",
    certainty: Certainty::Verified,
    recognizes: |message| device(message.topic).is_some(),
    device,
    decode,
};

fn device(topic: &str) -> Option<&str> {
    own_topic::device(topic, "status")
}

fn decode(message: &RawMessage<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let device = device(message.topic).unwrap_or_default();
    let text = message.payload.trim_ascii();
    if text.is_empty() {
        return Err(Rejection::new(Reason::EmptyPayload, "the payload is empty"));
    }
    let status =
        ["online", "offline", "alive"].into_iter().find(|known| text.eq_ignore_ascii_case(known.as_bytes()));
    let Some(status) = status else {
        let found = String::from_utf8_lossy(&text[..text.len().min(40)]).into_owned();
        let what = format!("status: online, offline or alive is wanted, found {found:?}");
        return Err(Rejection::new(Reason::InvalidValue, what));
    };
    let mut readings = sink.readings();
    readings.push(DraftReading::new("status", DraftValue::Text(status.into())));
    let mut draft = Draft::new(device, readings);
    draft.kind = Kind::Status;
    sink.accept(message, draft)
}
