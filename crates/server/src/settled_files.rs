//! Files that have changed and rest: half a file that is still being written may well be a file, of fewer users.

use std::io;
use std::path::PathBuf;

use crate::file_watch::FileWatch;

/// The files as last looked at.
#[derive(Debug, Default)]
pub struct SettledFiles {
    watch: FileWatch,
    looks: Looks,
}

/// What the last look saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Looks {
    /// Nobody has looked: they may have changed meanwhile.
    #[default]
    None,
    Changing,
    Settled,
}

impl SettledFiles {
    /// True once when the files are as they were at the call before, and have changed before that or were never settled.
    ///
    /// # Errors
    /// One of them cannot be looked at; once it can, it counts as changed.
    pub fn have_settled(&mut self, paths: Vec<PathBuf>) -> Result<bool, (PathBuf, io::Error)> {
        let before = std::mem::replace(&mut self.looks, Looks::Changing);
        let has_changed = self.watch.have_changed(paths)?;
        if has_changed || before == Looks::None {
            return Ok(false);
        }
        self.looks = Looks::Settled;
        Ok(before == Looks::Changing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_has_settled_once_it_rests() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, "").unwrap();
        let mut files = SettledFiles::default();
        let mut look = || files.have_settled(vec![path.clone()]).map_err(|(_, error)| error.kind());
        assert_eq!([look(), look(), look()], [Ok(false), Ok(true), Ok(false)]);
        fs::write(&path, "12").unwrap();
        assert_eq!(look(), Ok(false));
        fs::write(&path, "123").unwrap();
        assert_eq!([look(), look(), look()], [Ok(false), Ok(true), Ok(false)]);
        fs::remove_file(&path).unwrap();
        assert_eq!([look(), look()], [Err(io::ErrorKind::NotFound); 2]);
        fs::write(&path, "1234").unwrap();
        assert_eq!([look(), look(), look()], [Ok(false), Ok(true), Ok(false)]);
    }
}
