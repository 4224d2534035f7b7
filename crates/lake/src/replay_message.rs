//! Rows as the message that they came from: canonical protobuf, as the decoders write it.

use model::{LogRecordView, TelemetryView};

use crate::names::NO_NAME;
use crate::replay_rows::{Body, ReplayMessage, ReplayReading};

/// Writes messages, one after the other into one buffer.
#[derive(Default)]
pub(crate) struct MessageWriter {
    message: Vec<u8>,
    inner: Vec<u8>,
    time: Vec<u8>,
}

impl MessageWriter {
    /// What the record says.
    pub(crate) fn view<'a>(&'a mut self, message: &ReplayMessage<'a>) -> LogRecordView<'a> {
        let first = match message.first() {
            Body::Reading(first) => first,
            Body::Control { kind, digest } => {
                return match message.name(*kind) {
                    "tick" => LogRecordView::Tick { instance: "" },
                    "heartbeat" => LogRecordView::Heartbeat { instance: "" },
                    "rule_set" => LogRecordView::RuleSet { n: 0, digest: message.name(*digest) },
                    _ => LogRecordView::UnknownControl,
                };
            }
        };
        self.message.clear();
        self.head(message, first);
        for reading in message.readings() {
            self.reading(message, first, reading);
        }
        match TelemetryView::parse(&self.message) {
            Ok(view) => LogRecordView::Telemetry(view),
            // Not of our making: a row without device or metric. It has moved the clock all the same.
            Err(_) => LogRecordView::UnknownControl,
        }
    }

    fn head(&mut self, message: &ReplayMessage<'_>, first: &ReplayReading) {
        self.inner.clear();
        text(&mut self.inner, 2, message.name(first.protocol));
        text(&mut self.inner, 4, message.name(first.gateway));
        let out = &mut self.message;
        text(out, 1, message.name(first.device));
        bytes(out, 2, &first.event_id);
        fixed(out, 3, first.observed_at_us.cast_unsigned());
        fixed(out, 5, first.received_at_us.cast_unsigned());
        number(out, 6, first.kind.into());
        number(out, 7, first.clock_verdict.into());
        number(out, 8, first.observed_at_source.into());
        bytes(out, 9, &self.inner);
        text(out, 10, message.name(first.domain));
        text(out, 11, message.name(first.asset));
        if !first.latitude.is_nan() && !first.longitude.is_nan() {
            self.inner.clear();
            fixed(&mut self.inner, 1, first.latitude.to_bits());
            fixed(&mut self.inner, 2, first.longitude.to_bits());
            bytes(out, 12, &self.inner);
        }
        if let Some(sequence) = first.sequence {
            number(out, 13, zigzag(sequence));
        }
        number(out, 14, first.flags.into());
        if let Some(device_time_us) = first.device_time_us {
            fixed(out, 15, device_time_us.cast_unsigned());
        }
    }

    /// The times of the message are those of its first reading.
    fn reading(&mut self, message: &ReplayMessage<'_>, first: &ReplayReading, reading: &ReplayReading) {
        let out = &mut self.inner;
        out.clear();
        text(out, 1, message.name(reading.metric));
        value(out, reading, message.name(reading.text));
        text(out, 6, message.name(reading.unit));
        number(out, 7, reading.quality.into());
        text(out, 8, message.name(reading.raw_unit));
        let times = |reading: &ReplayReading| {
            let ReplayReading { observed_at_us, observed_at_source, clock_verdict, .. } = *reading;
            (observed_at_us, observed_at_source, clock_verdict, reading.device_time_us)
        };
        if times(reading) != times(first) {
            self.time.clear();
            fixed(&mut self.time, 1, reading.observed_at_us.cast_unsigned());
            number(&mut self.time, 2, reading.observed_at_source.into());
            number(&mut self.time, 3, reading.clock_verdict.into());
            if let Some(device_time_us) = reading.device_time_us {
                fixed(&mut self.time, 4, device_time_us.cast_unsigned());
            }
            bytes(out, 9, &self.time);
        }
        bytes(&mut self.message, 4, &self.inner);
    }
}

/// The columns `value` and `value_text` again as what was sent.
fn value(out: &mut Vec<u8>, reading: &ReplayReading, sent: &str) {
    let has_text = reading.text != NO_NAME;
    match (reading.value.is_nan(), has_text) {
        (true, false) => {}
        (true, true) => bytes(out, 5, sent.as_bytes()),
        (false, false) => fixed(out, 2, reading.value.to_bits()),
        (false, true) => match sent.parse::<i64>() {
            Ok(integer) => number(out, 3, zigzag(integer)),
            Err(_) => number(out, 4, u64::from(reading.value != 0.0)),
        },
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn text(out: &mut Vec<u8>, number: u32, text: &str) {
    if !text.is_empty() {
        bytes(out, number, text.as_bytes());
    }
}

fn bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    varint(out, u64::from(number << 3 | 2));
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn fixed(out: &mut Vec<u8>, number: u32, bits: u64) {
    varint(out, u64::from(number << 3 | 1));
    out.extend_from_slice(&bits.to_le_bytes());
}

fn number(out: &mut Vec<u8>, number: u32, value: u64) {
    varint(out, u64::from(number << 3));
    varint(out, value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
