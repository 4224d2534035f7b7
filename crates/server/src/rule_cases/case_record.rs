//! A line of `records`: one record of the log in a few words.

use model::proto::{self, Quality, log_record, reading::Value};
use prost::Message;

use super::EPOCH_US;

/// A record of the log.
#[derive(Clone, Debug)]
pub struct CaseRecord {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub log_time_us: i64,
    record: log_record::Record,
}

impl CaseRecord {
    /// Reads `r=SECONDS [d=DEVICE] [t=SECONDS] [e=N] METRIC=VALUE[@SECONDS][!QUALITY] ...`, `tick r=..`, `heartbeat r=..`.
    /// `unit_of` gives the unit in which readings of a metric stand in the log.
    ///
    /// # Errors
    /// Which word is wrong, and what would do.
    pub fn parse(line: &str, offset: usize, unit_of: &dyn Fn(&str) -> String) -> Result<Self, String> {
        let (mut log_time_us, mut message_time_us, mut kind) = (None, None, "");
        let (mut device, mut event) = ("a", offset as u128);
        let mut readings = Vec::new();
        for word in line.split_whitespace() {
            match word.split_once('=') {
                None => kind = word,
                Some(("r", value)) => log_time_us = Some(time(word, value)?),
                Some(("t", value)) => message_time_us = Some(time(word, value)?),
                Some(("d", value)) => device = value,
                Some(("e", value)) => {
                    event = value.parse().map_err(|_| format!("{word:?}: a whole number would do"))?;
                }
                Some((metric, value)) => readings.push(reading(metric, value, unit_of(metric))?),
            }
        }
        let log_time_us = log_time_us.ok_or_else(|| format!("{line:?} without r=SECONDS, its log time"))?;
        let record = match kind {
            "tick" => log_record::Record::Tick(proto::Tick::default()),
            "heartbeat" => log_record::Record::Heartbeat(proto::Heartbeat::default()),
            "" if readings.is_empty() => return Err(format!("{line:?} without a reading, METRIC=VALUE")),
            "" => {
                let message_time_us = message_time_us.unwrap_or(log_time_us);
                log_record::Record::Telemetry(telemetry(
                    device,
                    event,
                    message_time_us,
                    log_time_us,
                    readings,
                ))
            }
            other => return Err(format!("{other:?}: tick, heartbeat or METRIC=VALUE would do")),
        };
        Ok(CaseRecord { log_time_us, record })
    }

    /// As it stands in the log.
    pub fn encode(&self) -> Vec<u8> {
        proto::LogRecord { record: Some(self.record.clone()), ..Default::default() }.encode_to_vec()
    }
}

fn telemetry(
    device: &str,
    event: u128,
    message_time_us: i64,
    log_time_us: i64,
    readings: Vec<proto::Reading>,
) -> proto::Telemetry {
    proto::Telemetry {
        device_id: device.to_owned(),
        event_id: event.to_be_bytes().to_vec(),
        observed_at_us: message_time_us,
        observed_at_source: proto::TimeSource::Device as i32,
        received_at_us: log_time_us,
        kind: proto::Kind::Telemetry as i32,
        domain: "unknown".to_owned(),
        readings,
        ..Default::default()
    }
}

/// `VALUE[@SECONDS][!QUALITY]`.
fn reading(metric: &str, text: &str, unit: String) -> Result<proto::Reading, String> {
    let (rest, quality) = text.split_once('!').unwrap_or((text, "good"));
    let (value, at) = match rest.split_once('@') {
        Some((value, at)) => (value, Some(time(text, at)?)),
        None => (rest, None),
    };
    let quality = Quality::from_str_name(&format!("QUALITY_{}", quality.to_uppercase()))
        .ok_or_else(|| format!("{text:?}: the quality {quality:?} is none"))?;
    let value = match value {
        "none" => None,
        "true" | "false" => Some(Value::Boolean(value == "true")),
        value => Some(
            value.parse().map_or_else(|_| Value::Text(value.trim_matches('\'').to_owned()), Value::Number),
        ),
    };
    let time = at.map(|observed_at_us| proto::ReadingTime {
        observed_at_us,
        observed_at_source: proto::TimeSource::Device as i32,
        ..Default::default()
    });
    // Only numbers have units.
    let unit = if matches!(value, Some(Value::Number(_))) { unit } else { String::new() };
    Ok(proto::Reading {
        metric: metric.to_owned(),
        value,
        unit,
        quality: quality as i32,
        time,
        ..Default::default()
    })
}

fn time(word: &str, seconds: &str) -> Result<i64, String> {
    let seconds: f64 = seconds.parse().map_err(|_| format!("{word:?}: a number of seconds would do"))?;
    Ok(EPOCH_US + (seconds * 1e6).round() as i64)
}
