//! A polygon's ring, and what can be wrong with one (RFC 7946, section 3.1.6).

use model::registry::Ring;

/// Says what is wrong with a ring, and what would do.
pub(crate) fn check(ring: &Ring) -> Result<(), (String, &'static str)> {
    if ring.len() < 4 {
        let found = format!("a ring of {} points", ring.len());
        return Err((found, "four or more would do, the first again at the end"));
    }
    for &(longitude, latitude) in ring {
        if longitude.abs() > 180.0 || latitude.abs() > 90.0 {
            let found = format!("the point [{longitude}, {latitude}]");
            return Err((found, "[longitude, latitude] in degrees would do, longitude first"));
        }
    }
    if ring.first() != ring.last() {
        return Err(("a ring that is open".to_owned(), "the first point again at the end would do"));
    }
    match crossing(ring) {
        Some((longitude, latitude)) => {
            let found = format!("a ring that crosses or touches itself near [{longitude}, {latitude}]");
            Err((found, "a ring that meets itself nowhere would do"))
        }
        None => Ok(()),
    }
}

/// A side and the stretch of longitudes that it covers.
#[derive(Clone, Copy)]
struct Side {
    index: usize,
    from: (f64, f64),
    to: (f64, f64),
    west: f64,
    east: f64,
}

/// Where two sides that are not neighbours meet. Sides are looked at from west to east, each with those that overlap
/// it in longitude: near n log n for what a map holds.
fn crossing(ring: &Ring) -> Option<(f64, f64)> {
    let side = |(index, pair): (usize, &[(f64, f64)])| {
        let (from, to) = (pair[0], pair[1]);
        Side { index, from, to, west: from.0.min(to.0), east: from.0.max(to.0) }
    };
    let mut sides: Vec<Side> = ring.windows(2).enumerate().map(side).collect();
    let last = sides.len() - 1;
    sides.sort_by(|a, b| a.west.total_cmp(&b.west));
    for (at, side) in sides.iter().enumerate() {
        for other in sides[at + 1..].iter().take_while(|other| other.west <= side.east) {
            let (low, high) = (side.index.min(other.index), side.index.max(other.index));
            let are_neighbours = high - low == 1 || low == 0 && high == last;
            if if are_neighbours { fold_back(side, other) } else { meet(side, other) } {
                return Some(other.from);
            }
        }
    }
    None
}

/// True when the sides have a point in common.
fn meet(a: &Side, b: &Side) -> bool {
    let (b_from, b_to) = (turn(a.from, a.to, b.from), turn(a.from, a.to, b.to));
    let (a_from, a_to) = (turn(b.from, b.to, a.from), turn(b.from, b.to, a.to));
    if b_from * b_to < 0.0 && a_from * a_to < 0.0 {
        return true;
    }
    b_from == 0.0 && is_within(a, b.from)
        || b_to == 0.0 && is_within(a, b.to)
        || a_from == 0.0 && is_within(b, a.from)
        || a_to == 0.0 && is_within(b, a.to)
}

/// True when neighbours, which share a corner, share more than that.
fn fold_back(a: &Side, b: &Side) -> bool {
    let is_corner = |point: (f64, f64), side: &Side| point == side.from || point == side.to;
    let shared = [a.from, a.to].into_iter().filter(|point| is_corner(*point, b)).count();
    let lies_on = |side: &Side, point| turn(side.from, side.to, point) == 0.0 && is_within(side, point);
    shared > 1
        || [b.from, b.to].into_iter().any(|point| !is_corner(point, a) && lies_on(a, point))
        || [a.from, a.to].into_iter().any(|point| !is_corner(point, b) && lies_on(b, point))
}

/// Positive when the third point is left of the way from the first to the second.
fn turn(from: (f64, f64), to: (f64, f64), point: (f64, f64)) -> f64 {
    (to.0 - from.0) * (point.1 - from.1) - (to.1 - from.1) * (point.0 - from.0)
}

/// True when a point of the line through a side is on the side.
fn is_within(side: &Side, point: (f64, f64)) -> bool {
    let (south, north) = (side.from.1.min(side.to.1), side.from.1.max(side.to.1));
    (side.west..=side.east).contains(&point.0) && (south..=north).contains(&point.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(points: &[(f64, f64)]) -> Ring {
        points.iter().chain(points.first()).copied().collect()
    }

    #[test]
    fn shapes_of_the_field_pass() {
        let square = closed(&[(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0)]);
        let angle = closed(&[(0.0, 0.0), (4.0, 0.0), (4.0, 1.0), (1.0, 1.0), (1.0, 4.0), (0.0, 4.0)]);
        let with_a_point_on_a_side = closed(&[(0.0, 0.0), (2.0, 0.0), (4.0, 0.0), (4.0, 4.0)]);
        let triangle = closed(&[(0.0, 0.0), (4.0, 0.0), (4.0, 4.0)]);
        for ring in [square, angle, with_a_point_on_a_side, triangle] {
            assert_eq!(check(&ring), Ok(()), "{ring:?}");
        }
    }

    #[test]
    fn broken_rings_are_found() {
        for (ring, word) in [
            (vec![], "0 points"),
            (vec![(0.0, 0.0), (1.0, 0.0), (0.0, 0.0)], "3 points"),
            (vec![(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)], "open"),
            (closed(&[(0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)]), "crosses"),
            (closed(&[(0.0, 0.0), (2.0, 0.0), (1.0, 0.0)]), "crosses"),
            (closed(&[(0.0, 0.0), (0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]), "crosses"),
            (closed(&[(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (2.0, 0.0), (0.0, 4.0)]), "crosses"),
            (closed(&[(31.2, 121.4), (31.3, 121.4), (31.3, 121.5)]), "[31.2, 121.4]"),
        ] {
            let (found, _) = check(&ring).unwrap_err();
            assert!(found.contains(word), "{ring:?}: {found}");
        }
    }

    #[test]
    fn a_ring_of_many_points_is_checked_at_once() {
        let point = |at: i32| {
            let angle = f64::from(at) * std::f64::consts::TAU / 50_000.0;
            (angle.cos() * 10.0, angle.sin() * 10.0)
        };
        let ring = closed(&(0..50_000).map(point).collect::<Vec<_>>());
        assert_eq!(check(&ring), Ok(()));
    }
}
