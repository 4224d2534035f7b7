//! Sparkplug B: sessions, aliases, gaps and wills.

use model::Reason;
use prost::Message;

use super::{Found, decoder, lines, message};

#[derive(Clone, PartialEq, Message)]
struct Payload {
    #[prost(uint64, optional, tag = "1")]
    timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
    #[prost(uint64, optional, tag = "3")]
    seq: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    alias: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    datatype: Option<u32>,
    #[prost(uint32, optional, tag = "10")]
    int: Option<u32>,
    #[prost(uint64, optional, tag = "11")]
    long: Option<u64>,
}

fn metric(name: &str, alias: u64, datatype: u32, int: u32) -> Metric {
    Metric {
        name: (!name.is_empty()).then(|| name.to_owned()),
        alias: (alias > 0).then_some(alias),
        datatype: (datatype > 0).then_some(datatype),
        int: Some(int),
        long: None,
    }
}

fn bd_seq(session: u64) -> Metric {
    Metric { long: Some(session), int: None, ..metric("bdSeq", 0, 8, 0) }
}

fn payload(seq: u64, metrics: &[Metric]) -> Vec<u8> {
    Payload { timestamp: Some(1_772_409_590_000), metrics: metrics.to_vec(), seq: Some(seq) }.encode_to_vec()
}

const NBIRTH: &str = "spBv1.0/g/NBIRTH/n";
const NDATA: &str = "spBv1.0/g/NDATA/n";
const NDEATH: &str = "spBv1.0/g/NDEATH/n";

#[test]
fn data_by_alias_has_the_names_of_the_birth() {
    let mut decoder = decoder();
    let data = payload(1, &[metric("", 1, 0, u32::MAX), metric("", 2, 0, 7)]);
    let rejection = Found::of(decoder.decode(&message(NDATA, &data))).rejection();
    assert_eq!(rejection.reason, Reason::InvalidMetric);
    assert!(rejection.detail.starts_with("alias 1: no birth of g:n"), "{rejection}");
    assert_eq!(decoder.take_sparkplug_rebirths(), [("g".to_owned(), "n".to_owned())]);

    let birth = payload(0, &[bd_seq(3), metric("depth", 1, 3, 5), metric("Node Control/Rebirth", 2, 11, 0)]);
    let born = Found::of(decoder.decode(&message(NBIRTH, &birth)));
    let head = "g:n at 2026-03-01T23:59:50.000000Z of the device, sequence";
    assert_eq!(lines(&born), [format!("{head} 0").as_str(), "  depth = 5", "  status = \"online\""]);
    let found = Found::of(decoder.decode(&message(NDATA, &data)));
    assert_eq!(lines(&found), [format!("{head} 1").as_str(), "  depth = -1"]);
    assert_eq!(decoder.take_sparkplug_rebirths(), []);
    // A device's birth names aliases of the same table.
    let device = payload(2, &[metric("pump", 9, 11, 1)]);
    assert_eq!(Found::of(decoder.decode(&message("spBv1.0/g/DBIRTH/n/d", &device))).one().device_id, "g:n:d");
    let device = payload(3, &[metric("", 9, 0, 1)]);
    let one = Found::of(decoder.decode(&message("spBv1.0/g/DDATA/n/d", &device))).one();
    assert_eq!((one.readings[0].metric.as_str(), one.source.unwrap().gateway_id.as_str()), ("pump", "g:n"));
}

#[test]
fn a_gap_wants_a_birth_and_loses_nothing() {
    let mut decoder = decoder();
    let of = |seq| payload(seq, &[metric("x", 0, 3, 1)]);
    Found::of(decoder.decode(&message(NBIRTH, &of(255)))).one();
    Found::of(decoder.decode(&message(NDATA, &of(0)))).one();
    assert_eq!(decoder.take_sparkplug_rebirths(), []);
    Found::of(decoder.decode(&message(NDATA, &of(2)))).one();
    assert_eq!(decoder.take_sparkplug_rebirths().len(), 1);
}

#[test]
fn a_late_will_does_not_end_the_next_session() {
    let mut decoder = decoder();
    let birth = payload(0, &[bd_seq(4), metric("x", 1, 3, 1)]);
    Found::of(decoder.decode(&message(NBIRTH, &birth))).one();
    let death = |session| Payload { metrics: vec![bd_seq(session)], ..Payload::default() }.encode_to_vec();
    let rejection = Found::of(decoder.decode(&message(NDEATH, &death(3)))).rejection();
    assert!(rejection.detail.starts_with("bdSeq"), "{rejection}");
    Found::of(decoder.decode(&message(NDATA, &payload(1, &[metric("", 1, 0, 2)])))).one();
    let found = Found::of(decoder.decode(&message(NDEATH, &death(4))));
    assert_eq!(lines(&found), ["g:n, status", "  status = \"offline\""]);
    let rejection =
        Found::of(decoder.decode(&message(NDATA, &payload(2, &[metric("", 1, 0, 2)])))).rejection();
    assert_eq!(rejection.reason, Reason::InvalidMetric);
}

#[test]
fn numbers_are_signed_by_their_datatype() {
    let cases = [
        (1, 0xff, -1),
        (2, 0xffff_fffe, -2),
        (3, 0xffff_ffff, -1),
        (5, 0xff, 255),
        (7, 0xffff_ffff, 4_294_967_295i64),
    ];
    for (datatype, sent, meant) in cases {
        let data = payload(0, &[metric("x", 0, datatype, sent)]);
        let found = Found::of(decoder().decode(&message(NDATA, &data)));
        assert_eq!(lines(&found)[1], format!("  x = {meant}"), "{datatype}");
    }
    let long = Metric { long: Some(u64::MAX), int: None, ..metric("x", 0, 8, 0) };
    let found = Found::of(decoder().decode(&message(NDATA, &payload(0, std::slice::from_ref(&long)))));
    assert_eq!(lines(&found)[1], "  x = 18446744073709552000, suspect");
    let signed = Metric { datatype: Some(4), ..long };
    let found = Found::of(decoder().decode(&message(NDATA, &payload(0, &[signed]))));
    assert_eq!(lines(&found)[1], "  x = -1");
}
