//! SenML, RFC 8428: how packs resolve, in both forms.

use model::proto::reading::Value::{self, Boolean, Integer, Number, Text};
use model::proto::{ClockVerdict, Quality};
use model::{RawMessage, Reason};

use super::{Found, RECEIVED_AT_US, TOPIC, check_rejected, decoder, found, message, readings, short};

/// One number or text of a device in CBOR: a pack of one record, whose value follows.
const CBOR_VALUE: &[u8] = b"\x81\xa2\x00\x61x\x02";

/// Metric, value, unit (as sent where it is not canonical) and microseconds after receipt.
type Resolved = (String, Option<Value>, String, i64);

fn resolved(payload: &[u8]) -> Vec<Resolved> {
    let telemetry = found(payload).one();
    let one = |reading: &model::proto::Reading| {
        let unit = if reading.raw_unit.is_empty() { &reading.unit } else { &reading.raw_unit };
        let own = reading.time.as_ref();
        let at_us = own.map_or(telemetry.observed_at_us, |time| time.observed_at_us);
        (reading.metric.clone(), reading.value.clone(), unit.clone(), at_us - RECEIVED_AT_US)
    };
    telemetry.readings.iter().map(one).collect()
}

fn row(metric: &str, value: Value, unit: &str, after_us: i64) -> Resolved {
    (metric.to_owned(), Some(value), unit.to_owned(), after_us)
}

