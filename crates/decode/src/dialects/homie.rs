//! Homie 3, 4 and 5: <https://homieiot.github.io/specification/>. A topic a property, its payload the bare value, without a
//! time; `$state` says whether the device is there. A retained value is not new, which the envelope's flag says.

use model::proto::Kind;
use model::{RawMessage, Reason, Rejection};

use super::{digits, flat_json};
use crate::dialect::{Certainty, Dialect};
use crate::draft::{Draft, DraftReading, DraftValue};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "homie",
    version: 1,
    topics: "homie/{device_id}/{node_id}/{property_id}, homie/{device_id}/$state, homie/5/{device_id}/{node_id}/{property_id}, \
             homie/5/{device_id}/$state",
    standard: "Homie convention 3, 4 and 5",
    certainty: Certainty::Unverified,
    recognizes: |message| Topic::parse(message.topic).is_some(),
    device: |topic| Topic::parse(topic).map(|topic| topic.device),
    decode,
};

struct Topic<'a> {
    device: &'a str,
    /// Node and property; `$state` where there is none.
    property: Option<(&'a str, &'a str)>,
}

impl<'a> Topic<'a> {
    /// Nothing on topics of attributes, which describe the device, and of commands.
    fn parse(topic: &'a str) -> Option<Self> {
        let rest = topic.strip_prefix("homie/")?;
        let mut levels = rest.strip_prefix("5/").unwrap_or(rest).split('/');
        let (device, second, third) = (levels.next()?, levels.next()?, levels.next());
        let is_end = levels.next().is_none();
        let is_name = |level: &str| !level.is_empty() && !level.starts_with('$');
        let property = match third {
            None if second == "$state" => None,
            Some(property) if is_name(second) && is_name(property) && property != "set" => {
                Some((second, property))
            }
            _ => return None,
        };
        (is_end && is_name(device)).then_some(Topic { device, property })
    }
}

fn decode(message: &RawMessage<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let topic = Topic::parse(message.topic).unwrap_or(Topic { device: "", property: None });
    let text = flat_json::payload_text(message.payload)?.trim();
    let mut readings = sink.readings();
    let kind = match topic.property {
        Some((node, property)) => {
            readings.push(DraftReading::new(format!("{node}.{property}"), value(text)));
            Kind::Telemetry
        }
        None => {
            readings.push(DraftReading::new("status", DraftValue::Text(status(text)?.into())));
            Kind::Status
        }
    };
    let mut draft = Draft::new(topic.device, readings);
    draft.kind = kind;
    sink.accept(message, draft)
}

/// An integer, a float or a boolean by its form; the type that `$datatype` says stands on another topic.
fn value(text: &str) -> DraftValue<'_> {
    match text {
        "true" => DraftValue::Boolean(true),
        "false" => DraftValue::Boolean(false),
        _ => digits::number_or_text(text),
    }
}

fn status(state: &str) -> Result<&'static str, Rejection> {
    match state {
        "ready" | "init" | "alert" => Ok("online"),
        "disconnected" | "lost" => Ok("offline"),
        // It will be back by itself.
        "sleeping" => Ok("alive"),
        _ => {
            let found: String = state.chars().take(40).collect();
            let what = format!(
                "$state: init, ready, disconnected, sleeping, lost or alert is wanted, found {found:?}"
            );
            Err(Rejection::new(Reason::InvalidValue, what))
        }
    }
}
