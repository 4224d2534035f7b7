//! Zones: polygons of WGS-84 points, and whether a place is inside one. An edge is inside, exactly: the side of a place
//! to an edge is the sign of an exact sum.

use model::registry::{Ring, Zone};
use serde::{Deserialize, Serialize};

use crate::condition::shortest_decimal;
use crate::exact_sum::ExactSum;

/// A zone as a rule set keeps it: polygons, each an outer ring and its holes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Polygons(Vec<Vec<Vec<Point>>>);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Point(
    /// Longitude, degrees.
    #[serde(with = "shortest_decimal")]
    f64,
    /// Latitude, degrees.
    #[serde(with = "shortest_decimal")]
    f64,
);

/// Where a place is to a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Inside,
    Edge,
    Outside,
}

impl Polygons {
    pub(crate) fn of(zone: &Zone) -> Self {
        let ring = |ring: &Ring| ring.iter().map(|(x, y)| Point(*x, *y)).collect();
        Polygons(zone.polygons.iter().map(|polygon| polygon.iter().map(ring).collect()).collect())
    }

    pub(crate) fn contains(&self, latitude: f64, longitude: f64) -> bool {
        let place = Point(longitude, latitude);
        self.0.iter().any(|polygon| {
            let mut sides = polygon.iter().map(|ring| side(ring, place));
            match sides.next() {
                None | Some(Side::Outside) => false,
                Some(Side::Edge) => true,
                // The edge of a hole is an edge of the zone.
                Some(Side::Inside) => sides.all(|hole| hole != Side::Inside),
            }
        })
    }
}

/// Counts the edges that a ray to the east crosses.
fn side(ring: &[Point], place: Point) -> Side {
    let mut is_inside = false;
    for (from, to) in ring.iter().zip(ring.iter().cycle().skip(1)) {
        let (from, to) = (*from, *to);
        if place == from || is_between(from, to, place) && turn(from, to, place) == 0.0 {
            return Side::Edge;
        }
        // Half open in latitude, so that a corner is crossed once.
        if (from.1 > place.1) != (to.1 > place.1) {
            let is_left = turn(from, to, place) > 0.0;
            is_inside ^= is_left == (to.1 > from.1);
        }
    }
    if is_inside { Side::Inside } else { Side::Outside }
}

fn is_between(from: Point, to: Point, place: Point) -> bool {
    let within = |a: f64, b: f64, at: f64| a.min(b) <= at && at <= a.max(b);
    within(from.0, to.0, place.0) && within(from.1, to.1, place.1)
}

/// Positive where `place` lies to the left of the way from `from` to `to`, zero on its line: the sign is exact.
fn turn(from: Point, to: Point, place: Point) -> f64 {
    let mut sum = ExactSum::default();
    for (a, b) in [(from, to), (to, place), (place, from)] {
        sum.add_product(a.0, b.1);
        sum.add_product(-a.1, b.0);
    }
    sum.rounded()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polygons(polygons: &[&[&[(f64, f64)]]]) -> Polygons {
        let rings = |rings: &&[&[(f64, f64)]]| rings.iter().map(|ring| ring.to_vec()).collect();
        Polygons::of(&Zone { polygons: polygons.iter().map(rings).collect() })
    }

    #[test]
    fn edges_and_corners_are_inside_and_so_are_those_of_holes() {
        let square: &[(f64, f64)] = &[(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0), (0.0, 0.0)];
        let hole: &[(f64, f64)] = &[(1.0, 1.0), (1.0, 3.0), (3.0, 3.0), (3.0, 1.0), (1.0, 1.0)];
        let far: &[(f64, f64)] = &[(10.0, 0.0), (12.0, 2.0), (10.0, 4.0), (10.0, 0.0)];
        let zone = polygons(&[&[square, hole], &[far]]);
        let cases = [
            ((0.5, 0.5), true),
            ((2.0, 2.0), false),
            ((1.0, 2.0), true),
            ((3.0, 3.0), true),
            ((0.0, 2.0), true),
            ((4.0, 4.0), true),
            ((4.000_000_1, 4.0), false),
            ((-1.0, 0.0), false),
            ((-1.0, 4.0), false),
            ((11.0, 1.0), true),
            ((11.0, 0.999_999), false),
            ((10.5, 2.0), true),
        ];
        for ((longitude, latitude), expected) in cases {
            assert_eq!(zone.contains(latitude, longitude), expected, "{longitude} {latitude}");
        }
    }

    #[test]
    fn a_slanted_edge_is_exact() {
        // 0.3 and 0.1 are no exact thirds: only the corner and doubles on the line itself are on the edge.
        let zone = polygons(&[&[&[(0.0, 0.0), (0.75, 0.25), (0.0, 1.0), (0.0, 0.0)]]]);
        assert!(zone.contains(0.125, 0.375));
        assert!(!zone.contains(0.125f64.next_down(), 0.375));
        assert!(zone.contains(0.125f64.next_up(), 0.375));
    }
}
