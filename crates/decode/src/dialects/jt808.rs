//! JT/T 808-2011, -2013 and -2019, terminals of vehicles: frames between `7E`, in which `7D 02` is `7E` and `7D 01` is `7D`; a
//! head, a body, all bytes one against the other. Numbers have their high byte first, times and telephone numbers are
//! binary-coded decimals.

use model::event_id::Identity;
use model::proto::{Kind, LocationOrigin};
use model::{Reason, Rejection};

use super::checksum::xor8;
use super::digits::{hex_text, scaled};
use super::frame_payload::{self, Context, Frames, malformed, wrong_checksum};
use super::local_time::parse_bcd;
use crate::dialect::{Certainty, Dialect};
use crate::draft::{Draft, DraftReading, DraftTime, DraftValue};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "jt808",
    version: 1,
    topics: "urban-neuron/v1/devices/{device_id}/frames/jt808",
    standard: "JT/T 808-2019 chapters 4, 8 and 9",
    certainty: Certainty::Captured,
    recognizes: |message| frame_payload::transmitter(message.topic, "jt808").is_some(),
    device: |topic| frame_payload::transmitter(topic, "jt808"),
    decode: |message, sink| frame_payload::decode::<Jt808>(message, "jt808", sink),
};

/// A message has at most 1,023 bytes of body; escaped, with its head, it stays below this.
const FRAME_BYTES_MAX: usize = 4_096;

/// Of the head's attributes: of several packets; of the 2019 version.
const IS_PACKET: u16 = 1 << 13;
const IS_2019: u16 = 1 << 14;

const LOCATION: u16 = 0x0200;
const LOCATION_BATCH: u16 = 0x0704;

struct Jt808;

impl Frames for Jt808 {
    fn begins(bytes: &[u8]) -> bool {
        matches!(bytes, [0x7e, other, ..] if *other != 0x7e)
    }

    fn length(bytes: &[u8]) -> Result<usize, Rejection> {
        let end = bytes.iter().take(FRAME_BYTES_MAX).skip(1).position(|byte| *byte == 0x7e);
        end.map(|end| end + 2).ok_or_else(|| malformed("the frame has no 7e at its end"))
    }

    fn decode(frame: &[u8], context: &Context<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let plain = unescape(&frame[1..frame.len() - 1])?;
        let Some((sum, checked)) = plain.split_last() else { return Err(malformed("the frame is empty")) };
        if xor8(checked) != *sum {
            return Err(wrong_checksum(xor8(checked), *sum));
        }
        let terminal = Terminal::parse(checked).ok_or_else(|| malformed("the frame ends in its head"))?;
        if terminal.body.len() != usize::from(terminal.attributes & 0x03ff) {
            let wanted = terminal.attributes & 0x03ff;
            return Err(malformed(format!(
                "the body has {wanted} bytes by its head, found {}",
                terminal.body.len()
            )));
        }
        terminal.decode(frame, context, sink)
    }
}

fn unescape(sent: &[u8]) -> Result<Vec<u8>, Rejection> {
    let mut plain = Vec::with_capacity(sent.len());
    let mut bytes = sent.iter();
    while let Some(byte) = bytes.next() {
        match (*byte, if *byte == 0x7d { bytes.next() } else { None }) {
            (0x7d, Some(0x02)) => plain.push(0x7e),
            (0x7d, Some(0x01)) => plain.push(0x7d),
            (0x7d, _) => return Err(malformed("7d is followed by 01 or 02")),
            (byte, _) => plain.push(byte),
        }
    }
    Ok(plain)
}

struct Terminal<'a> {
    message: u16,
    attributes: u16,
    id: String,
    sequence: u16,
    body: &'a [u8],
}

impl<'a> Terminal<'a> {
    fn parse(plain: &'a [u8]) -> Option<Self> {
        let (head, rest) = plain.split_first_chunk::<4>()?;
        let attributes = u16::from_be_bytes([head[2], head[3]]);
        // 2019 has a version and a longer number.
        let (skipped, digits) = if attributes & IS_2019 != 0 { (1, 10) } else { (0, 6) };
        let (number, rest) = rest.get(skipped..)?.split_at_checked(digits)?;
        let (sequence, rest) = rest.split_first_chunk::<2>()?;
        let body = if attributes & IS_PACKET != 0 { rest.get(4..)? } else { rest };
        let number = hex_text(number.iter().copied());
        let shown = number.trim_start_matches('0');
        Some(Terminal {
            message: u16::from_be_bytes([head[0], head[1]]),
            attributes,
            id: if shown.is_empty() { number.clone() } else { shown.to_owned() },
            sequence: u16::from_be_bytes(*sequence),
            body,
        })
    }

