//! What a city knows of its devices before they speak, as plain data: no file, no parser. A part that needs a registry is
//! given one.
//!
//! Everything is ordered, so that equal registries are equal bytes wherever they are written down.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::CoordinateSystem;

/// A limit of a device or of a model, as it was written: decimal text and its unit, converted where it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Decimal text, such as `2.5`.
    pub number: String,
    /// UCUM as written, empty without one.
    pub unit: String,
}

/// One line of `devices.csv`. An empty text is an attribute that the device does not have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegisteredDevice {
    pub gateway_id: String,
    pub model: String,
    pub domain: String,
    pub asset_id: String,
    pub place: Place,
    /// Of the IANA database, for a dialect whose times have no zone.
    pub time_zone: String,
    /// What others call it, by [`ID_KINDS`] and the NAME of `id.NAME`.
    pub external_ids: BTreeMap<String, String>,
    /// By the NAME of `threshold.NAME`.
    pub thresholds: BTreeMap<String, Threshold>,
    /// By the NAME of `tag.NAME`.
    pub tags: BTreeMap<String, String>,
}

/// Columns of external ids with a name of their own: the modem's, LoRaWAN's, of HJ 212 and of SL 651.
pub const ID_KINDS: [&str; 4] = ["imei", "dev_eui", "mn", "station"];

/// Where something stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    /// WGS-84 degrees: latitude, longitude.
    pub position: Option<(f64, f64)>,
    /// What was written, where that was in another system.
    pub as_given: Option<(CoordinateSystem, f64, f64)>,
}

/// One table of `gateways.toml`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegisteredGateway {
    pub title: String,
    pub asset_id: String,
    pub place: Place,
}

/// One line of `assets.csv`: a building, a manhole, a pipe, a lamp post.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asset {
    pub kind: String,
    pub name: String,
    /// The asset that it is a part of; empty where it is of none.
    pub parent: String,
    pub place: Place,
}

/// What all devices of one model have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceModel {
    /// By the name that the device sends.
    pub metrics: BTreeMap<String, MetricMapping>,
    pub thresholds: BTreeMap<String, Threshold>,
}

/// What a name and a number of a device of this model mean.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricMapping {
    /// The name that is meant.
    pub metric: String,
    /// UCUM, of the value after scale and offset, where the message says none; empty: the metric's own.
    pub unit: String,
    /// value = sent * scale + offset.
    pub scale: f64,
    pub offset: f64,
    /// Numbers, as sent, that say that there is no value.
    pub sentinels: Vec<f64>,
    /// What the sensor can measure, both ends in, in the unit of the metric.
    pub min: Option<f64>,
    pub max: Option<f64>,
}

/// A closed ring of WGS-84 points, longitude first as in GeoJSON (RFC 7946 section 3.1.6); the first point stands again
/// at the end.
pub type Ring = Vec<(f64, f64)>;

/// An area with a name: polygons, each an outer ring followed by its holes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Zone {
    pub polygons: Vec<Vec<Ring>>,
}

/// Devices, gateways and assets by id, models by name, zones by the feature property `zone`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registry {
    pub devices: BTreeMap<String, Arc<RegisteredDevice>>,
    pub models: BTreeMap<String, DeviceModel>,
    pub gateways: BTreeMap<String, RegisteredGateway>,
    pub assets: BTreeMap<String, Asset>,
    pub zones: BTreeMap<String, Zone>,
}

impl Registry {
    /// Nothing known of any device.
    pub const EMPTY: Registry = Registry {
        devices: BTreeMap::new(),
        models: BTreeMap::new(),
        gateways: BTreeMap::new(),
        assets: BTreeMap::new(),
        zones: BTreeMap::new(),
    };
}
