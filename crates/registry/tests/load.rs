//! A registry is read whole, or every error of it is said with its place.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt::Write;
use std::time::{Duration, Instant};

use model::CoordinateSystem;
use model::catalog::Catalog;
use model::registry::{Registry, Threshold};
use urban_neuron_registry::{ERRORS_KEPT_MAX, RegistryErrors, RegistryText, RegistryTexts};

fn load(texts: &RegistryTexts) -> Result<Registry, RegistryErrors> {
    urban_neuron_registry::load(texts, &Catalog::shipped())
}

fn texts(devices: &str, models: &str, zones: &str) -> RegistryTexts {
    let text = |name: &str, text: &str| {
        (!text.is_empty()).then(|| RegistryText { name: name.to_owned(), text: text.to_owned() })
    };
    RegistryTexts {
        devices: text("devices.csv", devices),
        models: text("models.toml", models),
        zones: text("zones.geojson", zones),
        ..RegistryTexts::default()
    }
}

fn errors(texts: &RegistryTexts) -> Vec<String> {
    load(texts)
        .unwrap_err()
        .first
        .iter()
        .map(|error| format!("{}:{}:{}: {}", error.file, error.line, error.column, error.found))
        .collect()
}

const SQUARE: &str = "[[[121.4,31.2],[121.5,31.2],[121.5,31.3],[121.4,31.3],[121.4,31.2]]]";

#[test]
fn a_whole_registry_is_read() {
    let devices = "\u{feff}device_id,gateway_id,model,domain,asset_id,latitude,longitude,threshold.level_high,tag.district\r\n\
        m-1,gw-1,WL-200,water,bridge-7,31.23,121.47,2.5 m,\"Pudong, east\"\r\n\
        m-2,,,,,,,,\r\n";
    let models = "[models.WL-200]\nthresholds = { level_high = \"300 cm\" }\n[models.\"x y\".thresholds]\nlow = \"1\"\n";
    let zones = format!(
        r#"{{"type":"FeatureCollection","features":[
        {{"type":"Feature","properties":{{"zone":"port","n":1}},"geometry":{{"type":"Polygon","coordinates":{SQUARE}}}}},
        {{"type":"Feature","properties":{{"zone":"port"}},"geometry":{{"type":"MultiPolygon","coordinates":[{SQUARE},{SQUARE}]}}}}]}}"#
    );
    let registry = load(&texts(devices, models, &zones)).unwrap();
    let device = &registry.devices["m-1"];
    assert_eq!((device.gateway_id.as_str(), device.model.as_str()), ("gw-1", "WL-200"));
    assert_eq!((device.domain.as_str(), device.asset_id.as_str()), ("water", "bridge-7"));
    assert_eq!(device.place.position, Some((31.23, 121.47)));
    assert_eq!(device.tags["district"], "Pudong, east");
    let limit = |number: &str, unit: &str| Threshold { number: number.to_owned(), unit: unit.to_owned() };
    assert_eq!(device.thresholds["level_high"], limit("2.5", "m"));
    assert_eq!(*registry.devices["m-2"], model::registry::RegisteredDevice::default());
    assert_eq!(registry.models["WL-200"].thresholds["level_high"], limit("300", "cm"));
    assert_eq!(registry.models["x y"].thresholds["low"], limit("1", ""));
    assert_eq!(registry.zones["port"].polygons.len(), 3);
    assert_eq!(registry.zones["port"].polygons[0][0][1], (121.5, 31.2));
    assert_eq!(load(&RegistryTexts::default()).unwrap(), Registry::default());
}

#[test]
fn every_error_of_the_devices_is_said_with_its_place() {
    let devices = "device_id,latitude,longitude,threshold.high,color,tag.a b,domain\n\
        a,91,0,2 m,,,\n\
        b/c,1,,2m,,,\n\
        a,1,2,5 furlong,,,Water!\n\
        d,x,2,,,\n\
        e\"f,1,2,,,,\n\
        井,1,-200,,,,\n";
    assert_eq!(
        errors(&texts(devices, "", "")),
        [
            "devices.csv:1:45: the unknown column \"color\"",
            "devices.csv:1:51: the name \"a b\" in \"tag.a b\"",
            "devices.csv:2:3: the coordinate \"91\"",
            "devices.csv:3:1: \"b/c\" as a device id",
            "devices.csv:3:5: a latitude without a longitude",
            "devices.csv:3:8: \"2m\", which is no number with a unit",
            "devices.csv:4:1: the device \"a\" a second time, first in line 2",
            "devices.csv:4:7: the unit \"furlong\", which this version does not know",
            "devices.csv:4:19: the domain \"Water!\"",
            "devices.csv:5:1: a line of 6 fields",
            "devices.csv:6:2: a quote inside a field",
            "devices.csv:7:5: the coordinate \"-200\"",
        ]
    );
    assert_eq!(errors(&texts("a,b\n1,2\n", "", ""))[2], "devices.csv:1:3: the unknown column \"b\"");
    assert_eq!(
        errors(&texts("device_id,device_id\n", "", "")),
        ["devices.csv:1:11: the column device_id a second time"]
    );
    assert_eq!(errors(&texts("\n", "", "")), ["devices.csv:1:1: no line with the names of the columns"]);
}

