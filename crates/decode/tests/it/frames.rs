//! Field frames: the vectors of their standards, and what transmitters make of them.

use model::Reason;

use super::{Found, check_becomes, decoder, hex, lines, message};

fn topic(dialect: &str) -> String {
    format!("urban-neuron/v1/devices/dtu-1/frames/{dialect}")
}

fn becomes(dialect: &str, payload: &[u8]) -> Vec<String> {
    lines(&Found::of(decoder().decode(&message(&topic(dialect), payload))))
}

fn check_refused(dialect: &str, payload: &[u8], reason: Reason) {
    let rejection = Found::of(decoder().decode(&message(&topic(dialect), payload))).rejection();
    assert_eq!(rejection.reason, reason, "{rejection}");
}

/// As annex A of HJ 212 writes it.
fn hj212_crc(data: &[u8]) -> u16 {
    data.iter().fold(0xffff, |crc, byte| {
        let shift = |crc: u16, _| if crc & 1 == 1 { (crc >> 1) ^ 0xa001 } else { crc >> 1 };
        (0..8).fold((crc >> 8) ^ u16::from(*byte), shift)
    })
}

fn hj212(data: &str) -> String {
    format!("##{:04}{data}{:04X}\r\n", data.len(), hj212_crc(data.as_bytes()))
}

const HJ212_DATA: &str =
    "QN=20260301235930001;ST=22;CN=2011;PW=1;MN=m-1;Flag=5;CP=&&DataTime=20260301235900;a34004-Rtd=35&&";
const HJ212_BECOMES: [&str; 2] = [
    "m-1 at 2026-03-01T23:59:00.000000Z of the device, zone assumed, through dtu-1, domain environment",
    "  pm2_5 = 35 ug/m3",
];

#[test]
fn the_example_of_hj212() {
    let frame = b"##0101QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&1C80\r\n";
    let expected = [
        "010000A8900016F000169DC0, clock implausible, zone assumed, event, through dtu-1, domain environment",
        "  RtdInterval = 30",
    ];
    check_becomes(&topic("hj212"), frame, &expected);
}

#[test]
fn hj212_comes_in_all_wrappings() {
    let frame = hj212(HJ212_DATA);
    let in_hex: String = frame.bytes().map(|byte| format!("{byte:02X} ")).collect();
    let in_base64 = "IyMwMDk1";
    assert!(in_base64.len() == 8);
    for payload in [
        frame.clone(),
        frame.trim_end().to_owned(),
        in_hex.clone(),
        format!("{{\"dev\":\"x\",\"data\":[1,{{\"raw\":\"{}\"}}]}}", frame.trim_end()),
        format!("{{\"payload\":{{\"APPdata\":\"{in_hex}\"}}}}"),
        format!("garbage{frame}"),
        frame.to_lowercase().replace("qn=", "QN=").replace("datatime", "DataTime"),
    ] {
        let becomes = becomes("hj212", payload.as_bytes());
        if becomes[0].starts_with("refused: wrong_checksum") {
            // Another case is other bytes.
            assert!(payload.contains("mn="), "{payload}");
            continue;
        }
        assert_eq!(becomes, HJ212_BECOMES, "{payload}");
    }
}

#[test]
fn hj212_has_quirks_that_are_taken() {
    let crc = hj212_crc(HJ212_DATA.as_bytes());
    for frame in [
        format!("##0001{HJ212_DATA}{crc:04x}\r\n"),
        format!("##9999{HJ212_DATA}{crc:04X}\r\n"),
        format!("##  98{HJ212_DATA}{crc:>4x}"),
        hj212("ST=22;CN=2011;PW=1;MN=m-1;CP=&&DataTime=20260301235900;a34004-Rtd = 35&&"),
        hj212("ST=22;CN=2011;PW=1; MN =m-1;CP=&&DataTime=20260301235900;a34004-Rtd=35,a34004-Flag=N;&&"),
    ] {
        assert_eq!(becomes("hj212", frame.as_bytes()), HJ212_BECOMES, "{frame}");
    }
    let of = |content: &str| {
        becomes("hj212", hj212(&format!("ST=22;CN=2011;MN=m;CP=&&{content}&&")).as_bytes())[1..].to_vec()
    };
    assert_eq!(of("a34004-Rtd=-00999.000"), ["  pm2_5 = nothing ug/m3, bad"]);
    assert_eq!(of("a34004-Rtd=--,a34004-Flag=T"), ["  pm2_5 = nothing ug/m3, over_range"]);
    assert_eq!(of("a34004-Rtd=1,a34004-SampleTime=20260301235800"), ["  pm2_5 = 1 ug/m3"]);
    assert_eq!(of("zz-Rtd=1.50;SB1-RS=1"), ["  zz = 1.5", "  SB1_RS = 1"]);
    let heartbeat = becomes("hj212", hj212("ST=91;CN=9015;MN=m;CP=&&&&").as_bytes());
    assert_eq!(heartbeat, ["m, status, through dtu-1, domain environment", "  status = \"alive\""]);
    let two = format!("{}{}", hj212(HJ212_DATA), hj212("ST=22;CN=2011;MN=n;CP=&&LA-Rtd=50&&"));
    assert_eq!(becomes("hj212", two.as_bytes()).len(), 4);
}

#[test]
fn hj212_that_was_damaged_is_refused() {
    let frame = hj212(HJ212_DATA);
    check_refused("hj212", frame.replace("35&&", "36&&").as_bytes(), Reason::WrongChecksum);
    check_refused("hj212", hj212("ST=22;CN=2011;CP=&&a=1&&").as_bytes(), Reason::MissingDeviceId);
    check_refused("hj212", b"hello", Reason::MalformedFrame);
    check_refused("hj212", b"##", Reason::MalformedFrame);
    check_refused("hj212", b"", Reason::EmptyPayload);
    for end in 1..frame.trim_end().len() {
        let found = Found::of(decoder().decode(&message(&topic("hj212"), &frame.as_bytes()[..end])));
        assert_eq!(found.telemetry, [], "{end}");
    }
}
