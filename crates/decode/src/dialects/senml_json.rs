//! SenML in JSON, RFC 8428 section 5.

use model::{RawMessage, Reason, Rejection};

use super::own_topic::{self, Form};
use super::{flat_json, senml};
use crate::dialect::{Certainty, Dialect};
use crate::draft::DraftValue;
use crate::json::{JsonReader, JsonToken};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "senml-json",
    version: 1,
    topics: "urban-neuron/v1/devices/{device_id}/telemetry",
    standard: "RFC 8428 section 5",
    certainty: Certainty::Verified,
    recognizes: |message| own_topic::form(message) == Some(Form::SenmlJson),
    device: own_topic::telemetry_device,
    decode,
};

/// Levels below an unknown label that are passed over.
const DEPTH_MAX: usize = 32;

fn decode(message: &RawMessage<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let device = own_topic::telemetry_device(message.topic).unwrap_or_default();
    let mut reader = JsonReader::new(flat_json::payload_text(message.payload)?);
    if reader.value()? != JsonToken::Array {
        return Err(
            reader.rejection(Reason::MalformedSenml, "a pack is an array, found another value before")
        );
    }
    let mut pack = senml::Pack::new(sink.readings());
    let mut is_first = true;
    while reader.element(is_first)? {
        is_first = false;
        if reader.value()? != JsonToken::Object {
            return Err(
                reader.rejection(Reason::MalformedSenml, "a record is an object, found another value before")
            );
        }
        let record = record(&mut reader)?;
        pack.record(record, message.received_at_us)?;
    }
    reader.end()?;
    pack.finish(message, device, sink)
}

fn record<'a>(reader: &mut JsonReader<'a>) -> Result<senml::Record<'a>, Rejection> {
    let mut record = senml::Record::default();
    let mut is_first = true;
    while let Some(label) = reader.key(is_first)? {
        is_first = false;
        let at = reader.at();
        let token = reader.value()?;
        let is_twice = match (&*label, token) {
            ("bn", JsonToken::Text(text)) => record.base_name.replace(text).is_some(),
            ("bt", JsonToken::Number(digits)) => put_number(&mut record.base_time, digits),
            ("bu", JsonToken::Text(text)) => record.base_unit.replace(text).is_some(),
            ("bv", JsonToken::Number(digits)) => put_number(&mut record.base_value, digits),
            ("bs", JsonToken::Number(digits)) => put_number(&mut record.base_sum, digits),
            ("bver", JsonToken::Number(digits)) => {
                record.base_version.replace(digits.parse().unwrap_or(i64::MAX)).is_some()
            }
            ("n", JsonToken::Text(text)) => record.name.replace(text).is_some(),
            ("u", JsonToken::Text(text)) => record.unit.replace(text).is_some(),
            ("v", JsonToken::Number(digits)) => record.value.replace(flat_json::number(digits)).is_some(),
            ("vs" | "vd", JsonToken::Text(text)) => record.value.replace(DraftValue::Text(text)).is_some(),
            ("vb", JsonToken::Boolean(boolean)) => {
                record.value.replace(DraftValue::Boolean(boolean)).is_some()
            }
            ("s", JsonToken::Number(digits)) => put_number(&mut record.sum, digits),
            ("t", JsonToken::Number(digits)) => put_number(&mut record.time, digits),
            ("ut", JsonToken::Number(_)) => false,
            (
                "bn" | "bt" | "bu" | "bv" | "bs" | "bver" | "n" | "u" | "v" | "vs" | "vd" | "vb" | "s" | "t"
                | "ut",
                _,
            ) => {
                let what = format!("{label}: a value of another type is wanted");
                return Err(reader.rejection_at(at, Reason::MalformedSenml, what));
            }
            // Section 4.4: a label that ends in an underscore must be understood.
            (label, _) if label.ends_with('_') => {
                let what = format!("{label}: must be understood and is not");
                return Err(reader.rejection_at(at, Reason::MalformedSenml, what));
            }
            (_, token) => {
                reader.skip(&token, DEPTH_MAX)?;
                false
            }
        };
        if is_twice {
            let what = format!("{label}: stands there twice, or beside another value");
            return Err(reader.rejection_at(at, Reason::MalformedSenml, what));
        }
    }
    Ok(record)
}

fn put_number(field: &mut Option<f64>, digits: &str) -> bool {
    // The reader gave digits of JSON, which f64 reads; beyond its range as an infinity.
    field.replace(digits.parse().unwrap_or(f64::INFINITY)).is_some()
}
