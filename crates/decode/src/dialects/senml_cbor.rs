//! SenML in CBOR, RFC 8428 section 6: the labels are integers, the rest is as in JSON.

use model::{RawMessage, Reason, Rejection};

use super::own_topic::{self, Form};
use super::senml;
use crate::base64_text;
use crate::cbor::{CborReader, CborToken};
use crate::dialect::{Certainty, Dialect};
use crate::draft::DraftValue;
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "senml-cbor",
    version: 1,
    topics: "urban-neuron/v1/devices/{device_id}/telemetry",
    standard: "RFC 8428 section 6",
    certainty: Certainty::Verified,
    recognizes: |message| own_topic::form(message) == Some(Form::SenmlCbor),
    device: own_topic::telemetry_device,
    decode,
};

fn decode(message: &RawMessage<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let device = own_topic::telemetry_device(message.topic).unwrap_or_default();
    if message.payload.is_empty() {
        return Err(Rejection::new(Reason::EmptyPayload, "the payload is empty"));
    }
    let mut reader = CborReader::new(message.payload);
    let CborToken::Array(len) = reader.item()? else {
        return Err(reader.rejection(Reason::MalformedSenml, "a pack is an array, found another item before"));
    };
    let mut pack = senml::Pack::new(sink.readings());
    let mut left = len;
    while reader.has_next(&mut left)? {
        let CborToken::Map(len) = reader.item()? else {
            return Err(
                reader.rejection(Reason::MalformedSenml, "a record is a map, found another item before")
            );
        };
        let record = record(&mut reader, len)?;
        pack.record(record, message.received_at_us)?;
    }
    reader.end()?;
    pack.finish(message, device, sink)
}

fn record<'a>(reader: &mut CborReader<'a>, mut left: Option<u64>) -> Result<senml::Record<'a>, Rejection> {
    let mut record = senml::Record::default();
    while reader.has_next(&mut left)? {
        let at = reader.at();
        let label = match reader.item()? {
            CborToken::Integer(label) => label,
            CborToken::Text(label) if label.ends_with('_') => {
                let what = format!("{label}: must be understood and is not");
                return Err(reader.rejection_at(at, Reason::MalformedSenml, what));
            }
            CborToken::Text(_) => {
                let item = reader.item()?;
                reader.skip(&item)?;
                continue;
            }
            _ => {
                return Err(reader.rejection_at(
                    at,
                    Reason::MalformedSenml,
                    "a label is an integer or a text",
                ));
            }
        };
        let value_at = reader.at();
        let item = reader.item()?;
        let number = reader.number(&item)?;
        let is_twice = match (label, item, number) {
            (-2, CborToken::Text(text), _) => record.base_name.replace(text.into()).is_some(),
            (-3, _, Some(number)) => record.base_time.replace(number.as_f64()).is_some(),
            (-4, CborToken::Text(text), _) => record.base_unit.replace(text.into()).is_some(),
            (-5, _, Some(number)) => record.base_value.replace(number.as_f64()).is_some(),
            (-6, _, Some(number)) => record.base_sum.replace(number.as_f64()).is_some(),
            (-1, CborToken::Integer(version), _) => record.base_version.replace(version).is_some(),
            (0, CborToken::Text(text), _) => record.name.replace(text.into()).is_some(),
            (1, CborToken::Text(text), _) => record.unit.replace(text.into()).is_some(),
            (2, _, Some(number)) => record.value.replace(number.into_draft()).is_some(),
            (3, CborToken::Text(text), _) => record.value.replace(DraftValue::Text(text.into())).is_some(),
            (4, CborToken::Boolean(boolean), _) => {
                record.value.replace(DraftValue::Boolean(boolean)).is_some()
            }
            (8, CborToken::Bytes(bytes), _) => {
                record.value.replace(DraftValue::Text(base64_text::encode_for_url(bytes).into())).is_some()
            }
            (5, _, Some(number)) => record.sum.replace(number.as_f64()).is_some(),
            (6, _, Some(number)) => record.time.replace(number.as_f64()).is_some(),
            (7, _, Some(_)) => false,
            (-6..=8, ..) => {
                let what = format!("label {label}: an item of another type is wanted");
                return Err(reader.rejection_at(value_at, Reason::MalformedSenml, what));
            }
            (_, item, _) => {
                reader.skip(&item)?;
                false
            }
        };
        if is_twice {
            let what = format!("label {label}: stands there twice, or beside another value");
            return Err(reader.rejection_at(at, Reason::MalformedSenml, what));
        }
    }
    Ok(record)
}
