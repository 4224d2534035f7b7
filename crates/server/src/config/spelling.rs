//! What somebody meant who wrote a key that there is not.

/// The known key that a slip of the hand would make of this one.
pub(super) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    const SLIPS_MAX: usize = 2;
    let distances = known.iter().map(|name| (distance(key, name), *name));
    distances.min().filter(|(slips, _)| *slips <= SLIPS_MAX).map(|(_, name)| name)
}

/// Levenshtein distance, for short names.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_or_two_is_understood() {
        let known = ["roll_age", "roll_rows", "root"];
        for (written, meant) in [
            ("rol_age", Some("roll_age")),
            ("rool", Some("root")),
            ("rolrow", None),
            ("roll_row", Some("roll_rows")),
        ] {
            assert_eq!(nearest(written, &known), meant, "{written}");
        }
        assert_eq!((distance("", "abc"), distance("kitten", "sitting")), (3, 3));
    }
}
