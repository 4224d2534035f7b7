//! HJ 212-2017, what stations of air, sewage and noise send: `##`, four digits of length, a data segment, four hex digits of a
//! CRC of its own kind, CR LF. `CP=&&..&&` in it has groups parted by `;` and items by `,`: `a34004-Rtd=35,a34004-Flag=N`.

use std::borrow::Cow;

use model::event_id::Identity;
use model::proto::{Kind, Quality};
use model::{Reason, Rejection};

use super::checksum::SHIFTED;
use super::frame_payload::{self, Context, Frames, malformed, wrong_checksum};
use super::hj212_factors;
use super::{digits, local_time};
use crate::dialect::{Certainty, Dialect};
use crate::draft::{Draft, DraftReading, DraftTime, DraftValue};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "hj212",
    version: 1,
    topics: "urban-neuron/v1/devices/{device_id}/frames/hj212",
    standard: "HJ 212-2017 sections 6.3 and 6.6",
    certainty: Certainty::Verified,
    recognizes: |message| frame_payload::transmitter(message.topic, "hj212").is_some(),
    device: |topic| frame_payload::transmitter(topic, "hj212"),
    decode: |message, sink| frame_payload::decode::<Hj212>(message, "hj212", sink),
};

/// Section 6.3.1: 1,024 bytes of data; stations that send more are known.
const DATA_BYTES_MAX: usize = 9_999;
const HEAD_BYTES: usize = 6;
const CRC_BYTES: usize = 4;

struct Hj212;

impl Frames for Hj212 {
    fn begins(bytes: &[u8]) -> bool {
        bytes.starts_with(b"##")
    }

    /// The frame and its CR LF, as far as they are there. A length that is off is known: then the CRC's place is found by them.
    fn length(bytes: &[u8]) -> Result<usize, Rejection> {
        let line_end = |data_end: usize| {
            let behind = &bytes[data_end + CRC_BYTES..];
            data_end
                + CRC_BYTES
                + behind.iter().take(2).take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
        };
        let declared = bytes.get(2..HEAD_BYTES).and_then(decimal).map(|length| HEAD_BYTES + length);
        if let Some(end) =
            declared.filter(|end| bytes.len() >= end + CRC_BYTES && hex(&bytes[*end..]).is_some())
        {
            return Ok(line_end(end));
        }
        let rest = &bytes[2..bytes.len().min(HEAD_BYTES + DATA_BYTES_MAX + CRC_BYTES + 2)];
        let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n' | b'#')).unwrap_or(rest.len()) + 2;
        if end < HEAD_BYTES + CRC_BYTES || hex(&bytes[end - CRC_BYTES..]).is_none() {
            return Err(malformed("the frame ends before its length and the four hex digits of its CRC"));
        }
        Ok(line_end(end - CRC_BYTES))
    }

    fn decode(frame: &[u8], context: &Context<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let frame = frame.trim_ascii_end();
        let (data, end) = frame[HEAD_BYTES..].split_at(frame.len() - HEAD_BYTES - CRC_BYTES);
        let (found, wanted) = (hex(end).unwrap_or_default(), crc(data));
        if found != wanted {
            return Err(wrong_checksum(wanted, found));
        }
        match std::str::from_utf8(data) {
            Ok(text) => segment(text, data, context, sink),
            Err(_) => segment(&encoding_rs::GB18030.decode_without_bom_handling(data).0, data, context, sink),
        }
    }
}

fn decimal(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.trim().parse().ok()
}

/// Four hex digits of either case; a space stands where a station does not pad them.
fn hex(digits: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(digits.get(..CRC_BYTES)?).ok()?.trim();
    u16::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
}

/// Annex A. Unlike CRC-16/MODBUS the register is shifted before a byte comes in.
pub(super) fn crc(data: &[u8]) -> u16 {
    // What is left of the register and the byte are eight bits together.
    data.iter().fold(0xffff, |crc, byte| SHIFTED[usize::from((crc >> 8) ^ u16::from(*byte))])
}

/// What stands before `CP`.
#[derive(Default)]
struct Head<'a> {
    request_us: Option<i64>,
    system: &'a str,
    command: u32,
    device: &'a str,
}

