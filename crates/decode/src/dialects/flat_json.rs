//! Flat JSON: one object a message, or an array of them; a key a metric.
//!
//! `{"observed_at": RFC 3339 or "ts": milliseconds, "<metric>": value, ...}`. A value is a number, a text, a boolean, null (the
//! sensor has none), or `{"value", "unit", "quality", "observed_at" | "ts"}` where it brings its own. `sequence` (an integer),
//! `latitude` and `longitude` (together), and `domain` (1 to 32 of a-z, 0-9 and _) are the message's. A time that cannot be read is kept as a reading of its own name, and
//! the time of receipt is used.
//!
//! Integers are exact up to an i64; a larger one is the nearest double and `suspect`. A number beyond a double has no value and
//! is `bad`. A text where the catalog wants a number is read as one; `NaN` and the like have no value and are `bad`.

use std::borrow::Cow;

use model::event_id::Identity;
use model::proto::{LocationOrigin, Quality};
use model::{RawMessage, Reason, Rejection, time};

use super::envelope;
use super::own_topic::{self, Form};
use crate::dialect::{Certainty, Dialect};
use crate::draft::{Draft, DraftReading, DraftTime, DraftValue};
use crate::json::{JsonReader, JsonToken};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "flat-json",
    version: 1,
    topics: "urban-neuron/v1/devices/{device_id}/telemetry",
    standard: "docs/dialects/flat-json.md",
    certainty: Certainty::Verified,
    recognizes: |message| own_topic::form(message) == Some(Form::FlatJson),
    device: own_topic::telemetry_device,
    decode,
};

/// A time in this unit of `ts` is beyond what a claim can keep.
const MS_MAX: i64 = i64::MAX / 1_000;

fn decode(message: &RawMessage<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let text = payload_text(message.payload)?;
    let device = own_topic::telemetry_device(message.topic).unwrap_or_default();
    let mut reader = JsonReader::new(text);
    match reader.value()? {
        JsonToken::Object => {
            object(message, device, &mut reader, sink)?;
        }
        JsonToken::Array => {
            let mut is_first = true;
            while reader.element(is_first)? {
                is_first = false;
                match reader.value()? {
                    JsonToken::Object => object(message, device, &mut reader, sink)?,
                    _ => {
                        return Err(reader.rejection(
                            Reason::InvalidValue,
                            "an array holds objects, found another value before",
                        ));
                    }
                }
            }
            if is_first {
                return Err(Rejection::new(Reason::NoReadings, "the array is empty"));
            }
        }
        _ => {
            return Err(
                reader.rejection(Reason::InvalidValue, "an object is wanted, found another value before")
            );
        }
    }
    reader.end()
}

/// The payload as text: UTF-8, a byte order mark passed over.
pub(crate) fn payload_text(payload: &[u8]) -> Result<&str, Rejection> {
    let text = std::str::from_utf8(payload).map_err(|error| {
        Rejection::new(
            Reason::InvalidUtf8,
            format!("the payload is not UTF-8 at byte {}", error.valid_up_to()),
        )
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_ascii_start().is_empty() {
        return Err(Rejection::new(Reason::EmptyPayload, "the payload is empty"));
    }
    Ok(text)
}

/// What one object has said so far.
#[derive(Default)]
struct Parts<'a> {
    /// Theme; empty when not said.
    domain: &'a str,
    time: Option<DraftTime>,
    has_time: bool,
    sequence: Option<i64>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    /// The first cause for which the message is refused.
    rejection: Option<Rejection>,
}

/// One message, its opening brace read. A message that is well formed JSON and refused for what it says is one rejected child.
fn object<'a>(
    message: &RawMessage<'a>,
    device: &'a str,
    reader: &mut JsonReader<'a>,
    sink: &mut Sink<'_>,
) -> Result<(), Rejection> {
    let start = reader.at() - 1;
    let mut readings = sink.readings();
    let mut parts = Parts::default();
    let mut is_first = true;
    while let Some(key) = reader.key(is_first)? {
        is_first = false;
        let at = reader.at();
        let token = reader.value()?;
        member(reader, key, token, at, &mut parts, &mut readings)?;
    }
    if parts.latitude.is_some() != parts.longitude.is_some() {
        let what = "latitude and longitude: one stands there without the other";
        parts.refuse(reader.rejection_at(start, Reason::InvalidValue, what));
    }
    find_duplicate(reader, start, &readings, &mut parts);
    if let Some(rejection) = parts.rejection {
        return sink.reject(rejection);
    }
    let mut draft = Draft::new(device, readings);
    draft.time = parts.time;
    draft.sequence = parts.sequence;
    draft.domain = parts.domain;
    if let (Some(latitude), Some(longitude)) = (parts.latitude, parts.longitude) {
        draft.location = Some((latitude, longitude, LocationOrigin::Device));
    }
    let has_own_times = draft.readings.iter().all(|reading| reading.time.is_some());
    if draft.time.is_some() || draft.sequence.is_some() || has_own_times {
        draft.identity = Identity::Content(reader.slice(start, reader.at()).as_bytes());
    }
    sink.accept(message, draft)
}

