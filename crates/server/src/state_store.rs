//! The evaluator's durable state beside the lake: rule sets in the order in which they were made, and snapshots of each
//! log partition. Owns `{lake root}/_state`; knows nothing of what the bytes mean.
//!
//! Invariants: a name is put once and never changed; what is listed is whole, since it is written aside and linked.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use model::LogId;

/// Snapshots kept for each log partition: the newest, and one before it in case that does not open.
const SNAPSHOTS_KEPT: usize = 2;

/// The `_state` folder of one lake.
#[derive(Clone, Debug)]
pub struct StateStore {
    root: PathBuf,
}

/// The state could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{action} {path}: {source}")]
pub struct StateStoreError {
    pub action: &'static str,
    pub path: PathBuf,
    pub source: io::Error,
}

impl StateStore {
    pub fn new(lake_root: &Path) -> Self {
        StateStore { root: lake_root.join("_state") }
    }

    /// The numbers of the rule sets, rising.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn rule_set_numbers(&self) -> Result<Vec<u64>, StateStoreError> {
        numbers(&self.root.join("rulesets"))
    }

    /// Puts rule set `n` if there is none yet; false when there is.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn put_rule_set(&self, n: u64, bytes: &[u8]) -> Result<bool, StateStoreError> {
        put_if_absent(&self.root.join("rulesets"), &format!("{n:020}"), bytes)
    }

    /// # Errors
    /// There is none, or it cannot be read.
    pub fn rule_set(&self, n: u64) -> Result<Vec<u8>, StateStoreError> {
        read(&self.root.join("rulesets").join(format!("{n:020}")))
    }

    /// The positions of the snapshots of a log partition, newest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn snapshot_positions(&self, log_id: LogId, partition: u32) -> Result<Vec<i64>, StateStoreError> {
        let mut positions: Vec<i64> = numbers(&self.snapshot_folder(log_id, partition))?
            .into_iter()
            .filter_map(|position| i64::try_from(position).ok())
            .collect();
        positions.reverse();
        Ok(positions)
    }

    /// # Errors
    /// There is none, or it cannot be read.
    pub fn snapshot(&self, log_id: LogId, partition: u32, position: i64) -> Result<Vec<u8>, StateStoreError> {
        read(&self.snapshot_folder(log_id, partition).join(format!("{position:020}")))
    }

    /// Puts a snapshot, removes those that are no longer kept, and returns the oldest kept position.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn put_snapshot(
        &self,
        log_id: LogId,
        partition: u32,
        position: i64,
        bytes: &[u8],
    ) -> Result<i64, StateStoreError> {
        let folder = self.snapshot_folder(log_id, partition);
        put_if_absent(&folder, &format!("{position:020}"), bytes)?;
        let positions = self.snapshot_positions(log_id, partition)?;
        for old in positions.iter().skip(SNAPSHOTS_KEPT) {
            let path = folder.join(format!("{old:020}"));
            fs::remove_file(&path).map_err(at("remove", &path))?;
        }
        Ok(positions.into_iter().take(SNAPSHOTS_KEPT).min().unwrap_or(position))
    }

    fn snapshot_folder(&self, log_id: LogId, partition: u32) -> PathBuf {
        self.root.join("rules").join(log_id.to_string()).join(partition.to_string())
    }
}

fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateStoreError {
    let path = path.to_owned();
    move |source| StateStoreError { action, path, source }
}

fn read(path: &Path) -> Result<Vec<u8>, StateStoreError> {
    fs::read(path).map_err(at("read", path))
}

/// The numbers among the file names of a folder, rising; a folder that is not there holds none.
fn numbers(folder: &Path) -> Result<Vec<u64>, StateStoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at("list", folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(at("list", folder))?;
        if let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            found.push(number);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Writes aside, syncs, and links under the name, which fails when the name exists.
fn put_if_absent(folder: &Path, name: &str, bytes: &[u8]) -> Result<bool, StateStoreError> {
    fs::create_dir_all(folder).map_err(at("create", folder))?;
    let aside = folder.join(format!("{name}.{:016x}.aside", rand_suffix()));
    let mut file = File::create(&aside).map_err(at("create", &aside))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at("write", &aside))?;
    let path = folder.join(name);
    let linked = fs::hard_link(&aside, &path);
    fs::remove_file(&aside).map_err(at("remove", &aside))?;
    match linked {
        Ok(()) => {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(at("sync", folder))?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(at("link", &path)(error)),
    }
}

/// Keeps two writers' files aside apart.
fn rand_suffix() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_set_is_put_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateStore::new(folder.path());
        assert!(store.rule_set_numbers().unwrap().is_empty());
        assert!(store.put_rule_set(1, b"one").unwrap());
        assert!(!store.put_rule_set(1, b"other").unwrap());
        assert!(store.put_rule_set(10, b"ten").unwrap());
        assert_eq!(store.rule_set_numbers().unwrap(), [1, 10]);
        assert_eq!(store.rule_set(1).unwrap(), b"one");
        assert!(store.rule_set(2).is_err());
    }

    #[test]
    fn the_last_two_snapshots_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateStore::new(folder.path());
        let log_id = LogId([7; 16]);
        let oldest: Vec<i64> =
            [5, 9, 12].map(|position| store.put_snapshot(log_id, 3, position, b"state").unwrap()).into();
        assert_eq!(oldest, [5, 5, 9]);
        assert_eq!(store.snapshot_positions(log_id, 3).unwrap(), [12, 9]);
        assert_eq!(store.snapshot(log_id, 3, 9).unwrap(), b"state");
        assert!(store.snapshot_positions(log_id, 4).unwrap().is_empty());
    }
}
