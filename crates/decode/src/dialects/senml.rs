//! SenML (RFC 8428): how the records of a pack resolve, whichever form they came in.

use std::borrow::Cow;

use model::event_id::Identity;
use model::{RawMessage, Reason, Rejection};

use crate::draft::{Draft, DraftReading, DraftTime, DraftValue};
use crate::sink::{READINGS_MAX, Sink};

/// Version of SenML that is understood, section 4.4.
const VERSION: i64 = 10;

/// Times below this are relative to now, section 4.5.3; seconds.
const RELATIVE_SECONDS_MAX: f64 = 268_435_456.0;

/// Every integer up to here is a double of its own.
const INTEGER_MAX: u64 = 1 << 53;

/// One record as it stands in the pack.
#[derive(Debug, Default)]
pub(crate) struct Record<'a> {
    pub base_name: Option<Cow<'a, str>>,
    /// Seconds.
    pub base_time: Option<f64>,
    pub base_unit: Option<Cow<'a, str>>,
    pub base_value: Option<f64>,
    pub base_sum: Option<f64>,
    pub base_version: Option<i64>,
    pub name: Option<Cow<'a, str>>,
    pub unit: Option<Cow<'a, str>>,
    pub value: Option<DraftValue<'a>>,
    pub sum: Option<f64>,
    /// Seconds.
    pub time: Option<f64>,
}

/// The base fields in force, section 4.1, and the readings so far.
pub(crate) struct Pack<'a> {
    base_name: Cow<'a, str>,
    base_time: f64,
    base_unit: Cow<'a, str>,
    base_value: Option<f64>,
    base_sum: f64,
    version: Option<i64>,
    records: usize,
    has_relative_time: bool,
    readings: Vec<DraftReading<'a>>,
}

impl<'a> Pack<'a> {
    pub(crate) fn new(readings: Vec<DraftReading<'a>>) -> Self {
        Pack {
            base_name: Cow::Borrowed(""),
            base_time: 0.0,
            base_unit: Cow::Borrowed(""),
            base_value: None,
            base_sum: 0.0,
            version: None,
            records: 0,
            has_relative_time: false,
            readings,
        }
    }

    /// Takes the next record.
    pub(crate) fn record(&mut self, record: Record<'a>, received_at_us: i64) -> Result<(), Rejection> {
        let number = self.records;
        let refuse =
            |reason, what: String| Err(Rejection::new(reason, format!("SenML record {number}: {what}")));
        self.records += 1;
        if let Some(version) = record.base_version {
            if self.version.is_some_and(|earlier| earlier != version) {
                return refuse(Reason::MalformedSenml, format!("bver {version} after another one"));
            }
            if !(1..=VERSION).contains(&version) {
                return refuse(
                    Reason::UnsupportedVersion,
                    format!("bver {version}, 1 to {VERSION} is understood"),
                );
            }
            self.version = Some(version);
        }
        if let Some(name) = record.base_name {
            self.base_name = name;
        }
        self.base_time = record.base_time.unwrap_or(self.base_time);
        if let Some(unit) = record.base_unit {
            self.base_unit = unit;
        }
        self.base_value = record.base_value.or(self.base_value);
        self.base_sum = record.base_sum.unwrap_or(self.base_sum);

        let value = match (record.value, self.base_value) {
            (Some(value), base) => Some(with_base(value, base)),
            // A base value alone is a value too, unless the record has nothing but base fields.
            (None, Some(base)) if record.name.is_some() && record.sum.is_none() => {
                Some(DraftValue::Number(base))
            }
            (None, _) => None,
        };
        let sum = record.sum.map(|sum| DraftValue::Number(sum + self.base_sum));
        if value.is_none() && sum.is_none() {
            return Ok(());
        }
        let metric = metric(&self.base_name, record.name.as_deref());
        if metric.is_empty() {
            return refuse(Reason::InvalidMetric, "the name has nothing but the device in it".to_owned());
        }
        if self.readings.len() + 2 > READINGS_MAX {
            return refuse(Reason::TooMany, format!("more than {READINGS_MAX} readings in one pack"));
        }
        let unit = record.unit.unwrap_or_else(|| self.base_unit.clone());
        let time = self.time(record.time, received_at_us);
        if let Some(sum) = sum {
            // The sum is over time: another quantity than the value, in its unit times seconds, section 4.3.
            let sum_unit = if unit.is_empty() { String::new() } else { format!("{unit}.s") };
            self.push(format!("{metric}_sum"), sum, sum_unit.into(), time);
        }
        if let Some(value) = value {
            self.push(metric, value, unit, time);
        }
        Ok(())
    }

    fn push(&mut self, metric: String, value: DraftValue<'a>, unit: Cow<'a, str>, time: Option<DraftTime>) {
        let mut reading = DraftReading::new(metric, value);
        reading.unit = unit;
        reading.time = time;
        self.readings.push(reading);
    }

    /// The resolved time; nothing where the record and the base say none.
    fn time(&mut self, time: Option<f64>, received_at_us: i64) -> Option<DraftTime> {
        let seconds = self.base_time + time.unwrap_or(0.0);
        if time.is_none() && self.base_time == 0.0 {
            return None;
        }
        // The casts saturate: a time beyond the years has its verdict all the same.
        let us = (seconds * 1e6).round() as i64;
        if seconds < RELATIVE_SECONDS_MAX {
            self.has_relative_time = true;
            return Some(DraftTime::of_device(received_at_us.saturating_add(us)));
        }
        Some(DraftTime::of_device(us))
    }

    /// Hands the pack on as one message of the device.
    pub(crate) fn finish(
        self,
        message: &RawMessage<'a>,
        device: &'a str,
        sink: &mut Sink<'_>,
    ) -> Result<(), Rejection> {
        let has_times = self.readings.iter().all(|reading| reading.time.is_some());
        let mut draft = Draft::new(device, self.readings);
        // A time that is relative to receipt differs in every resend: it names no event.
        if has_times && !self.has_relative_time {
            draft.identity = Identity::Content(message.payload);
        }
        sink.accept(message, draft)
    }
}

/// A number on top of the base value; of other values it says nothing.
fn with_base(value: DraftValue<'_>, base: Option<f64>) -> DraftValue<'_> {
    let Some(base) = base else { return value };
    match value {
        DraftValue::Number(number) => DraftValue::Number(number + base),
        // A sum in doubles would lose digits of a large one.
        DraftValue::Integer(integer) if integer.unsigned_abs() > INTEGER_MAX => {
            DraftValue::Unrepresentable(integer as f64 + base)
        }
        DraftValue::Integer(integer) => DraftValue::Number(integer as f64 + base),
        DraftValue::Unrepresentable(nearest) => DraftValue::Unrepresentable(nearest + base),
        other => other,
    }
}

/// The resolved name less what names the device: a base name that is a URN is its own name for itself.
fn metric(base_name: &str, name: Option<&str>) -> String {
    let is_separator = |c: char| matches!(c, ':' | '/' | '_' | '-' | '.' | ' ');
    let name = name.unwrap_or_default();
    let resolved = if base_name.starts_with("urn:") { name.to_owned() } else { format!("{base_name}{name}") };
    resolved.trim_matches(is_separator).to_owned()
}
