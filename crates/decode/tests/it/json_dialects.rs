//! What devices and platforms really send in the JSON dialects, beside what their pages show.

use std::sync::Arc;

use model::registry::{RegisteredDevice, Registry};
use model::{RawMessage, Reason};
use urban_neuron_decode::{Decoder, DecoderConfig, KnownDevices, LocalZone, Strangers};

use super::{Found, check_becomes, decoder, lines, message};

const CHIRPSTACK: &str = "application/a-1/device/0102030405060708/event/";

#[test]
fn chirpstack_leaves_out_what_is_zero() {
    // No fCnt and no fPort: both are 0, and the bytes are what the device said.
    check_becomes(
        &format!("{CHIRPSTACK}up"),
        br#"{"deviceInfo":{"devEui":"0102030405060708"},"data":"AQI="}"#,
        &["0102030405060708, sequence 0", "  payload = \"AQI=\""],
    );
    // The topic names the device where the payload does not.
    check_becomes(
        &format!("{CHIRPSTACK}up"),
        br#"{"fCnt":3,"fPort":2,"data":"AQI=","rxInfo":[{"rssi":"-80"},{"rssi":-70,"snr":1}]}"#,
        &[
            "0102030405060708, sequence 3",
            "  payload = \"AQI=\"",
            "  f_port = 2",
            "  rssi = -70 dBm",
            "  snr = 1 dB",
        ],
    );
}

