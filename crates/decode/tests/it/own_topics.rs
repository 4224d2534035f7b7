//! The protobuf envelope and the status topic, and wills on either.

use model::proto::reading::Value;
use model::proto::{
    ClockVerdict, Flag, Kind, Location, LocationOrigin, Quality, Reading, Source, Telemetry, TimeSource,
};
use model::{RawMessage, Reason};
use prost::Message;

use super::{Found, RECEIVED_AT_US, TOPIC, check_rejected, decoder, found, message, readings, short};

const STATUS_TOPIC: &str = "urban-neuron/v1/devices/d-1/status";

fn envelope() -> Telemetry {
    Telemetry {
        device_id: "d-1".into(),
        readings: vec![Reading {
            metric: "temp".into(),
            value: Some(Value::Number(69.8)),
            unit: "degF".into(),
            quality: Quality::Calibration as i32,
            ..Reading::default()
        }],
        ..Telemetry::default()
    }
}

fn sent(envelope: &Telemetry) -> Telemetry {
    found(&envelope.encode_to_vec()).one()
}

fn on(topic: &str, payload: &[u8], is_will: bool) -> Found {
    Found::of(decoder().decode(&RawMessage { is_will, ..message(topic, payload) }))
}

#[test]
fn an_envelope_says_what_a_device_can_know() {
    let telemetry = sent(&Telemetry {
        observed_at_us: RECEIVED_AT_US - 1_000_000,
        observed_at_source: TimeSource::Gateway as i32,
        kind: Kind::Event as i32,
        sequence: Some(-4),
        domain: "drainage".into(),
        asset_id: "manhole-7".into(),
        location: Some(Location {
            latitude: 31.2,
            longitude: 121.5,
            origin: LocationOrigin::Registry as i32,
        }),
        flags: Flag::Historical as u32 | Flag::Simulated as u32,
        ..envelope()
    });
    assert_eq!(
        readings(&telemetry),
        [short("temperature", Value::Number(21.0), "Cel", Quality::Calibration)]
    );
    assert_eq!(telemetry.readings[0].raw_unit, "degF");
    assert_eq!(telemetry.observed_at_us, RECEIVED_AT_US - 1_000_000);
    assert_eq!((telemetry.observed_at_source(), telemetry.kind()), (TimeSource::Gateway, Kind::Event));
    assert_eq!((telemetry.sequence, telemetry.domain.as_str()), (Some(-4), "drainage"));
    assert_eq!(telemetry.asset_id, "manhole-7");
    assert_eq!(telemetry.flags, Flag::Historical as u32 | Flag::Simulated as u32);
    // A device does not speak for the registry.
    assert_eq!(telemetry.location.unwrap().origin(), LocationOrigin::Device);
}

#[test]
fn what_only_we_can_say_is_not_taken_from_an_envelope() {
    let plain = sent(&envelope());
    let forged = sent(&Telemetry {
        received_at_us: 5,
        clock_verdict: ClockVerdict::Future as i32,
        device_time_us: Some(5),
        redelivery_key: vec![9; 16],
        flags: Flag::Retained as u32 | Flag::Redelivered as u32 | 1 << 20,
        source: Some(Source {
            adapter: "coap".into(),
            protocol: "lwm2m".into(),
            topic: "elsewhere".into(),
            codec: "other".into(),
            codec_version: 99,
            time_zone_assumed: true,
            ..Source::default()
        }),
        ..envelope()
    });
    // What is made of the bytes themselves differs with them.
    assert_ne!(forged.redelivery_key, [9; 16]);
    let (event_id, redelivery_key) = (forged.event_id.clone(), forged.redelivery_key.clone());
    assert_eq!(forged, Telemetry { event_id, redelivery_key, ..plain });
}

#[test]
fn an_event_id_or_a_time_or_a_sequence_makes_the_identity() {
    let id = |envelope: &Telemetry| sent(envelope).event_id;
    let named = Telemetry { event_id: vec![7; 16], ..envelope() };
    let other_value = Telemetry { asset_id: "other".into(), ..named.clone() };
    assert_eq!(id(&named), id(&other_value));
    assert_ne!(id(&named), vec![7; 16], "an id of one publisher is not that of another");
    assert_ne!(id(&named), id(&Telemetry { event_id: vec![8; 16], ..envelope() }));
    for identified in [
        named,
        Telemetry { observed_at_us: RECEIVED_AT_US, ..envelope() },
        Telemetry { sequence: Some(0), ..envelope() },
    ] {
        assert_eq!(sent(&identified).redelivery_key, b"", "{identified:?}");
    }
    assert_eq!(sent(&envelope()).redelivery_key.len(), 16);
}

