//! Members and elements of the JSON dialects: walked in order, read as what they are meant to be whether they came as numbers
//! or as texts, and nested ones turned into readings by their path.

use std::borrow::Cow;

use model::{Reason, Rejection, time};

use super::flat_json;
use crate::draft::{DraftReading, DraftTime, DraftValue};
use crate::json::{JsonReader, JsonToken};

/// Levels of objects and arrays below the member of a message.
pub(crate) const DEPTH_MAX: usize = 32;

/// A time in this unit is beyond what a claim can keep.
const MS_MAX: i64 = i64::MAX / 1_000;

/// The payload, its opening brace read.
pub(crate) fn open_object(payload: &[u8]) -> Result<JsonReader<'_>, Rejection> {
    let mut reader = JsonReader::new(flat_json::payload_text(payload)?);
    match reader.value()? {
        JsonToken::Object => Ok(reader),
        _ => Err(reader.rejection(Reason::InvalidValue, "an object is wanted, found another value before")),
    }
}

/// Every member of an object whose opening was read; `each` reads or passes over nested values.
#[inline]
pub(crate) fn members<'a>(
    reader: &mut JsonReader<'a>,
    mut each: impl FnMut(&mut JsonReader<'a>, Cow<'a, str>, JsonToken<'a>) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let mut is_first = true;
    while let Some(key) = reader.key(is_first)? {
        is_first = false;
        let token = reader.value()?;
        each(reader, key, token)?;
    }
    Ok(())
}

/// Every element of an array whose opening was read.
#[inline]
pub(crate) fn elements<'a>(
    reader: &mut JsonReader<'a>,
    mut each: impl FnMut(&mut JsonReader<'a>, JsonToken<'a>) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let mut is_first = true;
    while reader.element(is_first)? {
        is_first = false;
        let token = reader.value()?;
        each(reader, token)?;
    }
    Ok(())
}

/// Passes over a value that says nothing to us.
#[inline]
pub(crate) fn skip<'a>(reader: &mut JsonReader<'a>, token: &JsonToken<'a>) -> Result<(), Rejection> {
    match token {
        JsonToken::Object | JsonToken::Array => reader.skip(token, DEPTH_MAX),
        _ => Ok(()),
    }
}

#[inline]
pub(crate) fn scalar(token: JsonToken<'_>) -> DraftValue<'_> {
    match token {
        JsonToken::Number(digits) => flat_json::number(digits),
        JsonToken::Text(text) => DraftValue::Text(text),
        JsonToken::Boolean(boolean) => DraftValue::Boolean(boolean),
        JsonToken::Null | JsonToken::Object | JsonToken::Array => DraftValue::None,
    }
}

/// An integer, also as a text.
pub(crate) fn integer(token: &JsonToken<'_>) -> Option<i64> {
    match token {
        JsonToken::Number(digits) => digits.parse().ok(),
        JsonToken::Text(digits) => digits.trim().parse().ok(),
        _ => None,
    }
}

/// A finite number, also as a text.
pub(crate) fn number(token: &JsonToken<'_>) -> Option<f64> {
    let number: f64 = match token {
        JsonToken::Number(digits) => digits.parse().ok()?,
        JsonToken::Text(digits) => digits.trim().parse().ok()?,
        _ => return None,
    };
    Some(number).filter(|number| number.is_finite())
}

/// A text that says something: not empty, not `undefined` or `null`.
pub(crate) fn text<'a>(token: JsonToken<'a>) -> Option<Cow<'a, str>> {
    match token {
        JsonToken::Text(text) if !matches!(text.trim(), "" | "undefined" | "null") => Some(text),
        _ => None,
    }
}

/// A name that came as a text or as a number.
pub(crate) fn name<'a>(token: JsonToken<'a>) -> Option<Cow<'a, str>> {
    match token {
        JsonToken::Number(digits) => Some(Cow::Borrowed(digits)),
        other => text(other),
    }
}

/// RFC 3339, microseconds.
pub(crate) fn rfc3339(token: &JsonToken<'_>) -> Option<i64> {
    if let JsonToken::Text(text) = token { time::parse_rfc3339(text).ok() } else { None }
}

