//! Tasmota: <https://tasmota.github.io/docs/MQTT/>. `SENSOR` has an object a driver; `Time` is the wall clock where the device
//! stands, without a zone; `TempUnit` and `PressureUnit` say the units.

use std::borrow::Cow;

use model::event_id::Identity;
use model::proto::{Kind, TimeSource};
use model::{RawMessage, Rejection};

use super::json_fields::{self, members};
use super::local_time;
use super::zigbee2mqtt::{device_id, status};
use crate::dialect::{Certainty, Dialect};
use crate::draft::{Draft, DraftReading, DraftTime, DraftValue};
use crate::json::JsonToken;
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "tasmota",
    version: 1,
    topics: "tele/{topic}/SENSOR, tele/{topic}/STATE, tele/{topic}/LWT",
    standard: "Tasmota MQTT, default FullTopic",
    certainty: Certainty::Captured,
    recognizes: |message| topic(message.topic).is_some(),
    device: |name| topic(name).map(|(device, _)| device),
    decode,
};

/// The device and the last level of `tele/{device}/{SENSOR|STATE|LWT}`.
fn topic(topic: &str) -> Option<(&str, &str)> {
    let (device, last) = topic.strip_prefix("tele/")?.rsplit_once('/')?;
    (!device.is_empty() && matches!(last, "SENSOR" | "STATE" | "LWT")).then_some((device, last))
}

/// What a key of a driver means where its name or unit is not the catalog's: driver, key, metric, unit. A driver of `""` is any.
const MEANINGS: &[(&str, &str, &str, &str)] = &[
    ("", "Pressure", "barometric_pressure", "hPa"),
    ("", "SeaPressure", "sea_level_pressure", "hPa"),
    ("", "DewPoint", "dew_point", ""),
    ("", "Illuminance", "illuminance", "lx"),
    ("", "CarbonDioxide", "co2", "[ppm]"),
    ("ENERGY", "Total", "energy", "kW.h"),
    ("ENERGY", "Power", "power", "W"),
    ("ENERGY", "ApparentPower", "apparent_power", "V.A"),
    ("ENERGY", "ReactivePower", "reactive_power", "var"),
    ("ENERGY", "Factor", "power_factor", ""),
    ("Wifi", "Signal", "rssi", "dBm"),
    // Percent, whatever its name says.
    ("Wifi", "RSSI", "wifi_quality", "%"),
];

fn decode(message: &RawMessage<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let (device, last) = topic(message.topic).unwrap_or(("", "SENSOR"));
    if last == "LWT" {
        let word = std::str::from_utf8(message.payload.trim_ascii()).ok();
        return status(message, device_id(device), word, sink);
    }
    let mut reader = json_fields::open_object(message.payload)?;
    let mut readings = sink.readings();
    let (mut local_us, mut units) = (None, Units::default());
    members(&mut reader, |reader, key, token| {
        match (&*key, token) {
            ("Time", JsonToken::Text(text)) => local_us = local_time::parse_iso(&text),
            ("TempUnit", JsonToken::Text(unit)) => units.temperature = unit,
            ("PressureUnit", JsonToken::Text(unit)) => units.pressure = unit,
            (_, token) => json_fields::reading(reader, key, token, None, &mut readings)?,
        }
        Ok(())
    })?;
    reader.end()?;
    json_fields::refuse_duplicate(&readings)?;
    give_meaning(&mut readings, &units);
    let mut draft = Draft::new(device_id(device), readings);
    draft.kind = Kind::Telemetry;
    draft.has_local_times = true;
    if let Some(at_us) = local_us {
        draft.time = Some(DraftTime { at_us, source: TimeSource::Device });
        draft.identity = Identity::Content(message.payload);
    }
    sink.accept(message, draft)
}

/// What the message says of its temperatures and pressures; empty where it says nothing.
#[derive(Default)]
struct Units<'a> {
    temperature: Cow<'a, str>,
    pressure: Cow<'a, str>,
}

/// A key is the metric's name; the driver stands before it where another driver has the same key.
fn give_meaning<'a>(readings: &mut [DraftReading<'a>], units: &Units<'a>) {
    let is_alone = |readings: &[DraftReading<'a>], key: &str| {
        readings.iter().filter(|reading| key_of(&reading.metric).1 == key).count() == 1
    };
    let alone: Vec<bool> =
        readings.iter().map(|reading| is_alone(readings, key_of(&reading.metric).1)).collect();
    for (reading, is_alone) in readings.iter_mut().zip(alone) {
        let (driver, key) = key_of(&reading.metric);
        let meaning =
            MEANINGS.iter().find(|(of, sent, _, _)| *sent == key && (of.is_empty() || *of == driver));
        let (metric, unit) = meaning.map_or((key, ""), |(_, _, metric, unit)| (*metric, *unit));
        let is_temperature = matches!(key, "Temperature" | "DewPoint");
        let is_pressure = matches!(key, "Pressure" | "SeaPressure");
        let name = if is_alone { metric.to_owned() } else { format!("{driver}.{metric}") };
        if matches!(reading.value, DraftValue::Number(_) | DraftValue::Integer(_)) {
            reading.unit = match (is_temperature, is_pressure) {
                (true, _) => units.temperature.clone(),
                (_, true) if !units.pressure.is_empty() => units.pressure.clone(),
                _ => Cow::Borrowed(unit),
            };
        }
        reading.metric = Cow::Owned(name);
    }
}

/// The driver and the key in it; keys may have dots themselves, drivers have none.
fn key_of(path: &str) -> (&str, &str) {
    path.split_once('.').unwrap_or(("", path))
}
