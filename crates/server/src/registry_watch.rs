//! The registry as decoders see it: its files are looked at while the process runs, and a change that loads is in force at the
//! next message. One that does not load changes nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::{error, info};

use crate::config::RegistrySection;
use crate::decoders::Decoders;
use crate::registry_files::{RegistryFiles, RegistryFilesError};

/// Follows the registry's files until `stop`.
///
/// # Errors
/// None: what is wrong with a registry is said, and the one before it stays.
pub fn follow(
    section: &RegistrySection,
    decoders: &Decoders,
    stop: &AtomicBool,
) -> Result<(), std::convert::Infallible> {
    const LOOK_EVERY: Duration = Duration::from_millis(500);
    let mut files = RegistryFiles::new(section.path.clone(), decoders.catalog().clone());
    let mut said = None;
    while !stop.load(Ordering::Relaxed) {
        match look(&mut files, section, decoders) {
            Ok(has_changed) if !has_changed => {}
            Ok(_) => said = None,
            Err(cause) => {
                let cause = cause.to_string();
                if said.as_ref() != Some(&cause) {
                    error!(cause, "the registry is broken, messages are decoded with the one before it");
                    said = Some(cause);
                }
            }
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
    Ok(())
}

fn look(
    files: &mut RegistryFiles,
    section: &RegistrySection,
    decoders: &Decoders,
) -> Result<bool, RegistryFilesError> {
    if !files.have_changed()? {
        return Ok(false);
    }
    let registry = files.read()?;
    decoders.set_registry(&registry, section.unregistered);
    info!(devices = registry.devices.len(), "the registry has changed");
    Ok(true)
}
