//! Texts that name or describe something, as they may stand in a file of the registry.

use crate::finding::Findings;

/// Longest gateway id, model, asset id, external id and tag value, bytes.
pub const ATTRIBUTE_BYTES_MAX: usize = 256;
/// Longest NAME of `threshold.NAME`, `tag.NAME` and `id.NAME`, bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Tells what is wrong with a text. `text` is trimmed; `at` is its byte offset.
pub(crate) fn check(text: &str, at: usize, findings: &mut Findings) {
    if text.len() > ATTRIBUTE_BYTES_MAX {
        let found = format!("a text of {} bytes", text.len());
        findings.add(at, found, format!("at most {ATTRIBUTE_BYTES_MAX} would do"));
    } else if text.contains(char::is_control) {
        findings.add(at, format!("{text:?}"), "a text without control characters would do");
    } else if is_formula(text) {
        let help = "a text that no spreadsheet computes would do: an export is opened in one";
        findings.add(at, format!("the formula {text:?}"), help);
    }
}

/// Spreadsheets compute what begins with one of these. A sign before a digit is a number.
fn is_formula(text: &str) -> bool {
    let mut letters = text.chars();
    match letters.next() {
        Some('=' | '@') => true,
        Some('+' | '-') => letters.next().is_some_and(|next| !next.is_ascii_digit()),
        _ => false,
    }
}

/// What stands in rule files as an identifier.
pub(crate) fn is_name(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(is_letter)
}

/// What would do where [`is_name`] is false.
pub(crate) fn name_help() -> String {
    format!("letters, digits, _ and - would do, at most {NAME_BYTES_MAX}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_told_from_signs() {
        for text in ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-A1"] {
            assert!(is_formula(text), "{text}");
        }
        for text in ["-40", "+86 10", "", "-", "井盖-3", "a=b"] {
            assert!(!is_formula(text), "{text}");
        }
    }
}
