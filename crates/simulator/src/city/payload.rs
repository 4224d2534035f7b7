//! The bytes of a message: flat JSON for what is told at once, SenML for what is told late.

use std::fmt::Write;

/// A measured value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// A number and how many decimals the sensor shows.
    Number(f64, u8),
    Integer(i64),
    Boolean(bool),
    Text(&'static str),
}

/// One metric of a sample, with the unit that SenML calls it by (empty: none).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reading {
    pub(super) metric: &'static str,
    pub(super) unit: &'static str,
    pub(super) value: Value,
}

/// What a device measured at one instant.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) observed_at_us: i64,
    pub(super) readings: Vec<Reading>,
}

/// `{"ts":ms,"domain":theme,"metric":value,...}`
pub(super) fn flat_json(sample: &Sample, domain: &str) -> String {
    let mut json = String::with_capacity(128);
    put(&mut json, format_args!("{{\"ts\":{},\"domain\":\"{domain}\"", sample.observed_at_us / 1_000));
    for reading in &sample.readings {
        put(&mut json, format_args!(",\"{}\":", reading.metric));
        put_value(&mut json, reading.value);
    }
    json.push('}');
    json
}

/// A pack of samples, the times relative to the first.
pub(super) fn senml(samples: &[Sample]) -> String {
    let base_us = samples.first().map_or(0, |sample| sample.observed_at_us);
    let mut json = String::with_capacity(256);
    let mut separator = '[';
    for sample in samples {
        for reading in &sample.readings {
            json.push(separator);
            json.push('{');
            if separator == '[' {
                put(&mut json, format_args!("\"bt\":{},", Seconds(base_us)));
            }
            separator = ',';
            put(&mut json, format_args!("\"n\":\"{}\"", reading.metric));
            if !reading.unit.is_empty() {
                put(&mut json, format_args!(",\"u\":\"{}\"", reading.unit));
            }
            if sample.observed_at_us != base_us {
                put(&mut json, format_args!(",\"t\":{}", Seconds(sample.observed_at_us - base_us)));
            }
            json.push_str(match reading.value {
                Value::Number(..) | Value::Integer(_) => ",\"v\":",
                Value::Boolean(_) => ",\"vb\":",
                Value::Text(_) => ",\"vs\":",
            });
            put_value(&mut json, reading.value);
            json.push('}');
        }
    }
    json.push(']');
    json
}

/// Microseconds, shown as seconds to the millisecond.
struct Seconds(i64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = self.0 / 1_000;
        write!(f, "{}.{:03}", ms / 1_000, ms % 1_000)
    }
}

fn put_value(json: &mut String, value: Value) {
    match value {
        Value::Number(number, decimals) => put(json, format_args!("{number:.0$}", usize::from(decimals))),
        Value::Integer(number) => put(json, format_args!("{number}")),
        Value::Boolean(is_true) => put(json, format_args!("{is_true}")),
        Value::Text(text) => put(json, format_args!("\"{text}\"")),
    }
}

fn put(json: &mut String, text: std::fmt::Arguments<'_>) {
    json.write_fmt(text).expect("a String takes any text");
}
