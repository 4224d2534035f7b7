//! Where something stands: a latitude, a longitude, and the system in which they were written.

use model::CoordinateSystem;
use model::registry::Place;

use crate::finding::Findings;

/// A text and its byte offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written<'t> {
    pub(crate) text: &'t str,
    pub(crate) at: usize,
}

/// The place that `latitude` and `longitude` say, in WGS-84 unless `system` names another.
pub(crate) fn read(
    latitude: Option<Written<'_>>,
    longitude: Option<Written<'_>>,
    system: Option<Written<'_>>,
    findings: &mut Findings,
) -> Place {
    let system = system.and_then(|written| system_of(written, findings)).unwrap_or_default();
    let (Some(latitude), Some(longitude)) = (latitude, longitude) else {
        if let Some(written) = latitude {
            findings.add(written.at, "a latitude without a longitude", "both or neither would do");
        }
        if let Some(written) = longitude {
            findings.add(written.at, "a longitude without a latitude", "both or neither would do");
        }
        return Place::default();
    };
    let (latitude, longitude) = (degrees(latitude, 90.0, findings), degrees(longitude, 180.0, findings));
    let Some((latitude, longitude)) = latitude.zip(longitude) else { return Place::default() };
    let as_given = (system != CoordinateSystem::Wgs84).then_some((system, latitude, longitude));
    Place { position: Some(system.to_wgs84(latitude, longitude)), as_given }
}

fn system_of(written: Written<'_>, findings: &mut Findings) -> Option<CoordinateSystem> {
    let system = CoordinateSystem::find(written.text);
    if system.is_none() {
        let found = format!("the coordinate system {:?}", written.text);
        findings.add(written.at, found, "WGS-84, GCJ-02 or BD-09 would do");
    }
    system
}

fn degrees(written: Written<'_>, max: f64, findings: &mut Findings) -> Option<f64> {
    let degrees = written.text.parse::<f64>().ok().filter(|degrees| degrees.abs() <= max);
    if degrees.is_none() {
        let found = format!("the coordinate {:?}", written.text);
        findings.add(written.at, found, format!("degrees from -{max} to {max} would do"));
    }
    degrees
}
