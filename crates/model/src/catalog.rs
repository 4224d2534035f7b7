//! The metric catalog: canonical names with their units, and the names that sensors use for them. Ships as data, `catalog.toml`;
//! the config may add to it.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use serde::Deserialize;

use crate::unit::{self, Unit};

const SHIPPED: &str = include_str!("../catalog.toml");

/// Longest metric name, bytes of UTF-8.
pub const METRIC_BYTES_MAX: usize = 128;

/// What the values of a metric are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    #[default]
    Number,
    Text,
    Boolean,
}

/// One metric of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricInfo {
    /// Canonical name.
    pub name: String,
    pub kind: MetricKind,
    /// The unit in which its readings stand in the log; `None` where it has none.
    pub unit: Option<&'static Unit>,
}

/// Canonical metrics by all of their names.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    metrics: Vec<MetricInfo>,
    by_name: HashMap<String, u32>,
}

/// What is wrong with a catalog text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct CatalogError {
    /// From 1.
    pub line: usize,
    pub what: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    metric: BTreeMap<toml::Spanned<String>, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    unit: Option<String>,
    #[serde(default)]
    kind: MetricKind,
    #[serde(default)]
    aliases: Vec<String>,
}

impl Catalog {
    /// The catalog that ships with this version.
    pub fn shipped() -> Self {
        let mut catalog = Catalog::default();
        let errors = catalog.extend(SHIPPED);
        debug_assert_eq!(errors, [], "a test loads the shipped catalog");
        catalog
    }

    /// The shipped catalog and what a text of the same form adds.
    ///
    /// # Errors
    /// Everything that is wrong with the text: its form, a unit that is not known, a name or alias that exists already.
    pub fn with_extension(text: &str) -> Result<Self, Vec<CatalogError>> {
        let mut catalog = Catalog::shipped();
        let errors = catalog.extend(text);
        if errors.is_empty() { Ok(catalog) } else { Err(errors) }
    }

    fn extend(&mut self, text: &str) -> Vec<CatalogError> {
        let line_of = |at: usize| text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
        let file: File = match toml::from_str(text) {
            Ok(file) => file,
            Err(error) => {
                let line = error.span().map_or(1, |span| line_of(span.start));
                return vec![CatalogError { line, what: error.message().to_owned() }];
            }
        };
        let mut errors = Vec::new();
        for (name, entry) in file.metric {
            let line = line_of(name.span().start);
            if let Err(what) = self.add(name.into_inner(), entry) {
                errors.push(CatalogError { line, what });
            }
        }
        errors.sort_by_key(|error| error.line);
        errors
    }

    fn add(&mut self, name: String, entry: Entry) -> Result<(), String> {
        let unit = match entry.unit {
            None => None,
            Some(code) => Some(
                unit::find(&code).ok_or_else(|| format!("{code:?} is no unit that this version knows"))?,
            ),
        };
        if unit.is_some() && entry.kind != MetricKind::Number {
            return Err(format!("{name} has a unit, so its values are numbers"));
        }
        check_name(&name)?;
        let number = u32::try_from(self.metrics.len()).map_err(|_| "too many metrics".to_owned())?;
        for known in std::iter::once(&name).chain(&entry.aliases) {
            if self.by_name.insert(known.clone(), number).is_some() {
                return Err(format!("the name {known:?} stands there already"));
            }
        }
        self.metrics.push(MetricInfo { name, kind: entry.kind, unit });
        Ok(())
    }

    /// The metric of a canonical name or an alias.
    #[inline]
    pub fn find(&self, name: &str) -> Option<&MetricInfo> {
        self.by_name.get(name).map(|number| &self.metrics[*number as usize])
    }

    pub fn metrics(&self) -> &[MetricInfo] {
        &self.metrics
    }

    /// The name or alias that is most like this one, at most a third of its letters away.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        let letters_max = (name.chars().count() / 3).max(1);
        let mut names: Vec<(usize, &str)> =
            self.by_name.keys().map(|known| (distance(name, known), known.as_str())).collect();
        names.sort_unstable();
        names.first().filter(|(letters, _)| *letters <= letters_max).map(|(_, known)| *known)
    }
}

/// Checks a metric's name: not empty, at most [`METRIC_BYTES_MAX`] bytes, no control character.
///
/// # Errors
/// Which of these does not hold.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("a metric's name is not empty".to_owned());
    }
    if name.len() > METRIC_BYTES_MAX {
        return Err(format!("a metric's name has at most {METRIC_BYTES_MAX} bytes, found {}", name.len()));
    }
    // Names of the field are ASCII nearly always; the rest takes the slow way, which also words the error.
    if name.bytes().fold(true, |is_plain, byte| is_plain & (b' '..=b'~').contains(&byte)) {
        return Ok(());
    }
    match name.chars().find(|c| c.is_control()) {
        Some(found) => Err(format!("a metric's name does not contain {found:?}")),
        None => Ok(()),
    }
}

/// Levenshtein distance in letters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (to_at, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[to_at + 1];
            row[to_at + 1] = replaced.min(diagonal + 1).min(row[to_at] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_catalog_loads_whole() {
        let mut catalog = Catalog::default();
        assert_eq!(catalog.extend(SHIPPED), []);
        assert_eq!(catalog.find("pm25").unwrap().name, "pm2_5");
        assert_eq!(catalog.find("water_level").unwrap().unit.unwrap().code, "m");
        assert_eq!(catalog.find("status").unwrap().kind, MetricKind::Text);
        assert!(catalog.find("waterlevel").is_none());
    }

    #[test]
    fn an_extension_adds_and_its_errors_are_all_said() {
        let catalog =
            Catalog::with_extension("[metric]\nbikes = { unit = \"{count}\", aliases = [\"bike_count\"] }")
                .unwrap();
        assert_eq!(catalog.find("bike_count").unwrap().name, "bikes");

        let errors = Catalog::with_extension(
            "[metric]\na = { unit = \"furlong\" }\ntemp = {}\nb = { kind = \"text\", unit = \"m\" }",
        )
        .unwrap_err();
        let lines: Vec<_> = errors.iter().map(|error| error.line).collect();
        assert_eq!(lines, [2, 3, 4], "{errors:?}");
        assert_eq!(Catalog::with_extension("[metric]\nx = 1").unwrap_err()[0].line, 2);
    }

    #[test]
    fn the_nearest_name_is_offered() {
        let catalog = Catalog::shipped();
        assert_eq!(catalog.nearest("watr_level"), Some("water_level"));
        assert_eq!(catalog.nearest("zzzzzz"), None);
    }
}
