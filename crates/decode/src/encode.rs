//! Writing the envelope: one pass over what is known, straight into the record's bytes, canonical protobuf.
//!
//! What is appended in one piece is checked for room once, hence the small arrays. The field numbers are those of `proto/urban_neuron/v1`; a property test holds them against the generated types.

use model::EventId;
use model::proto::{Kind, LocationOrigin};

use crate::normalize::{NormalReading, NormalValue, Times};

/// All that a record of telemetry says beside its readings.
#[derive(Clone, Debug)]
pub(crate) struct Head<'a> {
    pub device_id: &'a str,
    pub event_id: EventId,
    pub times: Times,
    pub received_at_us: i64,
    pub kind: Kind,
    pub domain: &'a str,
    pub asset_id: &'a str,
    pub location: Option<(f64, f64, LocationOrigin)>,
    pub sequence: Option<i64>,
    pub flags: u32,
    pub redelivery_key: Option<EventId>,
    pub source: SourceHead<'a>,
}

/// Where it came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceHead<'a> {
    pub adapter: &'a str,
    pub protocol: &'a str,
    pub topic: &'a str,
    pub gateway_id: &'a str,
    pub codec: &'a str,
    pub codec_version: u32,
    /// The config's was taken, since the message has none.
    pub is_time_zone_assumed: bool,
}

/// Appends one `LogRecord` of telemetry.
pub(crate) fn telemetry<'r>(
    out: &mut Vec<u8>,
    head: &Head<'_>,
    readings: impl Iterator<Item = NormalReading<'r>>,
) {
    nested::<2>(out, 1, |out| {
        text(out, 1, head.device_id);
        bytes(out, 2, &head.event_id);
        fixed(out, 3, head.times.observed_at_us as u64);
        for normal in readings {
            nested::<1>(out, 4, |out| reading(out, &normal, &head.times));
        }
        fixed(out, 5, head.received_at_us as u64);
        varint_field(out, 6, head.kind as u64);
        varint_field(out, 7, head.times.verdict as u64);
        varint_field(out, 8, head.times.source as u64);
        nested::<1>(out, 9, |out| source(out, &head.source));
        text(out, 10, head.domain);
        text(out, 11, head.asset_id);
        if let Some((latitude, longitude, origin)) = head.location {
            nested::<1>(out, 12, |out| {
                double(out, 1, latitude);
                double(out, 2, longitude);
                varint_field(out, 3, origin as u64);
            });
        }
        if let Some(sequence) = head.sequence {
            key(out, 13, 0);
            varint(out, zigzag(sequence));
        }
        varint_field(out, 14, u64::from(head.flags));
        if let Some(claim) = head.times.device_time_us {
            fixed_or_zero(out, 15, claim as u64);
        }
        if let Some(redelivery_key) = &head.redelivery_key {
            bytes(out, 16, redelivery_key);
        }
    });
}

fn reading(out: &mut Vec<u8>, normal: &NormalReading<'_>, of_message: &Times) {
    text(out, 1, normal.metric);
    match normal.value {
        // A member of a oneof is written even where it is zero.
        NormalValue::Number(number) => fixed_or_zero(out, 2, number.to_bits()),
        NormalValue::Integer(integer) => {
            key(out, 3, 0);
            varint(out, zigzag(integer));
        }
        NormalValue::Boolean(boolean) => out.extend_from_slice(&[4 << 3, u8::from(boolean)]),
        NormalValue::Text(sent) => bytes(out, 5, sent.as_bytes()),
        NormalValue::None => {}
    }
    text(out, 6, normal.unit);
    varint_field(out, 7, normal.quality as u64);
    text(out, 8, normal.raw_unit);
    if normal.times != *of_message {
        nested::<1>(out, 9, |out| {
            fixed(out, 1, normal.times.observed_at_us as u64);
            varint_field(out, 2, normal.times.source as u64);
            varint_field(out, 3, normal.times.verdict as u64);
            if let Some(claim) = normal.times.device_time_us {
                fixed_or_zero(out, 4, claim as u64);
            }
        });
    }
}

fn source(out: &mut Vec<u8>, source: &SourceHead<'_>) {
    text(out, 1, source.adapter);
    text(out, 2, source.protocol);
    text(out, 3, source.topic);
    text(out, 4, source.gateway_id);
    text(out, 5, source.codec);
    varint_field(out, 6, u64::from(source.codec_version));
    varint_field(out, 7, u64::from(source.is_time_zone_assumed));
}

#[inline]
fn key(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    varint(out, u64::from(number << 3 | wire_type));
}

#[inline]
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
fn varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 && value < 0x80 {
        out.extend_from_slice(&[(number << 3) as u8, value as u8]);
    } else if value != 0 {
        key(out, number, 0);
        varint(out, value);
    }
}

#[inline]
fn fixed(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        fixed_or_zero(out, number, value);
    }
}

/// Key and value in one piece: what is appended at once is checked for room once. The number is below 16.
#[inline]
fn fixed_or_zero(out: &mut Vec<u8>, number: u32, value: u64) {
    let mut field = [(number << 3 | 1) as u8; 9];
    field[1..].copy_from_slice(&value.to_le_bytes());
    out.extend_from_slice(&field);
}

fn double(out: &mut Vec<u8>, number: u32, value: f64) {
    fixed(out, number, value.to_bits());
}

#[inline]
fn text(out: &mut Vec<u8>, number: u32, value: &str) {
    if !value.is_empty() {
        bytes(out, number, value.as_bytes());
    }
}

#[inline]
fn bytes(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    if number < 16 && value.len() < 0x80 {
        out.extend_from_slice(&[(number << 3 | 2) as u8, value.len() as u8]);
    } else {
        key(out, number, 2);
        varint(out, value.len() as u64);
    }
    out.extend_from_slice(value);
}

/// Writes a nested message whose length is known only afterwards: `ROOM` bytes are left for it, one for parts of a message and
/// two for a whole one, which is enough for nearly all; another length moves what was written. The number is below 16.
#[inline]
fn nested<const ROOM: usize>(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    out.push((number << 3 | 2) as u8);
    let start = out.len();
    out.extend_from_slice(&[0; ROOM]);
    write(out);
    let len = (out.len() - start - ROOM) as u64;
    if len.checked_ilog2().map_or(1, |bits| bits as usize / 7 + 1) == ROOM {
        let last = ROOM - 1;
        for at in 0..last {
            out[start + at] = (len >> (7 * at)) as u8 | 0x80;
        }
        out[start + last] = (len >> (7 * last)) as u8;
    } else {
        let mut digits = Vec::with_capacity(10);
        varint(&mut digits, len);
        out.splice(start..start + ROOM, digits);
    }
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}
