//! What is wrong in a rule file and where: every finding of a load, errors and warnings alike.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// One finding in a rule file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// What stands there.
    pub found: String,
    /// What would do.
    pub help: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic { file, line, column, found, help } = self;
        write!(f, "{file}:{line}:{column}: {found}; {help}")
    }
}

/// A finding by its byte range, before it is known in which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) span: Range<usize>,
    pub(crate) found: String,
    pub(crate) help: String,
}

impl Finding {
    pub(crate) fn new(span: Range<usize>, found: impl Into<String>, help: impl Into<String>) -> Self {
        Finding { span, found: found.into(), help: help.into() }
    }
}

/// Turns byte offsets of one file into lines and columns.
pub(crate) struct SourceText<'a> {
    file: &'a str,
    text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> SourceText<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        let after_newlines =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        SourceText { file, text, line_starts: std::iter::once(0).chain(after_newlines).collect() }
    }

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// The line of a finding, from 1.
    pub(crate) fn line(&self, finding: &Finding) -> u32 {
        self.line_starts.partition_point(|&start| start <= self.offset(finding)) as u32
    }

    pub(crate) fn diagnostic(&self, finding: Finding) -> Diagnostic {
        let (line, at) = (self.line(&finding), self.offset(&finding));
        let column = self.text[self.line_starts[line as usize - 1]..at].chars().count() + 1;
        Diagnostic {
            file: self.file.to_owned(),
            line,
            column: column as u32,
            found: finding.found,
            help: finding.help,
        }
    }

    fn offset(&self, finding: &Finding) -> usize {
        self.text.floor_char_boundary(finding.span.start.min(self.text.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters_from_one() {
        let source = SourceText::new("f", "ab\n井x\n");
        let place = |at: usize| {
            let found = source.diagnostic(Finding::new(at..at, "", ""));
            (found.line, found.column)
        };
        assert_eq!([0, 2, 3, 6, 8, 99].map(place), [(1, 1), (1, 3), (2, 1), (2, 2), (3, 1), (3, 1)]);
    }
}
