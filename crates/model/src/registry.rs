//! What a city knows of its devices before they speak, as plain data: no file, no parser. A part that needs a registry is
//! given one.
//!
//! Everything is ordered, so that equal registries are equal bytes wherever they are written down.

use std::collections::BTreeMap;
use std::sync::Arc;

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
    /// WGS-84 degrees: latitude, longitude.
    pub position: Option<(f64, f64)>,
    /// By the NAME of `threshold.NAME`.
    pub thresholds: BTreeMap<String, Threshold>,
    /// By the NAME of `tag.NAME`.
    pub tags: BTreeMap<String, String>,
}

/// What all devices of one model have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceModel {
    pub thresholds: BTreeMap<String, Threshold>,
}

/// A closed ring of WGS-84 points, longitude first as in GeoJSON (RFC 7946 section 3.1.6); the first point stands again
/// at the end.
pub type Ring = Vec<(f64, f64)>;

/// An area with a name: polygons, each an outer ring followed by its holes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Zone {
    pub polygons: Vec<Vec<Ring>>,
}

/// Devices by id, models by name, zones by the feature property `zone`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registry {
    pub devices: BTreeMap<String, Arc<RegisteredDevice>>,
    pub models: BTreeMap<String, DeviceModel>,
    pub zones: BTreeMap<String, Zone>,
}
