//! Flat JSON, good and bad.

use model::Reason;
use model::proto::reading::Value::{Boolean, Integer, Number, Text};
use model::proto::{ClockVerdict, Kind, LocationOrigin, Quality, TimeSource};

use super::{RECEIVED_AT_US, check_rejected, found, readings, short};

#[test]
fn a_message_becomes_an_envelope() {
    let telemetry = found(
        br#"{"observed_at":"2026-03-02T07:59:59.5+08:00","waterLevel":2.5,"temp":{"value":69.8,"unit":"degF"},
            "status":"online","cover_open":true,"own":7,"sequence":42,"latitude":31.2,"longitude":121.5}"#,
    )
    .one();
    assert_eq!(telemetry.device_id, "d-1");
    assert_eq!(telemetry.observed_at_us, RECEIVED_AT_US - 500_000);
    assert_eq!(telemetry.received_at_us, RECEIVED_AT_US);
    assert_eq!((telemetry.kind(), telemetry.clock_verdict()), (Kind::Telemetry, ClockVerdict::Ok));
    assert_eq!(telemetry.observed_at_source(), TimeSource::Device);
    assert_eq!((telemetry.domain.as_str(), telemetry.sequence), ("unknown", Some(42)));
    let location = telemetry.location.unwrap();
    assert_eq!(
        (location.latitude, location.longitude, location.origin()),
        (31.2, 121.5, LocationOrigin::Device)
    );
    let source = telemetry.source.clone().unwrap();
    assert_eq!(
        (source.adapter.as_str(), source.protocol.as_str(), source.codec.as_str()),
        ("mqtt_endpoint", "mqtt", "flat-json")
    );
    assert_eq!(
        readings(&telemetry),
        [
            short("water_level", Number(2.5), "m", Quality::Good),
            short("temperature", Number(21.0), "Cel", Quality::Good),
            short("status", Text("online".into()), "", Quality::Good),
            short("cover_open", Boolean(true), "", Quality::Good),
            short("own", Integer(7), "", Quality::Good),
        ]
    );
    assert_eq!(telemetry.readings[1].raw_unit, "degF");
}