fn member<'a>(
    reader: &mut JsonReader<'a>,
    key: Cow<'a, str>,
    token: JsonToken<'a>,
    at: usize,
    parts: &mut Parts<'a>,
    readings: &mut Vec<DraftReading<'a>>,
) -> Result<(), Rejection> {
    match &*key {
        "observed_at" | "ts" => {
            if std::mem::replace(&mut parts.has_time, true) {
                let what = "observed_at and ts: one time is wanted, found a second";
                parts.refuse(reader.rejection_at(at, Reason::DuplicateField, what));
            }
            match time_claim(&key, &token) {
                Some(time) => parts.time = Some(time),
                None => keep_unreadable_time(reader, key, token, at, parts, readings)?,
            }
        }
        "sequence" | "latitude" | "longitude" => {
            reader.skip(&token, DEPTH_MAX)?;
            if let Err((reason, what)) = parts.put(&key, &token) {
                parts.refuse(reader.rejection_at(at, reason, format_args!("{key}: {what}")));
            }
        }
        "domain" if domain(&token).is_some() => parts.domain = domain(&token).unwrap_or_default(),
        _ => match token {
            JsonToken::Object => own_reading(reader, key, at, parts, readings)?,
            JsonToken::Array => {
                reader.skip(&JsonToken::Array, DEPTH_MAX)?;
                let what =
                    format!("{key}: a number, text, boolean, null or object is wanted, found an array");
                parts.refuse(reader.rejection_at(at, Reason::InvalidValue, what));
            }
            scalar => readings.push(DraftReading::new(key, value(scalar))),
        },
    }
    Ok(())
}

/// Levels of objects and arrays below a metric that are passed over to say where the message is wrong.
const DEPTH_MAX: usize = 32;

impl Parts<'_> {
    /// Puts a member of the message, or says why it cannot.
    fn put(&mut self, key: &str, token: &JsonToken<'_>) -> Result<(), (Reason, &'static str)> {
        if *token == JsonToken::Null {
            return Ok(());
        }
        let (is_wanted, earlier, wanted) = match key {
            "sequence" => {
                let found = integer(token);
                let earlier = std::mem::replace(&mut self.sequence, found).is_some();
                (found.is_some(), earlier, "an integer is wanted")
            }
            "latitude" => {
                let found = coordinate(token, 90.0);
                let earlier = std::mem::replace(&mut self.latitude, found).is_some();
                (found.is_some(), earlier, "degrees from -90 to 90 are wanted")
            }
            _ => {
                let found = coordinate(token, 180.0);
                let earlier = std::mem::replace(&mut self.longitude, found).is_some();
                (found.is_some(), earlier, "degrees from -180 to 180 are wanted")
            }
        };
        match (is_wanted, earlier) {
            (true, false) => Ok(()),
            (_, true) => Err((Reason::DuplicateField, "it stands twice in the object")),
            (false, false) => Err((Reason::InvalidValue, wanted)),
        }
    }

    fn refuse(&mut self, rejection: Rejection) {
        self.rejection.get_or_insert(rejection);
    }
}

