//! The metric catalog of the config, and how rules see it.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use model::catalog::{Catalog, MetricKind};
use model::unit;
use rules::{KnownMetric, MetricCatalog};

use crate::config::Config;

/// The catalog as both decoders and rules use it.
#[derive(Clone, Debug)]
pub struct SharedCatalog(pub Arc<Catalog>);

/// The shipped catalog, with what the config adds.
///
/// # Errors
/// The file cannot be read, or is wrong: everything in it, each with its line.
pub fn load(config: &Config) -> anyhow::Result<Arc<SharedCatalog>> {
    let catalog = match &config.catalog.path {
        None => Catalog::shipped(),
        Some(path) => {
            let text =
                fs::read_to_string(path).with_context(|| format!("catalog.path: {}", path.display()))?;
            Catalog::with_extension(&text).map_err(|errors| {
                let lines: Vec<String> = errors
                    .iter()
                    .map(|error| format!("{}:{}: {}", path.display(), error.line, error.what))
                    .collect();
                anyhow!(lines.join("\n"))
            })?
        }
    };
    Ok(Arc::new(SharedCatalog(Arc::new(catalog))))
}

impl MetricCatalog for SharedCatalog {
    fn metric(&self, name: &str) -> Option<KnownMetric<'_>> {
        // Rules are written in canonical names; an alias is no metric, and `nearest` offers what is meant.
        let info = self.0.find(name).filter(|info| info.name == name)?;
        let kind = match info.kind {
            MetricKind::Number => rules::MetricKind::Number,
            MetricKind::Text => rules::MetricKind::Text,
            MetricKind::Boolean => rules::MetricKind::Boolean,
        };
        Some(KnownMetric { unit: info.unit.map(|unit| unit.code), kind })
    }

    fn nearest(&self, name: &str) -> Option<&str> {
        let near = self.0.find(name).map(|info| info.name.as_str());
        near.or_else(|| {
            self.0.nearest(name).and_then(|known| self.0.find(known)).map(|info| info.name.as_str())
        })
    }

    fn convert(&self, decimal: &str, from: &str, to: &str) -> Option<f64> {
        unit::convert_decimal(decimal, unit::find(from)?, unit::find(to)?)
    }

    fn convert_difference(&self, decimal: &str, from: &str, to: &str, per: Option<&str>) -> Option<f64> {
        let (from, to) = (unit::find(from)?, unit::find(to)?);
        match per {
            None => unit::convert_difference(decimal, from, to),
            Some(per) => unit::convert_rate(decimal, from, to, unit::find(per)?),
        }
    }

    fn units(&self) -> Vec<(&str, &str)> {
        let of_metric = |info: &'_ model::catalog::MetricInfo| info.unit.map(|unit| unit.code);
        self.0.metrics().iter().filter_map(|info| Some((info.name.as_str(), of_metric(info)?))).collect()
    }
}
