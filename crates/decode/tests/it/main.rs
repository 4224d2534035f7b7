//! The decoder as the pipeline calls it: payloads in, envelopes or rejections out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests end where they fail")]

mod flat_json;
mod frames;
mod hostile;
mod identity;
mod json_dialects;
mod own_topics;
mod pages;
mod registered;
mod senml;
mod sparkplug;

use std::sync::Arc;

use model::catalog::Catalog;
use model::proto::{self, log_record::Record, reading::Value};
use model::{Adapter, LogRecordView, RawMessage, Reason, Rejection};
use prost::Message;
use urban_neuron_decode::{Child, Decoder, DecoderConfig, LocalZone, Outcome};

pub(crate) const RECEIVED_AT_US: i64 = 1_772_409_600_000_000;
pub(crate) const TOPIC: &str = "urban-neuron/v1/devices/d-1/telemetry";

pub(crate) fn decoder() -> Decoder {
    Decoder::new(DecoderConfig {
        catalog: Arc::new(Catalog::shipped()),
        process: 1,
        time_zone: LocalZone::UTC,
    })
}

pub(crate) fn message<'a>(topic: &'a str, payload: &'a [u8]) -> RawMessage<'a> {
    RawMessage {
        adapter: Adapter::MqttEndpoint,
        topic,
        payload,
        publisher: "gateway",
        content_type: "",
        packet_id: Some(7),
        is_redelivered: false,
        is_retained: false,
        is_will: false,
        received_at_us: RECEIVED_AT_US,
    }
}

/// What became of a message, owned. Checks on the way that every record is one envelope by both readers, and canonical.
pub(crate) struct Found {
    pub telemetry: Vec<proto::Telemetry>,
    pub rejected: Vec<(u32, Rejection)>,
    pub whole: Option<Rejection>,
}

impl Found {
    pub(crate) fn of(outcome: Outcome<'_>) -> Found {
        let decoded = match outcome {
            Outcome::Rejected(rejection) => {
                return Found { telemetry: Vec::new(), rejected: Vec::new(), whole: Some(rejection) };
            }
            Outcome::Decoded(decoded) => decoded,
        };
        let owned = |child: Child<'_>| {
            assert!(matches!(LogRecordView::parse(child.record), Ok(LogRecordView::Telemetry(_))));
            let record = proto::LogRecord::decode(child.record).unwrap();
            assert_eq!(record.encode_to_vec(), child.record, "canonical");
            let Some(Record::Telemetry(telemetry)) = record.record else { panic!("no telemetry") };
            assert_eq!(telemetry.device_id, child.device_id);
            telemetry
        };
        Found {
            telemetry: decoded.telemetry().map(owned).collect(),
            rejected: decoded.rejected().to_vec(),
            whole: None,
        }
    }

    /// The only child.
    pub(crate) fn one(self) -> proto::Telemetry {
        assert_eq!((self.whole, self.rejected), (None, Vec::new()));
        let [telemetry] = <[proto::Telemetry; 1]>::try_from(self.telemetry).unwrap();
        telemetry
    }

    /// The only rejection, of the whole or of the only child.
    pub(crate) fn rejection(self) -> Rejection {
        assert_eq!(self.telemetry, []);
        self.whole.or_else(|| self.rejected.into_iter().next().map(|(_, rejection)| rejection)).unwrap()
    }
}

pub(crate) fn found(payload: &[u8]) -> Found {
    Found::of(decoder().decode(&message(TOPIC, payload)))
}

pub(crate) fn check_rejected(payload: &[u8], reason: Reason, detail_has: &str) {
    let rejection = found(payload).rejection();
    assert_eq!(rejection.reason, reason, "{rejection}");
    assert!(rejection.detail.contains(detail_has), "{rejection} does not say {detail_has:?}");
}

/// Metric, value, unit and quality.
pub(crate) type Short = (String, Option<Value>, String, proto::Quality);

