//! Modbus RTU through a transparent unit: replies to reads of registers and of bits, `address, function, count, data, CRC`. A reply
//! does not say which registers it holds, so that they are counted from its first; what they mean, the register map, is said by
//! the metrics of the device's model: `r0`, `r2.f32`, `r4.u32.swapped`.

use std::borrow::Cow;

use model::{Reason, Rejection};

use super::checksum::crc16_modbus;
use super::digits::shortest;
use super::frame_payload::{self, Context, Frames, malformed, wrong_checksum};
use crate::dialect::{Certainty, Dialect};
use crate::draft::{Draft, DraftReading, DraftValue};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "modbus-rtu",
    version: 1,
    topics: "urban-neuron/v1/devices/{device_id}/frames/modbus-rtu",
    standard: "Modbus Application Protocol 1.1b3 section 6, Modbus over Serial Line 1.02 section 2.5",
    certainty: Certainty::Verified,
    recognizes: |message| frame_payload::transmitter(message.topic, "modbus-rtu").is_some(),
    device: |topic| frame_payload::transmitter(topic, "modbus-rtu"),
    decode: |message, sink| frame_payload::decode::<ModbusRtu>(message, "modbus-rtu", sink),
};

const HEAD_BYTES: usize = 3;
const CRC_BYTES: usize = 2;

struct ModbusRtu;

impl Frames for ModbusRtu {
    /// Units send pings and their number between frames: only what the CRC fits is a frame.
    fn begins(bytes: &[u8]) -> bool {
        matches!(bytes, [0x01..=0xf7, 0x01..=0x04, _, ..]) && length(bytes).is_some()
    }

    fn length(bytes: &[u8]) -> Result<usize, Rejection> {
        let length = length(bytes).ok_or_else(|| malformed("the frame ends before its data and CRC"))?;
        let (checked, crc) = bytes[..length].split_at(length - CRC_BYTES);
        let (found, wanted) = (u16::from_le_bytes([crc[0], crc[1]]), crc16_modbus(checked));
        if found == wanted { Ok(length) } else { Err(wrong_checksum(wanted, found)) }
    }

    fn decode(frame: &[u8], context: &Context<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let (unit, function) = (frame[0], frame[1]);
        let data = &frame[HEAD_BYTES..frame.len() - CRC_BYTES];
        let id = match context.transmitter {
            "" => {
                return Err(Rejection::new(
                    Reason::MissingDeviceId,
                    "the topic names no unit behind which the device stands",
                ));
            }
            transmitter => format!("{transmitter}:{unit}"),
        };
        let mut readings = sink.readings();
        match function {
            0x01 | 0x02 => bits(data, &mut readings),
            _ if data.len() % 2 == 1 => return Err(malformed("registers have two bytes each")),
            _ => {
                let names: Vec<String> = sink.model_names(&id).map(str::to_owned).collect();
                registers(data, &names, &mut readings);
            }
        }
        context.accept(Draft::new(id, readings), sink)
    }
}

fn length(bytes: &[u8]) -> Option<usize> {
    let length = HEAD_BYTES + usize::from(*bytes.get(2)?) + CRC_BYTES;
    (bytes[2] > 0 && bytes.len() >= length).then_some(length)
}

fn bits(data: &[u8], readings: &mut Vec<DraftReading<'_>>) {
    for (at, byte) in data.iter().enumerate() {
        for bit in 0..8 {
            let name = format!("b{}", at * 8 + bit);
            readings.push(DraftReading::new(name, DraftValue::Boolean(byte >> bit & 1 == 1)));
        }
    }
}

/// The registers that the model names; without any, all as unsigned numbers.
fn registers(data: &[u8], names: &[String], readings: &mut Vec<DraftReading<'_>>) {
    let named = names.iter().filter_map(|name| {
        let register = Register::parse(name)?;
        Some(DraftReading::new(Cow::<str>::Owned(name.clone()), register.value(data)?))
    });
    let from = readings.len();
    readings.extend(named);
    if readings.len() > from {
        return;
    }
    for (at, pair) in data.chunks_exact(2).enumerate() {
        let value = i64::from(u16::from_be_bytes([pair[0], pair[1]]));
        readings.push(DraftReading::new(format!("r{at}"), DraftValue::Integer(value)));
    }
}

/// `rN`, then `.i16`, `.u32`, `.i32` or `.f32` where it is no unsigned number of one register, then `.swapped` where the low
/// word of two comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Register {
    at: usize,
    kind: RegisterKind,
    is_swapped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RegisterKind {
    U16,
    I16,
    U32,
    I32,
    F32,
}

impl Register {
    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('.');
        let at = parts.next()?.strip_prefix('r')?.parse().ok()?;
        let kind = match parts.next() {
            None | Some("u16") => RegisterKind::U16,
            Some("i16") => RegisterKind::I16,
            Some("u32") => RegisterKind::U32,
            Some("i32") => RegisterKind::I32,
            Some("f32") => RegisterKind::F32,
            _ => return None,
        };
        let is_swapped = match parts.next() {
            None => false,
            Some("swapped") => true,
            _ => return None,
        };
        parts.next().is_none().then_some(Register { at, kind, is_swapped })
    }

    /// Nothing where the reply does not reach that far.
    fn value(self, data: &[u8]) -> Option<DraftValue<'static>> {
        let start = self.at.checked_mul(2)?;
        let one = || Some(u16::from_be_bytes(*data.get(start..)?.first_chunk()?));
        let two = || {
            let [a, b, c, d] = *data.get(start..)?.first_chunk::<4>()?;
            Some(u32::from_be_bytes(if self.is_swapped { [c, d, a, b] } else { [a, b, c, d] }))
        };
        Some(match self.kind {
            RegisterKind::U16 => DraftValue::Integer(i64::from(one()?)),
            RegisterKind::I16 => DraftValue::Integer(i64::from(one()? as i16)),
            RegisterKind::U32 => DraftValue::Integer(i64::from(two()?)),
            RegisterKind::I32 => DraftValue::Integer(i64::from(two()? as i32)),
            RegisterKind::F32 => DraftValue::Number(shortest(f32::from_bits(two()?))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_register_maps() {
        let data = [0x00, 0x01, 0xff, 0xfe, 0x42, 0x28, 0x00, 0x00, 0x00, 0x00, 0x42, 0x28];
        let value = |name| Register::parse(name).and_then(|register| register.value(&data));
        assert_eq!(value("r0"), Some(DraftValue::Integer(1)));
        assert_eq!(value("r1"), Some(DraftValue::Integer(65_534)));
        assert_eq!(value("r1.i16"), Some(DraftValue::Integer(-2)));
        assert_eq!(value("r0.u32"), Some(DraftValue::Integer(0x1_fffe)));
        assert_eq!(value("r1.i32"), Some(DraftValue::Integer(i64::from(0xfffe_4228u32 as i32))));
        assert_eq!(value("r2.f32"), Some(DraftValue::Number(42.0)));
        assert_eq!(value("r4.f32.swapped"), Some(DraftValue::Number(42.0)));
        for wrong in [
            "",
            "r",
            "x1",
            "r5.f32",
            "r6",
            "r1.f64",
            "r1.u16.other",
            "r99999999999999999999",
            "r9223372036854775807",
        ] {
            assert_eq!(value(wrong), None, "{wrong}");
        }
    }
}
