//! `zones.geojson`: a FeatureCollection (RFC 7946) of Polygons and MultiPolygons whose property `zone` is their name.
//! Features of one name are one zone of several polygons.

use std::collections::BTreeMap;

use model::registry::{Ring, Zone};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::finding::Findings;
use crate::ring;

/// Most points of all rings of a file.
pub const ZONE_POINTS_MAX: usize = 1_000_000;

const FORM: &str = "a FeatureCollection of Polygon and MultiPolygon features with the property zone would do";

#[derive(Deserialize)]
struct Collection<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    features: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Feature {
    #[serde(rename = "type")]
    kind: String,
    properties: Option<Properties>,
    geometry: Option<Geometry>,
}

#[derive(Deserialize)]
struct Properties {
    zone: Option<String>,
}

/// A point may carry an altitude, which is not looked at.
type Points = Vec<Vec<f64>>;

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Geometry {
    Polygon { coordinates: Vec<Points> },
    MultiPolygon { coordinates: Vec<Vec<Points>> },
}

/// Reads the zones of a text.
pub(crate) fn read(text: &str, findings: &mut Findings) -> BTreeMap<String, Zone> {
    let json = text.trim_start_matches('\u{feff}');
    let before = text.len() - json.len();
    let mut zones = BTreeMap::new();
    let collection: Collection<'_> = match serde_json::from_str(json) {
        Ok(collection) => collection,
        Err(error) => {
            findings.add(before + offset_of(json, &error), message_of(&error), FORM);
            return zones;
        }
    };
    if collection.kind != "FeatureCollection" {
        findings.add(before, format!("the type {:?}", collection.kind), FORM);
    }
    let mut points = 0;
    for feature in collection.features {
        // A feature borrows from the text, so its address says where it stands.
        let at = feature.get().as_ptr().addr() - text.as_ptr().addr();
        if let Some((name, polygons)) = self::feature(feature.get(), at, findings) {
            points += polygons.iter().flatten().map(Vec::len).sum::<usize>();
            if points > ZONE_POINTS_MAX {
                let help = format!("at most {ZONE_POINTS_MAX} in all would do");
                findings.add(at, format!("the zone {name:?} with {points} points up to it"), help);
                break;
            }
            check_rings(&name, &polygons, at, findings);
            zones.entry(name).or_insert_with(Zone::default).polygons.extend(polygons);
        }
    }
    zones
}

fn feature(json: &str, at: usize, findings: &mut Findings) -> Option<(String, Vec<Vec<Ring>>)> {
    let feature: Feature = match serde_json::from_str(json) {
        Ok(feature) => feature,
        Err(error) => {
            findings.add(at + offset_of(json, &error), message_of(&error), FORM);
            return None;
        }
    };
    if feature.kind != "Feature" {
        findings.add(at, format!("the type {:?}", feature.kind), "\"Feature\" would do");
    }
    let name = feature.properties.and_then(|properties| properties.zone);
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        findings.add(at, "a feature without a property zone", "the zone's name as a text would do");
        return None;
    };
    let polygons = match feature.geometry {
        Some(Geometry::Polygon { coordinates }) => vec![coordinates],
        Some(Geometry::MultiPolygon { coordinates }) => coordinates,
        None => {
            findings.add(at, format!("the zone {name:?} without a geometry"), FORM);
            return None;
        }
    };
    let Some(polygons) = polygons.into_iter().map(polygon).collect() else {
        findings.add(
            at,
            format!("the zone {name:?} with a point that is no pair"),
            "[longitude, latitude] would do",
        );
        return None;
    };
    Some((name, polygons))
}

fn polygon(rings: Vec<Points>) -> Option<Vec<Ring>> {
    let pair = |point: &Vec<f64>| (point.len() >= 2).then(|| (point[0], point[1]));
    rings.iter().map(|ring| ring.iter().map(pair).collect()).collect()
}

fn check_rings(name: &str, polygons: &[Vec<Ring>], at: usize, findings: &mut Findings) {
    for (polygon_at, rings) in polygons.iter().enumerate() {
        if rings.is_empty() {
            let found = format!("polygon {polygon_at} of the zone {name:?} without a ring");
            findings.add(at, found, "an outer ring would do");
        }
        for (ring_at, ring) in rings.iter().enumerate() {
            if let Err((found, help)) = ring::check(ring) {
                let place = format!("ring {ring_at} of polygon {polygon_at} of the zone {name:?}");
                findings.add(at, format!("{found}: {place}"), help);
            }
        }
    }
}

/// Byte offset of an error, which names a line from 1 and a column in bytes.
fn offset_of(json: &str, error: &serde_json::Error) -> usize {
    let lines = json.split_inclusive('\n').take(error.line().saturating_sub(1));
    lines.map(str::len).sum::<usize>() + error.column().saturating_sub(1)
}

/// The message without the place, which is counted anew in the whole text.
fn message_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split_once(" at line ").map_or(text.clone(), |(message, _)| message.to_owned())
}