pub(crate) fn readings(telemetry: &proto::Telemetry) -> Vec<Short> {
    let short = |reading: &proto::Reading| {
        (reading.metric.clone(), reading.value.clone(), reading.unit.clone(), reading.quality())
    };
    telemetry.readings.iter().map(short).collect()
}

pub(crate) fn short(
    metric: &str,
    value: impl Into<Option<Value>>,
    unit: &str,
    quality: proto::Quality,
) -> Short {
    (metric.to_owned(), value.into(), unit.to_owned(), quality)
}

/// Hex digits, white space between them.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// What became of a message, as the pages of the dialects write it: a line a child, a line a reading below it.
pub(crate) fn lines(found: &Found) -> Vec<String> {
    let mut lines = Vec::new();
    for telemetry in &found.telemetry {
        lines.push(head_line(telemetry));
        lines.extend(telemetry.readings.iter().map(reading_line));
    }
    let refused = found.rejected.iter().map(|(_, rejection)| rejection).chain(&found.whole);
    lines.extend(refused.map(|rejection| format!("refused: {rejection}")));
    lines
}

fn head_line(telemetry: &proto::Telemetry) -> String {
    let source = telemetry.source.clone().unwrap();
    let mut line = telemetry.device_id.clone();
    if telemetry.observed_at_source() != proto::TimeSource::Received {
        let at = model::time::format_rfc3339(telemetry.observed_at_us);
        line += &format!(
            " at {at} of the {}",
            name(telemetry.observed_at_source().as_str_name(), "TIME_SOURCE_")
        );
    }
    if telemetry.clock_verdict() as i32 > proto::ClockVerdict::Ok as i32 {
        line += &format!(", clock {}", name(telemetry.clock_verdict().as_str_name(), "CLOCK_VERDICT_"));
    }
    if source.time_zone_assumed {
        line += ", zone assumed";
    }
    if telemetry.kind() != proto::Kind::Telemetry {
        line += &format!(", {}", name(telemetry.kind().as_str_name(), "KIND_"));
    }
    if let Some(sequence) = telemetry.sequence {
        line += &format!(", sequence {sequence}");
    }
    if !source.gateway_id.is_empty() {
        line += &format!(", through {}", source.gateway_id);
    }
    if telemetry.domain != "unknown" {
        line += &format!(", domain {}", telemetry.domain);
    }
    if let Some(place) = &telemetry.location {
        let origin = name(place.origin().as_str_name(), "LOCATION_ORIGIN_");
        line += &format!(", {} {} of the {origin}", place.latitude, place.longitude);
    }
    for (flag, said) in [(proto::Flag::Historical, "historical"), (proto::Flag::Simulated, "simulated")] {
        if telemetry.flags & flag as u32 != 0 {
            line += &format!(", {said}");
        }
    }
    line
}

fn reading_line(reading: &proto::Reading) -> String {
    let value = match &reading.value {
        None => "nothing".to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Integer(integer)) => integer.to_string(),
        Some(Value::Boolean(boolean)) => boolean.to_string(),
        Some(Value::Text(text)) => format!("{text:?}"),
    };
    let mut line = format!("  {} = {value}", reading.metric);
    if !reading.unit.is_empty() {
        line += &format!(" {}", reading.unit);
    }
    if !reading.raw_unit.is_empty() {
        line += &format!(" (sent in {})", reading.raw_unit);
    }
    if reading.quality() != proto::Quality::Good {
        line += &format!(", {}", name(reading.quality().as_str_name(), "QUALITY_"));
    }
    if let Some(time) = &reading.time {
        line += &format!(", at {}", model::time::format_rfc3339(time.observed_at_us));
    }
    line
}

fn name(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase()
}

/// A message on a topic becomes these lines.
pub(crate) fn check_becomes(topic: &str, payload: &[u8], expected: &[&str]) {
    let found = Found::of(decoder().decode(&message(topic, payload)));
    assert_eq!(lines(&found), expected, "{topic} {:?}", String::from_utf8_lossy(payload));
}
