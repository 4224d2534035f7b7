//! The metrics that were seen or that rules name, by number, with the units that the rule set in force counts on.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::reading::MetricId;

#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: Arc<str>,
    /// Without it a reading is not in place.
    pub(crate) unit: Option<Arc<str>>,
}

#[derive(Debug, Default)]
pub(crate) struct Metrics {
    metrics: Vec<Metric>,
    table: HashTable<MetricId>,
    hasher: DefaultHashBuilder,
}

impl Metrics {
    pub(crate) fn find(&self, name: &str) -> Option<MetricId> {
        let hash = self.hasher.hash_one(name);
        self.table.find(hash, |id| *self.metrics[*id as usize].name == *name).copied()
    }

    pub(crate) fn find_or_add(&mut self, name: &str) -> MetricId {
        if let Some(id) = self.find(name) {
            return id;
        }
        let id = self.metrics.len() as MetricId;
        self.metrics.push(Metric { name: name.into(), unit: None });
        let Metrics { metrics, table, hasher } = self;
        table.insert_unique(hasher.hash_one(name), id, |id| hasher.hash_one(&*metrics[*id as usize].name));
        id
    }

    pub(crate) fn get(&self, id: MetricId) -> &Metric {
        &self.metrics[id as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.metrics.len()
    }

    /// Takes the units of a rule set into force.
    pub(crate) fn set_units(&mut self, unit_of: impl Fn(&str) -> Option<Arc<str>>) {
        for metric in &mut self.metrics {
            metric.unit = unit_of(&metric.name);
        }
    }

    pub(crate) fn set_unit(&mut self, id: MetricId, unit: Option<Arc<str>>) {
        self.metrics[id as usize].unit = unit;
    }
}
