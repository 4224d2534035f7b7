//! What can go wrong with the lake, by what the caller does about it.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use model::{LogId, Position};

/// Failures of the lake.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// What the system holds of the file is not known any more: its range is read from the log again.
    #[error("sync {path}: {source}")]
    NotSynced { path: PathBuf, source: io::Error },
    /// A file could not be encoded: the range stays in memory.
    #[error("encode {path}: {source}")]
    Parquet { path: PathBuf, source: parquet::errors::ParquetError },
    /// The file system answers a second put-if-absent of a name as success: two writers could both win.
    #[error("{root} does not refuse a second file of the same name: it cannot hold a lake")]
    NoPutIfAbsent { root: PathBuf },
    /// The log no longer holds what comes next; `accept-gap` says that it is lost.
    #[error("log {log_id} partition {log_partition}: offsets {}..{} are not in the log any more and have not landed", missing.start, missing.end)]
    Gap { log_id: LogId, log_partition: u32, missing: Range<i64> },
    /// The log partition stops until this consumer is upgraded.
    #[error("record {position} has major version {found}: upgrade this consumer first")]
    NewerMajor { position: Position, found: u32 },
    /// A commit record does not say what it must: nothing is landed on top of it.
    #[error("commit record {path}: {what}")]
    BrokenRecord { path: PathBuf, what: String },
    /// A file of a commit record is neither staged nor in its table.
    #[error("{path} is neither staged as {staged} nor in its table")]
    MissingFile { path: PathBuf, staged: PathBuf },
    /// Undecodable records of the range have not been taken, so they are in no dead letter yet.
    #[error("{count} undecodable records were not taken before the commit")]
    UndecodableNotTaken { count: usize },
}

/// What a loop does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Call again, with backoff: nothing is lost.
    Retry,
    /// Stop that log partition and say why.
    Stop,
}

impl Error {
    pub fn disposition(&self) -> Disposition {
        match self {
            Error::Io { .. } | Error::NotSynced { .. } => Disposition::Retry,
            _ => Disposition::Stop,
        }
    }
}

/// Words an I/O error with what was done to which path.
pub(crate) fn io_error(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::Io { action, path, source }
}
