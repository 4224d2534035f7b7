//! Whether files have changed, by their names, sizes and times: a few system calls a look, on every file system.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

/// The files as last looked at.
#[derive(Clone, Debug, Default)]
pub struct FileWatch {
    seen: Option<Vec<Stamp>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl FileWatch {
    /// True when the files differ from those at the last call; the first call only looks.
    ///
    /// # Errors
    /// One of them is not there any more, or cannot be looked at.
    pub fn have_changed(&mut self, paths: Vec<PathBuf>) -> Result<bool, (PathBuf, io::Error)> {
        let mut stamps = Vec::with_capacity(paths.len());
        for path in paths {
            match fs::metadata(&path) {
                Ok(metadata) => {
                    stamps.push(Stamp { path, bytes: metadata.len(), modified: metadata.modified().ok() });
                }
                Err(error) => return Err((path, error)),
            }
        }
        let before = self.seen.replace(stamps);
        Ok(before.is_some_and(|before| Some(before) != self.seen))
    }
}
