//! Names and places under the lake's root. Pure: it makes and reads paths and touches no file.
//!
//! Invariant: below `telemetry/` and `control/` stands nothing but finished files, since no name is safe from every
//! reader there.

use std::path::{Path, PathBuf};

use model::LogId;

use crate::calendar::date_text;

/// Longest domain, bytes.
const DOMAIN_BYTES_MAX: usize = 32;

/// The tables of a lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// One row a reading.
    Telemetry,
    /// One row a record that is no telemetry.
    Control,
}

impl Table {
    pub const ALL: [Table; 2] = [Table::Telemetry, Table::Control];

    /// Directory of the table under the root.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Telemetry => "telemetry",
            Table::Control => "control",
        }
    }
}

/// One log partition of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    pub log_id: LogId,
    pub log_partition: u32,
}

/// Where things stand under the root. Paths are relative to it.
#[derive(Clone, Debug)]
pub(crate) struct Layout;

impl Layout {
    pub(crate) const COMMITS: &'static str = "_commits/telemetry";
    pub(crate) const STAGING: &'static str = "_staging";
    /// Commit records before they are linked; on the same file system as their place.
    pub(crate) const ASIDE: &'static str = "_staging/commits";

    pub(crate) fn staging(table: Table) -> PathBuf {
        Path::new(Self::STAGING).join(table.name())
    }

    /// A table partition of telemetry. The domain must be safe, see [`is_safe_domain`].
    pub(crate) fn telemetry_partition(domain: &str, day: i32) -> PathBuf {
        Path::new(Table::Telemetry.name())
            .join(format!("domain={domain}"))
            .join(format!("date={}", date_text(day)))
    }

    pub(crate) fn control_partition(day: i32) -> PathBuf {
        Path::new(Table::Control.name()).join(format!("date={}", date_text(day)))
    }

    /// A finished file's name in its table partition.
    pub(crate) fn file_name(source: Source, first: i64, index: usize) -> String {
        format!("{}-{}-{first}-{index}.parquet", source.log_id, source.log_partition)
    }

    pub(crate) fn staged(table: Table, source: Source, first: i64, writer: &str, index: usize) -> PathBuf {
        let Source { log_id, log_partition } = source;
        Self::staging(table).join(format!("{log_id}-{log_partition}-{first}-{writer}-{index}.inprogress"))
    }

    /// Directory of the commit records of one log partition.
    pub(crate) fn chain(source: Source) -> PathBuf {
        Path::new(Self::COMMITS).join(source.log_id.to_string()).join(source.log_partition.to_string())
    }

    pub(crate) fn record(source: Source, first: i64) -> PathBuf {
        Self::chain(source).join(format!("{first:020}.json"))
    }

    pub(crate) fn aside(source: Source, first: i64, writer: &str) -> PathBuf {
        let Source { log_id, log_partition } = source;
        Path::new(Self::ASIDE).join(format!("{log_id}-{log_partition}-{first:020}-{writer}.aside"))
    }
}

/// The start of the range that a commit record's file name says.
pub(crate) fn record_first(file_name: &str) -> Option<i64> {
    let digits = file_name.strip_suffix(".json")?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// What the name of a staged file, or of a commit record aside, says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StagedName {
    pub(crate) source: Source,
    pub(crate) first: i64,
    pub(crate) writer: String,
}

impl StagedName {
    pub(crate) fn parse(file_name: &str) -> Option<Self> {
        let (name, parts_wanted) = match file_name.strip_suffix(".inprogress") {
            Some(name) => (name, 5),
            None => (file_name.strip_suffix(".aside")?, 4),
        };
        let parts: Vec<&str> = name.split('-').collect();
        if parts.len() != parts_wanted {
            return None;
        }
        let source = Source { log_id: parts[0].parse().ok()?, log_partition: parts[1].parse().ok()? };
        Some(StagedName { source, first: parts[2].parse().ok()?, writer: parts[3].to_owned() })
    }
}

/// True for a domain that may stand in a path: `[a-z0-9_]{1,32}`.
pub(crate) fn is_safe_domain(domain: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !domain.is_empty() && domain.len() <= DOMAIN_BYTES_MAX && domain.bytes().all(is_safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Source = Source { log_id: LogId([0xab; 16]), log_partition: 3 };

    #[test]
    fn names_are_those_of_the_contract() {
        let log_id = "ab".repeat(16);
        let cases = [
            (
                Layout::telemetry_partition("water", 20_781),
                "telemetry/domain=water/date=2026-11-24".to_owned(),
            ),
            (Layout::control_partition(0), "control/date=1970-01-01".to_owned()),
            (
                Layout::staged(Table::Control, SOURCE, 7, "0f", 1),
                format!("_staging/control/{log_id}-3-7-0f-1.inprogress"),
            ),
            (Layout::record(SOURCE, 7), format!("_commits/telemetry/{log_id}/3/00000000000000000007.json")),
        ];
        for (path, text) in cases {
            assert_eq!(path, Path::new(&text));
        }
        assert_eq!(Layout::file_name(SOURCE, 7, 2), format!("{log_id}-3-7-2.parquet"));
    }

    #[test]
    fn names_are_read_back() {
        let staged = Layout::staged(Table::Telemetry, SOURCE, 7, "0f", 1);
        let name = staged.file_name().and_then(|name| name.to_str()).unwrap();
        let expected = StagedName { source: SOURCE, first: 7, writer: "0f".to_owned() };
        assert_eq!(StagedName::parse(name), Some(expected.clone()));
        let aside = Layout::aside(SOURCE, 7, "0f");
        assert_eq!(
            aside.file_name().and_then(|name| name.to_str()).and_then(StagedName::parse),
            Some(expected)
        );
        assert_eq!(record_first("00000000000000000007.json"), Some(7));
        for other in [
            "7.json",
            "00000000000000000007.json.aside",
            "0000000000000000000x.json",
            "99999999999999999999.json",
        ] {
            assert_eq!(record_first(other), None, "{other}");
        }
        for other in ["x.inprogress", "a-b-c-d-e.inprogress", "probe"] {
            assert_eq!(StagedName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn only_safe_domains_stand_in_a_path() {
        for domain in ["water", "a", "0_9", &"x".repeat(32)] {
            assert!(is_safe_domain(domain), "{domain}");
        }
        for domain in ["", "..", "a/b", "Water", "a b", "水", "a=b", &"x".repeat(33)] {
            assert!(!is_safe_domain(domain), "{domain}");
        }
    }
}