#[test]
fn base_fields_hold_until_they_are_said_again() {
    let cases: &[(&str, &[Resolved])] = &[
        (
            r#"[{"bn":"a","bt":1772409500,"bu":"V","n":"1","v":1},{"n":"2","t":10.5,"v":2},{"bn":"b","bt":1772409599,"bu":"A","n":"3","v":3},
                {"n":"4","u":"W","v":4}]"#,
            &[
                row("a1", Integer(1), "V", -100_000_000),
                row("a2", Integer(2), "V", -89_500_000),
                row("b3", Integer(3), "A", -1_000_000),
                row("b4", Integer(4), "W", -1_000_000),
            ],
        ),
        // Base fields alone are no reading.
        (r#"[{"bn":"a_","bt":1772409599},{"n":"b","v":1}]"#, &[row("a_b", Integer(1), "", -1_000_000)]),
        // A base value is added to numbers, is a number where none is said, and leaves other values alone.
        (
            r#"[{"bv":10,"n":"a","v":1.5},{"n":"b"},{"n":"c","vs":"x"},{"n":"d","vb":true},{"n":"e","v":-3}]"#,
            &[
                row("a", Number(11.5), "", 0),
                row("b", Number(10.0), "", 0),
                row("c", Text("x".into()), "", 0),
                row("d", Boolean(true), "", 0),
                row("e", Number(7.0), "", 0),
            ],
        ),
        // A sum is another quantity than the value that it is the sum of.
        (
            r#"[{"bs":100,"n":"heat","u":"W","s":5,"v":2},{"n":"rate","s":-5}]"#,
            &[
                row("heat_sum", Number(105.0), "W.s", 0),
                row("heat", Integer(2), "W", 0),
                row("rate_sum", Number(95.0), "", 0),
            ],
        ),
        (r#"[{"n":"a","vd":"aGk_-A"}]"#, &[row("a", Text("aGk_-A".into()), "", 0)]),
        // Labels of others are passed over, whatever is in them.
        (r#"[{"n":"a","ut":5,"x":{"y":[1,{"n":2}]},"v":1,"x":null}]"#, &[row("a", Integer(1), "", 0)]),
        (
            r#"[{"bver":10,"n":"a","v":1},{"bver":10,"n":"b","v":2}]"#,
            &[row("a", Integer(1), "", 0), row("b", Integer(2), "", 0)],
        ),
        // A base name that is a URN is the device's own name for itself.
        (
            r#"[{"bn":"urn:dev:ow:10e2073a01080063:","n":"own","v":1},{"n":"/3435/0/5700","v":2}]"#,
            &[row("own", Integer(1), "", 0), row("3435/0/5700", Integer(2), "", 0)],
        ),
    ];
    for (payload, expected) in cases {
        assert_eq!(resolved(payload.as_bytes()), *expected, "{payload}");
    }
}

#[test]
fn times_below_two_to_the_28_are_relative_to_receipt() {
    let cases = [
        ("", 0),
        (r#","t":0"#, 0),
        (r#","t":-5"#, -5_000_000),
        (r#","t":2.5"#, 2_500_000),
        (r#","bt":-60,"t":15"#, -45_000_000),
        (r#","bt":1772409600,"t":-0.000001"#, -1),
        (r#","t":1.7724095e9"#, -100_000_000),
    ];
    for (time, after_us) in cases {
        let payload = format!(r#"[{{"n":"a","v":1{time}}}]"#);
        assert_eq!(resolved(payload.as_bytes()), [row("a", Integer(1), "", after_us)], "{payload}");
    }
    let claims = [
        ("268435455", ClockVerdict::Future, RECEIVED_AT_US + 268_435_455_000_000),
        ("268435456", ClockVerdict::BeforeEpochFloor, 268_435_456_000_000),
        ("-268435456", ClockVerdict::Implausible, RECEIVED_AT_US - 268_435_456_000_000),
        ("1e300", ClockVerdict::Future, 253_402_300_799_999_999),
    ];
    for (time, verdict, claim) in claims {
        let telemetry = found(format!(r#"[{{"n":"a","v":1,"t":{time}}}]"#).as_bytes()).one();
        assert_eq!((telemetry.clock_verdict(), telemetry.device_time_us), (verdict, Some(claim)), "{time}");
    }
}

#[test]
fn only_times_that_a_resend_repeats_make_an_identity() {
    let is_named = |payload: &[u8]| found(payload).one().redelivery_key.is_empty();
    assert!(is_named(br#"[{"bt":1772409500,"n":"a","v":1},{"n":"b","v":1,"t":-3}]"#));
    assert!(!is_named(br#"[{"n":"a","v":1,"t":-3}]"#));
    assert!(!is_named(br#"[{"n":"a","v":1}]"#));
    assert!(!is_named(br#"[{"n":"a","v":1,"t":1772409500},{"n":"b","v":1}]"#));
}

#[test]
fn the_example_of_the_rfc_resolves() {
    let telemetry = found(
        br#"[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},
             {"n":"current","t":-5,"v":1.2}, {"n":"current","v":1.7}]"#,
    )
    .one();
    let values = [("voltage", 120.1, "V"), ("current", 1.2, "A"), ("current", 1.7, "A")];
    assert_eq!(
        readings(&telemetry),
        values.map(|(metric, value, unit)| short(metric, Number(value), unit, Quality::Good))
    );
    assert_eq!(telemetry.clock_verdict(), ClockVerdict::BeforeEpochFloor);
    assert_eq!(telemetry.device_time_us, Some(1_276_020_076_001_000));
    assert_eq!(telemetry.readings[1].time.unwrap().device_time_us, Some(1_276_020_071_001_000));
    assert_eq!(telemetry.source.unwrap().codec, "senml-json");
}

#[test]
fn numbers_of_cbor_are_exact_or_flagged() {
    let cases: &[(&[u8], Option<Value>, Quality)] = &[
        (b"\x17", Some(Integer(23)), Quality::Good),
        (b"\x38\xff", Some(Integer(-256)), Quality::Good),
        (b"\x19\x03\xe8", Some(Integer(1_000)), Quality::Good),
        (b"\x1a\x00\x0f\x42\x40", Some(Integer(1_000_000)), Quality::Good),
        (b"\x1b\x7f\xff\xff\xff\xff\xff\xff\xff", Some(Integer(i64::MAX)), Quality::Good),
        (b"\x3b\x7f\xff\xff\xff\xff\xff\xff\xff", Some(Integer(i64::MIN)), Quality::Good),
        (
            b"\x1b\x80\x00\x00\x00\x00\x00\x00\x00",
            Some(Number(9_223_372_036_854_775_808.0)),
            Quality::Suspect,
        ),
        (
            b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff",
            Some(Number(-18_446_744_073_709_551_616.0)),
            Quality::Suspect,
        ),
        // Half, single and double.
        (b"\xf9\x4d\x60", Some(Number(21.5)), Quality::Good),
        (b"\xf9\x7b\xff", Some(Number(65_504.0)), Quality::Good),
        (b"\xf9\x00\x01", Some(Number(5.960_464_477_539_063e-8)), Quality::Good),
        (b"\xf9\x84\x00", Some(Number(-6.103_515_625e-5)), Quality::Good),
        (b"\xf9\x7c\x00", None, Quality::Bad),
        (b"\xf9\x7e\x00", None, Quality::Bad),
        (b"\xfa\x41\xac\x00\x00", Some(Number(21.5)), Quality::Good),
        (b"\xfa\xff\x80\x00\x00", None, Quality::Bad),
        (b"\xfb\x40\x35\x80\x00\x00\x00\x00\x00", Some(Number(21.5)), Quality::Good),
        // Decimal fractions: 273.15, 2^53 + 1, 1e1000, 0e-9223372036854775808.
        (b"\xc4\x82\x21\x19\x6a\xb3", Some(Number(273.15)), Quality::Good),
        (
            b"\xc4\x82\x00\x1b\x00\x20\x00\x00\x00\x00\x00\x01",
            Some(Integer(9_007_199_254_740_993)),
            Quality::Good,
        ),
        (b"\xc4\x82\x19\x03\xe8\x01", None, Quality::Bad),
        (b"\xc4\x82\x3b\x7f\xff\xff\xff\xff\xff\xff\xff\x00", Some(Number(0.0)), Quality::Good),
    ];
    for (value, expected, quality) in cases {
        let telemetry = found(&[CBOR_VALUE, value].concat()).one();
        assert_eq!(readings(&telemetry), [short("x", expected.clone(), "", *quality)], "{value:x?}");
    }
}

#[test]
fn a_pack_in_cbor_is_the_pack_in_json() {
    // [{-2: "urn:1", -3: 4([0, 1772409500]), -4: "V", -1: 10, 0: "a", 2: 1}, {0: "b", 3: "x", 6: -3},
    //  {0: "c", 4: true}, {0: "d", 8: h'6869 3f f8'}, {0: "e", 5: 2.5, 1: "W", "own": [1, {}], 99: 1}]
    let definite = b"\x85\
        \xa6\x21\x65urn:1\x22\xc4\x82\x00\x1a\x69\xa4\xd2\x9c\x23\x61V\x20\x0a\x00\x61a\x02\x01\
        \xa3\x00\x61b\x03\x61x\x06\x22\
        \xa2\x00\x61c\x04\xf5\
        \xa2\x00\x61d\x08\x44hi\x3f\xf8\
        \xa5\x00\x61e\x05\xf9\x41\x00\x01\x61W\x63own\x82\x01\xa0\x18\x63\x01";
    let indefinite = b"\x9f\
        \xbf\x21\x65urn:1\x22\xc4\x82\x00\x1a\x69\xa4\xd2\x9c\x23\x61V\x20\x0a\x00\x61a\x02\x01\xff\
        \xa3\x00\x61b\x03\x61x\x06\x22\
        \xbf\x00\x61c\x04\xf5\xff\
        \xa2\x00\x61d\x08\x44hi\x3f\xf8\
        \xbf\x00\x61e\x05\xf9\x41\x00\x01\x61W\x63own\x9f\x01\xbf\xff\xff\x18\x63\x01\xff\xff";
    let json =
        br#"[{"bn":"urn:1","bt":1772409500,"bu":"V","bver":10,"n":"a","v":1},{"n":"b","vs":"x","t":-3},
        {"n":"c","vb":true},{"n":"d","vd":"aGk_-A"},{"n":"e","s":2.5,"u":"W","own":[1,{}]}]"#;
    let expected = resolved(json);
    assert_eq!(expected.len(), 5);
    assert_eq!(expected[3], row("d", Text("aGk_-A".into()), "V", -100_000_000));
    assert_eq!(resolved(definite), expected);
    assert_eq!(resolved(indefinite), expected);
}

#[test]
fn what_is_no_pack_is_refused_with_its_place() {
    let deep = format!(r#"[{{"n":"a","v":1,"x":{}1{}}}]"#, "[".repeat(5_000), "]".repeat(5_000));
    let many = format!(r#"[{}{{"n":"a","v":1}}]"#, r#"{"n":"a","v":1},"#.repeat(4_200));
    let cases: &[(&[u8], Reason, &str)] = &[
        (br#"[{"n":"a","v":1,"own_":5}]"#, Reason::MalformedSenml, "own_: must be understood"),
        (br#"[{"n":"a","v":1},{"n":"b","own_":{}}]"#, Reason::MalformedSenml, "own_"),
        (br#"[{"bver":11,"n":"a","v":1}]"#, Reason::UnsupportedVersion, "record 0: bver 11"),
        (br#"[{"bver":0,"n":"a","v":1}]"#, Reason::UnsupportedVersion, "bver 0"),
        (
            br#"[{"bver":9,"n":"a","v":1},{"bver":10,"n":"a","v":1}]"#,
            Reason::MalformedSenml,
            "record 1: bver 10",
        ),
        (
            br#"[{"n":"a","v":1,"vs":"x"}]"#,
            Reason::MalformedSenml,
            "vs: stands there twice, or beside another value at byte ",
        ),
        (br#"[{"n":"a","n":"b","v":1}]"#, Reason::MalformedSenml, "n: stands there twice"),
        (br#"[{"n":"a","v":"1"}]"#, Reason::MalformedSenml, "v: a value of another type"),
        (br#"[{"n":5,"v":1}]"#, Reason::MalformedSenml, "n: "),
        (br#"[{"n":"a","v":1},7]"#, Reason::MalformedSenml, "a record is an object"),
        (br#"[{"bn":"urn:dev:1:","v":1}]"#, Reason::InvalidMetric, "record 0"),
        (br#"[{"bn":"a"}]"#, Reason::NoReadings, "no reading"),
        (br#"[{"n":"a","v":1}] x"#, Reason::MalformedJson, "byte 18"),
        (deep.as_bytes(), Reason::TooDeep, "deep"),
        (many.as_bytes(), Reason::TooMany, "4096"),
        (
            b"\x81\xa2\x00\x61x\x64own_\x01",
            Reason::MalformedSenml,
            "own_: must be understood and is not at byte 5",
        ),
        (b"\x81\xa2\x00\x61x\x02\xf5", Reason::MalformedSenml, "label 2"),
        (b"\x81\xa2\x00\x61x\x02\x81\x01", Reason::MalformedSenml, "label 2"),
        (b"\x81\xa2\x00\x61x\x02\xc4\x83\x01\x01\x01", Reason::MalformedCbor, "decimal fraction"),
        (b"\x81\xa3\x00\x61x\x02\x01\x02\x01", Reason::MalformedSenml, "label 2: stands there twice"),
        (b"\x81\xa2\x00\x61\xff\x02\x01", Reason::InvalidUtf8, "byte 3"),
        (b"\x81\xa2\x00\x61x\x02\x01\x00", Reason::MalformedCbor, "more bytes follow the pack at byte 7"),
        (b"\x82\xa2\x00\x61x\x02\x01", Reason::MalformedCbor, "the payload ends at byte 7"),
        (b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff\xa0", Reason::MalformedCbor, "ends"),
        (b"\x9f\xbf\x00\xff\xff", Reason::MalformedSenml, "label 0"),
        (b"\x81\xa2\x00\x7b\xff\xff\xff\xff\xff\xff\xff\xffx", Reason::MalformedCbor, "ends"),
        (b"\x81\x01", Reason::MalformedSenml, "a record is a map"),
    ];
    for (payload, reason, detail_has) in cases {
        check_rejected(payload, *reason, detail_has);
    }
    let deep = [b"\x81\xa2\x00\x61x\x61y".to_vec(), vec![0x81; 5_000], vec![0x01]].concat();
    check_rejected(&deep, Reason::TooDeep, "deep");
}

#[test]
fn the_content_type_decides_where_the_bytes_do_not() {
    let as_type = |content_type, payload| {
        let codec = |outcome| Found::of(outcome).one().source.unwrap().codec;
        codec(decoder().decode(&RawMessage { content_type, ..message(TOPIC, payload) }))
    };
    let pack = br#"[{"own":1,"n":"a","v":1}]"#;
    assert_eq!(as_type("application/senml+json", &pack[..]), "senml-json");
    assert_eq!(as_type("application/json", pack), "flat-json");
    assert_eq!(as_type("", pack), "flat-json");
    assert_eq!(as_type("application/json", br#"[{"n":"a","v":1}]"#), "senml-json");
    assert_eq!(as_type("text/plain", b"\x81\xa2\x00\x61x\x02\x01"), "senml-cbor");
    assert_eq!(as_type("application/senml+cbor", b"\x81\xa2\x00\x61x\x02\x01"), "senml-cbor");
}
