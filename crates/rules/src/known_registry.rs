//! Of the registry what the rules of a set use, as the set keeps it: which devices are registered, the attributes that
//! `where` asks for, limits converted, and zones.

use std::collections::{BTreeMap, HashMap, HashSet};

use model::registry::{RegisteredDevice, Registry};
use serde::{Deserialize, Serialize};

use crate::condition::shortest_decimal;
use crate::condition_text::{InForce, ThresholdOrigin};
use crate::inhibition::Inhibition;
use crate::resolve::MetricCatalog;
use crate::rule::{Rule, Threshold};
use crate::selector::{Attribute, Attributes};
use crate::zone::Polygons;

/// By the device's id, the model's name and the zone's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownRegistry {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    devices: BTreeMap<String, KnownDevice>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    models: BTreeMap<String, BTreeMap<String, Limit>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    zones: BTreeMap<String, Polygons>,
}

/// A registered device; an attribute that it does not have, or that no rule asks for, is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownDevice {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) domain: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) asset_id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) gateway_id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    model: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    /// By [`Threshold::key`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    limits: BTreeMap<String, Limit>,
    /// Latitude, longitude.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<(Limit, Limit)>,
}

/// A double that reads back as it was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Limit(#[serde(with = "shortest_decimal")] f64);

/// What the rules of a set ask a registry for.
struct Wanted {
    attributes: HashSet<Attribute>,
    thresholds: HashMap<String, Vec<Threshold>>,
    /// What an alert says of a device that never spoke.
    has_dead_man: bool,
}

impl KnownRegistry {
    /// What `rules` and `inhibitions` use. Every value of a threshold was seen to convert.
    pub(crate) fn used_by(
        rules: &[Rule],
        inhibitions: &[Inhibition],
        registry: &Registry,
        catalog: &dyn MetricCatalog,
    ) -> Self {
        if rules.is_empty() {
            return KnownRegistry::default();
        }
        let mut wanted = Wanted::of(rules);
        wanted.attributes.extend(inhibitions.iter().flat_map(|one| one.equal.iter().cloned()));
        let zones = rules.iter().flat_map(|rule| &rule.meaning.zones);
        let limits_of_models = registry
            .models
            .iter()
            .map(|(id, model)| (id.clone(), wanted.limits(&model.thresholds, catalog)))
            .filter(|(_, limits)| !limits.is_empty());
        KnownRegistry {
            models: limits_of_models.collect(),
            zones: zones
                .filter_map(|name| Some((name.clone(), Polygons::of(registry.zones.get(name)?))))
                .collect(),
            devices: registry
                .devices
                .iter()
                .map(|(id, device)| (id.clone(), wanted.device(device, catalog)))
                .collect(),
        }
    }

    pub(crate) fn device(&self, id: &str) -> Option<&KnownDevice> {
        self.devices.get(id)
    }

    pub(crate) fn devices(&self) -> impl Iterator<Item = (&str, &KnownDevice)> {
        self.devices.iter().map(|(id, device)| (id.as_str(), device))
    }

    pub(crate) fn zone(&self, name: &str) -> Option<&Polygons> {
        self.zones.get(name)
    }

    pub(crate) fn has_zones_of(&self, other: &KnownRegistry) -> bool {
        self.zones == other.zones
    }

    /// Models have the same limits in both.
    pub(crate) fn has_models_of(&self, other: &KnownRegistry) -> bool {
        self.models == other.models
    }

    /// The limit in force of a threshold for a device, and whose it is.
    pub(crate) fn in_force(&self, threshold: &Threshold, device_id: &str) -> InForce<'_> {
        let by_default = InForce { value: threshold.default, origin: ThresholdOrigin::Default };
        let Some(device) = self.device(device_id) else {
            return by_default;
        };
        let key = threshold.key();
        if let Some(Limit(value)) = device.limits.get(&key) {
            return InForce { value: *value, origin: ThresholdOrigin::Device };
        }
        match self.models.get(&device.model).and_then(|limits| limits.get(&key)) {
            Some(Limit(value)) => InForce { value: *value, origin: ThresholdOrigin::Model(&device.model) },
            None => by_default,
        }
    }
}

