//! Spans of time as the config writes them: a whole number and a unit, `500ms`, `60s`, `5m`, `2h`, `30d`.

use std::time::Duration;

/// Longest first where one name ends with another's letter.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// The text is no span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no span of time: write a whole number and ms, s, m, h or d, as in \"60s\"")]
pub struct DurationError(pub String);

/// Reads a span.
///
/// # Errors
/// Not a whole number followed by a unit, or too long for 64 bits of milliseconds.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let error = || DurationError(text.to_owned());
    let (number, unit_ms) = split(text, &UNITS).ok_or_else(error)?;
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(error)
}

/// The shortest text that [`parse`] reads back, to the millisecond.
pub fn format(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    join(ms, &UNITS)
}

/// Splits `60s` into its number and the factor of its unit.
pub(super) fn split(text: &str, units: &[(&str, u64)]) -> Option<(u64, u64)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(name, _)| *name == unit.trim_start())?.1;
    Some((number.parse().ok()?, factor))
}

/// Writes an amount in the greatest unit that divides it.
pub(super) fn join(amount: u64, units: &[(&str, u64)]) -> String {
    let divides = |(_, factor): &&(&str, u64)| amount.is_multiple_of(*factor);
    let (name, factor) =
        units.iter().filter(divides).max_by_key(|(_, factor)| *factor).copied().unwrap_or(units[0]);
    format!("{}{name}", amount / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written() {
        for (text, ms) in [
            ("500ms", 500),
            ("60s", 60_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("30d", 2_592_000_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for (ms, text) in [(500, "500ms"), (60_000, "1m"), (90_000, "90s"), (86_400_000, "1d"), (0, "0s")] {
            assert_eq!(format(Duration::from_millis(ms)), text);
        }
        assert_eq!(parse("5 m"), Ok(Duration::from_secs(300)));
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "60",
            "s",
            "-1s",
            "1.5h",
            "60x",
            "60 seconds",
            "99999999999999999999s",
            "18446744073709551615d",
            "６0s",
        ] {
            assert_eq!(parse(text), Err(DurationError(text.to_owned())));
        }
    }
}
