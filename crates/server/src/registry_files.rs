//! The folder of `[registry] path`: `devices.csv`, `models.toml`, `gateways.toml`, `assets.csv` and `zones.geojson`, each of
//! which may be missing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::catalog::Catalog;
use model::registry::Registry;
use registry::{RegistryErrors, RegistryText, RegistryTexts};

use crate::file_watch::FileWatch;

const DEVICES: &str = "devices.csv";
const MODELS: &str = "models.toml";
const GATEWAYS: &str = "gateways.toml";
const ASSETS: &str = "assets.csv";
const ZONES: &str = "zones.geojson";
const FILES: [&str; 5] = [DEVICES, MODELS, GATEWAYS, ASSETS, ZONES];

/// The registry of the config.
#[derive(Clone, Debug)]
pub struct RegistryFiles {
    folder: Option<PathBuf>,
    catalog: Arc<Catalog>,
    watch: FileWatch,
}

/// The registry does not load.
#[derive(Debug, thiserror::Error)]
pub enum RegistryFilesError {
    #[error("registry: {path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("registry.path: {folder} holds none of {}", FILES.join(", "))]
    Empty { folder: PathBuf },
    #[error(
        "{path}: byte {byte} is not UTF-8; a file in GB18030 or GBK is made so by iconv -f GB18030 -t UTF-8"
    )]
    NotUtf8 { path: PathBuf, byte: usize },
    #[error("{0}")]
    Broken(#[from] RegistryErrors),
}

impl RegistryFiles {
    /// Without a folder the registry is empty.
    pub fn new(folder: Option<PathBuf>, catalog: Arc<Catalog>) -> Self {
        RegistryFiles { folder, catalog, watch: FileWatch::default() }
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
            gateways: text(folder, GATEWAYS)?,
            assets: text(folder, ASSETS)?,
            zones: text(folder, ZONES)?,
        };
        if texts == RegistryTexts::default() {
            return Err(RegistryFilesError::Empty { folder: folder.clone() });
        }
        Ok(registry::load(&texts, &self.catalog)?)
    }

    /// True when the files differ from those at the last call; the first call only looks.
    ///
    /// # Errors
    /// A file cannot be looked at.
    pub fn have_changed(&mut self) -> Result<bool, RegistryFilesError> {
        let paths = self.folder.iter().flat_map(|folder| FILES.map(|name| folder.join(name)));
        let there: Vec<PathBuf> = paths.filter(|path| path.exists()).collect();
        self.watch
            .have_changed(there)
            .map_err(|(path, source)| RegistryFilesError::Unreadable { path, source })
    }
}

fn text(folder: &Path, name: &str) -> Result<Option<RegistryText>, RegistryFilesError> {
    let path = folder.join(name);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        // A folder that is not there is told of with its own name by the check for an empty one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(RegistryFilesError::Unreadable { path, source }),
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(RegistryText { name: path.display().to_string(), text })),
        Err(error) => Err(RegistryFilesError::NotUtf8 { path, byte: error.utf8_error().valid_up_to() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_read_and_a_change_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Arc::new(Catalog::shipped());
        let mut files = RegistryFiles::new(Some(folder.path().to_owned()), catalog.clone());
        assert!(matches!(files.read(), Err(RegistryFilesError::Empty { .. })));
        assert!(!files.have_changed().unwrap());
        fs::write(folder.path().join(DEVICES), "device_id\nm-1\n").unwrap();
        assert!(files.have_changed().unwrap());
        assert!(!files.have_changed().unwrap());
        assert_eq!(files.read().unwrap().devices.len(), 1);
        fs::write(folder.path().join(MODELS), "[models.x]\ncolor = 1\n").unwrap();
        let error = files.read().unwrap_err().to_string();
        assert!(error.contains("models.toml:2:1: the unknown key color"), "{error}");
        fs::write(folder.path().join(ASSETS), b"asset_id,name\nm-1,\xbe\xae\n").unwrap();
        let error = files.read().unwrap_err().to_string();
        assert!(error.contains("assets.csv: byte 18 is not UTF-8"), "{error}");
        assert_eq!(RegistryFiles::new(None, catalog).read().unwrap(), Registry::default());
    }
}
