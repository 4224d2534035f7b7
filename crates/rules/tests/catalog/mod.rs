//! A metric catalog small enough to have in mind.

use urban_neuron_rules::{KnownMetric, MetricCatalog, MetricKind};

/// Five metrics; every other name is unknown.
pub(crate) struct SmallCatalog;

impl MetricCatalog for SmallCatalog {
    fn metric(&self, name: &str) -> Option<KnownMetric<'_>> {
        let known = |unit, kind| Some(KnownMetric { unit, kind });
        match name {
            "water_level" => known(Some("m"), MetricKind::Number),
            "temperature" => known(Some("Cel"), MetricKind::Number),
            "rain" => known(None, MetricKind::Number),
            "status" => known(None, MetricKind::Text),
            "door_open" => known(None, MetricKind::Boolean),
            _ => None,
        }
    }

    fn nearest(&self, name: &str) -> Option<&str> {
        name.starts_with("water").then_some("water_level")
    }

    fn convert(&self, decimal: &str, from: &str, to: &str) -> Option<f64> {
        let number: f64 = decimal.parse().ok()?;
        match (from, to) {
            ("cm", "m") => Some(number / 100.0),
            ("[degF]", "Cel") => Some((number - 32.0) * 5.0 / 9.0),
            (from, to) => (from == to).then_some(number),
        }
    }

    fn convert_difference(&self, decimal: &str, from: &str, to: &str, per: Option<&str>) -> Option<f64> {
        use model::unit::{convert_difference, convert_rate, find};
        match per {
            None => convert_difference(decimal, find(from)?, find(to)?),
            Some(per) => convert_rate(decimal, find(from)?, find(to)?, find(per)?),
        }
    }

    fn units(&self) -> Vec<(&str, &str)> {
        vec![("water_level", "m"), ("temperature", "Cel")]
    }
}
