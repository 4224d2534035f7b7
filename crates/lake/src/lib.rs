//! The lake on local disk: records of the log become rows of Parquet that any reader opens, exactly once.
//!
//! [`Lake`] opens a root and hands out log partitions; a [`PartitionLander`] takes their records and commits ranges of
//! them. What has landed is decided by a chain of commit records in the lake itself (`_commits`), put if absent: two
//! writers on one log partition cannot both land a range, and a writer that died anywhere is continued by the next.
//! [`verify`] proves it, [`describe`] tells what is there, [`replay`] gives it back record by record.
//!
//! It knows the envelope and nothing of where records come from: no log, no gateway, no rules. Times are given to it.
//!
//! Invariants: below `telemetry/` and `control/` stands nothing but finished, synced files of decided ranges; ranges of
//! a log partition follow each other without gap or overlap; memory, open table partitions and file sizes have limits.

mod calendar;
mod chain;
mod chunk;
mod commit_record;
mod config;
mod control_rows;
mod describe;
mod disk;
mod error;
mod hybrid;
mod lake;
mod lander;
mod layout;
mod names;
mod open_range;
mod replay;
mod replay_message;
mod replay_rows;
mod row_group;
mod rows;
mod schema;
mod staged_file;
mod verify;

pub use commit_record::{COMMIT_RECORD_VERSION, CommitRecord, CommittedFile, Counts, RangeKind};
pub use config::{Failpoint, LakeConfig, Step};
pub use describe::{Description, LogPartitionState, TablePartitionState, describe, ranges};
pub use error::{Disposition, Error};
pub use lake::Lake;
pub use lander::{CommitOutcome, Committed, PartitionLander, Pushed, Start, Undecodable};
pub use layout::{Source, Table};
pub use replay::{DeviceFilter, ReplaySpan, WINDOW_ROWS_MAX, replay, sources};
pub use schema::SCHEMA_VERSION;
pub use verify::{Problem, Report, verify};