#[test]
fn every_error_of_models_and_zones_is_said_with_its_place() {
    let models = "[models.a]\nthresholds = { high = \"2 furlong\", low = 2 }\ncolor = 1\n[other]\n";
    let open = "[[[0,0],[1,0],[1,1],[0,1]]]";
    let zones = format!(
        "{{\"type\":\"FeatureCollection\",\"features\":[\n\
        {{\"type\":\"Feature\",\"properties\":{{\"zone\":\"port\"}},\"geometry\":{{\"type\":\"Polygon\",\"coordinates\":{open}}}}},\n\
        {{\"type\":\"Feature\",\"properties\":{{}},\"geometry\":{{\"type\":\"Polygon\",\"coordinates\":{SQUARE}}}}},\n\
        {{\"type\":\"Feature\",\"properties\":{{\"zone\":\"x\"}},\"geometry\":{{\"type\":\"Point\",\"coordinates\":[1,2]}}}}]}}"
    );
    let found = errors(&texts("", models, &zones));
    let places: Vec<&str> = found.iter().map(|error| error.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "models.toml:2:23",
            "models.toml:2:42",
            "models.toml:3:1",
            "models.toml:4:2",
            "zones.geojson:2:1",
            "zones.geojson:3:1",
            "zones.geojson:4:70"
        ],
        "{found:#?}"
    );
    assert_eq!(found[4], "zones.geojson:2:1: a ring that is open: ring 0 of polygon 0 of the zone \"port\"");
    assert!(errors(&texts("", "", "{\"type\":\n 7}"))[0].starts_with("zones.geojson:2:2: invalid type"));
    assert!(errors(&texts("", "[models", ""))[0].starts_with("models.toml:1:"));
}

#[test]
fn what_others_call_a_device_and_where_it_stands_are_read() {
    let devices = "device_id,imei,id.ctwing,time_zone,latitude,longitude,coordinates\n\
        a,861234567890123,7c1f,Asia/Shanghai,39.915,116.404,gcj-02\n\
        b,,,,39.915,116.404,WGS-84\n";
    let registry = load(&texts(devices, "", "")).unwrap();
    let device = &registry.devices["a"];
    assert_eq!((&*device.external_ids["imei"], &*device.external_ids["ctwing"]), ("861234567890123", "7c1f"));
    assert_eq!(device.time_zone, "Asia/Shanghai");
    assert_eq!(device.place.as_given, Some((CoordinateSystem::Gcj02, 39.915, 116.404)));
    let (latitude, longitude) = device.place.position.unwrap();
    assert!(
        (latitude - 39.913_6).abs() < 1e-4 && (longitude - 116.397_8).abs() < 1e-4,
        "{latitude} {longitude}"
    );
    let place = &registry.devices["b"].place;
    assert_eq!((place.position, place.as_given), (Some((39.915, 116.404)), None));
}

#[test]
fn ids_places_and_texts_that_will_not_do_are_said() {
    let devices = "device_id,imei,time_zone,latitude,longitude,coordinates,tag.note\n\
        a,1,,1,2,CGCS,\n\
        b,1,Mars/Olympus,1,2,BD09,=1+1\n\
        c,2,,,,,-40\n";
    assert_eq!(
        errors(&texts(devices, "", "")),
        [
            "devices.csv:2:10: the coordinate system \"CGCS\"",
            "devices.csv:3:1: the imei \"1\" of \"b\", which is that of \"a\" in line 2",
            "devices.csv:3:5: the time zone \"Mars/Olympus\"",
            "devices.csv:3:27: the formula \"=1+1\"",
        ]
    );
}

