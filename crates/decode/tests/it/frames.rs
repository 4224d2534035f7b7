//! Field frames: the vectors of their standards, and what transmitters make of them.

use std::sync::Arc;

use model::Reason;
use model::registry::{DeviceModel, MetricMapping, RegisteredDevice, Registry};
use urban_neuron_decode::{KnownDevices, Strangers};

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
    let in_base64 = "IyMwMDk4UU49MjAyNjAzMDEyMzU5MzAwMDE7U1Q9MjI7Q049MjAxMTtQVz0xO01OPW0tMTtGbGFnPTU7Q1A9JiZEYXRhVGltZT0yMDI2MDMwMTIzNTkwMDthMzQwMDQtUnRkPTM1JiZEMjAxDQo=";
    for payload in [
        frame.clone(),
        frame.trim_end().to_owned(),
        in_hex.clone(),
        format!("{{\"dev\":\"x\",\"data\":[1,{{\"raw\":\"{}\"}}]}}", frame.trim_end()),
        format!("{{\"payload\":{{\"APPdata\":\"{in_hex}\"}}}}"),
        format!("garbage{frame}"),
        in_base64.to_owned(),
        format!("{{\"payload\":{{\"APPdata\":\"{in_base64}\"}}}}"),
    ] {
        assert_eq!(becomes("hj212", payload.as_bytes()), HJ212_BECOMES, "{payload}");
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

/// What frames become beside the samples of their pages, without the head that all of a dialect share.
#[test]
fn frames_that_say_other_things() {
    let cases: [(&str, &str, &str, &[&str]); 14] = [
        (
            "gb26875",
            "404001000101003b1701031a0605040302010000000000000000038b2323",
            "010203040506 at 2026-03-01T23:59:00.000000Z of the device, zone assumed, status",
            &["  status = \"alive\""],
        ),
        (
            "gb26875",
            "404001000101003b1701031a0605040302010000000000000c0002010101030400003b1701031a102323",
            "010203040506:3 at 2026-03-01T23:59:00",
            &["  system_type = 1", "  normal_operation = false", "  fire_alarm = false", "  fault = true"],
        ),
        (
            "gb26875",
            "404001000101003b1701031a0605040302010000000000000c0002040101030509003b1701031a1d2323",
            "010203040506:3 at 2026-03-01T23:59:00.000000Z of the device, zone assumed, event",
            &["  reset = true", "  silenced = false", "  manual_alarm = true"],
        ),
        (
            "gb26875",
            "404001000101003b1701031a0605040302010000000000000a000219010101003b1701031a202323",
            "refused: unsupported_version: information of kind 25",
            &[],
        ),
        ("sl651", "7e7e01001122334412342f00080200090260301235930", "refused: malformed_frame", &[]),
        (
            "sl651",
            "7e7e010011223344123436000816000926030123593003e678",
            "refused: unsupported_version: a packet of several",
            &[],
        ),
        (
            "sl651",
            "7e7e0100112233441234328008020009260301235930035c34",
            "refused: no_readings: a frame of the centre",
            &[],
        ),
        (
            "jt808",
            "7e0704004801391234567800070002010025000000000000000301dc9a07073e9a2a000e01a9005a26030123593001040001e240310109001c000000000000000301dc9a07073e9a2a000e01a9005a260301235930d97e",
            "13912345678 at 2026-03-01T23:59:30.000000Z of the device, zone assumed, sequence 7, through dtu-1, domain traffic, 31.234567 121.54321 of the device, historical",
            &["  speed = 42.5 km/h"],
        ),
        (
            "jt808",
            "7e0200001c0139123456780007000000010000000e0204cc140903454a000000000000260301235930937e",
            "13912345678 at 2026-03-01T23:59:30.000000Z of the device, zone assumed, sequence 7, through dtu-1, domain traffic, -33.86882 -151.20929 of the device",
            &["  speed = 0 km/h"],
        ),
        (
            "jt808",
            "7e0200001c0139123456780007000000010000000000000000000000000000007d02007d010000000000002b7e",
            "13912345678, sequence 7",
            &["  speed = 12.6 km/h", "  heading = 125"],
        ),
        (
            "dlt645",
            "fefefefe6855443322110068910834343337343436593116",
            "001122334455, through dtu-1",
            &["  di_04000101 = 26030101"],
        ),
        (
            "dlt645",
            "fefefefe6855443322110068910a33323435345635563656d916",
            "001122334455, through dtu-1",
            &["  voltage_a = 230.1 V", "  voltage_b = 230.2 V", "  voltage_c = 230.3 V"],
        ),
        (
            "dlt645",
            "fefefefe6855443322110068d104333333337016",
            "refused: no_readings: frame at byte 4: control d1",
            &[],
        ),
        (
            "cjt188",
            "fefe68306655443322110081161f90005634120099ffffffff2c3059230103262003009916",
            "00112233445566 at 2026-03-01T23:59:30.000000Z of the device, zone assumed, through dtu-1, domain building",
            &[
                "  cumulative_flow = 1234.56 m3, suspect",
                "  settlement_flow = nothing m3, bad",
                "  valve = \"fault\"",
            ],
        ),
    ];
    for (dialect, frame, head, readings) in cases {
        let becomes = becomes(dialect, &hex(frame));
        assert!(becomes[0].starts_with(head), "{dialect} {frame}: {becomes:#?}");
        assert!(
            becomes[1..].starts_with(&readings.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>()),
            "{dialect} {frame}: {becomes:#?}"
        );
    }
}

/// The vectors of the standards with a byte of the payload changed: nothing of them is taken.
#[test]
fn a_wrong_checksum_is_refused() {
    for sample in super::pages::samples().iter().filter(|sample| sample.topic.contains("/frames/")) {
        if sample.payload.starts_with(b"{") {
            continue;
        }
        let mut damaged = sample.payload.clone();
        let at = damaged.len() - 5;
        damaged[at] ^= 0x04;
        let found = Found::of(decoder().decode(&message(&sample.topic, &damaged)));
        assert_eq!(found.telemetry, [], "{} {:?}", sample.dialect, lines(&found));
    }
}

/// Numbers and pings that units send between replies.
#[test]
fn modbus_passes_over_what_is_no_reply() {
    assert_eq!(
        becomes("modbus-rtu", &hex("70696e670103020007f98670696e67")),
        ["dtu-1:1, through dtu-1", "  r0 = 7"]
    );
    check_refused("modbus-rtu", b"ping", Reason::MalformedFrame);
    check_refused("modbus-rtu", &hex("0103020007f987"), Reason::WrongChecksum);
}

/// The metrics of a device's model are its register map.
#[test]
fn a_register_map_stands_in_the_model() {
    let mapping = |metric: &str, scale| MetricMapping {
        metric: metric.to_owned(),
        unit: String::new(),
        scale,
        offset: 0.0,
        sentinels: Vec::new(),
        min: None,
        max: None,
    };
    let mut registry = Registry::EMPTY;
    let mut model = DeviceModel::default();
    model.metrics.insert("r0.f32".to_owned(), mapping("water_level", 1.0));
    model.metrics.insert("r2.i16".to_owned(), mapping("temperature", 0.1));
    model.metrics.insert("r9".to_owned(), mapping("humidity", 1.0));
    registry.models.insert("m".to_owned(), model);
    let device = RegisteredDevice { model: "m".to_owned(), ..RegisteredDevice::default() };
    registry.devices.insert("dtu-1:1".to_owned(), Arc::new(device));
    let mut decoder = decoder();
    decoder.set_devices(Arc::new(KnownDevices::new(&registry, Strangers::Accept)));
    let frame = hex("010406422a0000fffb7604");
    let found = Found::of(decoder.decode(&message(&topic("modbus-rtu"), &frame)));
    assert_eq!(
        lines(&found),
        ["dtu-1:1, through dtu-1", "  water_level = 42.5 m", "  temperature = -0.5 Cel"]
    );
}

/// A frame that ends early says so; what stood before it is kept.
#[test]
fn a_frame_that_ends_early_is_refused() {
    for sample in super::pages::samples().iter().filter(|sample| sample.topic.contains("/frames/")) {
        if sample.payload.starts_with(b"##") || sample.payload.starts_with(b"{") {
            continue;
        }
        for end in 1..sample.payload.len() {
            let found = Found::of(decoder().decode(&message(&sample.topic, &sample.payload[..end])));
            assert_eq!(found.telemetry, [], "{} {end}", sample.dialect);
        }
        let twice = [&sample.payload[..], &sample.payload[..sample.payload.len() - 1]].concat();
        let found = Found::of(decoder().decode(&message(&sample.topic, &twice)));
        assert_eq!(found.telemetry.len(), 1, "{}", sample.dialect);
    }
}
