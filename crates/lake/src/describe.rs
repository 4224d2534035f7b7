//! What a lake holds, told from its commit records alone. Reads only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::chain::Chain;
use crate::commit_record::{CommitRecord, Counts, RangeKind};
use crate::disk::Disk;
use crate::error::Error;
use crate::layout::{Source, Table};

/// Rows and files of one table partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePartitionState {
    pub table: Table,
    /// Directory relative to the root, such as `telemetry/domain=water/date=2026-11-24`.
    pub directory: PathBuf,
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
}

/// How far one log partition has landed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPartitionState {
    pub source: Source,
    /// The first offset that has not landed. What the log holds beyond it is the lag.
    pub next: i64,
    /// The partition clock there, microseconds since 1970-01-01T00:00:00Z.
    pub clock_us: i64,
    /// The wall clock of the last commit, microseconds since 1970-01-01T00:00:00Z.
    pub committed_at_us: i64,
    pub commits: u64,
    pub counts: Counts,
    /// Offsets that the log had lost before they landed.
    pub gap_offsets: u64,
}

/// What a lake holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    pub table_partitions: Vec<TablePartitionState>,
    pub log_partitions: Vec<LogPartitionState>,
}

/// Tells what the lake at `root` holds.
///
/// # Errors
/// The root cannot be read, or a commit record is broken.
pub fn describe(root: &Path) -> Result<Description, Error> {
    let disk = Disk::read_only(root);
    let mut table_partitions = BTreeMap::new();
    let mut log_partitions = Vec::new();
    for source in Chain::sources(&disk)? {
        let chain = Chain::new(&disk, source);
        let mut state = None;
        for first in chain.firsts()? {
            if let Some(record) = chain.read(first)? {
                add_files(&mut table_partitions, &record);
                add_record(state.get_or_insert_with(|| LogPartitionState::new(source)), &record);
            }
        }
        log_partitions.extend(state);
    }
    Ok(Description { table_partitions: table_partitions.into_values().collect(), log_partitions })
}

/// The commit records of one log partition from the one that holds `offset`, in order, for a replay from the lake.
///
/// # Errors
/// The root cannot be read, or a commit record is broken.
pub fn ranges(root: &Path, source: Source, offset: i64) -> Result<Vec<CommitRecord>, Error> {
    let disk = Disk::read_only(root);
    let chain = Chain::new(&disk, source);
    let firsts = chain.firsts()?;
    let holding = firsts.partition_point(|&first| first <= offset).saturating_sub(1);
    let mut records = Vec::new();
    for &first in firsts.iter().skip(holding) {
        records.extend(chain.read(first)?);
    }
    Ok(records)
}

fn add_files(states: &mut BTreeMap<(Table, PathBuf), TablePartitionState>, record: &CommitRecord) {
    for file in &record.files {
        let directory = file.published.parent().unwrap_or(Path::new("")).to_owned();
        let state = states.entry((file.table, directory.clone())).or_insert(TablePartitionState {
            table: file.table,
            directory,
            files: 0,
            rows: 0,
            bytes: 0,
        });
        state.files += 1;
        state.rows += file.rows;
        state.bytes += file.bytes;
    }
}

impl LogPartitionState {
    fn new(source: Source) -> Self {
        LogPartitionState {
            source,
            next: 0,
            clock_us: 0,
            committed_at_us: 0,
            commits: 0,
            counts: Counts::default(),
            gap_offsets: 0,
        }
    }
}

fn add_record(state: &mut LogPartitionState, record: &CommitRecord) {
    state.next = record.next;
    state.clock_us = record.clock_us;
    state.committed_at_us = record.committed_at_us;
    state.commits += 1;
    state.counts.add(&record.counts);
    if record.kind == RangeKind::Gap {
        state.gap_offsets += (record.next - record.first).unsigned_abs();
    }
}