impl KnownDevice {
    /// `id` is the device's.
    pub(crate) fn attribute<'a>(&'a self, id: &'a str, attribute: &Attribute) -> Option<&'a str> {
        let value = match attribute {
            Attribute::DeviceId => id,
            Attribute::Domain => &self.domain,
            Attribute::AssetId => &self.asset_id,
            Attribute::GatewayId => &self.gateway_id,
            Attribute::Model => &self.model,
            Attribute::Tag(name) => self.tags.get(name)?,
        };
        (!value.is_empty()).then_some(value)
    }

    pub(crate) fn position(&self) -> Option<(f64, f64)> {
        self.position.map(|(latitude, longitude)| (latitude.0, longitude.0))
    }
}

impl Wanted {
    fn of(rules: &[Rule]) -> Self {
        let mut wanted =
            Wanted { attributes: HashSet::new(), thresholds: HashMap::new(), has_dead_man: false };
        let mut keys = HashSet::new();
        for Rule { meaning, .. } in rules {
            if let Some(selector) = &meaning.selector {
                selector.leaves(&mut |test| {
                    wanted.attributes.insert(test.attribute().clone());
                });
            }
            for threshold in &meaning.thresholds {
                if keys.insert(threshold.key()) {
                    wanted.thresholds.entry(threshold.name.clone()).or_default().push(threshold.clone());
                }
            }
            wanted.has_dead_man |= meaning.absent.is_some();
        }
        wanted
    }

    fn device(&self, device: &RegisteredDevice, catalog: &dyn MetricCatalog) -> KnownDevice {
        let asked = |attribute: Attribute, value: &str, is_said: bool| {
            let is_wanted = self.attributes.contains(&attribute) || is_said;
            if is_wanted { value.to_owned() } else { String::new() }
        };
        let tags =
            device.tags.iter().filter(|(name, _)| self.attributes.contains(&Attribute::Tag((*name).clone())));
        KnownDevice {
            domain: asked(Attribute::Domain, &device.domain, self.has_dead_man),
            asset_id: asked(Attribute::AssetId, &device.asset_id, self.has_dead_man),
            gateway_id: asked(Attribute::GatewayId, &device.gateway_id, self.has_dead_man),
            model: asked(Attribute::Model, &device.model, !self.thresholds.is_empty()),
            tags: tags.map(|(name, value)| (name.clone(), value.clone())).collect(),
            limits: self.limits(&device.thresholds, catalog),
            position: device
                .place
                .position
                .filter(|_| self.has_dead_man)
                .map(|(latitude, longitude)| (Limit(latitude), Limit(longitude))),
        }
    }

    fn limits(
        &self,
        written: &BTreeMap<String, model::registry::Threshold>,
        catalog: &dyn MetricCatalog,
    ) -> BTreeMap<String, Limit> {
        let of_name =
            |(name, value)| self.thresholds.get(name).into_iter().flatten().map(move |one| (one, value));
        let converted = |(threshold, value): (&Threshold, &model::registry::Threshold)| {
            Some((threshold.key(), Limit(threshold.convert(catalog, value, &(0..0)).ok()?)))
        };
        written.iter().flat_map(of_name).filter_map(converted).collect()
    }
}

impl Attributes for (&str, &RegisteredDevice) {
    fn attribute(&self, attribute: &Attribute) -> Option<&str> {
        let (id, device) = *self;
        let value = match attribute {
            Attribute::DeviceId => id,
            Attribute::Domain => &device.domain,
            Attribute::AssetId => &device.asset_id,
            Attribute::GatewayId => &device.gateway_id,
            Attribute::Model => &device.model,
            Attribute::Tag(name) => device.tags.get(name)?,
        };
        (!value.is_empty()).then_some(value)
    }
}
