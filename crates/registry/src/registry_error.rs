//! Every error of a load, with its place: what stands there and what would do.

use std::fmt;

use crate::finding::{Findings, place_of};

/// How many errors of a load are kept with their places; the others are counted.
pub const ERRORS_KEPT_MAX: usize = 100;

/// One error in a file of the registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {found}; {help}")]
pub struct RegistryError {
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

/// All errors of a load, in the order of files and places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryErrors {
    /// The first [`ERRORS_KEPT_MAX`].
    pub first: Vec<RegistryError>,
    /// All of them.
    pub total: usize,
}

impl RegistryErrors {
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    pub(crate) fn add(&mut self, file: &str, text: &str, mut findings: Findings) {
        self.total += findings.total;
        findings.kept.sort_by_key(|finding| finding.at);
        let room = ERRORS_KEPT_MAX - self.first.len();
        for finding in findings.kept.into_iter().take(room) {
            let (line, column) = place_of(text, finding.at);
            let (found, help) = (finding.found, finding.help);
            self.first.push(RegistryError { file: file.to_owned(), line, column, found, help });
        }
    }
}

impl std::error::Error for RegistryErrors {}

impl fmt::Display for RegistryErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.first.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        match self.total - self.first.len() {
            0 => Ok(()),
            more => write!(f, "\nand {more} more errors in the registry"),
        }
    }
}