fn segment(text: &str, sent: &[u8], context: &Context<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let (before, content) = match text.split_once("CP=") {
        Some((before, content)) => (before, content.trim().trim_start_matches('&').trim_end_matches('&')),
        None => (text, ""),
    };
    let mut head = Head::default();
    for (key, value) in before.split(';').filter_map(item) {
        match key {
            "QN" => head.request_us = local_time::parse_digits(value),
            "ST" => head.system = value,
            "CN" => head.command = value.parse().unwrap_or_default(),
            "MN" => head.device = value,
            _ => {}
        }
    }
    if head.device.is_empty() {
        return Err(Rejection::new(Reason::MissingDeviceId, "MN: it is missing or empty"));
    }
    let mut readings = sink.readings();
    let mut data_us = None;
    for group in content.split(';') {
        group_readings(group, head.command, &mut data_us, &mut readings);
    }
    let is_data = matches!(head.command, 2011 | 2021 | 2031 | 2041 | 2051 | 2061);
    let mut draft = Draft::new(head.device, readings);
    draft.kind = match (is_data, draft.readings.is_empty()) {
        (true, _) => Kind::Telemetry,
        (false, false) => Kind::Event,
        // A heartbeat, an acknowledgement: it is there.
        (false, true) => {
            draft.readings.push(DraftReading::new("status", DraftValue::Text("alive".into())));
            Kind::Status
        }
    };
    draft.domain = match head.system {
        "21" | "24" | "26" => "water",
        _ => "environment",
    };
    draft.has_local_times = true;
    if let Some(at_us) = data_us.or(head.request_us) {
        draft.time = Some(DraftTime::of_device(at_us));
        draft.identity = Identity::Content(sent);
    }
    context.accept(draft, sink)
}

/// A key and its value, without the spaces that some stations put around them.
fn item(item: &str) -> Option<(&str, &str)> {
    let (key, value) = item.split_once('=')?;
    Some((key.trim(), value.trim()))
}

/// The items of one group: of one factor, and its flag for all of them.
fn group_readings<'a>(
    group: &'a str,
    command: u32,
    data_us: &mut Option<i64>,
    readings: &mut Vec<DraftReading<'a>>,
) {
    let from = readings.len();
    let (mut quality, mut sampled) = (None, None);
    for (key, value) in group.split(',').filter_map(item) {
        match key.split_once('-') {
            None if key == "DataTime" => *data_us = local_time::parse_digits(value),
            Some((_, "Flag")) => quality = Some(flag(value)),
            Some((_, "SampleTime")) => sampled = local_time::parse_digits(value),
            _ => readings.push(reading(key, value, command)),
        }
    }
    for reading in &mut readings[from..] {
        reading.quality = reading.quality.or(quality);
        reading.time = sampled.map(DraftTime::of_device);
    }
}

fn reading<'a>(key: &'a str, value: &'a str, command: u32) -> DraftReading<'a> {
    let (code, kind) = key.split_once('-').unwrap_or((key, ""));
    let factor = hj212_factors::find(code);
    let name = factor.map_or(code, |factor| factor.metric);
    let metric: Cow<'a, str> = match (kind, hj212_factors::statistic(kind, command)) {
        ("" | "Rtd", _) => name.into(),
        (_, Some(suffix)) => format!("{name}{suffix}").into(),
        (other, None) => format!("{name}_{other}").into(),
    };
    let mut value = digits::number_or_text(value);
    let is_sentinel =
        matches!(value, DraftValue::Number(-999.0 | -9999.0) | DraftValue::Integer(-999 | -9999));
    let mut reading = DraftReading::new(metric, DraftValue::None);
    if is_sentinel {
        reading.quality = Some(Quality::Bad);
    } else {
        std::mem::swap(&mut reading.value, &mut value);
    }
    let is_amount = kind == "Cou" || kind.starts_with("Zs");
    if let Some(factor) = factor
        .filter(|_| !is_amount && matches!(reading.value, DraftValue::Number(_) | DraftValue::Integer(_)))
    {
        reading.unit = factor.unit.into();
    }
    reading
}

/// Section 6.6.5, table 8.
fn flag(value: &str) -> Quality {
    match value {
        "N" | "n" => Quality::Good,
        "M" => Quality::Maintenance,
        "S" => Quality::Manual,
        "D" => Quality::Fault,
        "C" => Quality::Calibration,
        "T" => Quality::OverRange,
        "B" => Quality::CommFail,
        // F: what it watches stands still.
        _ => Quality::Suspect,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As annex A writes it.
    fn slow_crc(data: &[u8]) -> u16 {
        let mut crc = 0xffffu16;
        for byte in data {
            crc = (crc >> 8) ^ u16::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0xa001 } else { crc >> 1 };
            }
        }
        crc
    }

    #[test]
    fn the_example_of_the_standard() {
        let data = b"QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&";
        assert_eq!((data.len(), crc(data)), (101, 0x1c80));
    }

    proptest! {
        #[test]
        fn the_table_is_the_shifts(data in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(crc(&data), slow_crc(&data));
        }
    }
}
