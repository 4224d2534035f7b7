//! Coordinates of Chinese maps and what they are in WGS-84.
//!
//! GCJ-02 shifts WGS-84 inside China by a sum of sines of up to some hundreds of metres; BD-09 shifts GCJ-02 once more. Only
//! the shifts are published, so the way back is found by iteration: the point whose shift arrives where we are.

use std::f64::consts::PI;

/// In which system a coordinate was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CoordinateSystem {
    #[default]
    Wgs84,
    /// Of Chinese maps by law: Amap, Tencent, Google in China.
    Gcj02,
    /// Of Baidu's maps.
    Bd09,
}

/// Latitude and longitude, degrees.
type Point = (f64, f64);

/// Half-axis, metres, and squared eccentricity of the ellipsoid that GCJ-02 is computed on (Krasovsky 1940).
const KRASOVSKY_AXIS: f64 = 6_378_245.0;
const KRASOVSKY_ECCENTRICITY_SQUARED: f64 = 0.006_693_421_622_965_943;

/// Outside of this box, latitudes and longitudes, GCJ-02 is WGS-84.
const SHIFTED: (std::ops::RangeInclusive<f64>, std::ops::RangeInclusive<f64>) =
    (0.8293..=55.8271, 72.004..=137.8347);

/// A turn of BD-09's spiral in degrees.
const BD09_TURN: f64 = PI * 3000.0 / 180.0;

/// About a tenth of a millimetre, degrees.
const TOLERANCE: f64 = 1e-9;
/// Each step of the iteration wins two digits or more.
const STEPS_MAX: usize = 30;

impl CoordinateSystem {
    /// By the name that stands in `devices.csv`: `WGS-84`, `GCJ-02` or `BD-09`, the hyphen and case left open.
    pub fn find(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().replace('-', "").as_str() {
            "WGS84" => Some(CoordinateSystem::Wgs84),
            "GCJ02" => Some(CoordinateSystem::Gcj02),
            "BD09" => Some(CoordinateSystem::Bd09),
            _ => None,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            CoordinateSystem::Wgs84 => "WGS-84",
            CoordinateSystem::Gcj02 => "GCJ-02",
            CoordinateSystem::Bd09 => "BD-09",
        }
    }

    /// The same place in WGS-84, latitude and longitude in degrees; right to a millimetre of what the shift says.
    pub fn to_wgs84(self, latitude: f64, longitude: f64) -> (f64, f64) {
        let point = (latitude, longitude);
        match self {
            CoordinateSystem::Wgs84 => point,
            CoordinateSystem::Gcj02 => unshift(point, gcj02_of_wgs84),
            CoordinateSystem::Bd09 => unshift(unshift(point, bd09_of_gcj02), gcj02_of_wgs84),
        }
    }
}

/// The point that `shift` brings to `target`. Shifts move by less than a hundredth of a degree and change slowly, so that the
/// error shrinks with each step.
fn unshift(target: Point, shift: fn(Point) -> Point) -> Point {
    let mut point = target;
    for _ in 0..STEPS_MAX {
        let shifted = shift(point);
        let error = (shifted.0 - target.0, shifted.1 - target.1);
        point = (point.0 - error.0, point.1 - error.1);
        if error.0.abs() < TOLERANCE && error.1.abs() < TOLERANCE {
            break;
        }
    }
    point
}

