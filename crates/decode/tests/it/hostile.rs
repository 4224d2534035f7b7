//! Bytes that nobody would send, as every dialect: a record that can be read or a refusal, never a panic.

use model::RawMessage;
use model::proto::reading::Value;
use model::proto::{Location, Reading, ReadingTime, Telemetry};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use urban_neuron_decode::Decoder;

use super::pages::{Sample, samples};
use super::{Found, RECEIVED_AT_US, TOPIC, decoder, message};

/// Dialects of these topics are told apart by their bytes.
const OWN: &str = "urban-neuron/v1/devices/";
const STATUS_TOPIC: &str = "urban-neuron/v1/devices/d-1/status";

/// Payloads that are right, with a bit of everything in them.
fn right() -> Vec<Vec<u8>> {
    let json: [&[u8]; 4] = [
        br#"{"observed_at":"2026-03-02T07:59:59.5+08:00","temp":{"value":69.8,"unit":"degF","quality":"good","ts":1},"a":null,
            "b\u00e9\ud83d\ude00":"\n\"","c":true,"d":-1.5e-3,"sequence":42,"latitude":31.2,"longitude":121.5}"#,
        br#"[{"ts":1772409590000,"a":1},{"ts":1772409591000},{"a":9223372036854775808}]"#,
        br#"[{"bn":"urn:1:","bt":1772409500,"bu":"V","bv":1.5,"bs":2,"bver":10,"n":"a","v":1,"s":3},
            {"n":"b","vs":"x\t","t":-3,"ut":4},{"n":"c","vb":true},{"n":"d","vd":"aGk"},{"n":"e","u":"Cel","own":[1,{}],"v":2e1}]"#,
        b"online",
    ];
    let cbor: &[u8] = b"\x9f\
        \xbf\x21\x65urn:1\x22\xc4\x82\x00\x1a\x69\xa4\xd2\x9c\x23\x61V\x24\xf9\x3c\x00\x20\x0a\x00\x61a\x02\x01\xff\
        \xa3\x00\x61b\x03\x61x\x06\x22\
        \xa2\x00\x61c\x04\xf5\
        \xa2\x00\x61d\x08\x44hi\x3f\xf8\
        \xa2\x00\x61f\x02\xfb\x40\x35\x80\x00\x00\x00\x00\x00\
        \xbf\x00\x61e\x05\xfa\x41\xac\x00\x00\x01\x61W\x63own\x9f\x01\xbf\xff\xff\x18\x63\x01\xff\xff";
    let reading = |metric: &str, value| Reading { metric: metric.into(), value, ..Reading::default() };
    let time =
        ReadingTime { observed_at_us: RECEIVED_AT_US - 5, device_time_us: Some(3), ..ReadingTime::default() };
    let envelope = Telemetry {
        device_id: "d-1".into(),
        event_id: vec![7; 16],
        observed_at_us: RECEIVED_AT_US,
        readings: vec![
            Reading {
                time: Some(time),
                unit: "cm".into(),
                ..reading("water_level", Some(Value::Number(2.5)))
            },
            reading("b", Some(Value::Text("x".into()))),
            reading("c", Some(Value::Integer(-3))),
            reading("d", None),
        ],
        kind: 3,
        domain: "water".into(),
        location: Some(Location { latitude: 1.0, longitude: 2.0, origin: 2 }),
        sequence: Some(-1),
        flags: 7,
        ..Telemetry::default()
    };
    json.into_iter().chain([cbor]).map(<[u8]>::to_vec).chain([envelope.encode_to_vec()]).collect()
}

/// Decodes the bytes by their topic and as every dialect; [`Found`] checks every record that comes of it.
fn decode_in_all_ways(decoder: &mut Decoder, payload: &[u8]) {
    for topic in [TOPIC, STATUS_TOPIC] {
        for is_will in [false, true] {
            let message = RawMessage { is_will, ..message(topic, payload) };
            check(Found::of(decoder.decode(&message)));
            for dialect in Decoder::dialects().filter(|dialect| dialect.topics.starts_with(OWN)) {
                check(Found::of(decoder.decode_as(dialect.name, &message).unwrap()));
            }
        }
    }
}

/// Something becomes of every message, and a refusal says what is wrong.
fn check(found: Found) {
    let refused = found.whole.iter().chain(found.rejected.iter().map(|(_, rejection)| rejection));
    let refused = refused.inspect(|rejection| assert!(!rejection.detail.is_empty(), "{rejection}")).count();
    assert!(refused + found.telemetry.len() > 0);
}