#[test]
fn an_array_is_several_messages_and_each_stands_for_itself() {
    let children = found(br#"[{"ts":1772409590000,"a":1},{"ts":1772409591000},{"a":1,"a":2},{"a":3}]"#);
    assert_eq!(children.telemetry.len(), 2);
    let reasons: Vec<_> =
        children.rejected.iter().map(|(index, rejection)| (*index, rejection.reason)).collect();
    assert_eq!(reasons, [(1, Reason::NoReadings), (2, Reason::DuplicateField)]);
}

#[test]
fn numbers_are_exact_or_flagged() {
    let cases = [
        ("9007199254740993", Some(Integer(9_007_199_254_740_993)), Quality::Good),
        ("-9223372036854775808", Some(Integer(i64::MIN)), Quality::Good),
        ("9223372036854775808", Some(Number(9_223_372_036_854_775_808.0)), Quality::Suspect),
        ("1e999", None, Quality::Bad),
        ("-1e999", None, Quality::Bad),
        ("1e-999", Some(Number(0.0)), Quality::Good),
        ("-0", Some(Number(-0.0)), Quality::Good),
        ("0.1", Some(Number(0.1)), Quality::Good),
        ("2.2250738585072014e-308", Some(Number(2.225_073_858_507_201_4e-308)), Quality::Good),
        ("null", None, Quality::Missing),
    ];
    for (text, value, quality) in cases {
        let telemetry = found(format!("{{\"x\":{text}}}").as_bytes()).one();
        assert_eq!(readings(&telemetry), [short("x", value, "", quality)], "{text}");
    }
    let telemetry = found(br#"{"temperature":"NaN","humidity":"41.5","pm10":"99999999999999999999","water_level":{"value":9007199254740993,"unit":"cm"}}"#).one();
    assert_eq!(
        readings(&telemetry),
        [
            short("temperature", None, "Cel", Quality::Bad),
            short("humidity", Number(41.5), "%", Quality::Good),
            short("pm10", Number(1e20), "ug/m3", Quality::Suspect),
            // The double nearest to the integer is one less: that digits are lost is what the flag says.
            short("water_level", Number(90_071_992_547_409.92), "m", Quality::Suspect),
        ]
    );
}

#[test]
fn a_clock_that_cannot_be_right_is_kept_as_a_claim() {
    use ClockVerdict::{BeforeEpochFloor, Future, Implausible, None as NoTime, Ok};
    const LAST_US: i64 = 253_402_300_799_999_999;
    let cases = [
        (r#""ts":0"#, BeforeEpochFloor, Some(0)),
        (r#""ts":-5"#, BeforeEpochFloor, Some(-5_000)),
        (r#""observed_at":"1970-01-01T00:00:00Z""#, BeforeEpochFloor, Some(0)),
        (r#""observed_at":"2036-02-07T06:28:16Z""#, Future, Some(2_085_978_496_000_000)),
        // Seconds and nanoseconds where milliseconds belong.
        (r#""ts":1772409600"#, BeforeEpochFloor, Some(1_772_409_600_000)),
        (r#""ts":1772409600000000000"#, Future, Some(LAST_US)),
        (r#""ts":1e300"#, Future, Some(LAST_US)),
        (r#""ts":1764633600000"#, Ok, Option::None),
        (r#""ts":1764633599999"#, Implausible, Some(1_764_633_599_999_000)),
        (r#""ts":"yesterday""#, NoTime, Option::None),
        (r#""ts":null"#, NoTime, Option::None),
        (r#""b":1"#, NoTime, Option::None),
    ];
    for (time, verdict, claim) in cases {
        let telemetry = found(format!("{{\"a\":1,{time}}}").as_bytes()).one();
        assert_eq!((telemetry.clock_verdict(), telemetry.device_time_us), (verdict, claim), "{time}");
        let is_received = telemetry.observed_at_source() == TimeSource::Received;
        assert_eq!(is_received, verdict != Ok, "{time}");
        assert!(verdict == Ok || telemetry.observed_at_us == RECEIVED_AT_US, "{time}");
    }
    // What cannot be read is not lost.
    let telemetry = found(br#"{"a":1,"ts":"yesterday"}"#).one();
    assert_eq!(readings(&telemetry)[1], short("ts", Text("yesterday".into()), "", Quality::Suspect));
}

#[test]
fn readings_with_times_of_their_own_have_verdicts_of_their_own() {
    let telemetry =
        found(br#"{"ts":1772409590000,"a":1,"b":{"value":2,"ts":0},"c":{"value":3,"ts":1772409580000}}"#)
            .one();
    assert_eq!(telemetry.observed_at_us, RECEIVED_AT_US - 10_000_000);
    assert_eq!(telemetry.readings[0].time, None);
    let of_b = telemetry.readings[1].time.unwrap();
    assert_eq!((of_b.clock_verdict(), of_b.device_time_us), (ClockVerdict::BeforeEpochFloor, Some(0)));
    assert_eq!(telemetry.readings[2].time.unwrap().observed_at_us, RECEIVED_AT_US - 20_000_000);
}

#[test]
fn what_is_refused_names_the_field_and_the_place() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let cases: &[(&[u8], Reason, &str)] = &[
        (b"", Reason::EmptyPayload, "empty"),
        (b"  \n", Reason::EmptyPayload, "empty"),
        (b"{\"a\":1", Reason::MalformedJson, "byte 6, line 1"),
        (b"{\"a\":1,\n\"b\":x}", Reason::MalformedJson, "byte 12, line 2"),
        (b"{\"a\":NaN}", Reason::MalformedJson, "byte 5"),
        (b"{\"a\":1} x", Reason::MalformedJson, "byte 8"),
        (b"{\"a\":\"\xff\"}", Reason::InvalidUtf8, "byte 6"),
        (b"{\"a\":{\"value\":1,\"b\":{}}}", Reason::TooDeep, "a.b"),
        (b"{\"a\":[1]}", Reason::InvalidValue, "a: "),
        (b"{\"a\":{\"unit\":\"m\"}}", Reason::InvalidValue, "without `value`"),
        (b"{\"a\":1,\"a\":2}", Reason::DuplicateField, "a: "),
        (b"{\"a\":1,\"ts\":1,\"observed_at\":\"\"}", Reason::DuplicateField, "observed_at"),
        (b"{\"a\":1,\"latitude\":91,\"longitude\":0}", Reason::InvalidValue, "latitude: degrees"),
        (b"{\"a\":1,\"latitude\":31}", Reason::InvalidValue, "without the other"),
        (b"{\"a\":1,\"sequence\":1,\"sequence\":2}", Reason::DuplicateField, "sequence"),
        (b"{}", Reason::NoReadings, "no reading"),
        (b"[]", Reason::NoReadings, "empty"),
        (b"17", Reason::InvalidValue, "object"),
        (b"{\"\":1}", Reason::InvalidMetric, "empty"),
        (b"{\"a\\u0000\":1}", Reason::InvalidMetric, "does not contain"),
        (deep.as_bytes(), Reason::TooDeep, "nested"),
    ];
    for (payload, reason, detail) in cases {
        check_rejected(payload, *reason, detail);
    }
}