/// `{"value": .., "unit": .., "quality": .., "observed_at" | "ts": ..}`, its opening brace read.
fn own_reading<'a>(
    reader: &mut JsonReader<'a>,
    metric: Cow<'a, str>,
    at: usize,
    parts: &mut Parts<'a>,
    readings: &mut Vec<DraftReading<'a>>,
) -> Result<(), Rejection> {
    let mut reading = DraftReading::new(metric, DraftValue::None);
    let (mut has_value, mut is_first) = (false, true);
    while let Some(key) = reader.key(is_first)? {
        is_first = false;
        let key_at = reader.at();
        let token = reader.value()?;
        match (&*key, token) {
            (_, token @ (JsonToken::Object | JsonToken::Array)) => {
                reader.skip(&token, DEPTH_MAX)?;
                let what = format!("{}.{key}: nested deeper than a reading goes", reading.metric);
                parts.refuse(reader.rejection_at(key_at, Reason::TooDeep, what));
            }
            ("value", token) => {
                reading.value = value(token);
                has_value = true;
            }
            ("unit", JsonToken::Text(unit)) => reading.unit = unit,
            ("quality", JsonToken::Text(name)) if quality(&name).is_some() => {
                reading.quality = quality(&name)
            }
            ("observed_at" | "ts", token) if time_claim(&key, &token).is_some() => {
                reading.time = time_claim(&key, &token)
            }
            (other, _) => {
                let what =
                    format!("{}.{other}: value, unit, quality, observed_at or ts are wanted", reading.metric);
                parts.refuse(reader.rejection_at(key_at, Reason::InvalidValue, what));
            }
        }
    }
    if !has_value {
        let what = format!("{}: an object without `value`", reading.metric);
        parts.refuse(reader.rejection_at(at, Reason::InvalidValue, what));
    }
    readings.push(reading);
    Ok(())
}

fn quality(name: &str) -> Option<Quality> {
    Some(match name {
        "good" => Quality::Good,
        "suspect" => Quality::Suspect,
        "bad" => Quality::Bad,
        "maintenance" => Quality::Maintenance,
        "calibration" => Quality::Calibration,
        "fault" => Quality::Fault,
        "over_range" => Quality::OverRange,
        "comm_fail" => Quality::CommFail,
        "manual" => Quality::Manual,
        "missing" => Quality::Missing,
        _ => return None,
    })
}

/// The claim of `observed_at` (RFC 3339) or `ts` (milliseconds, also as text); nothing when it cannot be read.
fn time_claim(key: &str, token: &JsonToken<'_>) -> Option<DraftTime> {
    let at_us = match token {
        JsonToken::Text(text) if key == "observed_at" => time::parse_rfc3339(text).ok()?,
        JsonToken::Number(digits) if key == "ts" => milliseconds(digits)?,
        JsonToken::Text(digits) if key == "ts" => {
            milliseconds(digits).or_else(|| time::parse_rfc3339(digits).ok())?
        }
        _ => return None,
    };
    Some(DraftTime::of_device(at_us))
}

fn milliseconds(digits: &str) -> Option<i64> {
    if let Ok(ms) = digits.parse::<i64>() {
        return Some(ms.clamp(-MS_MAX, MS_MAX) * 1_000);
    }
    // A fraction, an exponent, or more digits than an i64 has; the cast saturates.
    let ms = digits.parse::<f64>().ok().filter(|ms| !ms.is_nan())?;
    Some((ms * 1_000.0).round() as i64)
}

/// A time that cannot be read says nothing about when, but it is what the device sent.
fn keep_unreadable_time<'a>(
    reader: &mut JsonReader<'a>,
    key: Cow<'a, str>,
    token: JsonToken<'a>,
    at: usize,
    parts: &mut Parts<'a>,
    readings: &mut Vec<DraftReading<'a>>,
) -> Result<(), Rejection> {
    match token {
        JsonToken::Null => {}
        JsonToken::Object | JsonToken::Array => {
            reader.skip(&token, DEPTH_MAX)?;
            let what = format!("{key}: a time is wanted, found an object or array");
            parts.refuse(reader.rejection_at(at, Reason::InvalidTime, what));
        }
        scalar => {
            let mut reading = DraftReading::new(key, value(scalar));
            reading.quality = Some(Quality::Suspect);
            readings.push(reading);
        }
    }
    Ok(())
}

#[inline]
fn value(token: JsonToken<'_>) -> DraftValue<'_> {
    match token {
        JsonToken::Number(digits) => number(digits),
        JsonToken::Text(text) => DraftValue::Text(text),
        JsonToken::Boolean(boolean) => DraftValue::Boolean(boolean),
        JsonToken::Null | JsonToken::Object | JsonToken::Array => DraftValue::None,
    }
}

/// Integers stay integers; what no double holds, or what would lose digits, says so.
#[inline]
pub(crate) fn number(digits: &str) -> DraftValue<'static> {
    short_number(digits.as_bytes()).unwrap_or_else(|| long_number(digits))
}

