//! `[lake]`: where analysts read, and when files are closed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::Section;

/// `[lake]`.
#[derive(Clone, Debug)]
pub struct LakeSection {
    pub root: PathBuf,
    pub roll_bytes: u64,
    pub roll_rows: u32,
    pub roll_age: Duration,
    pub roll_age_without_rows: Duration,
    pub memory_bytes_max: u64,
    pub open_table_partitions_max: u32,
}

impl LakeSection {
    pub(super) fn read(s: &mut Section<'_>, data_dir: &Path) -> Self {
        let root = s.path("root", "", "Directory of the lake; {data_dir}/lake when not set.");
        let is_store = |root: &PathBuf| root.to_str().is_some_and(|root| root.contains("://"));
        if root.as_ref().is_some_and(is_store) {
            s.error("root", "an object store is not supported yet: give a directory");
        }
        let section = LakeSection {
            root: root.unwrap_or_else(|| data_dir.join("lake")),
            roll_bytes: s.size(
                "roll_bytes",
                "128MiB",
                "64KiB"..="8GiB",
                "A range is committed when its files reach this size.",
            ),
            roll_rows: s.count(
                "roll_rows",
                10_000_000,
                1..=1_000_000_000,
                "A range is committed at this many rows.",
            ),
            roll_age: s.duration(
                "roll_age",
                "60s",
                "100ms"..="24h",
                "A range with rows is committed when it is this old: how far the lake may be behind.",
            ),
            roll_age_without_rows: s.duration(
                "roll_age_without_rows",
                "1h",
                "1s"..="1h",
                "A range without rows is committed when it is this old.",
            ),
            memory_bytes_max: s.size(
                "memory_bytes_max",
                "64MiB",
                "8MiB"..="64GiB",
                "Rows in memory over all log partitions; past it they are encoded early.",
            ),
            open_table_partitions_max: s.count(
                "open_table_partitions_max",
                64,
                1..=4096,
                "Table partitions that one log partition holds open.",
            ),
        };
        if section.roll_age > section.roll_age_without_rows {
            s.error("roll_age", "is not longer than roll_age_without_rows: a range with rows is the one that somebody waits for");
        }
        section
    }
}
