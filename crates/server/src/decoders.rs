//! The decoders of a process: its catalog of metrics, the devices of its registry, one decoder a thread.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use decode::{Decoder, DecoderConfig, KnownDevices, LocalZone};
use model::catalog::Catalog;
use model::registry::Registry;
use parking_lot::RwLock;

use crate::config::Config;
use crate::metric_catalog;
use crate::registry_files::RegistryFiles;

/// Makes decoders, and changes the devices that all of them know.
#[derive(Clone, Debug)]
pub struct Decoders {
    catalog: Arc<Catalog>,
    time_zone: LocalZone,
    in_force: Arc<DevicesInForce>,
}

/// The devices that decoders know now.
#[derive(Debug)]
struct DevicesInForce {
    /// Counts the changes: one look at it tells a decoder that nothing has changed.
    version: AtomicU64,
    devices: RwLock<Arc<KnownDevices>>,
}

/// The decoder of one thread, which follows the registry.
#[derive(Debug)]
pub struct LiveDecoder {
    decoder: Decoder,
    in_force: Arc<DevicesInForce>,
    version: u64,
}

impl Decoders {
    /// # Errors
    /// The catalog or the registry of the config cannot be used.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let catalog = metric_catalog::load(config)?.0.clone();
        let files = RegistryFiles::new(config.registry.path.clone(), catalog.clone());
        let registry = files.read().context("registry.path")?;
        let devices = KnownDevices::new(&registry, config.registry.unregistered);
        let in_force = DevicesInForce { version: AtomicU64::new(1), devices: RwLock::new(Arc::new(devices)) };
        let time_zone =
            LocalZone::find(&config.time_zone).context("time_zone is no name of the time zone database")?;
        Ok(Decoders { catalog, time_zone, in_force: Arc::new(in_force) })
    }

    pub fn decoder(&self) -> LiveDecoder {
        // Random for each call: ids of messages without identity must differ over threads and processes.
        let process = RandomState::new().build_hasher().finish();
        let decoder = Decoder::new(DecoderConfig {
            catalog: self.catalog.clone(),
            process,
            time_zone: self.time_zone.clone(),
        });
        LiveDecoder { decoder, in_force: self.in_force.clone(), version: 0 }
    }

    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// From their next message on, all decoders know these devices.
    pub fn set_registry(&self, registry: &Registry, unregistered: decode::Strangers) {
        let devices = Arc::new(KnownDevices::new(registry, unregistered));
        *self.in_force.devices.write() = devices;
        self.in_force.version.fetch_add(1, Ordering::Release);
    }
}

impl LiveDecoder {
    /// The decoder, with the devices that are in force now.
    pub fn current(&mut self) -> &mut Decoder {
        let version = self.in_force.version.load(Ordering::Acquire);
        if version != self.version {
            self.version = version;
            self.decoder.set_devices(self.in_force.devices.read().clone());
        }
        &mut self.decoder
    }
}