    fn decode(&self, frame: &[u8], context: &Context<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        if self.attributes & IS_PACKET != 0 {
            return Err(Rejection::new(
                Reason::UnsupportedVersion,
                "a packet of several that belong together is not understood",
            ));
        }
        match self.message {
            LOCATION => self.location(self.body, false, frame, context, sink),
            LOCATION_BATCH => {
                let [_, _, kind, rest @ ..] = self.body else {
                    return Err(malformed("the batch ends before its kind"));
                };
                let mut rest = rest;
                while let [high, low, behind @ ..] = rest {
                    let length = usize::from(u16::from_be_bytes([*high, *low]));
                    let (location, behind) = behind
                        .split_at_checked(length)
                        .ok_or_else(|| malformed("a location of the batch is cut off"))?;
                    self.location(location, *kind == 1, frame, context, sink)?;
                    rest = behind;
                }
                Ok(())
            }
            // Heartbeat, registration, authentication and all else that a terminal says.
            0x0001..=0x0fff => {
                let mut readings = sink.readings();
                readings.push(DraftReading::new("status", DraftValue::Text("alive".into())));
                let mut draft = Draft::new(self.id.as_str(), readings);
                draft.kind = Kind::Status;
                draft.domain = "traffic";
                draft.sequence = Some(i64::from(self.sequence));
                context.accept(draft, sink)
            }
            other => {
                let what = format!("message {other:04x} is not one of a terminal");
                Err(Rejection::new(Reason::NoReadings, what))
            }
        }
    }

    fn location(
        &self,
        body: &[u8],
        is_historical: bool,
        frame: &[u8],
        context: &Context<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Rejection> {
        let Some((fixed, more)) = body.split_first_chunk::<28>() else {
            return Err(malformed(format!("a location has 28 bytes at least, found {}", body.len())));
        };
        let word = |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        let half = |at: usize| i64::from(u16::from_be_bytes([fixed[at], fixed[at + 1]]));
        let (alarm, status) = (word(0), word(4));
        let mut readings = sink.readings();
        readings.push(DraftReading::new("speed", scaled(half(18), 1)));
        readings.push(DraftReading::new("heading", DraftValue::Integer(half(20))));
        readings.push(DraftReading::new("altitude", DraftValue::Integer(half(16))));
        readings.push(DraftReading::new("ignition_on", DraftValue::Boolean(status & 1 == 1)));
        readings.push(DraftReading::new("positioned", DraftValue::Boolean(status & 2 == 2)));
        readings.push(DraftReading::new("alarm_bits", DraftValue::Integer(i64::from(alarm))));
        additional(more, &mut readings);
        let mut draft = Draft::new(self.id.as_str(), readings);
        draft.domain = "traffic";
        draft.has_local_times = true;
        draft.is_historical = is_historical;
        draft.sequence = Some(i64::from(self.sequence));
        let at_us = parse_bcd([fixed[22], fixed[23], fixed[24], fixed[25], fixed[26], fixed[27]]);
        if let Some(at_us) = at_us {
            draft.time = Some(DraftTime::of_device(at_us));
            draft.identity = Identity::Content2(frame, body);
        }
        let degrees = |at: usize, is_negative: bool| {
            let degrees = f64::from(word(at)) / 1e6;
            if is_negative { -degrees } else { degrees }
        };
        let (latitude, longitude) = (degrees(8, status & 4 != 0), degrees(12, status & 8 != 0));
        if status & 2 == 2 && latitude.abs() <= 90.0 && longitude.abs() <= 180.0 {
            draft.location = Some((latitude, longitude, LocationOrigin::Device));
        }
        context.accept(draft, sink)
    }
}

/// Table 27: identifier, length, value; those that are not known here are passed over.
fn additional(mut items: &[u8], readings: &mut Vec<DraftReading<'_>>) {
    while let [identifier, length, behind @ ..] = items {
        let Some((value, rest)) = behind.split_at_checked(usize::from(*length)) else { return };
        items = rest;
        let number = value.iter().take(4).fold(0i64, |number, byte| number << 8 | i64::from(*byte));
        let (metric, decimals, unit) = match (identifier, length) {
            (0x01, 4) => ("mileage", 1, "km"),
            (0x02, 2) => ("fuel", 1, "L"),
            (0x03, 2) => ("recorder_speed", 1, "km/h"),
            (0x30, 1) => ("signal_quality", 0, ""),
            (0x31, 1) => ("satellites", 0, ""),
            _ => continue,
        };
        let mut reading = DraftReading::new(metric, scaled(number, decimals));
        reading.unit = unit.into();
        readings.push(reading);
    }
}
