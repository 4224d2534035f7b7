//! What a lake is opened with, every limit with its default.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Called at the named steps of [`Step`]. A test ends the process or panics there, or returns the error that the
/// disk would have given.
pub type Failpoint = Arc<dyn Fn(Step) -> io::Result<()> + Send + Sync>;

/// The steps of a commit at which a [`Failpoint`] is called, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Nothing of the rest of the range is on disk yet.
    BeforeStage,
    /// The staged files are whole and synced.
    AfterStage,
    /// The commit record stands aside, synced, and is not linked.
    BeforeRecord,
    /// The commit record is durable: the range is decided.
    AfterRecord,
    /// Before each file is renamed into its table.
    BeforePublish,
    /// All files are in their tables, synced.
    AfterPublish,
}

impl Step {
    pub const ALL: [Step; 6] = [
        Step::BeforeStage,
        Step::AfterStage,
        Step::BeforeRecord,
        Step::AfterRecord,
        Step::BeforePublish,
        Step::AfterPublish,
    ];

    /// The name under which operators and tests set it.
    pub const fn name(self) -> &'static str {
        match self {
            Step::BeforeStage => "before_stage",
            Step::AfterStage => "after_stage",
            Step::BeforeRecord => "before_record",
            Step::AfterRecord => "after_record",
            Step::BeforePublish => "before_publish",
            Step::AfterPublish => "after_publish",
        }
    }
}

/// How a lake is opened.
#[derive(Clone)]
pub struct LakeConfig {
    pub root: PathBuf,
    /// Value of the column `tenant`.
    pub tenant: String,
    /// A range is committed when its staged files reach this many bytes together.
    pub roll_bytes: u64,
    /// A range is committed when it has this many rows, control rows included.
    pub roll_rows: u64,
    /// A range with rows is committed when it is this old.
    pub roll_age: Duration,
    /// A range without rows is committed when it is this old.
    pub roll_age_without_rows: Duration,
    /// Rows in memory over all log partitions; each may hold an equal share. Beyond it rows are encoded and staged.
    pub memory_bytes_max: usize,
    /// Table partitions that one log partition holds open; one more commits the range first.
    pub open_table_partitions_max: usize,
    /// For tests; `None` in service.
    pub failpoint: Option<Failpoint>,
}

impl LakeConfig {
    /// The defaults for a lake at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        LakeConfig {
            root: root.into(),
            tenant: "default".to_owned(),
            roll_bytes: 128 << 20,
            roll_rows: 10_000_000,
            roll_age: Duration::from_secs(60),
            roll_age_without_rows: Duration::from_secs(3600),
            memory_bytes_max: 64 << 20,
            open_table_partitions_max: 64,
            failpoint: None,
        }
    }
}

impl fmt::Debug for LakeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LakeConfig")
            .field("root", &self.root)
            .field("tenant", &self.tenant)
            .field("roll_bytes", &self.roll_bytes)
            .field("roll_rows", &self.roll_rows)
            .field("roll_age", &self.roll_age)
            .field("roll_age_without_rows", &self.roll_age_without_rows)
            .field("memory_bytes_max", &self.memory_bytes_max)
            .field("open_table_partitions_max", &self.open_table_partitions_max)
            .finish_non_exhaustive()
    }
}
