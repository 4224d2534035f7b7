//! What the lake holds, as JSON and as a table for people.

use std::fmt;
use std::path::Path;

use lake::{Description, LogPartitionState, Table, TablePartitionState};
use serde::Serialize;

/// The lake at one root.
#[derive(Clone, Debug, Serialize)]
pub struct LakeDescription {
    pub table_partitions: Vec<TablePartition>,
    pub log_partitions: Vec<LogPartition>,
}

/// One directory that readers see.
#[derive(Clone, Debug, Serialize)]
pub struct TablePartition {
    /// Relative to the root.
    pub directory: String,
    pub table: &'static str,
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
}

/// How far one log partition has landed.
#[derive(Clone, Debug, Serialize)]
pub struct LogPartition {
    pub log_id: String,
    pub log_partition: u32,
    /// First offset that has not landed.
    pub next: i64,
    /// The partition clock there: all that the log stamped before it is in the lake.
    pub complete_until: String,
    pub committed_at: String,
    pub commits: u64,
    pub messages: u64,
    pub rows: u64,
    pub repeats: u64,
    pub control: u64,
    pub undecodable: u64,
    /// Offsets that the log lost before they landed, as somebody has accepted.
    pub gap_offsets: u64,
}

/// Reads what the lake at `root` holds.
///
/// # Errors
/// The root cannot be read, or a commit record is broken.
pub fn describe(root: &Path) -> Result<LakeDescription, lake::Error> {
    let Description { table_partitions, log_partitions } = lake::describe(root)?;
    Ok(LakeDescription {
        table_partitions: table_partitions.into_iter().map(TablePartition::from).collect(),
        log_partitions: log_partitions.into_iter().map(LogPartition::from).collect(),
    })
}

impl From<TablePartitionState> for TablePartition {
    fn from(state: TablePartitionState) -> Self {
        TablePartition {
            directory: state.directory.display().to_string(),
            table: state.table.name(),
            files: state.files,
            rows: state.rows,
            bytes: state.bytes,
        }
    }
}

impl From<LogPartitionState> for LogPartition {
    fn from(state: LogPartitionState) -> Self {
        LogPartition {
            log_id: state.source.log_id.to_string(),
            log_partition: state.source.log_partition,
            next: state.next,
            complete_until: model::time::format_rfc3339(state.clock_us),
            committed_at: model::time::format_rfc3339(state.committed_at_us),
            commits: state.commits,
            messages: state.counts.messages,
            rows: state.counts.rows,
            repeats: state.counts.repeats,
            control: state.counts.control,
            undecodable: state.counts.undecodable,
            gap_offsets: state.gap_offsets,
        }
    }
}

impl fmt::Display for LakeDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<48} {:>7} {:>12} {:>12}", "table partition", "files", "rows", "bytes")?;
        for part in &self.table_partitions {
            writeln!(f, "{:<48} {:>7} {:>12} {:>12}", part.directory, part.files, part.rows, part.bytes)?;
        }
        let rows: u64 = self
            .table_partitions
            .iter()
            .filter(|part| part.table == Table::Telemetry.name())
            .map(|part| part.rows)
            .sum();
        writeln!(f, "{rows} rows of telemetry\n")?;
        writeln!(
            f,
            "{:<32} {:>4} {:>12} {:>12} {:>8} complete until",
            "log", "part", "next", "rows", "repeats"
        )?;
        for part in &self.log_partitions {
            let LogPartition { log_id, log_partition, next, rows, repeats, complete_until, .. } = part;
            writeln!(
                f,
                "{log_id:<32} {log_partition:>4} {next:>12} {rows:>12} {repeats:>8} {complete_until}"
            )?;
            if part.gap_offsets > 0 {
                writeln!(f, "{:>37} {} offsets were lost before they landed", "", part.gap_offsets)?;
            }
        }
        Ok(())
    }
}
