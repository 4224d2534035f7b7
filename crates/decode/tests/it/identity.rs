//! Which messages are one event.

use model::proto::{Flag, Kind};
use model::{LogId, Position, RawMessage};

use super::{Found, TOPIC, decoder, found, message, readings};

const TIMED: &[u8] = br#"{"ts":1772409590000,"a":1}"#;
const TIMELESS: &[u8] = br#"{"a":1}"#;

fn id(message: &RawMessage<'_>) -> Vec<u8> {
    Found::of(decoder().decode(message)).one().event_id
}

#[test]
fn equal_content_with_its_own_time_is_one_event() {
    let first = message(TOPIC, TIMED);
    assert_eq!(id(&first), id(&RawMessage { received_at_us: 9_999_999_999, packet_id: Some(8), ..first }));
    assert_ne!(id(&first), id(&RawMessage { publisher: "another", ..first }));
    assert_ne!(id(&first), id(&RawMessage { topic: "urban-neuron/v1/devices/d-2/telemetry", ..first }));
    assert_ne!(id(&first), id(&RawMessage { payload: br#"{"ts":1772409590000,"a":2}"#, ..first }));
    assert_eq!(found(TIMED).one().redelivery_key, b"");
}

#[test]
fn equal_content_without_a_time_is_two_events_and_its_resend_is_marked() {
    let mut decoder = decoder();
    let first = message(TOPIC, TIMELESS);
    let one = Found::of(decoder.decode(&first)).one();
    let two = Found::of(decoder.decode(&RawMessage { is_redelivered: true, ..first })).one();
    assert_ne!(one.event_id, two.event_id);
    assert_eq!(one.redelivery_key, two.redelivery_key);
    assert_eq!(one.redelivery_key.len(), 16);
    assert_eq!((one.flags, two.flags), (0, Flag::Redelivered as u32));
    let other = Found::of(decoder.decode(&RawMessage { packet_id: Some(8), ..first })).one();
    assert_ne!(other.redelivery_key, one.redelivery_key);
    let without = Found::of(decoder.decode(&RawMessage { packet_id: None, ..first })).one();
    assert_eq!(without.redelivery_key, b"");
}

#[test]
fn children_of_one_payload_differ_though_they_are_equal() {
    let children = found(br#"[{"ts":1772409590000,"a":1},{"ts":1772409590000,"a":1}]"#);
    assert_ne!(children.telemetry[0].event_id, children.telemetry[1].event_id);
    let timeless = found(br#"[{"a":1},{"a":1}]"#);
    assert_ne!(timeless.telemetry[0].redelivery_key, timeless.telemetry[1].redelivery_key);
}

#[test]
fn a_retained_message_is_one_event_however_often_it_is_delivered() {
    let retained = RawMessage { is_retained: true, ..message(TOPIC, TIMELESS) };
    assert_eq!(id(&retained), id(&RawMessage { packet_id: None, received_at_us: 5, ..retained }));
    assert_eq!(Found::of(decoder().decode(&retained)).one().flags, Flag::Retained as u32);
}

#[test]
fn a_redrive_is_historical_and_its_events_are_those_of_the_dead_letter() {
    let position = Position { log_id: LogId([7; 16]), log_partition: 1, log_offset: 9 };
    let payload = br#"[{"a":1},{"b":1},{"c":1}]"#;
    let redrive = |only| Found::of(decoder().redrive(&message(TOPIC, payload), position, only));
    let all = redrive(None).telemetry;
    let some = redrive(Some(&[1])).telemetry;
    assert_eq!((all.len(), some.len()), (3, 1));
    assert_eq!(some[0], all[1]);
    assert_eq!((some[0].flags, some[0].redelivery_key.as_slice()), (Flag::Historical as u32, &b""[..]));
    // An identity of its own stays: what had come through already is a repeat.
    let timed = Found::of(decoder().redrive(&message(TOPIC, TIMED), position, None)).one();
    assert_eq!(timed.event_id, found(TIMED).one().event_id);
}

#[test]
fn a_will_is_a_status_of_its_device_whatever_it_says() {
    let will =
        |payload| Found::of(decoder().decode(&RawMessage { is_will: true, ..message(TOPIC, payload) })).one();
    for payload in [&b"bye"[..], b"", b"{}", b"{\"a\":[]}"] {
        let telemetry = will(payload);
        assert_eq!((telemetry.kind(), readings(&telemetry)[0].0.as_str()), (Kind::Status, "status"));
    }
    let telemetry = will(TIMELESS);
    assert_eq!((telemetry.kind(), readings(&telemetry)[0].0.as_str()), (Kind::Status, "a"));
}
