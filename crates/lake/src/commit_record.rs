//! One decided range of a log partition, as it stands in `_commits`: JSON, written once, never changed.
//!
//! Invariant: `first < next`, and what the counts say of the range adds up to the records that it had.

use std::path::PathBuf;

use model::LogId;
use serde::{Deserialize, Serialize};

use crate::layout::{Source, Table};

/// Version of the record's own form.
pub const COMMIT_RECORD_VERSION: u32 = 1;

/// What became of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeKind {
    /// Its records are in the files.
    Landed,
    /// The log did not hold it any more: nothing of it will ever be here.
    Gap,
}

/// What the records of a range were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Telemetry messages that became rows.
    pub messages: u64,
    /// Rows of telemetry: readings of those messages.
    pub rows: u64,
    /// Telemetry messages that the repeat window knew.
    pub repeats: u64,
    /// Records that are no telemetry; each is a row of the control table.
    pub control: u64,
    /// Records that do not parse; each was copied to the dead letters.
    pub undecodable: u64,
}

impl Counts {
    /// Records of the log that the range had.
    pub fn records(&self) -> u64 {
        self.messages + self.repeats + self.control + self.undecodable
    }

    pub(crate) fn add(&mut self, other: &Counts) {
        self.messages += other.messages;
        self.rows += other.rows;
        self.repeats += other.repeats;
        self.control += other.control;
        self.undecodable += other.undecodable;
    }
}

/// One file of a range. Paths are relative to the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedFile {
    pub table: Table,
    pub staged: PathBuf,
    #[serde(rename = "final")]
    pub published: PathBuf,
    pub rows: u64,
    pub bytes: u64,
    /// Lower-case hex digits.
    pub sha256: String,
}

/// A link of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRecord {
    pub version: u32,
    pub kind: RangeKind,
    #[serde(with = "log_id_text")]
    pub log_id: LogId,
    pub log_partition: u32,
    /// First offset of the range.
    pub first: i64,
    /// Offset after the range: where the next record begins.
    pub next: i64,
    /// Random per process start.
    pub writer: String,
    /// The partition clock at `next`, microseconds since 1970-01-01T00:00:00Z; 0 before the first record.
    pub clock_us: i64,
    /// The writer's wall clock, microseconds since 1970-01-01T00:00:00Z; nothing is decided by it.
    pub committed_at_us: i64,
    pub counts: Counts,
    pub files: Vec<CommittedFile>,
}

impl CommitRecord {
    pub fn source(&self) -> Source {
        Source { log_id: self.log_id, log_partition: self.log_partition }
    }

    /// Reads a record that stands at `first` of `source`.
    pub(crate) fn parse(bytes: &[u8], source: Source, first: i64) -> Result<Self, String> {
        let record: CommitRecord = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if record.version > COMMIT_RECORD_VERSION {
            return Err(format!(
                "version {}, this build understands up to {COMMIT_RECORD_VERSION}",
                record.version
            ));
        }
        if record.source() != source || record.first != first {
            return Err(format!(
                "it is of log {} partition {} offset {}, its name says otherwise",
                record.log_id, record.log_partition, record.first
            ));
        }
        if record.next <= record.first {
            return Err(format!("its range {}..{} is empty", record.first, record.next));
        }
        Ok(record)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a struct of numbers, texts and UTF-8 paths of our own making")
    }
}

mod log_id_text {
    use model::LogId;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(id: &LogId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LogId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> CommitRecord {
        CommitRecord {
            version: 1,
            kind: RangeKind::Landed,
            log_id: LogId([0xab; 16]),
            log_partition: 3,
            first: 5,
            next: 9,
            writer: "0f".to_owned(),
            clock_us: 1_000,
            committed_at_us: 2_000,
            counts: Counts { messages: 2, rows: 5, repeats: 1, control: 1, undecodable: 0 },
            files: vec![CommittedFile {
                table: Table::Telemetry,
                staged: "_staging/telemetry/x.inprogress".into(),
                published: "telemetry/domain=water/date=2026-11-24/x.parquet".into(),
                rows: 5,
                bytes: 100,
                sha256: "00".repeat(32),
            }],
        }
    }

    #[test]
    fn a_record_survives_its_text() {
        let record = record();
        assert_eq!(CommitRecord::parse(&record.to_bytes(), record.source(), 5), Ok(record.clone()));
        assert_eq!(record.counts.records(), 4);
        let json: serde_json::Value = serde_json::from_slice(&record.to_bytes()).unwrap();
        assert_eq!(json["files"][0]["final"], "telemetry/domain=water/date=2026-11-24/x.parquet");
        assert_eq!(json["log_id"], "ab".repeat(16));
    }

    #[test]
    fn a_record_that_is_not_what_its_name_says_is_refused() {
        let good = record();
        let source = good.source();
        let refused = [
            CommitRecord { version: 2, ..good.clone() },
            CommitRecord { first: 6, ..good.clone() },
            CommitRecord { log_partition: 4, ..good.clone() },
            CommitRecord { next: 5, ..good.clone() },
        ];
        for record in refused {
            assert!(CommitRecord::parse(&record.to_bytes(), source, 5).is_err(), "{record:?}");
        }
        assert!(CommitRecord::parse(b"{}", source, 5).is_err());
        assert!(CommitRecord::parse(b"", source, 5).is_err());
    }
}