fn gcj02_of_wgs84((latitude, longitude): Point) -> Point {
    if !(SHIFTED.0.contains(&latitude) && SHIFTED.1.contains(&longitude)) {
        return (latitude, longitude);
    }
    let (x, y) = (longitude - 105.0, latitude - 35.0);
    let north = -100.0
        + 2.0 * x
        + 3.0 * y
        + 0.2 * y * y
        + 0.1 * x * y
        + 0.2 * x.abs().sqrt()
        + waves(x, &[(20.0, 6.0), (20.0, 2.0)])
        + waves(y, &[(20.0, 1.0), (40.0, 1.0 / 3.0), (160.0, 1.0 / 12.0), (320.0, 1.0 / 30.0)]);
    let east = 300.0
        + x
        + 2.0 * y
        + 0.1 * x * x
        + 0.1 * x * y
        + 0.1 * x.abs().sqrt()
        + waves(x, &[(20.0, 6.0), (20.0, 2.0)])
        + waves(x, &[(20.0, 1.0), (40.0, 1.0 / 3.0), (150.0, 1.0 / 12.0), (300.0, 1.0 / 30.0)]);
    let angle = latitude.to_radians();
    let flat = 1.0 - KRASOVSKY_ECCENTRICITY_SQUARED * angle.sin().powi(2);
    let meridian = KRASOVSKY_AXIS * (1.0 - KRASOVSKY_ECCENTRICITY_SQUARED) / (flat * flat.sqrt());
    let parallel = KRASOVSKY_AXIS / flat.sqrt() * angle.cos();
    (latitude + (north / meridian).to_degrees(), longitude + (east / parallel).to_degrees())
}

/// Two thirds of a sum of sines, each given by its height in metres and its half waves a degree.
fn waves(at: f64, waves: &[(f64, f64)]) -> f64 {
    waves.iter().map(|(height, pace)| height * (pace * at * PI).sin()).sum::<f64>() * 2.0 / 3.0
}

fn bd09_of_gcj02((latitude, longitude): Point) -> Point {
    let distance = longitude.hypot(latitude) + 0.000_02 * (latitude * BD09_TURN).sin();
    let angle = latitude.atan2(longitude) + 0.000_003 * (longitude * BD09_TURN).cos();
    (distance * angle.sin() + 0.006, distance * angle.cos() + 0.0065)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_near(a: Point, b: Point, tolerance: f64) -> bool {
        (a.0 - b.0).abs() <= tolerance && (a.1 - b.1).abs() <= tolerance
    }

    #[test]
    fn shifts_are_those_of_the_maps() {
        // A point of central Beijing as the maps' own converters give it.
        let beijing = (39.915, 116.404);
        assert!(is_near(gcj02_of_wgs84(beijing), (39.916_404_281_501_64, 116.410_244_499_169_38), 1e-9));
        assert!(is_near(bd09_of_gcj02(beijing), (39.921_336_993_510_21, 116.410_369_493_710_29), 1e-9));
        let paris = (48.8584, 2.2945);
        assert_eq!(gcj02_of_wgs84(paris), paris);
    }

    #[test]
    fn names_are_found_however_they_are_written() {
        for (name, system) in [
            ("WGS-84", Some(CoordinateSystem::Wgs84)),
            ("gcj02", Some(CoordinateSystem::Gcj02)),
            ("BD-09", Some(CoordinateSystem::Bd09)),
            ("CGCS2000", None),
            ("", None),
        ] {
            assert_eq!(CoordinateSystem::find(name), system, "{name}");
        }
        for system in [CoordinateSystem::Wgs84, CoordinateSystem::Gcj02, CoordinateSystem::Bd09] {
            assert_eq!(CoordinateSystem::find(system.name()), Some(system));
        }
    }

    proptest! {
        #[test]
        fn the_way_back_ends_where_the_shift_began(latitude in 18.0..54.0, longitude in 73.5..135.0) {
            let wgs84 = (latitude, longitude);
            let gcj02 = gcj02_of_wgs84(wgs84);
            let back = CoordinateSystem::Gcj02.to_wgs84(gcj02.0, gcj02.1);
            prop_assert!(is_near(back, wgs84, 1e-8), "{back:?}");
            let bd09 = bd09_of_gcj02(gcj02);
            let back = CoordinateSystem::Bd09.to_wgs84(bd09.0, bd09.1);
            prop_assert!(is_near(back, wgs84, 1e-8), "{back:?}");
        }
    }
}
