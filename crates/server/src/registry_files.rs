//! The folder of `[registry] path`: `devices.csv`, `models.toml` and `zones.geojson`, each of which may be missing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::registry::Registry;
use registry::{RegistryErrors, RegistryText, RegistryTexts};

use crate::file_watch::FileWatch;

const DEVICES: &str = "devices.csv";
const MODELS: &str = "models.toml";
const ZONES: &str = "zones.geojson";

/// The registry of the config.
#[derive(Clone, Debug, Default)]
pub struct RegistryFiles {
    folder: Option<PathBuf>,
    watch: FileWatch,
}

/// The registry does not load.
#[derive(Debug, thiserror::Error)]
pub enum RegistryFilesError {
    #[error("registry: {path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("registry.path: {folder} holds none of devices.csv, models.toml, zones.geojson")]
    Empty { folder: PathBuf },
    #[error("{0}")]
    Broken(#[from] RegistryErrors),
}

impl RegistryFiles {
    /// Without a folder the registry is empty.
    pub fn new(folder: Option<PathBuf>) -> Self {
        RegistryFiles { folder, watch: FileWatch::default() }
    }

    /// Reads and checks the files.
    ///
    /// # Errors
    /// See [`RegistryFilesError`].
    pub fn read(&self) -> Result<Registry, RegistryFilesError> {
        let Some(folder) = &self.folder else {
            return Ok(Registry::default());
        };
        let texts = RegistryTexts {
            devices: text(folder, DEVICES)?,
            models: text(folder, MODELS)?,
            zones: text(folder, ZONES)?,
        };
        if texts == RegistryTexts::default() {
            return Err(RegistryFilesError::Empty { folder: folder.clone() });
        }
        Ok(registry::load(&texts)?)
    }

    /// True when the files differ from those at the last call; the first call only looks.
    ///
    /// # Errors
    /// A file cannot be looked at.
    pub fn have_changed(&mut self) -> Result<bool, RegistryFilesError> {
        let paths =
            self.folder.iter().flat_map(|folder| [DEVICES, MODELS, ZONES].map(|name| folder.join(name)));
        let there: Vec<PathBuf> = paths.filter(|path| path.exists()).collect();
        self.watch
            .have_changed(there)
            .map_err(|(path, source)| RegistryFilesError::Unreadable { path, source })
    }
}

fn text(folder: &Path, name: &str) -> Result<Option<RegistryText>, RegistryFilesError> {
    let path = folder.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(RegistryText { name: path.display().to_string(), text })),
        // A folder that is not there is told of with its own name by the check for an empty one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(RegistryFilesError::Unreadable { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_read_and_a_change_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = RegistryFiles::new(Some(folder.path().to_owned()));
        assert!(matches!(files.read(), Err(RegistryFilesError::Empty { .. })));
        assert!(!files.have_changed().unwrap());
        fs::write(folder.path().join(DEVICES), "device_id\nm-1\n").unwrap();
        assert!(files.have_changed().unwrap());
        assert!(!files.have_changed().unwrap());
        assert_eq!(files.read().unwrap().devices.len(), 1);
        fs::write(folder.path().join(MODELS), "[models.x]\ncolor = 1\n").unwrap();
        let error = files.read().unwrap_err().to_string();
        assert!(error.contains("models.toml:2:1: the unknown key color"), "{error}");
        assert_eq!(RegistryFiles::new(None).read().unwrap(), Registry::default());
    }
}
