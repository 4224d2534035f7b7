//! A registry as cases write it: `devices = { a = { model = "m", domain = "d", tags = { floor = "3" }, thresholds = { high
//! = "2.5 m" } } }`, `models = { m = { thresholds = { high = "2 m" } } }`, and zones as lists of the rings of one polygon:
//! `zones = { z = [[[0, 0], [4, 0], [4, 4], [0, 0]]] }`, longitude first.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::registry::{DeviceModel, RegisteredDevice, Registry, Threshold, Zone};
use toml::{Table, Value};

pub(crate) fn registry_of(case: &Table) -> Registry {
    let entries = |key: &str| case.get(key).and_then(Value::as_table).cloned().unwrap_or_default();
    Registry {
        devices: entries("devices").iter().map(|(id, one)| (id.clone(), Arc::new(device(one)))).collect(),
        models: entries("models")
            .iter()
            .map(|(id, one)| {
                (id.clone(), DeviceModel { thresholds: thresholds(one), ..DeviceModel::default() })
            })
            .collect(),
        zones: entries("zones").iter().map(|(name, rings)| (name.clone(), zone(rings))).collect(),
        ..Registry::default()
    }
}

fn device(table: &Value) -> RegisteredDevice {
    let text = |key: &str| table.get(key).map_or(String::new(), |text| text.as_str().unwrap().to_owned());
    RegisteredDevice {
        gateway_id: text("gateway_id"),
        model: text("model"),
        domain: text("domain"),
        asset_id: text("asset_id"),
        thresholds: thresholds(table),
        tags: texts(table, "tags"),
        ..RegisteredDevice::default()
    }
}

fn thresholds(table: &Value) -> BTreeMap<String, Threshold> {
    let threshold = |(name, text): (String, String)| {
        let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
        (name, Threshold { number: number.into(), unit: unit.into() })
    };
    texts(table, "thresholds").into_iter().map(threshold).collect()
}

fn texts(table: &Value, key: &str) -> BTreeMap<String, String> {
    let pairs = table.get(key).and_then(Value::as_table).into_iter().flatten();
    pairs.map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned())).collect()
}

fn zone(rings: &Value) -> Zone {
    let number = |value: &Value| value.as_float().unwrap_or_else(|| value.as_integer().unwrap() as f64);
    let point = |point: &Value| (number(&point[0]), number(&point[1]));
    let ring = |ring: &Value| ring.as_array().unwrap().iter().map(point).collect();
    Zone { polygons: vec![rings.as_array().unwrap().iter().map(ring).collect()] }
}