/// Decodes the bytes on the sample's topic and as its dialect.
fn decode_as_sample(decoder: &mut Decoder, sample: &Sample, payload: &[u8]) {
    for is_will in [false, true] {
        let message = RawMessage { is_will, ..message(&sample.topic, payload) };
        check(Found::of(decoder.decode(&message)));
        check(Found::of(decoder.decode_as(sample.dialect, &message).unwrap()));
    }
}

#[test]
fn a_sample_may_end_anywhere() {
    let mut decoder = decoder();
    for sample in samples() {
        for end in 0..sample.payload.len() {
            decode_as_sample(&mut decoder, &sample, &sample.payload[..end]);
        }
    }
}

#[test]
fn any_byte_of_a_sample_may_be_another() {
    let mut decoder = decoder();
    for sample in samples() {
        for at in 0..sample.payload.len() {
            for change in [0x01, 0xa0] {
                let mut damaged = sample.payload.clone();
                damaged[at] ^= change;
                decode_as_sample(&mut decoder, &sample, &damaged);
            }
        }
    }
}

/// A message is of one dialect at most: which one does not depend on the order of the table.
#[test]
fn no_sample_is_of_two_dialects() {
    for sample in samples() {
        let message = message(&sample.topic, &sample.payload);
        assert_eq!(Decoder::recognized(&message).collect::<Vec<_>>(), [sample.dialect], "{}", sample.topic);
    }
}

#[test]
fn a_payload_may_end_anywhere() {
    let mut decoder = decoder();
    for payload in right() {
        for end in 0..=payload.len() {
            decode_in_all_ways(&mut decoder, &payload[..end]);
        }
    }
}

#[test]
fn any_byte_may_be_another() {
    let mut decoder = decoder();
    for payload in right() {
        for at in 0..payload.len() {
            for change in [0x01, 0x20, 0x80, 0xff] {
                let mut damaged = payload.clone();
                damaged[at] ^= change;
                decode_in_all_ways(&mut decoder, &damaged);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes(payload in vec(any::<u8>(), 0..200)) {
        decode_in_all_ways(&mut decoder(), &payload);
    }

    /// Random bytes seldom get beyond the first: these begin like something.
    #[test]
    fn bytes_that_begin_well(
        begin in prop::sample::select(vec![
            &b"{\"a\":"[..], b"[{\"n\":\"a\",\"v\":", b"[{\"bn\":\"", b"\x81\xa2\x00\x61x\x02", b"\x9f\xbf", b"\x0a\x03d-1",
            b"\x0a\x03d-1\x22\x05\x0a\x03abc",
        ]),
        rest in prop_oneof![
            vec(any::<u8>(), 0..60),
            vec(prop::sample::select(b"{}[],:\"\\u019.-+eEtrufalsn \n".to_vec()), 0..60),
            vec(prop_oneof![Just(0xff), Just(0xbf), Just(0x9f), Just(0xc4), Just(0x7f), 0u8..8, 0x60u8..0x63, 0x80u8..0xa4], 0..60),
        ],
    ) {
        decode_in_all_ways(&mut decoder(), &[begin, &rest].concat());
    }

    #[test]
    fn any_bytes_as_any_dialect(payload in vec(any::<u8>(), 0..200), is_will in any::<bool>()) {
        let mut decoder = decoder();
        for dialect in Decoder::dialects() {
            let topic = dialect.example_topic("example");
            let message = RawMessage { is_will, ..message(&topic, &payload) };
            check(Found::of(decoder.decode(&message)));
            check(Found::of(decoder.decode_as(dialect.name, &message).unwrap()));
        }
    }

    #[test]
    fn samples_that_were_damaged(
        which in any::<prop::sample::Index>(),
        damages in vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..6),
    ) {
        let samples = samples();
        let sample = which.get(&samples);
        decode_as_sample(&mut decoder(), sample, &damaged(sample.payload.clone(), damages));
    }

    /// Several changes at once: bytes replaced, left out and said twice.
    #[test]
    fn payloads_that_were_damaged(
        which in any::<prop::sample::Index>(),
        damages in vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..6),
    ) {
        let payload = which.get(&right()).clone();
        decode_in_all_ways(&mut decoder(), &damaged(payload, damages));
    }
}

fn damaged(mut payload: Vec<u8>, damages: Vec<(prop::sample::Index, u8, u8)>) -> Vec<u8> {
    for (at, byte, kind) in damages {
        if payload.is_empty() {
            break;
        }
        let at = at.index(payload.len());
        match kind {
            0 => payload[at] = byte,
            1 => drop(payload.remove(at)),
            _ => payload.insert(at, byte),
        }
    }
    payload
}
