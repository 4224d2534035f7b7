//! What the registry knows, laid out for a look at each message: one hash of the device id, no allocation.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use model::registry::{MetricMapping, RegisteredDevice, Registry};

use crate::local_zone::LocalZone;

/// What happens to a message of a device that the registry does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strangers {
    #[default]
    Accept,
    /// A dead letter, which can be redriven once the device is registered.
    Quarantine,
}

/// The devices of a registry by their ids and by what others call them.
#[derive(Debug, Default)]
pub struct KnownDevices {
    by_id: HashMap<Box<str>, KnownDevice>,
    /// External ids that name one device, whatever their kind.
    by_external_id: HashMap<Box<str>, Box<str>>,
    /// The mappings of each model that has some.
    models: Vec<HashMap<Box<str>, MetricMapping>>,
    /// Those that devices name.
    zones: Vec<LocalZone>,
    strangers: Strangers,
}

#[derive(Debug)]
struct KnownDevice {
    device: Arc<RegisteredDevice>,
    /// Index among the models.
    model: Option<u32>,
    /// Its own, else its asset's: WGS-84 degrees, latitude and longitude.
    position: Option<(f64, f64)>,
    /// Index among the zones.
    zone: Option<u32>,
}

/// A device of the registry, as a message needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'k> {
    pub id: &'k str,
    pub device: &'k RegisteredDevice,
    pub position: Option<(f64, f64)>,
    /// Where its wall clock is, if the registry says.
    pub zone: Option<&'k LocalZone>,
    metrics: Option<&'k HashMap<Box<str>, MetricMapping>>,
}

impl KnownDevices {
    pub fn new(registry: &Registry, strangers: Strangers) -> Self {
        let mut models = Vec::new();
        let mut model_at = HashMap::new();
        for (name, model) in registry.models.iter().filter(|(_, model)| !model.metrics.is_empty()) {
            model_at.insert(name.as_str(), models.len() as u32);
            let mapping =
                |(sent, mapping): (&String, &MetricMapping)| (sent.as_str().into(), mapping.clone());
            models.push(model.metrics.iter().map(mapping).collect());
        }
        let (zones, zone_at) = zones(registry);
        let known = |(id, device): (&String, &Arc<RegisteredDevice>)| {
            let of_asset = || registry.assets.get(&device.asset_id)?.place.position;
            let known = KnownDevice {
                model: model_at.get(device.model.as_str()).copied(),
                position: device.place.position.or_else(of_asset),
                zone: zone_at.get(device.time_zone.as_str()).copied(),
                device: device.clone(),
            };
            (id.as_str().into(), known)
        };
        KnownDevices {
            by_id: registry.devices.iter().map(known).collect(),
            by_external_id: external_ids(registry),
            models,
            zones,
            strangers,
        }
    }

    /// The device that a message names by its id, or by an external id of it.
    pub(crate) fn find(&self, sent: &str) -> Option<Known<'_>> {
        if self.by_id.is_empty() {
            return None;
        }
        let (id, known) = match self.by_id.get_key_value(sent) {
            Some(found) => found,
            None => self.by_id.get_key_value(self.by_external_id.get(sent)?)?,
        };
        let metrics = known.model.map(|at| &self.models[at as usize]);
        let zone = known.zone.map(|at| &self.zones[at as usize]);
        Some(Known { id, device: &known.device, position: known.position, zone, metrics })
    }

    pub(crate) fn strangers(&self) -> Strangers {
        self.strangers
    }
}

impl<'k> Known<'k> {
    /// The names for which its model says what they mean, in their order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'k str> + use<'k> {
        let mut names: Vec<&str> =
            self.metrics.into_iter().flat_map(|metrics| metrics.keys().map(|name| &**name)).collect();
        names.sort_unstable();
        names.into_iter()
    }

    /// What a name means that the device sends.
    pub(crate) fn mapping(&self, sent: &str) -> Option<&'k MetricMapping> {
        self.metrics?.get(sent)
    }
}

/// The zones that devices name, each once, and where each stands among them.
fn zones(registry: &Registry) -> (Vec<LocalZone>, HashMap<&str, u32>) {
    let mut zones = Vec::new();
    let mut zone_at = HashMap::new();
    for device in registry.devices.values().filter(|device| !device.time_zone.is_empty()) {
        if !zone_at.contains_key(device.time_zone.as_str())
            && let Some(zone) = LocalZone::find(&device.time_zone)
        {
            zone_at.insert(device.time_zone.as_str(), zones.len() as u32);
            zones.push(zone);
        }
    }
    (zones, zone_at)
}

/// External ids to device ids; one that two kinds give to two devices names none.
fn external_ids(registry: &Registry) -> HashMap<Box<str>, Box<str>> {
    let mut by_external_id: HashMap<Box<str>, Box<str>> = HashMap::new();
    let mut ambiguous = HashSet::new();
    for (id, device) in &registry.devices {
        for external_id in device.external_ids.values() {
            let owner =
                by_external_id.entry(external_id.as_str().into()).or_insert_with(|| id.as_str().into());
            if **owner != **id {
                ambiguous.insert(external_id.as_str());
            }
        }
    }
    by_external_id.retain(|external_id, _| !ambiguous.contains(&**external_id));
    by_external_id
}