#[test]
fn an_envelope_is_known_by_its_device() {
    for device in ["a".to_owned(), "d".repeat(127), "d".repeat(128), "é".repeat(64)] {
        let topic = format!("urban-neuron/v1/devices/{device}/telemetry");
        let payload = Telemetry { device_id: device.clone(), ..envelope() }.encode_to_vec();
        let telemetry = on(&topic, &payload, false).one();
        assert_eq!((telemetry.device_id, telemetry.source.unwrap().codec), (device, "envelope".to_owned()));
    }
}

#[test]
fn an_envelope_that_cannot_be_used_is_refused() {
    let as_envelope = |payload: &[u8]| {
        let message = RawMessage { content_type: "application/protobuf", ..message(TOPIC, payload) };
        Found::of(decoder().decode(&message)).rejection()
    };
    let check = |envelope: &Telemetry, reason, detail_has: &str| {
        let rejection = as_envelope(&envelope.encode_to_vec());
        assert_eq!(rejection.reason, reason, "{rejection}");
        assert!(rejection.detail.contains(detail_has), "{rejection} does not say {detail_has:?}");
    };
    check(&Telemetry { device_id: "d-2".into(), ..envelope() }, Reason::InvalidDeviceId, "\"d-1\"");
    check(&Telemetry { domain: "../x".into(), ..envelope() }, Reason::InvalidValue, "domain");
    let nowhere = Location { latitude: f64::NAN, longitude: 0.0, origin: 0 };
    check(&Telemetry { location: Some(nowhere), ..envelope() }, Reason::InvalidValue, "location");
    check(&Telemetry { event_id: vec![1; 15], ..envelope() }, Reason::MalformedProtobuf, "");
    assert_eq!(as_envelope(b"").reason, Reason::EmptyPayload);
    assert_eq!(as_envelope(b"{\"a\":1}").reason, Reason::MalformedProtobuf);
    let no_metric = Telemetry { readings: vec![Reading::default()], ..envelope() };
    assert_ne!(as_envelope(&no_metric.encode_to_vec()).reason, Reason::UnknownDialect);
}

#[test]
fn a_status_is_one_of_three_words() {
    for (payload, status) in [("online", "online"), ("OFFLINE", "offline"), (" alive\n", "alive")] {
        let telemetry = on(STATUS_TOPIC, payload.as_bytes(), false).one();
        assert_eq!((telemetry.device_id.as_str(), telemetry.kind()), ("d-1", Kind::Status));
        assert_eq!(readings(&telemetry), [short("status", Value::Text(status.into()), "", Quality::Good)]);
    }
    for (payload, reason) in
        [(&b""[..], Reason::EmptyPayload), (b"on", Reason::InvalidValue), (b"\xff\xfe", Reason::InvalidValue)]
    {
        assert_eq!(on(STATUS_TOPIC, payload, false).rejection().reason, reason, "{payload:x?}");
    }
}

#[test]
fn a_will_says_that_its_device_is_gone_unless_it_says_more() {
    let offline = short("status", Value::Text("offline".into()), "", Quality::Good);
    for payload in [&b"offline"[..], b"", b"bye", b"\xff"] {
        let telemetry = on(STATUS_TOPIC, payload, true).one();
        assert_eq!((telemetry.kind(), readings(&telemetry)), (Kind::Status, vec![offline.clone()]));
    }
    let damaged = &envelope().encode_to_vec()[..20];
    for payload in [damaged, b"[{\"n\":\"a\"", b"\x81\xa1", b"[]"] {
        let telemetry = on(TOPIC, payload, true).one();
        assert_eq!((telemetry.kind(), readings(&telemetry)), (Kind::Status, vec![offline.clone()]));
    }
    let telemetry = on(TOPIC, &envelope().encode_to_vec(), true).one();
    assert_eq!((telemetry.kind(), readings(&telemetry)[0].0.as_str()), (Kind::Status, "temperature"));
    let telemetry = on(TOPIC, br#"[{"n":"a","v":1}]"#, true).one();
    assert_eq!((telemetry.kind(), readings(&telemetry)[0].0.as_str()), (Kind::Status, "a"));
}

#[test]
fn other_topics_are_of_no_dialect() {
    for topic in [
        "",
        "/urban-neuron/v1/devices/d-1/telemetry",
        "urban-neuron/v1/devices/d-1",
        "urban-neuron/v1/devices/d-1/telemetry/",
        "urban-neuron/v2/devices/d-1/telemetry",
        "urban-neuron/v1/devices/telemetry",
    ] {
        for is_will in [false, true] {
            let rejection = on(topic, b"{\"a\":1}", is_will).rejection();
            assert_eq!(rejection.reason, Reason::UnknownDialect, "{topic:?}");
            assert!(rejection.detail.contains(topic), "{rejection}");
        }
    }
    for topic in ["urban-neuron/v1/devices//telemetry", "urban-neuron/v1/devices/a/b/telemetry"] {
        assert_eq!(on(topic, b"{\"a\":1}", false).rejection().reason, Reason::InvalidDeviceId, "{topic:?}");
    }
    check_rejected(b"\x0a\x03d-2", Reason::MalformedJson, "byte");
}
