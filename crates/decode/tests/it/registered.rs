//! What the registry knows of a device is in its messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Reason;
use model::proto::{LocationOrigin, Quality};
use model::registry::{Asset, DeviceModel, MetricMapping, Place, RegisteredDevice, Registry};
use urban_neuron_decode::{Decoder, KnownDevices, Strangers};

use crate::{Found, TOPIC, decoder, message};

fn registry() -> Registry {
    let mapping = MetricMapping {
        metric: "water_level".to_owned(),
        unit: "mm".to_owned(),
        scale: 1.0,
        offset: 0.0,
        sentinels: vec![65_535.0],
        min: None,
        max: None,
    };
    let model =
        DeviceModel { metrics: BTreeMap::from([("lvl".to_owned(), mapping)]), ..DeviceModel::default() };
    let device = RegisteredDevice {
        gateway_id: "gw-7".to_owned(),
        model: "WL".to_owned(),
        domain: "drainage".to_owned(),
        asset_id: "manhole-3".to_owned(),
        external_ids: BTreeMap::from([("imei".to_owned(), "861234567890123".to_owned())]),
        ..RegisteredDevice::default()
    };
    let place = Place { position: Some((31.25, 121.5)), as_given: None };
    let other = RegisteredDevice {
        external_ids: BTreeMap::from([
            ("imei".to_owned(), "861111111111111".to_owned()),
            ("station".to_owned(), "d-1".to_owned()),
        ]),
        ..RegisteredDevice::default()
    };
    let third = RegisteredDevice {
        external_ids: BTreeMap::from([("mn".to_owned(), "861111111111111".to_owned())]),
        ..RegisteredDevice::default()
    };
    Registry {
        devices: [("d-1", device), ("d-2", other), ("d-3", third)]
            .map(|(id, device)| (id.to_owned(), Arc::new(device)))
            .into(),
        models: BTreeMap::from([("WL".to_owned(), model)]),
        assets: BTreeMap::from([("manhole-3".to_owned(), Asset { place, ..Asset::default() })]),
        ..Registry::EMPTY
    }
}

fn knowing(strangers: Strangers) -> Decoder {
    let mut decoder = decoder();
    decoder.set_devices(Arc::new(KnownDevices::new(&registry(), strangers)));
    decoder
}

fn topic_of(device: &str) -> String {
    format!("urban-neuron/v1/devices/{device}/telemetry")
}

#[test]
fn a_message_gets_what_it_does_not_say_itself() {
    let telemetry = Found::of(knowing(Strangers::Accept).decode(&message(TOPIC, br#"{"lvl":1500}"#))).one();
    assert_eq!((&*telemetry.domain, &*telemetry.asset_id), ("drainage", "manhole-3"));
    assert_eq!(telemetry.source.unwrap().gateway_id, "gw-7");
    let location = telemetry.location.unwrap();
    assert_eq!((location.latitude, location.longitude), (31.25, 121.5));
    assert_eq!(location.origin(), LocationOrigin::Registry);
    let reading = &telemetry.readings[0];
    assert_eq!((&*reading.metric, &*reading.unit, &*reading.raw_unit), ("water_level", "m", "mm"));
    assert_eq!(reading.value, Some(model::proto::reading::Value::Number(1.5)));

    let payload = br#"{"lvl":65535,"latitude":30.0,"longitude":120.0}"#;
    let telemetry = Found::of(knowing(Strangers::Accept).decode(&message(TOPIC, payload))).one();
    assert_eq!(
        telemetry.location.unwrap().origin(),
        LocationOrigin::Device,
        "what the device says itself stays"
    );
    assert_eq!(telemetry.readings[0].quality(), Quality::Missing);
}

#[test]
fn an_external_id_is_that_of_its_device() {
    let mut decoder = knowing(Strangers::Quarantine);
    let imei = topic_of("861234567890123");
    let telemetry = Found::of(decoder.decode(&message(&imei, br#"{"x":1}"#))).one();
    assert_eq!((&*telemetry.device_id, &*telemetry.domain), ("d-1", "drainage"));
    // Its own id goes before what another device is called.
    assert_eq!(Found::of(decoder.decode(&message(TOPIC, br#"{"x":1}"#))).one().domain, "drainage");
    let ambiguous = topic_of("861111111111111");
    let rejection = Found::of(decoder.decode(&message(&ambiguous, br#"{"x":1}"#))).rejection();
    assert_eq!(rejection.reason, Reason::UnregisteredDevice);
}

#[test]
fn strangers_are_taken_or_set_aside() {
    let stranger = topic_of("nobody");
    let taken = Found::of(knowing(Strangers::Accept).decode(&message(&stranger, br#"{"x":1}"#))).one();
    assert_eq!(taken.domain, "unknown");
    let rejection =
        Found::of(knowing(Strangers::Quarantine).decode(&message(&stranger, br#"{"x":1}"#))).rejection();
    assert_eq!(rejection.reason, Reason::UnregisteredDevice);
    assert!(rejection.detail.contains("\"nobody\""), "{}", rejection.detail);
}

#[test]
fn a_redelivery_is_one_also_when_the_device_was_registered_meanwhile() {
    let topic = topic_of("861234567890123");
    let payload = br#"{"sequence":7,"observed_at":"2026-03-02T00:00:00Z","x":1}"#;
    let mut decoder = decoder();
    let before = Found::of(decoder.decode(&message(&topic, payload))).one();
    decoder.set_devices(Arc::new(KnownDevices::new(&registry(), Strangers::Accept)));
    let after = Found::of(decoder.decode(&message(&topic, payload))).one();
    assert_ne!(before.device_id, after.device_id);
    assert_eq!(before.event_id, after.event_id);
}
