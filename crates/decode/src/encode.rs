//! Writing the envelope: one pass over what is known, straight into the record's bytes, canonical protobuf.
//!
//! The field numbers are those of `proto/urban_neuron/v1`; a property test holds them against the generated types.

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
            key(out, 15, 1);
            out.extend_from_slice(&claim.to_le_bytes());
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
        NormalValue::Number(number) => {
            key(out, 2, 1);
            out.extend_from_slice(&number.to_le_bytes());
        }
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
                key(out, 4, 1);
                out.extend_from_slice(&claim.to_le_bytes());
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
    if value != 0 {
        key(out, number, 0);
        varint(out, value);
    }
}

#[inline]
fn fixed(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        key(out, number, 1);
        out.extend_from_slice(&value.to_le_bytes());
    }
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
    key(out, number, 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Writes a nested message whose length is known only afterwards: `ROOM` bytes are left for it, one for parts of a message and
/// two for a whole one, which is enough for nearly all; another length moves what was written.
#[inline]
fn nested<const ROOM: usize>(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    key(out, number, 2);
    let start = out.len();
    out.extend_from_slice(&[0; ROOM]);
    write(out);
    let mut len = out.len() - start - ROOM;
    let mut digits = [0; 10];
    let mut count = 0;
    loop {
        digits[count] = (len & 0x7f) as u8 | if len >= 0x80 { 0x80 } else { 0 };
        len >>= 7;
        count += 1;
        if len == 0 {
            break;
        }
    }
    if count != ROOM {
        out.splice(start..start + ROOM, digits[..count].iter().copied());
    } else {
        out[start..start + ROOM].copy_from_slice(&digits[..ROOM]);
    }
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}
