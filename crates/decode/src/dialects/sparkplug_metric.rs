//! A metric of Sparkplug B: its fields, and the reading that it is. Signed numbers come in unsigned fields, which the datatype
//! says; that, like the name, may stand only in the birth.

use model::proto::Quality;
use model::wire::WireType::{Bytes, Fixed32, Fixed64, Varint};
use model::wire::{Fields, Malformed};

use super::digits;
use crate::base64_text;
use crate::draft::{DraftReading, DraftTime, DraftValue};
use crate::sparkplug_sessions::Named;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Metric<'a> {
    /// Empty where only the alias is said.
    pub name: &'a str,
    pub alias: Option<u64>,
    pub timestamp_ms: Option<u64>,
    pub datatype: Option<u32>,
    pub is_historical: bool,
    is_null: bool,
    properties: &'a [u8],
    value: Option<Value<'a>>,
}

#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Int(u32),
    Long(u64),
    Float(f32),
    Double(f64),
    Boolean(bool),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// A data set or a template.
    Structure,
}

pub(super) fn time(timestamp_ms: u64) -> DraftTime {
    let ms = i64::try_from(timestamp_ms).unwrap_or(i64::MAX);
    DraftTime::of_device(ms.saturating_mul(1_000))
}

impl<'a> Metric<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut metric = Metric::default();
        let mut fields = Fields::new(message);
        while let Some(key) = fields.next_key()? {
            match key {
                (1, Bytes) => metric.name = text(&mut fields)?,
                (2, Varint) => metric.alias = Some(fields.varint()?),
                (3, Varint) => metric.timestamp_ms = Some(fields.varint()?),
                (4, Varint) => metric.datatype = Some(fields.varint()? as u32),
                (5, Varint) => metric.is_historical = fields.varint()? != 0,
                (7, Varint) => metric.is_null = fields.varint()? != 0,
                (9, Bytes) => metric.properties = fields.bytes()?,
                (10, Varint) => metric.value = Some(Value::Int(fields.varint()? as u32)),
                (11, Varint) => metric.value = Some(Value::Long(fields.varint()?)),
                (12, Fixed32) => metric.value = Some(Value::Float(f32::from_bits(fields.fixed32()?))),
                (13, Fixed64) => metric.value = Some(Value::Double(f64::from_bits(fields.fixed64()?))),
                (14, Varint) => metric.value = Some(Value::Boolean(fields.varint()? != 0)),
                (15, Bytes) => metric.value = Some(Value::Text(text(&mut fields)?)),
                (16, Bytes) => metric.value = Some(Value::Bytes(fields.bytes()?)),
                (17 | 18, Bytes) => {
                    fields.skip(Bytes)?;
                    metric.value = Some(Value::Structure);
                }
                (_, wire) => fields.skip(wire)?,
            }
        }
        Ok(metric)
    }

    pub(super) fn integer(&self) -> Option<u64> {
        match self.value? {
            Value::Int(value) => Some(u64::from(value)),
            Value::Long(value) => Some(value),
            _ => None,
        }
    }

    /// What a birth says of it.
    pub(super) fn named(&self) -> Result<Named<'a>, Malformed> {
        let unit = Properties::parse(self.properties)?.unit;
        Ok(Named { name: self.name, datatype: self.datatype.unwrap_or_default(), unit })
    }

    /// The reading; none where it has no name, or is the session's own.
    pub(super) fn reading(&self, known: Option<Named<'_>>) -> Result<Option<DraftReading<'a>>, Malformed> {
        let name = match (self.name, known) {
            ("", None) => return Ok(None),
            ("", Some(known)) => std::borrow::Cow::Owned(known.name.to_owned()),
            (name, _) => name.into(),
        };
        if name == "bdSeq" || name.starts_with("Node Control/") || name.starts_with("Device Control/") {
            return Ok(None);
        }
        let datatype = self.datatype.or(known.map(|known| known.datatype)).unwrap_or_default();
        let mut reading = DraftReading::new(name, self.draft_value(datatype));
        reading.time = self.timestamp_ms.map(time);
        if matches!(self.value, Some(Value::Structure)) && !self.is_null {
            reading.quality = Some(Quality::Suspect);
        }
        let properties = Properties::parse(self.properties)?;
        reading.quality = properties.quality.or(reading.quality);
        reading.unit = match (properties.unit, known) {
            ("", Some(known)) => known.unit.to_owned().into(),
            (unit, _) => unit.into(),
        };
        Ok(Some(reading))
    }

    fn draft_value(&self, datatype: u32) -> DraftValue<'a> {
        let Some(value) = self.value.filter(|_| !self.is_null) else { return DraftValue::None };
        match (value, datatype) {
            // Int8, Int16, Int32: two's complement of their width, or of 32 bits.
            (Value::Int(value), 1) => DraftValue::Integer(i64::from(value as i8)),
            (Value::Int(value), 2) => DraftValue::Integer(i64::from(value as i16)),
            (Value::Int(value), 3) => DraftValue::Integer(i64::from(value as i32)),
            (Value::Int(value), _) => DraftValue::Integer(i64::from(value)),
            (Value::Long(value), 1..=4) => DraftValue::Integer(value as i64),
            (Value::Long(value), _) => match i64::try_from(value) {
                Ok(value) => DraftValue::Integer(value),
                Err(_) => DraftValue::Unrepresentable(value as f64),
            },
            (Value::Float(value), _) => DraftValue::Number(digits::shortest(value)),
            (Value::Double(value), _) => DraftValue::Number(value),
            (Value::Boolean(value), _) => DraftValue::Boolean(value),
            (Value::Text(value), _) => DraftValue::Text(value.into()),
            (Value::Bytes(value), _) => DraftValue::Text(base64_text::encode(value).into()),
            (Value::Structure, _) => DraftValue::None,
        }
    }
}

fn text<'a>(fields: &mut Fields<'a>) -> Result<&'a str, Malformed> {
    std::str::from_utf8(fields.bytes()?).map_err(|_| Malformed)
}

/// What of a PropertySet, keys and values in two lists, says something of the value.
#[derive(Default)]
struct Properties<'a> {
    unit: &'a str,
    quality: Option<Quality>,
}

impl<'a> Properties<'a> {
    fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut properties = Properties::default();
        let (mut keys, mut values) = (Fields::new(message), Fields::new(message));
        while let Some(key) = next_of(&mut keys, 1)? {
            let Some(value) = next_of(&mut values, 2)? else { break };
            let mut fields = Fields::new(value);
            while let Some((number, wire)) = fields.next_key()? {
                match (key, number, wire) {
                    (b"engUnit" | b"Engineering Units", 8, Bytes) => properties.unit = text(&mut fields)?,
                    (b"Quality", 3, Varint) => properties.quality = quality(fields.varint()?),
                    (_, _, wire) => fields.skip(wire)?,
                }
            }
        }
        Ok(properties)
    }
}

/// The content of the next field of this number.
fn next_of<'a>(fields: &mut Fields<'a>, wanted: u32) -> Result<Option<&'a [u8]>, Malformed> {
    while let Some((number, wire)) = fields.next_key()? {
        match wire {
            Bytes if number == wanted => return fields.bytes().map(Some),
            wire => fields.skip(wire)?,
        }
    }
    Ok(None)
}

/// Section 6.4.9: 192 good, 0 bad, 500 stale.
fn quality(code: u64) -> Option<Quality> {
    match code {
        192 => None,
        0 => Some(Quality::Bad),
        _ => Some(Quality::Suspect),
    }
}