#[test]
fn chirpstack_says_more_than_uplinks() {
    let cases: [(&str, &str, &[&str]); 6] = [
        (
            "join",
            r#"{"time":"2026-03-01T23:59:30Z"}"#,
            &["at 2026-03-01T23:59:30.000000Z of the platform, status", "  status = \"online\""],
        ),
        ("ack", r#"{"acknowledged":true,"fCntDown":3}"#, &[", event", "  acknowledged = true"]),
        (
            "log",
            r#"{"level":"ERROR","code":"UPLINK_CODEC","description":"x"}"#,
            &[
                ", event",
                "  log_level = \"ERROR\"",
                "  log_code = \"UPLINK_CODEC\"",
                "  log_description = \"x\"",
            ],
        ),
        (
            "location",
            r#"{"location":{"latitude":31.5,"longitude":121.5,"altitude":4}}"#,
            &[", event, 31.5 121.5 of the device", "  altitude = 4", "  location_accuracy = 0"],
        ),
        (
            "integration",
            r#"{"integrationName":"x","eventType":"t","object":{"a":[1,{"b":2}]}}"#,
            &[", event", "  event_type = \"t\"", "  a.0 = 1", "  a.1.b = 2"],
        ),
        ("up", r#"{"fCnt":1}"#, &["refused: no_readings: the message has no reading"]),
    ];
    for (event, payload, expected) in cases {
        let found =
            Found::of(decoder().decode(&message(&format!("{CHIRPSTACK}{event}"), payload.as_bytes())));
        let lines = lines(&found);
        let first = lines[0].strip_prefix("0102030405060708").unwrap_or(&lines[0]);
        assert_eq!(first.trim_start(), expected[0], "{event}");
        assert_eq!(lines[1..], expected[1..], "{event}");
    }
}

/// Sent twice by the platform, it is one event; another event of the same uplink is another.
#[test]
fn platforms_name_their_messages() {
    let id = |topic: &str, payload: &str| {
        Found::of(decoder().decode(&message(topic, payload.as_bytes()))).one().event_id
    };
    let up = format!("{CHIRPSTACK}up");
    let first = r#"{"deduplicationId":"x","time":"2026-03-01T23:59:30Z","object":{"a":1}}"#;
    let later = r#"{"deduplicationId":"x","time":"2026-03-01T23:59:31Z","object":{"a":1}}"#;
    assert_eq!(id(&up, first), id(&up, later));
    assert_ne!(id(&up, first), id(&format!("{CHIRPSTACK}integration"), first));

    let tts = "v3/app@ttn/devices/d/up";
    let uplink = |correlation: &str, count: &str| {
        format!(
            r#"{{"correlation_ids":["{correlation}"],"end_device_ids":{{"dev_eui":"01"}},"uplink_message":{{"session_key_id":"k"{count},"decoded_payload":{{"a":1}}}}}}"#
        )
    };
    assert_eq!(id(tts, &uplink("a", "")), id(tts, &uplink("b", r#","f_cnt":0"#)));
    assert_ne!(id(tts, &uplink("a", "")), id(tts, &uplink("a", r#","f_cnt":1"#)));
}

#[test]
fn chirpstack_v3_takes_what_its_marshalers_make() {
    let expected = ["00000000000000ff, sequence 4", "  battery_level = 3 %"];
    for payload in [
        r#"{"devEUI":"AAAAAAAAAP8=","fCnt":4,"objectJSON":"{\"battery\":3}"}"#,
        r#"{"devEUI":"00000000000000ff","fCnt":"4","object":{"battery":"3"}}"#,
    ] {
        check_becomes("application/7/device/00000000000000ff/event/up", payload.as_bytes(), &expected);
        check_becomes("application/7/device/00000000000000ff/rx", payload.as_bytes(), &expected);
    }
    check_becomes(
        "application/7/device/00000000000000ff/event/up",
        br#"{"fCnt":4,"objectJSON":"{\"battery\":3"}"#,
        &["refused: malformed_json: `,` or `}` is wanted, the text ends at byte 12, line 1"],
    );
}

#[test]
fn zigbee2mqtt_means_other_units_by_the_same_names() {
    check_becomes(
        "zigbee2mqtt/plug",
        br#"{"voltage":230.5,"current":0.5,"power":100,"energy":2.5,"state":"ON","color":{"x":0.5}}"#,
        &[
            "plug",
            "  voltage = 230.5 V",
            "  current = 0.5 A",
            "  power = 100 W",
            "  energy = 2.5 kW.h",
            "  state = \"ON\"",
            "  color.x = 0.5",
        ],
    );
    check_becomes(
        "zigbee2mqtt/air",
        br#"{"battery":null,"voltage":"2985","pressure":1013,"last_seen":1772409590000}"#,
        &[
            "air at 2026-03-01T23:59:50.000000Z of the gateway",
            "  battery_level = nothing %, missing",
            "  battery_voltage = 2.985 V (sent in mV)",
            "  barometric_pressure = 1013 hPa",
        ],
    );
    check_becomes("zigbee2mqtt/air/availability", b"online", &["air, status", "  status = \"online\""]);
    check_becomes(
        "zigbee2mqtt/bridge/state",
        br#"{"state":"offline"}"#,
        &["bridge, status", "  status = \"offline\""],
    );
    for topic in [
        "zigbee2mqtt/bridge/devices",
        "zigbee2mqtt/air/set",
        "zigbee2mqtt/air/get",
        "zigbee2mqtt/air/set/state",
    ] {
        let rejection = Found::of(decoder().decode(&message(topic, b"{}"))).rejection();
        assert_eq!(rejection.reason, Reason::UnknownDialect, "{topic}");
    }
}

/// A device's own zone goes before that of the config, and the envelope says which it was.
#[test]
fn a_wall_clock_is_read_where_the_device_stands() {
    let zone = |name| LocalZone::find(name).unwrap();
    let mut registry = Registry::EMPTY;
    for (id, time_zone) in [("berlin", "Europe/Berlin"), ("somewhere", "")] {
        let device = RegisteredDevice { time_zone: time_zone.to_owned(), ..RegisteredDevice::default() };
        registry.devices.insert(id.to_owned(), Arc::new(device));
    }
    let mut decoder = Decoder::new(DecoderConfig {
        catalog: Arc::new(model::catalog::Catalog::shipped()),
        process: 1,
        time_zone: zone("Asia/Shanghai"),
    });
    decoder.set_devices(Arc::new(KnownDevices::new(&registry, Strangers::Accept)));
    let cases = [
        ("berlin", "2026-03-02T00:59:00", "berlin at 2026-03-01T23:59:00.000000Z of the device"),
        (
            "somewhere",
            "2026-03-02T07:59:00",
            "somewhere at 2026-03-01T23:59:00.000000Z of the device, zone assumed",
        ),
        (
            "stranger",
            "2026-03-02T07:59:00",
            "stranger at 2026-03-01T23:59:00.000000Z of the device, zone assumed",
        ),
        // Read as UTC it would be from the future.
        (
            "stranger",
            "2026-03-02T08:04:00",
            "stranger at 2026-03-02T00:04:00.000000Z of the device, zone assumed",
        ),
        ("stranger", "1970-01-01T00:00:12", "stranger, clock before_epoch_floor, zone assumed"),
        ("stranger", "yesterday", "stranger"),
    ];
    for (device, time, expected) in cases {
        let payload = format!("{{\"Time\":\"{time}\",\"ANALOG\":{{\"A0\":5}}}}");
        let topic = format!("tele/{device}/SENSOR");
        let found = Found::of(decoder.decode(&message(&topic, payload.as_bytes())));
        assert_eq!(lines(&found), [expected, "  A0 = 5"], "{time}");
    }
}

#[test]
fn tasmota_has_several_sensors_of_one_kind() {
    check_becomes(
        "tele/garden/shed/SENSOR",
        br#"{"Time":"2026-03-01T23:59:00","DS18B20-1":{"Id":"01","Temperature":5.5},"DS18B20-2":{"Id":"02","Temperature":null},
            "ENERGY":{"Total":1.5,"Power":[10,20],"Voltage":230},"TempUnit":"C","Switch1":"ON"}"#,
        &[
            "garden:shed at 2026-03-01T23:59:00.000000Z of the device, zone assumed",
            "  DS18B20-1.Id = \"01\"",
            "  DS18B20-1.Temperature = 5.5 (sent in C)",
            "  DS18B20-2.Id = \"02\"",
            "  DS18B20-2.Temperature = nothing, missing",
            "  energy = 1.5 kW.h",
            "  Power.0 = 10",
            "  Power.1 = 20",
            "  voltage = 230 V",
            "  Switch1 = \"ON\"",
        ],
    );
}

#[test]
fn thingsboard_points_stand_for_themselves() {
    check_becomes(
        "v1/gateway/telemetry",
        br#"{"a":[{"ts":"1772409590000","values":{"x":1}},7,{"ts":1772409590000,"values":{"x":1,"y":{"z":2}}}],"b":[],"c":3,"":[{"x":1}]}"#,
        &[
            "a at 2026-03-01T23:59:50.000000Z of the device, through gateway",
            "  x = 1",
            "a at 2026-03-01T23:59:50.000000Z of the device, through gateway",
            "  x = 1",
            "  y.z = 2",
            "refused: invalid_value: a point is an object, found another value before at byte 47, line 1",
            "refused: no_readings: b: the array is empty",
            "refused: invalid_value: a point is an object, found another value before at byte 111, line 1",
            "refused: invalid_device_id: device_id: a device id is not empty",
        ],
    );
    check_becomes("v1/devices/me/telemetry", br#"{"x":1}"#, &["gateway", "  x = 1"]);
    check_becomes(
        "v1/devices/me/telemetry",
        br#"[{"ts":1772409590000,"values":{"x":1}},{"x":2}]"#,
        &["gateway at 2026-03-01T23:59:50.000000Z of the device", "  x = 1", "gateway", "  x = 2"],
    );
    check_becomes(
        "v1/gateway/connect",
        br#"{"type":"x"}"#,
        &["refused: missing_device_id: device: it is missing"],
    );
    check_becomes(
        "v1/gateway/telemetry",
        b"{}",
        &["refused: no_readings: the message says nothing of any device"],
    );
}

#[test]
fn iotda_reports_in_all_of_its_ways() {
    let topic = |rest: &str| format!("$oc/devices/d-1/sys/{rest}");
    check_becomes(
        &topic("properties/report"),
        br#"{"services":[{"service_id":"a","properties":{"x":1},"event_time":""},{"service_id":"b","properties":{"x":2},"event_time":"20260301T235930Z"}]}"#,
        &["d-1", "  x = 1", "d-1 at 2026-03-01T23:59:30.000000Z of the device", "  x = 2"],
    );
    check_becomes(
        &topic("events/up"),
        br#"{"object_device_id":"d-2","services":[{"service_id":"a","event_type":"leak","paras":{"x":1},"event_time":"2026-03-01T23:59:30.000Z"}]}"#,
        &["d-2 at 2026-03-01T23:59:30.000000Z of the device, event, through d-1", "  event_type = \"leak\"", "  x = 1"],
    );
    check_becomes(&topic("messages/up"), br#"{"content":{"x":1},"id":"7"}"#, &["d-1, event", "  x = 1"]);
    check_becomes(&topic("messages/up"), b"hello", &["d-1, event", "  message = \"hello\""]);
    check_becomes(
        &topic("gateway/sub_devices/properties/report"),
        br#"{"devices":[{"services":[{"properties":{"x":1}}],"device_id":"late"},{"services":[]},{"device_id":"none"}]}"#,
        &[
            "late, through d-1",
            "  x = 1",
            "refused: missing_device_id: device_id: it is missing in the device before at byte 84, line 1",
            "refused: no_readings: services: they are missing in the device before at byte 105, line 1",
        ],
    );
}

#[test]
fn thing_models_take_both_forms_of_a_value() {
    check_becomes(
        "/sys/pk/dn/thing/event/property/post",
        br#"{"id":1,"params":{"a":{"value":{"x":1,"y":"2"},"time":"1772409590000"},"b":{"lat":1,"value":2},"c":[1,2],"d":null}}"#,
        &[
            "dn at 2026-03-01T23:59:50.000000Z of the device",
            "  a.x = 1",
            "  a.y = \"2\"",
            "  b.lat = 1",
            "  b.value = 2",
            "  c.0 = 1",
            "  c.1 = 2",
            "  d = nothing, missing",
        ],
    );
    check_becomes(
        "sys/pk/dn/thing/event/alarm/post",
        br#"{"params":{"value":{"level":2},"time":1772409590000}}"#,
        &[
            "dn at 2026-03-01T23:59:50.000000Z of the device, event",
            "  event_type = \"alarm\"",
            "  level = 2",
        ],
    );
    check_becomes(
        "$sys/p/dn/thing/history/post",
        br#"{"params":[{"identity":{"productID":"p","deviceName":"child"},"properties":{"x":[{"value":1,"time":1772409590000},{"value":2,"time":1772409591000}]},"events":{}}]}"#,
        &[
            "child at 2026-03-01T23:59:50.000000Z of the device, through dn, historical",
            "  x = 1",
            "  x = 2, at 2026-03-01T23:59:51.000000Z",
        ],
    );
    check_becomes(
        "$sys/p/dn/thing/property/post",
        br#"{"id":"1"}"#,
        &["refused: no_readings: params: they are missing"],
    );
}

#[test]
fn homie_values_are_what_they_look_like() {
    let cases = [
        ("21.5", "21.5"),
        ("-3", "-3"),
        ("true", "true"),
        ("1e3", "1000"),
        ("1.2.3", "\"1.2.3\""),
        ("inf", "\"inf\""),
        ("red", "\"red\""),
    ];
    for (payload, value) in cases {
        check_becomes("homie/d/n/p", payload.as_bytes(), &["d", &format!("  n.p = {value}")]);
    }
    for topic in [
        "homie/d/$name",
        "homie/d/n/$properties",
        "homie/d/n/p/$unit",
        "homie/d/n/p/set",
        "homie/$broadcast/alert",
    ] {
        let rejection = Found::of(decoder().decode(&message(topic, b"x"))).rejection();
        assert_eq!(rejection.reason, Reason::UnknownDialect, "{topic}");
    }
    let retained = RawMessage { is_retained: true, ..message("homie/d/n/p", b"1") };
    let telemetry = Found::of(decoder().decode(&retained)).one();
    assert_eq!(telemetry.flags, model::proto::Flag::Retained as u32);
}

#[test]
fn what_is_nested_too_deep_or_said_twice_is_refused() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(40), "]".repeat(40));
    for topic in
        ["zigbee2mqtt/d", "v1/devices/me/telemetry", "tele/d/SENSOR", "$oc/devices/d/sys/messages/up"]
    {
        let rejection = Found::of(decoder().decode(&message(topic, deep.as_bytes()))).rejection();
        assert_eq!(rejection.reason, Reason::TooDeep, "{topic}");
        let rejection = Found::of(decoder().decode(&message(topic, br#"{"x":1,"x":2}"#))).rejection();
        assert_eq!(rejection.reason, Reason::DuplicateField, "{topic}");
        let rejection = Found::of(decoder().decode(&message(topic, b"{\"x\":\xff}"))).rejection();
        assert_eq!(rejection.reason, Reason::InvalidUtf8, "{topic}");
    }
}