/// Milliseconds since 1970 as a number or a text, or RFC 3339; microseconds.
pub(crate) fn milliseconds(token: &JsonToken<'_>) -> Option<i64> {
    if let Some(ms) = integer(token) {
        return Some(ms.clamp(-MS_MAX, MS_MAX) * 1_000);
    }
    // A fraction, or more digits than an i64 has; the cast saturates.
    number(token).map(|ms| (ms * 1_000.0).round() as i64).or_else(|| rfc3339(token))
}

/// Latitude and longitude of an object such as `{"latitude": 31.2, "longitude": 121.5, ..}`, its opening brace read; nothing
/// where one is missing or no degrees.
pub(crate) fn place<'a>(reader: &mut JsonReader<'a>) -> Result<Option<(f64, f64)>, Rejection> {
    let (mut latitude, mut longitude) = (None, None);
    members(reader, |reader, key, token| {
        match &*key {
            "latitude" => latitude = number(&token).filter(|degrees| degrees.abs() <= 90.0),
            "longitude" => longitude = number(&token).filter(|degrees| degrees.abs() <= 180.0),
            _ => {}
        }
        skip(reader, &token)
    })?;
    Ok(latitude.zip(longitude))
}

/// The members of an object whose opening was read, each a reading under its key; nested ones under their path, parted by `.`.
pub(crate) fn readings<'a>(
    reader: &mut JsonReader<'a>,
    time: Option<DraftTime>,
    out: &mut Vec<DraftReading<'a>>,
) -> Result<(), Rejection> {
    let from = out.len();
    members(reader, |reader, key, token| reading(reader, key, token, time, out))?;
    refuse_duplicate(&out[from..])
}

/// One value under its name, a nested one under its path.
pub(crate) fn reading<'a>(
    reader: &mut JsonReader<'a>,
    name: Cow<'a, str>,
    token: JsonToken<'a>,
    time: Option<DraftTime>,
    out: &mut Vec<DraftReading<'a>>,
) -> Result<(), Rejection> {
    nested(reader, name, token, time, 1, out)
}

fn nested<'a>(
    reader: &mut JsonReader<'a>,
    path: Cow<'a, str>,
    token: JsonToken<'a>,
    time: Option<DraftTime>,
    depth: usize,
    out: &mut Vec<DraftReading<'a>>,
) -> Result<(), Rejection> {
    if depth > DEPTH_MAX {
        return Err(reader.rejection(Reason::TooDeep, "nested too deep"));
    }
    match token {
        JsonToken::Object => members(reader, |reader, key, token| {
            nested(reader, format!("{path}.{key}").into(), token, time, depth + 1, out)
        }),
        JsonToken::Array => {
            let mut at = 0;
            elements(reader, |reader, token| {
                at += 1;
                nested(reader, format!("{path}.{}", at - 1).into(), token, time, depth + 1, out)
            })
        }
        value => {
            let mut reading = DraftReading::new(path, scalar(value));
            reading.time = time;
            out.push(reading);
            Ok(())
        }
    }
}

/// A metric that stands there twice leaves it open which one counts.
pub(crate) fn refuse_duplicate(readings: &[DraftReading<'_>]) -> Result<(), Rejection> {
    const PAIRWISE_MAX: usize = 16;
    let duplicate = if readings.len() <= PAIRWISE_MAX {
        let mut earlier = readings.iter().enumerate().skip(1);
        earlier.find(|(at, reading)| readings[..*at].iter().any(|other| other.metric == reading.metric))
    } else {
        let mut seen = hashbrown::HashSet::with_capacity(readings.len());
        readings.iter().enumerate().find(|(_, reading)| !seen.insert(&reading.metric))
    };
    match duplicate {
        None => Ok(()),
        Some((_, reading)) => {
            let name: String = reading.metric.chars().take(40).collect();
            Err(Rejection::new(Reason::DuplicateField, format!("{name}: it stands twice in one message")))
        }
    }
}
