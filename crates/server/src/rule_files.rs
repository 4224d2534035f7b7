//! The rule files of `[rules] paths`: found, read, and seen again when they change.
//!
//! Half-written files do not load, and the set in force stays.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::file_watch::FileWatch;

/// The files named by the config: a folder stands for the `*.toml` in it.
#[derive(Clone, Debug)]
pub struct RuleFiles {
    paths: Vec<PathBuf>,
    watch: FileWatch,
}

/// A path of the config could not be read.
#[derive(Debug, thiserror::Error)]
#[error("rules: {path}: {source}")]
pub struct RuleFilesError {
    pub path: PathBuf,
    pub source: io::Error,
}

impl RuleFiles {
    pub fn new(paths: Vec<PathBuf>) -> Self {
        RuleFiles { paths, watch: FileWatch::default() }
    }

    /// Name and text of every file, in the order of their names.
    ///
    /// # Errors
    /// A file or folder cannot be read.
    pub fn read(&self) -> Result<Vec<(String, String)>, RuleFilesError> {
        self.list()?
            .into_iter()
            .map(|path| {
                let text = fs::read_to_string(&path).map_err(at(&path))?;
                Ok((path.display().to_string(), text))
            })
            .collect()
    }

    /// True when the files differ from those at the last call; the first call only looks.
    ///
    /// # Errors
    /// A file or folder cannot be read.
    pub fn have_changed(&mut self) -> Result<bool, RuleFilesError> {
        let files = self.list()?;
        self.watch.have_changed(files).map_err(|(path, source)| RuleFilesError { path, source })
    }

    fn list(&self) -> Result<Vec<PathBuf>, RuleFilesError> {
        let mut files = Vec::new();
        for path in &self.paths {
            if path.is_dir() {
                for entry in fs::read_dir(path).map_err(at(path))? {
                    let file = entry.map_err(at(path))?.path();
                    if file.extension().is_some_and(|extension| extension == "toml") {
                        files.push(file);
                    }
                }
            } else {
                files.push(path.clone());
            }
        }
        files.sort();
        files.dedup();
        Ok(files)
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> RuleFilesError {
    let path = path.to_owned();
    move |source| RuleFilesError { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stands_for_its_toml_files_and_a_change_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        file("b.toml", "b");
        file("a.toml", "a");
        file("notes.txt", "no rule");
        let mut files = RuleFiles::new(vec![folder.path().to_owned()]);
        let texts: Vec<_> = files.read().unwrap().into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["a", "b"]);

        assert!(!files.have_changed().unwrap());
        assert!(!files.have_changed().unwrap());
        file("a.toml", "longer");
        assert!(files.have_changed().unwrap());
        assert!(!files.have_changed().unwrap());
        fs::remove_file(folder.path().join("b.toml")).unwrap();
        assert!(files.have_changed().unwrap());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = RuleFiles::new(vec!["/no/such/rules.toml".into()]).read().unwrap_err();
        assert!(error.to_string().contains("/no/such/rules.toml"));
    }
}
