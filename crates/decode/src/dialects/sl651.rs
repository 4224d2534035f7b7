//! SL 651-2014, what stations of rain, rivers and reservoirs send, in its hexadecimal form: `7E7E`, addresses, function, length,
//! the body between 02 and 03, CRC-16/MODBUS high byte first. Numbers are binary-coded decimals.

use std::borrow::Cow;

use model::event_id::Identity;
use model::proto::{Kind, Quality};
use model::{Reason, Rejection};

use super::checksum::crc16_modbus;
use super::digits::{bcd, hex_text, scaled};
use super::frame_payload::{self, Context, Frames, malformed, wrong_checksum};
use super::local_time::parse_bcd;
use crate::dialect::{Certainty, Dialect};
use crate::draft::{Draft, DraftReading, DraftTime, DraftValue};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "sl651",
    version: 1,
    topics: "urban-neuron/v1/devices/{device_id}/frames/sl651",
    standard: "SL 651-2014 section 6.2, annexes B and C",
    certainty: Certainty::Verified,
    recognizes: |message| frame_payload::transmitter(message.topic, "sl651").is_some(),
    device: |topic| frame_payload::transmitter(topic, "sl651"),
    decode: |message, sink| frame_payload::decode::<Sl651>(message, "sl651", sink),
};

/// Mark, centre, station, password, function, length, begin of the body.
const HEAD_BYTES: usize = 14;
/// End of the body and CRC.
const TAIL_BYTES: usize = 3;
const BODY_BEGINS: u8 = 0x02;
const BODY_OF_SEVERAL_BEGINS: u8 = 0x16;

struct Sl651;

impl Frames for Sl651 {
    fn begins(bytes: &[u8]) -> bool {
        bytes.starts_with(&[0x7e, 0x7e])
    }

    fn length(bytes: &[u8]) -> Result<usize, Rejection> {
        let Some([high, low, begin]) = bytes.get(11..14) else {
            return Err(malformed("the frame ends in its head"));
        };
        if !matches!(*begin, BODY_BEGINS | BODY_OF_SEVERAL_BEGINS) {
            return Err(malformed(format!(
                "02 or 16 is wanted before the body, found {begin:02x}; the ASCII form is not understood"
            )));
        }
        let body = usize::from(u16::from_be_bytes([high & 0x0f, *low]));
        let length = HEAD_BYTES + body + TAIL_BYTES;
        if bytes.len() < length {
            return Err(malformed(format!(
                "the frame has {length} bytes by its length, found {}",
                bytes.len()
            )));
        }
        Ok(length)
    }

    fn decode(frame: &[u8], context: &Context<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let (checked, crc) = frame.split_at(frame.len() - 2);
        let (found, wanted) = (u16::from_be_bytes([crc[0], crc[1]]), crc16_modbus(checked));
        if found != wanted {
            return Err(wrong_checksum(wanted, found));
        }
        if frame[11] >> 4 != 0 {
            return Err(Rejection::new(
                Reason::NoReadings,
                "a frame of the centre says nothing of the station",
            ));
        }
        if frame[13] == BODY_OF_SEVERAL_BEGINS {
            return Err(Rejection::new(
                Reason::UnsupportedVersion,
                "a packet of several that belong together is not understood",
            ));
        }
        station(frame, &frame[HEAD_BYTES..frame.len() - TAIL_BYTES], context, sink)
    }
}

/// Annex C, as far as it is known well: identifier, metric, unit.
const ELEMENTS: &[(u8, &str, &str)] = &[
    (0x02, "temperature", "Cel"),
    (0x03, "water_temperature", "Cel"),
    (0x1a, "rainfall_1h", "mm"),
    (0x1f, "rainfall_day", "mm"),
    (0x20, "rainfall", "mm"),
    (0x22, "rainfall_5min", "mm"),
    (0x26, "rainfall_total", "mm"),
    (0x27, "flow_rate", "m3/s"),
    (0x37, "flow_velocity", "m/s"),
    (0x38, "battery_voltage", "V"),
    (0x39, "water_level", "m"),
    (0x3b, "reservoir_level", "m"),
];

const FIVE_MINUTES_US: i64 = 300_000_000;