/// A number of at most 15 digits without an exponent, in one pass. A double holds the digits and the power of ten exactly, so
/// the quotient of the two is the nearest double.
fn short_number(digits: &[u8]) -> Option<DraftValue<'static>> {
    const BYTES_MAX: usize = 16;
    const TENS: [f64; BYTES_MAX] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (is_negative, unsigned) = match digits {
        [b'-', rest @ ..] => (true, rest),
        all => (false, all),
    };
    if unsigned.len() >= BYTES_MAX {
        return None;
    }
    let (mut whole, mut point) = (0u64, None);
    for (at, byte) in unsigned.iter().enumerate() {
        match byte {
            b'0'..=b'9' => whole = whole * 10 + u64::from(byte - b'0'),
            b'.' => point = Some(at),
            _ => return None,
        }
    }
    match point {
        // The integer 0 has no sign to keep.
        None if is_negative && whole == 0 => None,
        None => Some(DraftValue::Integer(if is_negative { -(whole as i64) } else { whole as i64 })),
        Some(point) => {
            let number = whole as f64 / TENS[unsigned.len() - point - 1];
            Some(DraftValue::Number(if is_negative { -number } else { number }))
        }
    }
}

fn long_number(digits: &str) -> DraftValue<'static> {
    let is_integer = !digits.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
    if is_integer && digits != "-0" {
        if let Ok(integer) = digits.parse::<i64>() {
            return DraftValue::Integer(integer);
        }
        return DraftValue::Unrepresentable(digits.parse().unwrap_or(f64::NAN));
    }
    match digits.parse::<f64>() {
        Ok(number) if number.is_finite() => DraftValue::Number(number),
        _ => DraftValue::Unrepresentable(f64::INFINITY),
    }
}

/// The theme that a text names; a text that cannot name one is a reading like any other.
fn domain<'a>(token: &JsonToken<'a>) -> Option<&'a str> {
    match token {
        JsonToken::Text(Cow::Borrowed(name)) if !name.is_empty() => envelope::check_domain(name).ok(),
        _ => None,
    }
}

fn integer(token: &JsonToken<'_>) -> Option<i64> {
    if let JsonToken::Number(digits) = token { digits.parse().ok() } else { None }
}

fn coordinate(token: &JsonToken<'_>, limit: f64) -> Option<f64> {
    let JsonToken::Number(digits) = token else { return None };
    digits.parse::<f64>().ok().filter(|degrees| degrees.abs() <= limit)
}

/// A metric that stands there twice leaves it open which one counts.
fn find_duplicate(
    reader: &JsonReader<'_>,
    start: usize,
    readings: &[DraftReading<'_>],
    parts: &mut Parts<'_>,
) {
    const PAIRWISE_MAX: usize = 16;
    let duplicate = if readings.len() <= PAIRWISE_MAX {
        let mut earlier = readings.iter().enumerate().skip(1);
        earlier.find(|(at, reading)| readings[..*at].iter().any(|other| other.metric == reading.metric))
    } else {
        let mut seen = hashbrown::HashSet::with_capacity(readings.len());
        readings.iter().enumerate().find(|(_, reading)| !seen.insert(&reading.metric))
    };
    if let Some((_, reading)) = duplicate {
        let what = format!("{}: the metric stands twice in the object", reading.metric);
        parts.refuse(reader.rejection_at(start, Reason::DuplicateField, what));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zero_keeps_its_sign() {
        for (digits, number) in [("-0", -0.0), ("-0.0", -0.0), ("0.00", 0.0)] {
            let DraftValue::Number(found) = super::number(digits) else { panic!("{digits} is a double") };
            assert_eq!(found.to_bits(), f64::to_bits(number), "{digits}");
        }
        assert_eq!(super::number("0"), DraftValue::Integer(0));
    }

    proptest! {
        #[test]
        fn short_numbers_are_what_the_long_way_says(digits in "-?(0|[1-9][0-9]{0,16})(\\.[0-9]{1,16})?(e-?[0-9])?") {
            prop_assert_eq!(super::number(&digits), long_number(&digits), "{}", digits);
        }
    }
}
