//! DL/T 645-2007, electricity meters: `68`, address, `68`, control, length, data (each byte plus 33 hex), a sum, `16`. The data
//! begin with the identifier that says what they are; numbers are binary-coded decimals, the lowest byte first.

use model::event_id::Identity;
use model::proto::Quality;
use model::{Reason, Rejection};

use super::digits::{bcd_reversed, hex_text, scaled};
use super::frame_payload::{self, Context, Frames, malformed};
use super::meter_frame;
use crate::dialect::{Certainty, Dialect};
use crate::draft::{Draft, DraftReading, DraftValue};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "dlt645",
    version: 1,
    topics: "urban-neuron/v1/devices/{device_id}/frames/dlt645",
    standard: "DL/T 645-2007 chapters 5 and 7, annex A",
    certainty: Certainty::Verified,
    recognizes: |message| frame_payload::transmitter(message.topic, "dlt645").is_some(),
    device: |topic| frame_payload::transmitter(topic, "dlt645"),
    decode: |message, sink| frame_payload::decode::<Dlt645>(message, "dlt645", sink),
};

const HEAD_BYTES: usize = 10;
const MASK: u8 = 0x33;
const READ_REPLY: u8 = 0x91;
/// More follows in another frame.
const READ_REPLY_OF_SEVERAL: u8 = 0xb1;

struct Dlt645;

impl Frames for Dlt645 {
    fn begins(bytes: &[u8]) -> bool {
        bytes.first() == Some(&0x68) && bytes.get(7) == Some(&0x68)
    }

    fn length(bytes: &[u8]) -> Result<usize, Rejection> {
        meter_frame::length(bytes, HEAD_BYTES)
    }

    fn decode(frame: &[u8], context: &Context<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let checked = meter_frame::checked(frame)?;
        let control = frame[8];
        if !matches!(control, READ_REPLY | READ_REPLY_OF_SEVERAL) {
            let what = format!("control {control:02x}: only a reply to a read (91, b1) has readings");
            return Err(Rejection::new(Reason::NoReadings, what));
        }
        let mut data = [0; 255];
        let data = &mut data[..checked.len() - HEAD_BYTES];
        data.iter_mut()
            .zip(&checked[HEAD_BYTES..])
            .for_each(|(plain, sent)| *plain = sent.wrapping_sub(MASK));
        let Some((identifier, values)) = data.split_first_chunk::<4>() else {
            return Err(malformed("the data end before their identifier"));
        };
        let mut readings = sink.readings();
        values_of(u32::from_le_bytes(*identifier), values, &mut readings)?;
        let mut draft = Draft::new(hex_text(frame[1..7].iter().rev().copied()), readings);
        // A reading without a time: the same number again is a new event.
        draft.identity = Identity::None;
        context.accept(draft, sink)
    }
}

/// What an identifier reads.
struct Item {
    identifier: u32,
    metric: &'static str,
    bytes: usize,
    decimals: u32,
    unit: &'static str,
    /// The highest bit says that it is below zero.
    is_signed: bool,
}

const fn item(
    identifier: u32,
    metric: &'static str,
    bytes: usize,
    decimals: u32,
    unit: &'static str,
) -> Item {
    Item { identifier, metric, bytes, decimals, unit, is_signed: false }
}

const fn signed(
    identifier: u32,
    metric: &'static str,
    bytes: usize,
    decimals: u32,
    unit: &'static str,
) -> Item {
    Item { identifier, metric, bytes, decimals, unit, is_signed: true }
}

/// Annex A; a block (`FF`) has the items of its rows behind one another.
const ITEMS: &[Item] = &[
    signed(0x0000_0000, "energy_combined", 4, 2, "kW.h"),
    item(0x0001_0000, "energy", 4, 2, "kW.h"),
    item(0x0002_0000, "energy_reverse", 4, 2, "kW.h"),
    item(0x0201_0100, "voltage_a", 2, 1, "V"),
    item(0x0201_0200, "voltage_b", 2, 1, "V"),
    item(0x0201_0300, "voltage_c", 2, 1, "V"),
    signed(0x0202_0100, "current_a", 3, 3, "A"),
    signed(0x0202_0200, "current_b", 3, 3, "A"),
    signed(0x0202_0300, "current_c", 3, 3, "A"),
    signed(0x0203_0000, "power", 3, 4, "kW"),
    signed(0x0203_0100, "power_a", 3, 4, "kW"),
    signed(0x0203_0200, "power_b", 3, 4, "kW"),
    signed(0x0203_0300, "power_c", 3, 4, "kW"),
    signed(0x0204_0000, "reactive_power", 3, 4, "kvar"),
    signed(0x0205_0000, "apparent_power", 3, 4, "kV.A"),
    signed(0x0206_0000, "power_factor", 2, 3, ""),
    item(0x0280_0002, "frequency", 2, 2, "Hz"),
];

/// In an identifier: all rows.
const BLOCK: u32 = 0x0000_ff00;

fn values_of(
    identifier: u32,
    values: &[u8],
    readings: &mut Vec<DraftReading<'static>>,
) -> Result<(), Rejection> {
    let is_block = identifier & BLOCK == BLOCK;
    let is_meant = |item: &&Item| match is_block {
        true => item.identifier & !BLOCK == identifier & !BLOCK,
        false => item.identifier == identifier,
    };
    let mut rest = values;
    for item in ITEMS.iter().filter(is_meant) {
        let Some((digits, behind)) = rest.split_at_checked(item.bytes) else {
            let what = format!("{}: {} bytes are wanted, found {}", item.metric, item.bytes, rest.len());
            return Err(malformed(what));
        };
        rest = behind;
        readings.push(reading(item, digits));
        if !is_block || rest.is_empty() {
            break;
        }
    }
    if readings.is_empty() {
        // What it is is not known here; the device's model may know.
        let name = format!("di_{identifier:08x}");
        let value = bcd_reversed(values)
            .map_or(DraftValue::Text(hex_text(values.iter().copied()).into()), DraftValue::Integer);
        readings.push(DraftReading::new(name, value));
    }
    Ok(())
}

fn reading(item: &Item, digits: &[u8]) -> DraftReading<'static> {
    let mut digits = digits.to_vec();
    let is_negative = item.is_signed && digits.last().is_some_and(|highest| highest & 0x80 != 0);
    if let Some(highest) = digits.last_mut().filter(|_| is_negative) {
        *highest &= 0x7f;
    }
    let number = bcd_reversed(&digits).map(|number| if is_negative { -number } else { number });
    // A phase that the meter does not have is all ones.
    let mut reading = DraftReading::new(
        item.metric,
        number.map_or(DraftValue::None, |number| scaled(number, item.decimals)),
    );
    reading.quality = number.is_none().then_some(Quality::Bad);
    reading.unit = item.unit.into();
    reading
}