#[test]
fn gateways_and_assets_are_read() {
    let text = |name: &str, text: &str| Some(RegistryText { name: name.to_owned(), text: text.to_owned() });
    let gateways =
        "[gateways.gw-7]\ntitle = \"roof\"\nasset_id = \"hall\"\nlatitude = 31\nlongitude = 121.47\n";
    let assets = "asset_id,kind,name,parent,latitude,longitude\nhall,building,市政厅,,31.23,121.47\nroom,room,,hall,,\n";
    let files = RegistryTexts {
        gateways: text("gateways.toml", gateways),
        assets: text("assets.csv", assets),
        ..RegistryTexts::default()
    };
    let registry = load(&files).unwrap();
    assert_eq!(registry.gateways["gw-7"].place.position, Some((31.0, 121.47)));
    assert_eq!((&*registry.gateways["gw-7"].title, &*registry.gateways["gw-7"].asset_id), ("roof", "hall"));
    assert_eq!((&*registry.assets["hall"].name, &*registry.assets["room"].parent), ("市政厅", "hall"));

    let gateways = "[gateways.a]\ntitle = 1\nlatitude = 31.0\ncolor = 2\n[gateways]\nb = 3\n";
    let assets = "asset_id,parent\na,b\nb,a\nc,nothing\na,\n,\n";
    let files = RegistryTexts {
        gateways: text("gateways.toml", gateways),
        assets: text("assets.csv", assets),
        ..RegistryTexts::default()
    };
    let mut found = errors(&files);
    found.retain(|error| !error.starts_with("gateways.toml:5"));
    assert_eq!(
        found,
        [
            "gateways.toml:2:9: title that is integer",
            "gateways.toml:3:12: a latitude without a longitude",
            "gateways.toml:4:1: the unknown key color",
            "gateways.toml:6:5: a gateway that is no table",
            "assets.csv:2:1: \"a\", which is a part of itself or of more than 16 others",
            "assets.csv:3:1: \"b\", which is a part of itself or of more than 16 others",
            "assets.csv:4:1: the parent \"nothing\" of \"c\", which is no asset",
            "assets.csv:5:1: the asset \"a\" a second time, first in line 2",
            "assets.csv:6:1: an asset without an id",
        ]
    );
}

#[test]
fn what_the_numbers_of_a_model_mean_is_read() {
    let models = "[models.WL.metrics.lvl]\nmetric = \"waterLevel\"\nunit = \"mm\"\nscale = 10\noffset = -0.5\n\
        sentinels = [65535, -1]\nmin = \"0 m\"\nmax = \"1200 cm\"\n[models.WL.metrics.own]\nmax = \"7\"\n";
    let registry = load(&texts("", models, "")).unwrap();
    let mapping = &registry.models["WL"].metrics["lvl"];
    assert_eq!((&*mapping.metric, &*mapping.unit), ("water_level", "mm"));
    assert_eq!((mapping.scale, mapping.offset), (10.0, -0.5));
    assert_eq!((mapping.min, mapping.max), (Some(0.0), Some(12.0)));
    assert_eq!(mapping.sentinels, [65535.0, -1.0]);
    let own = &registry.models["WL"].metrics["own"];
    assert_eq!((&*own.metric, own.max), ("own", Some(7.0)));

    let models = "[models.a.metrics]\nl = { metric = \"water_level\", unit = \"s\" }\nm = { max = \"2 m\" }\n\
        t = { metric = \"temperature\", max = \"2 m\" }\nx = { scale = \"1\", color = 1 }\ny = 1\n\
        z = { min = \"2\", max = \"1\" }\n";
    assert_eq!(
        errors(&texts("", models, "")),
        [
            "models.toml:2:5: the unit s, which is none of water_level",
            "models.toml:3:13: the limit \"2 m\"",
            "models.toml:4:37: the limit \"2 m\"",
            "models.toml:5:15: a number that is string",
            "models.toml:5:20: the unknown key color",
            "models.toml:6:5: a metric that is no table",
            "models.toml:7:5: a min above the max",
        ]
    );
}

#[test]
fn past_a_hundred_errors_are_counted() {
    let mut devices = String::from("device_id\n");
    (0..250).for_each(|n| writeln!(devices, "a/{n}").unwrap());
    let found: RegistryErrors = load(&texts(&devices, "", "")).unwrap_err();
    assert_eq!((found.first.len(), found.total), (ERRORS_KEPT_MAX, 250));
    assert!(found.to_string().ends_with("and 150 more errors in the registry"));
}

#[test]
fn a_hundred_thousand_devices_are_read_at_once() {
    let mut devices = String::from(
        "device_id,gateway_id,model,domain,latitude,longitude,threshold.level_high,tag.district\n",
    );
    for n in 0..100_000 {
        writeln!(devices, "m-{n:06},gw-{},WL-200,water,31.{n},121.{n},2.{n} m,\"d-{}\"", n % 50, n % 12)
            .unwrap();
    }
    let started = Instant::now();
    let registry = load(&texts(&devices, "", "")).unwrap();
    let took = started.elapsed();
    assert_eq!(registry.devices.len(), 100_000);
    // Unoptimised and beside other tests; the release build takes a tenth of it.
    assert!(took < Duration::from_secs(5), "{took:?}");
    println!("{took:?}");
}
