//! The texts of a registry, checked whole: `devices.csv`, `models.toml`, `gateways.toml`, `assets.csv` and `zones.geojson`
//! in, a [`Registry`] or every error at once out. Opens no file itself; what the data means is `model::registry`.

mod asset_table;
mod attribute;
mod csv_reader;
mod csv_table;
mod device_table;
mod external_id;
mod finding;
mod gateway_table;
mod metric_mapping;
mod model_table;
mod place;
mod registry_error;
mod ring;
mod threshold;
mod zone_file;

pub use asset_table::{ASSETS_MAX, PARENTS_MAX};
pub use attribute::{ATTRIBUTE_BYTES_MAX, NAME_BYTES_MAX};
pub use csv_table::COLUMNS_MAX;
pub use device_table::DEVICES_MAX;
pub use metric_mapping::SENTINELS_MAX;
pub use registry_error::{ERRORS_KEPT_MAX, RegistryError, RegistryErrors};
pub use zone_file::ZONE_POINTS_MAX;

use finding::Findings;
use model::catalog::Catalog;
use model::registry::Registry;

/// Longest text of a registry, bytes.
pub const REGISTRY_FILE_BYTES_MAX: usize = 512 << 20;

/// One file of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryText {
    /// How errors name it.
    pub name: String,
    pub text: String,
}

/// The files of a registry; each may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryTexts {
    pub devices: Option<RegistryText>,
    pub models: Option<RegistryText>,
    pub gateways: Option<RegistryText>,
    pub assets: Option<RegistryText>,
    pub zones: Option<RegistryText>,
}

/// Reads a registry; `catalog` says what metrics there are.
///
/// # Errors
/// Everything that is wrong in any of its files: the first [`ERRORS_KEPT_MAX`] with their places, and how many there are.
pub fn load(texts: &RegistryTexts, catalog: &Catalog) -> Result<Registry, RegistryErrors> {
    let mut errors = RegistryErrors::default();
    let registry = Registry {
        devices: read(texts.devices.as_ref(), &mut errors, device_table::read),
        models: read(texts.models.as_ref(), &mut errors, |text, findings| {
            model_table::read(text, catalog, findings)
        }),
        gateways: read(texts.gateways.as_ref(), &mut errors, gateway_table::read),
        assets: read(texts.assets.as_ref(), &mut errors, asset_table::read),
        zones: read(texts.zones.as_ref(), &mut errors, zone_file::read),
    };
    if errors.is_empty() { Ok(registry) } else { Err(errors) }
}

fn read<T: Default>(
    file: Option<&RegistryText>,
    errors: &mut RegistryErrors,
    reader: impl FnOnce(&str, &mut Findings) -> T,
) -> T {
    let Some(RegistryText { name, text }) = file else {
        return T::default();
    };
    let mut findings = Findings::default();
    let mut read = T::default();
    if text.len() > REGISTRY_FILE_BYTES_MAX {
        let found = format!("a file of {} bytes", text.len());
        findings.add(0, found, format!("at most {REGISTRY_FILE_BYTES_MAX} bytes would do"));
    } else {
        read = reader(text, &mut findings);
    }
    errors.add(name, text, findings);
    read
}
