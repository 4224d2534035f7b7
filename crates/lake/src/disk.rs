//! The lake's files on local disk: every read, write, rename and sync under the root goes through here, and so does
//! the word of what is wrong with the disk. Knows nothing of ranges, records or rows.
//!
//! Invariants: what is put is put once and whole (written aside, synced, linked); a directory that got a name is synced
//! before anything depends on the name.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::config::{Failpoint, Step};
use crate::error::{Error, io_error};
use crate::layout::{Layout, Table};

/// The root directory. All paths given are relative to it.
pub(crate) struct Disk {
    root: PathBuf,
    failpoint: Option<Failpoint>,
    /// What the last write came to, while that is bad.
    trouble: Mutex<Option<String>>,
}

impl Disk {
    /// Makes the lake's directories.
    pub(crate) fn open(root: &Path, failpoint: Option<Failpoint>) -> Result<Self, Error> {
        let disk = Disk { root: root.to_owned(), failpoint, trouble: Mutex::new(None) };
        fs::create_dir_all(root).map_err(io_error("create", root))?;
        for table in Table::ALL {
            disk.create_dirs(Path::new(table.name()))?;
            disk.create_dirs(&Layout::staging(table))?;
        }
        disk.create_dirs(Path::new(Layout::ASIDE))?;
        disk.create_dirs(Path::new(Layout::COMMITS))?;
        Ok(disk)
    }

    /// For looking only: nothing is made.
    pub(crate) fn read_only(root: &Path) -> Self {
        Disk { root: root.to_owned(), failpoint: None, trouble: Mutex::new(None) }
    }

    pub(crate) fn path(&self, relative: &Path) -> PathBuf {
        self.root.join(relative)
    }

    /// Calls the failpoint; an error it returns is worded as one of the disk.
    pub(crate) fn reach(&self, step: Step) -> Result<(), Error> {
        let Some(failpoint) = &self.failpoint else { return Ok(()) };
        failpoint(step).map_err(io_error(step.name(), &self.root))
    }

    /// Why nothing can be written now, as far as the last try says.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Notes how a write went.
    pub(crate) fn note<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        *self.trouble.lock() = result.as_ref().err().map(ToString::to_string);
        result
    }

    /// Makes a directory with its parents; each new name is synced.
    pub(crate) fn create_dirs(&self, relative: &Path) -> Result<(), Error> {
        let mut path = self.root.clone();
        for part in relative {
            let parent = path.clone();
            path.push(part);
            match fs::create_dir(&path) {
                Ok(()) => sync_directory(&parent)?,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io_error("create", path)(error)),
            }
        }
        Ok(())
    }

    pub(crate) fn sync_dir(&self, relative: &Path) -> Result<(), Error> {
        sync_directory(&self.path(relative))
    }

    /// Puts `bytes` under `name` unless it exists, and answers whether it did. Either way the name is durable then.
    pub(crate) fn put_if_absent(&self, aside: &Path, name: &Path, bytes: &[u8]) -> Result<bool, Error> {
        let (aside, path) = (self.path(aside), self.path(name));
        let mut file = File::create(&aside).map_err(io_error("create", &aside))?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io_error("write", &aside))?;
        self.reach(Step::BeforeRecord)?;
        let is_put = match fs::hard_link(&aside, &path) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
            Err(error) => return Err(io_error("link", path)(error)),
        };
        fs::remove_file(&aside).map_err(io_error("remove", &aside))?;
        sync_directory(path.parent().unwrap_or(&self.root))?;
        Ok(is_put)
    }

    /// A file's bytes; `None` when there is none.
    pub(crate) fn read(&self, relative: &Path) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path(relative);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("read", path)(error)),
        }
    }

    /// Names in a directory; none when there is no such directory.
    pub(crate) fn list(&self, relative: &Path) -> Result<Vec<String>, Error> {
        let path = self.path(relative);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error("list", path)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(io_error("list", &path))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    /// Renames `from` to `to`; false when there is no `from`. The directory of `to` must exist and is not synced.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<bool, Error> {
        match fs::rename(self.path(from), self.path(to)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io_error("rename", self.path(from))(error)),
        }
    }

    /// Size of a file; `None` when there is none.
    pub(crate) fn size(&self, relative: &Path) -> Result<Option<u64>, Error> {
        let path = self.path(relative);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("stat", path)(error)),
        }
    }

    /// Removes a file that may be gone already.
    pub(crate) fn remove(&self, relative: &Path) -> Result<(), Error> {
        let path = self.path(relative);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error("remove", path)(error)),
            _ => Ok(()),
        }
    }

    /// Writes, links and removes as a commit does; a second put of the same name must be refused.
    pub(crate) fn probe(&self, writer: &str) -> Result<(), Error> {
        let aside = Path::new(Layout::STAGING).join(format!("probe-{writer}.aside"));
        let name = Path::new(Layout::STAGING).join(format!("probe-{writer}"));
        let first = self.link_probe(&aside, &name);
        let second = self.link_probe(&aside, &name);
        self.remove(&name)?;
        self.remove(&aside)?;
        match (first?, second?) {
            (true, false) => Ok(()),
            _ => Err(Error::NoPutIfAbsent { root: self.root.clone() }),
        }
    }

    fn link_probe(&self, aside: &Path, name: &Path) -> Result<bool, Error> {
        let (aside, path) = (self.path(aside), self.path(name));
        let mut file = File::create(&aside).map_err(io_error("create", &aside))?;
        // Some bytes, since a full disk still takes empty files.
        file.write_all(&[0; 4096]).and_then(|()| file.sync_all()).map_err(io_error("write", &aside))?;
        match fs::hard_link(&aside, &path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(io_error("link", path)(error)),
        }
    }
}

fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(io_error("sync", path))
}

/// 16 hex digits, random per call: tells writers and files apart.
pub(crate) fn random_name() -> String {
    use std::hash::{BuildHasher, Hasher};
    // RandomState is keyed by the operating system's random numbers once a thread and counts up from there.
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    format!("{:016x}", hasher.finish())
}
