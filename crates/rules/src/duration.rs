//! Spans of time as rule files write them: `500ms`, `30s`, `5m`, `2h`, `1d`.

/// Longest span that a rule may name.
pub const SPAN_DAYS_MAX: i64 = 3_650;

const UNITS: [(&str, i64); 5] =
    [("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000)];

/// Microseconds of a span, or `None` where the text is none or is longer than [`SPAN_DAYS_MAX`].
pub(crate) fn parse_us(text: &str) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, unit_us) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let span = number.parse::<i64>().ok()?.checked_mul(*unit_us)?;
    (span <= SPAN_DAYS_MAX * 86_400_000_000).then_some(span)
}

/// What a finding says would do.
pub(crate) const HELP: &str = "write a span such as 500ms, 30s, 5m, 2h or 1d, at most 3650d";

/// The span in the largest unit that holds it whole.
pub(crate) fn text(span_us: i64) -> String {
    let fits = |unit_us: i64| span_us % unit_us == 0;
    match UNITS.iter().rev().find(|(_, unit_us)| span_us != 0 && fits(*unit_us)) {
        Some((name, unit_us)) => format!("{}{name}", span_us / unit_us),
        None => format!("{}s", span_us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let cases = [
            ("500ms", 500_000),
            ("30s", 30_000_000),
            ("5m", 300_000_000),
            ("2h", 7_200_000_000),
            ("1d", 86_400_000_000),
        ];
        for (written, us) in cases {
            assert_eq!(parse_us(written), Some(us));
            assert_eq!(text(us), written);
        }
        assert_eq!(parse_us("0s"), Some(0));
        assert_eq!(text(0), "0s");
        for refused in ["", "5", "s", "1.5h", "-1s", "5 m", "5M", "1w", "99999999999999999999s", "3651d"] {
            assert_eq!(parse_us(refused), None, "{refused}");
        }
    }
}