fn station(frame: &[u8], body: &[u8], context: &Context<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let Some((head, mut rest)) = body.split_at_checked(8) else {
        return Err(malformed("the body ends before its serial number and time"));
    };
    let mut id = hex_text(frame[3..8].iter().copied());
    let mut at_us = time(&head[2..8]);
    let mut readings = sink.readings();
    while let [identifier, form, behind @ ..] = rest {
        let at = body.len() - rest.len();
        let ends =
            || malformed(format!("element {identifier:02x} ends before its value, byte {at} of the body"));
        rest = match (identifier, form) {
            // The observing station and its class.
            (0xf1, 0xf1) => {
                let (address, rest) = behind.split_at_checked(6).ok_or_else(ends)?;
                id = hex_text(address[..5].iter().copied());
                rest
            }
            (0xf0, 0xf0) => {
                let (minute, rest) = behind.split_at_checked(5).ok_or_else(ends)?;
                let [year, month, day, hour, minute] = *minute else { return Err(ends()) };
                at_us = parse_bcd([year, month, day, hour, minute, 0]).or(at_us);
                rest
            }
            (0xf4 | 0xf5, form) => {
                let (values, rest) = behind.split_at_checked(usize::from(form >> 3)).ok_or_else(ends)?;
                hour_of_values(*identifier, values, at_us, &mut readings);
                rest
            }
            (identifier, form) => {
                let (digits, rest) = behind.split_at_checked(usize::from(form >> 3)).ok_or_else(ends)?;
                readings.push(element(*identifier, digits, u32::from(form & 7)));
                rest
            }
        };
    }
    let kind = if readings.is_empty() { Kind::Status } else { Kind::Telemetry };
    if readings.is_empty() {
        readings.push(DraftReading::new("status", DraftValue::Text("alive".into())));
    }
    let mut draft = Draft::new(id, readings);
    draft.kind = kind;
    draft.domain = "water";
    draft.has_local_times = true;
    draft.sequence = Some(i64::from(u16::from_be_bytes([head[0], head[1]])));
    if let Some(at_us) = at_us {
        draft.time = Some(DraftTime::of_device(at_us));
    }
    draft.identity = Identity::Content(frame);
    context.accept(draft, sink)
}

fn time(bytes: &[u8]) -> Option<i64> {
    parse_bcd(<[u8; 6]>::try_from(bytes).ok()?)
}

fn element(identifier: u8, digits: &[u8], decimals: u32) -> DraftReading<'static> {
    let known = ELEMENTS.iter().find(|(known, _, _)| *known == identifier);
    let name: Cow<'static, str> = match known {
        Some((_, metric, _)) => Cow::Borrowed(metric),
        None => format!("element_{identifier:02x}").into(),
    };
    let value = match digits {
        // A number below zero begins with FF.
        [0xff, rest @ ..] if !rest.is_empty() => bcd(rest).map(|number| -number),
        digits => bcd(digits),
    };
    let mut reading =
        DraftReading::new(name, value.map_or(DraftValue::None, |value| scaled(value, decimals)));
    if value.is_none() {
        reading.quality = Some(Quality::Bad);
    }
    reading.unit = known.map_or("", |(_, _, unit)| unit).into();
    reading
}

/// Twelve values of an hour, one each five minutes up to the time observed: rain in tenths of a millimetre, a byte each, or
/// levels in centimetres, two bytes each. All ones is no value.
fn hour_of_values(
    identifier: u8,
    values: &[u8],
    at_us: Option<i64>,
    readings: &mut Vec<DraftReading<'static>>,
) {
    let (metric, unit, decimals, width) =
        if identifier == 0xf4 { ("rainfall_5min", "mm", 1, 1) } else { ("water_level", "m", 2, 2) };
    let count = values.len() / width;
    for (at, value) in values.chunks_exact(width).enumerate() {
        let number = value.iter().fold(0i64, |number, byte| number << 8 | i64::from(*byte));
        let is_none = value.iter().all(|byte| *byte == 0xff);
        let mut reading =
            DraftReading::new(metric, if is_none { DraftValue::None } else { scaled(number, decimals) });
        reading.quality = is_none.then_some(Quality::Bad);
        reading.unit = unit.into();
        let ago_us = (count - 1 - at) as i64 * FIVE_MINUTES_US;
        reading.time = at_us.map(|at_us| DraftTime::of_device(at_us - ago_us));
        readings.push(reading);
    }
}
