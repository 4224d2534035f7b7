//! A limit as people write it: `2.5 m`, a decimal number and its unit.

use model::registry::Threshold;
use model::unit;

/// Reads a limit; the unit may be left out for a metric that has none.
///
/// # Errors
/// What stands there and what would do.
pub(crate) fn parse(text: &str) -> Result<Threshold, (String, String)> {
    let text = text.trim();
    let (number, unit_text) = match text.find(char::is_whitespace) {
        Some(at) => (&text[..at], text[at..].trim_start()),
        None => (text, ""),
    };
    // Any unit will do to see whether the number is one.
    let meter = unit::find("m").expect("the unit of length is in the table");
    if unit::convert_decimal(number, meter, meter).is_none() {
        return Err((
            format!("{text:?}, which is no number with a unit"),
            "a decimal number, a space and a unit would do, as in 2.5 m".to_owned(),
        ));
    }
    if !unit_text.is_empty() && unit::find(unit_text).is_none() {
        return Err((
            format!("the unit {unit_text:?}, which this version does not know"),
            "a UCUM code would do, as in m, cm, Cel, %, ug/m3".to_owned(),
        ));
    }
    Ok(Threshold { number: number.to_owned(), unit: unit_text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept_as_written() {
        for (text, number, unit) in [
            ("2.5 m", "2.5", "m"),
            (" 70  cm ", "70", "cm"),
            ("-40 degF", "-40", "degF"),
            ("3", "3", ""),
            ("1e3 mm", "1e3", "mm"),
        ] {
            let expected = Threshold { number: number.to_owned(), unit: unit.to_owned() };
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_limits() {
        for text in ["", "m", "2.5m", "high", "2,5 m", "2.5 furlong", "nan m", "inf", "1e99 m"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
