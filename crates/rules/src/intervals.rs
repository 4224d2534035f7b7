//! Sets of doubles as closed intervals. Every comparison with a limit is such a set, since the doubles are discrete:
//! `x > 2` is `x >= next_up(2)`. Two conditions of one metric are compared and indexed by these sets.

use crate::condition::Comparison;

/// Disjoint closed intervals, rising, with at least one double between two of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Intervals(Vec<(f64, f64)>);

impl Intervals {
    pub(crate) fn none() -> Self {
        Intervals(Vec::new())
    }

    pub(crate) fn all() -> Self {
        Intervals(vec![(f64::NEG_INFINITY, f64::INFINITY)])
    }

    /// Both ends in; `low` is not above `high`.
    pub(crate) fn between(low: f64, high: f64) -> Self {
        Intervals(vec![(low, high)])
    }

    /// The numbers that compare so with `limit`, which is finite.
    pub(crate) fn of(comparison: Comparison, limit: f64) -> Self {
        match comparison {
            Comparison::Greater => Intervals(vec![(limit.next_up(), f64::INFINITY)]),
            Comparison::GreaterOrEqual => Intervals(vec![(limit, f64::INFINITY)]),
            Comparison::Less => Intervals(vec![(f64::NEG_INFINITY, limit.next_down())]),
            Comparison::LessOrEqual => Intervals(vec![(f64::NEG_INFINITY, limit)]),
            Comparison::Equal => Intervals(vec![(limit, limit)]),
            Comparison::NotEqual => Intervals::of(Comparison::Equal, limit).complement(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (f64, f64)> {
        self.0.iter().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, value: f64) -> bool {
        self.part_around(value).is_some()
    }

    /// The interval that holds `value`.
    pub(crate) fn part_around(&self, value: f64) -> Option<(f64, f64)> {
        self.iter().find(|(low, high)| *low <= value && value <= *high)
    }

    /// The widest interval around `value` that holds none of the set, where `value` is not in it.
    pub(crate) fn gap_around(&self, value: f64) -> Option<(f64, f64)> {
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        for (start, end) in self.iter() {
            if end < value {
                low = end.next_up();
            } else if value < start {
                high = start.next_down();
                break;
            } else {
                return None;
            }
        }
        Some((low, high))
    }

    pub(crate) fn complement(&self) -> Self {
        let mut gaps = Vec::with_capacity(self.0.len() + 1);
        let mut low = Some(f64::NEG_INFINITY);
        for (start, end) in self.iter() {
            if let Some(low) = low
                && low < start
            {
                gaps.push((low, start.next_down()));
            }
            low = (end < f64::INFINITY).then(|| end.next_up());
        }
        gaps.extend(low.map(|low| (low, f64::INFINITY)));
        Intervals(gaps)
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut parts: Vec<_> = self.iter().chain(other.iter()).collect();
        parts.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut merged: Vec<(f64, f64)> = Vec::with_capacity(parts.len());
        for (low, high) in parts {
            match merged.last_mut() {
                Some(last) if low <= last.1.next_up() => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        Intervals(merged)
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        self.complement().union(&other.complement()).complement()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use Comparison::*;

    const LIMITS: [f64; 6] = [-1.0, -0.0, 0.0, 2.5, 2.500_000_000_000_000_4, f64::MAX];

    fn probes() -> impl Iterator<Item = f64> {
        LIMITS.into_iter().flat_map(|limit| [limit.next_down(), limit, limit.next_up()])
    }

    #[test]
    fn a_comparison_is_the_set_of_its_numbers() {
        for limit in LIMITS {
            for comparison in [Greater, GreaterOrEqual, Less, LessOrEqual, Equal, NotEqual] {
                let set = Intervals::of(comparison, limit);
                for value in probes() {
                    let expected = match comparison {
                        Greater => value > limit,
                        GreaterOrEqual => value >= limit,
                        Less => value < limit,
                        LessOrEqual => value <= limit,
                        Equal => value == limit,
                        NotEqual => value != limit,
                    };
                    assert_eq!(set.contains(value), expected, "{value} {} {limit}", comparison.symbol());
                }
            }
        }
    }

    fn any_set() -> impl Strategy<Value = Intervals> {
        let comparison =
            proptest::sample::select(vec![Greater, GreaterOrEqual, Less, LessOrEqual, Equal, NotEqual]);
        let one = (comparison, proptest::sample::select(LIMITS.to_vec()))
            .prop_map(|(c, limit)| Intervals::of(c, limit));
        (one.clone(), one.clone(), one).prop_map(|(a, b, c)| a.union(&b).intersection(&c))
    }

    proptest! {
        #[test]
        fn sets_combine_as_truths_do(a in any_set(), b in any_set()) {
            for value in probes() {
                let (in_a, in_b) = (a.contains(value), b.contains(value));
                prop_assert_eq!(a.union(&b).contains(value), in_a || in_b);
                prop_assert_eq!(a.intersection(&b).contains(value), in_a && in_b);
                prop_assert_eq!(a.complement().contains(value), !in_a);
                prop_assert_eq!(a.gap_around(value), a.complement().part_around(value));
            }
        }
    }
}
