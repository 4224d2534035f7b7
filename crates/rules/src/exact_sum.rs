//! Sums of doubles as if added exactly and rounded once, kept as a list of doubles that do not overlap (Shewchuk,
//! "Adaptive precision floating-point arithmetic", 1997).

/// An exact sum. Terms must be finite; a sum past the greatest double is infinite.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExactSum {
    /// Non-zero, rising in size, no two with a bit of the same weight.
    parts: Vec<f64>,
    /// Set once the exact sum left the doubles: then no more is known than this.
    overflow: Option<f64>,
}

impl ExactSum {
    pub(crate) fn add(&mut self, term: f64) {
        let mut carry = term;
        let mut kept = 0;
        for at in 0..self.parts.len() {
            let (sum, rest) = two_sum(carry, self.parts[at]);
            if !sum.is_finite() {
                self.overflow = Some(self.overflow.unwrap_or(0.0) + sum);
                self.parts.clear();
                return;
            }
            if rest != 0.0 {
                self.parts[kept] = rest;
                kept += 1;
            }
            carry = sum;
        }
        self.parts.truncate(kept);
        if carry != 0.0 {
            self.parts.push(carry);
        }
    }

    /// Adds the exact product.
    pub(crate) fn add_product(&mut self, a: f64, b: f64) {
        let product = a * b;
        if product.is_finite() {
            self.add(a.mul_add(b, -product));
            self.add(product);
        } else {
            self.overflow = Some(self.overflow.unwrap_or(0.0) + product);
        }
    }

    /// The nearest double, ties to even.
    pub(crate) fn rounded(&self) -> f64 {
        if let Some(overflow) = self.overflow {
            return overflow;
        }
        let mut parts = self.parts.iter().rev().copied();
        let Some(mut sum) = parts.next() else {
            return 0.0;
        };
        while let Some(part) = parts.next() {
            let (high, low) = two_sum(sum, part);
            sum = high;
            if low != 0.0 {
                // Halfway between two doubles the next part decides; its sign is that of all that follow it.
                let next = parts.next().unwrap_or(0.0);
                let doubled = 2.0 * low;
                if (low < 0.0 && next < 0.0 || low > 0.0 && next > 0.0) && (sum + doubled) - sum == doubled {
                    sum += doubled;
                }
                break;
            }
        }
        sum
    }

    /// The parts of the sum, for exact products of sums.
    pub(crate) fn parts(&self) -> &[f64] {
        &self.parts
    }
}

/// The rounded sum and what rounding took away.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(terms: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        terms.iter().for_each(|term| sum.add(*term));
        sum.rounded()
    }

    #[test]
    fn sums_round_once() {
        assert_eq!(sum(&[]), 0.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(sum(&[1.0, 2f64.powi(-53)]), 1.0);
        assert_eq!(sum(&[1.0, 2f64.powi(-53), 2f64.powi(-106)]), 1.0f64.next_up());
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
    }

    #[test]
    fn products_are_exact() {
        let mut sum = ExactSum::default();
        sum.add_product(0.1, 0.1);
        sum.add_product(-0.1, 0.1);
        assert_eq!(sum.rounded(), 0.0);
        sum.add_product(1e200, 1e200);
        assert_eq!(sum.rounded(), f64::INFINITY);
    }

    proptest! {
        /// Integers times a power of two, which 128 bits hold exactly.
        #[test]
        fn sums_are_those_of_integers(terms in proptest::collection::vec((-(1i64 << 53)..(1i64 << 53), 0..40u32), 0..40)) {
            let doubles: Vec<f64> = terms.iter().map(|(term, shift)| *term as f64 * f64::from(*shift).exp2()).collect();
            let exact: i128 = terms.iter().map(|(term, shift)| i128::from(*term) << shift).sum();
            prop_assert_eq!(sum(&doubles), exact as f64);
        }
    }
}
