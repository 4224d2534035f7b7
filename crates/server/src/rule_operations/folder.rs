//! The folder of `[rules] paths` in which rule files are put and removed: the whole set is loaded as it would be, and only
//! then a file is changed, at once or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rules::Loaded;

use crate::metric_catalog::SharedCatalog;
use crate::operations::OperationError;
use crate::registry_files::RegistryFiles;
use crate::rule_files::RuleFiles;
use crate::rule_loader::load_rules;

/// Longest name of a rule file, without its ending.
const NAME_BYTES_MAX: usize = 64;
const ENDING: &str = ".toml";

/// What a name that is none is told.
pub const RULE_FILE_NAME_HELP: &str =
    "a rule file's name is 1 to 64 of a-z, A-Z, 0-9, - and _, not beginning with - or _, and .toml";

/// Names that stand unescaped in a path, and that `rules.paths` finds.
pub fn is_rule_file_name(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(ENDING) else {
        return false;
    };
    (1..=NAME_BYTES_MAX).contains(&stem.len())
        && stem.starts_with(|first: char| first.is_ascii_alphanumeric())
        && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// What rule files are loaded with, and where they are put.
pub struct RuleFolder {
    pub paths: Vec<PathBuf>,
    pub registry_path: Option<PathBuf>,
    pub catalog: Arc<SharedCatalog>,
    pub time_zone: String,
    /// One change at a time, or two that are right alone could be wrong together.
    pub one_at_a_time: Mutex<()>,
}

impl RuleFolder {
    /// Loads all files with `text` as the one of this name, or without it, and then writes or removes it. Gives the file
    /// and what was loaded.
    ///
    /// # Errors
    /// Nothing has changed: see [`OperationError`].
    pub fn change(&self, name: &str, text: Option<&str>) -> Result<(PathBuf, Loaded), OperationError> {
        if !is_rule_file_name(name) {
            return Err(OperationError::Refused(format!("{name:?}: {RULE_FILE_NAME_HELP}")));
        }
        let path = self.path_of(name)?;
        let refused = |error: &dyn std::fmt::Display| OperationError::Refused(error.to_string());
        let mut files = RuleFiles::new(self.paths.clone()).read().map_err(|error| refused(&error))?;
        let shown = path.display().to_string();
        let before = files.len();
        files.retain(|(file, _)| *file != shown);
        match text {
            Some(text) => files.push((shown, text.to_owned())),
            None if files.len() == before => {
                return Err(OperationError::NotFound(format!("there is no rule file {}", path.display())));
            }
            None => {}
        }
        files.sort();
        let registry = RegistryFiles::new(self.registry_path.clone(), self.catalog.0.clone()).read();
        let registry = registry.map_err(|error| refused(&error))?;
        let loaded =
            load_rules(&files, self.catalog.as_ref(), &registry, &self.time_zone).map_err(|diagnostics| {
                let words = format!("the rules do not load: {} errors", diagnostics.len());
                OperationError::BrokenRules { words, diagnostics }
            })?;
        let changed = match text {
            Some(text) => write_whole(&path, text.as_bytes()),
            None => remove(&path),
        };
        changed.map_err(|error| OperationError::Refused(format!("{}: {error}", path.display())))?;
        Ok((path, loaded))
    }

    /// In the folder that has it, else in the first.
    fn path_of(&self, name: &str) -> Result<PathBuf, OperationError> {
        let folders = || self.paths.iter().filter(|path| path.is_dir());
        let holding = folders().map(|folder| folder.join(name)).find(|path| path.is_file());
        holding.or_else(|| folders().next().map(|folder| folder.join(name))).ok_or_else(|| {
            OperationError::Refused(
                "rules.paths names no folder in which a rule file could be put".to_owned(),
            )
        })
    }
}

/// Written aside, where no reader of rule files looks, and renamed: a reader sees the old text or the new.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("toml.aside");
    let mut file = File::create(&aside)?;
    let written =
        file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        // It may not be there; the first error is the one to tell.
        fs::remove_file(&aside).ok();
    }
    written?;
    sync_folder(path)
}

fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_unescaped_in_a_path() {
        for good in ["a.toml", "Drainage-2_b.toml", "0.toml"] {
            assert!(is_rule_file_name(good), "{good}");
        }
        let long = format!("{}.toml", "a".repeat(65));
        for bad in [
            "",
            ".toml",
            "a",
            "a.txt",
            "../a.toml",
            "a/b.toml",
            ".a.toml",
            "-a.toml",
            "a b.toml",
            "井.toml",
            &long,
        ] {
            assert!(!is_rule_file_name(bad), "{bad}");
        }
    }
}
