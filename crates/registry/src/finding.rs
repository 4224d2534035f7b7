//! What is wrong with one text, by byte offset: lines and columns are counted only for what will be shown.

use crate::registry_error::ERRORS_KEPT_MAX;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Byte offset in the text.
    pub(crate) at: usize,
    pub(crate) found: String,
    pub(crate) help: String,
}

/// The first findings of a text, and how many there are.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) kept: Vec<Finding>,
    pub(crate) total: usize,
}

impl Findings {
    pub(crate) fn add(&mut self, at: usize, found: impl Into<String>, help: impl Into<String>) {
        self.total += 1;
        if self.kept.len() < ERRORS_KEPT_MAX {
            self.kept.push(Finding { at, found: found.into(), help: help.into() });
        }
    }
}

/// Line and column of a byte offset, both from 1, the column in characters.
pub(crate) fn place_of(text: &str, at: usize) -> (u32, u32) {
    let before = &text[..text.floor_char_boundary(at.min(text.len()))];
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before[line_start..].trim_start_matches('\u{feff}').chars().count() + 1;
    // A text is far below 4 Gi lines or columns, see REGISTRY_FILE_BYTES_MAX.
    (line as u32, column as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters_from_one_without_the_byte_order_mark() {
        let text = "\u{feff}ab\n井x\n";
        assert_eq!(
            [0, 3, 4, 6, 9, 99].map(|at| place_of(text, at)),
            [(1, 1), (1, 1), (1, 2), (2, 1), (2, 2), (3, 1)]
        );
    }
}
