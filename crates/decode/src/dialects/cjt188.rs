//! CJ/T 188-2004, meters of water, heat and gas: `68`, type, address, control, length, data, a sum, `16`. Numbers are
//! binary-coded decimals, the lowest byte first, each with a byte for its unit.

use model::event_id::Identity;
use model::proto::Quality;
use model::{Reason, Rejection};

use super::digits::{bcd_reversed, hex_text, scaled};
use super::frame_payload::{self, Context, Frames, malformed};
use super::local_time::civil_us;
use super::meter_frame;
use crate::dialect::{Certainty, Dialect};
use crate::draft::{Draft, DraftReading, DraftTime, DraftValue};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "cjt188",
    version: 1,
    topics: "urban-neuron/v1/devices/{device_id}/frames/cjt188",
    standard: "CJ/T 188-2004 chapter 5, annex A",
    certainty: Certainty::Captured,
    recognizes: |message| frame_payload::transmitter(message.topic, "cjt188").is_some(),
    device: |topic| frame_payload::transmitter(topic, "cjt188"),
    decode: |message, sink| frame_payload::decode::<Cjt188>(message, "cjt188", sink),
};

const HEAD_BYTES: usize = 11;
const READ_REPLY: u8 = 0x81;
/// Measured values, as its two bytes stand in the frame.
const MEASURED: [u8; 2] = [0x1f, 0x90];

struct Cjt188;

impl Frames for Cjt188 {
    fn begins(bytes: &[u8]) -> bool {
        // The second byte is the type of the meter; in DL/T 645 a second 68 follows the address.
        matches!(bytes, [0x68, 0x10..=0x49, ..])
    }

    fn length(bytes: &[u8]) -> Result<usize, Rejection> {
        meter_frame::length(bytes, HEAD_BYTES)
    }

    fn decode(frame: &[u8], context: &Context<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let checked = meter_frame::checked(frame)?;
        let (kind, control) = (frame[1], frame[9]);
        let data = &checked[HEAD_BYTES..];
        if control != READ_REPLY || !data.starts_with(&MEASURED) {
            let what =
                format!("control {control:02x}: only a reply with measured values (81, 1F90) has readings");
            return Err(Rejection::new(Reason::NoReadings, what));
        }
        let mut values = Values { rest: data.get(3..).unwrap_or_default(), readings: sink.readings() };
        if matches!(kind, 0x20..=0x29) {
            values.heat()?
        } else {
            values.volume()?
        }
        let at_us = values.time();
        values.status();
        let mut draft = Draft::new(hex_text(frame[2..9].iter().rev().copied()), values.readings);
        draft.domain = if kind < 0x20 { "water" } else { "building" };
        draft.has_local_times = true;
        if let Some(at_us) = at_us {
            draft.time = Some(DraftTime::of_device(at_us));
            draft.identity = Identity::Content(frame);
        }
        context.accept(draft, sink)
    }
}

/// Reads values from the front.
struct Values<'a> {
    rest: &'a [u8],
    readings: Vec<DraftReading<'static>>,
}

impl<'a> Values<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Rejection> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or_else(|| malformed("the data ends before its values"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// Water and gas: the cumulated volume, and that of the settlement day.
    fn volume(&mut self) -> Result<(), Rejection> {
        self.amount("cumulative_flow")?;
        self.amount("settlement_flow")
    }

    fn heat(&mut self) -> Result<(), Rejection> {
        self.amount("settlement_heat")?;
        self.amount("energy")?;
        self.amount("power")?;
        self.amount("flow_rate")?;
        self.amount("cumulative_flow")?;
        for metric in ["supply_temperature", "return_temperature"] {
            let digits = self.take(3)?;
            self.push(metric, digits, 2, "Cel");
        }
        let digits = self.take(3)?;
        self.push("operating_hours", digits, 0, "h");
        Ok(())
    }

    /// Four bytes in hundredths and the unit.
    fn amount(&mut self, metric: &'static str) -> Result<(), Rejection> {
        let [digits @ .., code] = self.take(5)? else { return Ok(()) };
        let (unit, scale) = unit(*code);
        self.push(metric, digits, 2, unit);
        if let Some(reading) = self.readings.last_mut() {
            if let DraftValue::Number(number) = &mut reading.value {
                *number *= scale;
            }
            if unit.is_empty() {
                reading.quality = Some(Quality::Suspect);
            }
        }
        Ok(())
    }

    fn push(&mut self, metric: &'static str, digits: &[u8], decimals: u32, unit: &'static str) {
        let value = bcd_reversed(digits);
        let mut reading =
            DraftReading::new(metric, value.map_or(DraftValue::None, |value| scaled(value, decimals)));
        reading.unit = unit.into();
        reading.quality = value.is_none().then_some(Quality::Bad);
        self.readings.push(reading);
    }

    /// Second to month, and the year in two bytes, which meters write either way round.
    fn time(&mut self) -> Option<i64> {
        let [second, minute, hour, day, month, first, last] = *self.take(7).ok()? else { return None };
        let number = |byte: u8| bcd_reversed(&[byte]);
        let (first, last) = (number(first)?, number(last)?);
        let year = if (19..=20).contains(&first) { first * 100 + last } else { last * 100 + first };
        civil_us(year, number(month)?, number(day)?, number(hour)?, number(minute)?, number(second)?)
    }

    fn status(&mut self) {
        if let Ok([status, _]) = self.take(2) {
            let valve = match status & 3 {
                0 => "open",
                1 => "closed",
                _ => "fault",
            };
            self.readings.push(DraftReading::new("valve", DraftValue::Text(valve.into())));
            self.readings.push(DraftReading::new("battery_low", DraftValue::Boolean(status >> 2 & 1 == 1)));
        }
    }
}

/// Table 9: the unit of a code, and what its number is multiplied with.
fn unit(code: u8) -> (&'static str, f64) {
    match code {
        0x02 => ("W.h", 1.0),
        0x05 => ("kW.h", 1.0),
        0x08 => ("MW.h", 1.0),
        0x0a => ("MW.h", 100.0),
        0x01 => ("J", 1.0),
        0x0b => ("kJ", 1.0),
        0x0e => ("MJ", 1.0),
        0x11 => ("GJ", 1.0),
        0x13 => ("GJ", 100.0),
        0x14 => ("W", 1.0),
        0x17 => ("kW", 1.0),
        0x1a => ("MW", 1.0),
        0x29 => ("L", 1.0),
        0x2c => ("m3", 1.0),
        0x32 => ("L/h", 1.0),
        0x35 => ("m3/h", 1.0),
        _ => ("", 1.0),
    }
}
