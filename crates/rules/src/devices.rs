//! The devices of one log partition, by number: what their messages last said of them, and their series.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::known_registry::KnownDevice;
use crate::matching::ProfileId;
use crate::reading::{MetricId, Place};
use crate::rule_set::RuleSet;
use crate::selector::{Attribute, Attributes};
use crate::states::StateId;

pub(crate) type DeviceId = u32;
pub(crate) type SeriesId = u32;

#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) id: Box<str>,
    pub(crate) place: Place,
    /// `None`, or of an earlier rule set, until its selectors are matched under the one in force.
    pub(crate) profile: Option<ProfileId>,
    /// In the order in which its messages first named the metrics, which is nearly always that of the next message.
    pub(crate) series: Vec<(MetricId, SeriesId)>,
    /// First of its states of rules that look at more than one series.
    pub(crate) states: Option<StateId>,
}

impl Device {
    pub(crate) fn series_of(&self, metric: MetricId) -> Option<SeriesId> {
        self.series.iter().find(|(known, _)| *known == metric).map(|(_, series)| *series)
    }
}

/// What `where` asks of a device: of one in the registry what that says, of any other what its messages say.
pub(crate) enum DeviceAttributes<'a> {
    Registered(&'a str, &'a KnownDevice),
    Unregistered(&'a Device),
}

impl<'a> DeviceAttributes<'a> {
    pub(crate) fn of(device: &'a Device, rule_set: &'a RuleSet) -> Self {
        match rule_set.registry().device(&device.id) {
            Some(known) => DeviceAttributes::Registered(&device.id, known),
            None => DeviceAttributes::Unregistered(device),
        }
    }
}

impl Attributes for DeviceAttributes<'_> {
    fn attribute(&self, attribute: &Attribute) -> Option<&str> {
        let device = match self {
            DeviceAttributes::Registered(id, known) => return known.attribute(id, attribute),
            DeviceAttributes::Unregistered(device) => device,
        };
        let value = match attribute {
            Attribute::DeviceId => &*device.id,
            Attribute::Domain => device.place.domain(),
            Attribute::AssetId => device.place.asset_id(),
            Attribute::GatewayId => device.place.gateway_id(),
            Attribute::Model | Attribute::Tag(_) => return None,
        };
        (!value.is_empty()).then_some(value)
    }
}

/// A device in the table of ids, with bits of its id's hash: others are told apart without a look at them.
#[derive(Clone, Copy, Debug)]
struct Slot {
    hash_bits: u32,
    device: DeviceId,
}

#[derive(Debug, Default)]
pub(crate) struct Devices {
    devices: Vec<Device>,
    table: HashTable<Slot>,
    hasher: DefaultHashBuilder,
}

impl Devices {
    pub(crate) fn find(&self, id: &str) -> Option<DeviceId> {
        let hash = self.hasher.hash_one(id.as_bytes());
        let is_it =
            |slot: &Slot| slot.hash_bits == hash_bits(hash) && *self.devices[slot.device as usize].id == *id;
        self.table.find(hash, is_it).map(|slot| slot.device)
    }

    /// The device of this id, if there is one; else maybe another. None is looked at.
    pub(crate) fn guess(&self, id: &[u8]) -> Option<DeviceId> {
        let hash = self.hasher.hash_one(id);
        self.table.find(hash, |slot| slot.hash_bits == hash_bits(hash)).map(|slot| slot.device)
    }

    /// Adds a device that is not there yet.
    pub(crate) fn add(&mut self, id: &str, place: Place) -> DeviceId {
        let number = self.devices.len() as DeviceId;
        self.devices.push(Device { id: id.into(), place, profile: None, series: Vec::new(), states: None });
        let Devices { devices, table, hasher } = self;
        let hash = hasher.hash_one(id.as_bytes());
        table.insert_unique(hash, Slot { hash_bits: hash_bits(hash), device: number }, |slot| {
            hasher.hash_one(devices[slot.device as usize].id.as_bytes())
        });
        number
    }

    pub(crate) fn get(&self, device: DeviceId) -> &Device {
        &self.devices[device as usize]
    }

    pub(crate) fn get_mut(&mut self, device: DeviceId) -> &mut Device {
        &mut self.devices[device as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.devices.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter()
    }
}

/// Not the bits by which the table finds a slot.
const fn hash_bits(hash: u64) -> u32 {
    (hash >> 24) as u32
}
