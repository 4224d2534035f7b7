//! `models.toml`: what all devices of one model have in common.
//!
//! ```toml
//! [models.WL-200]
//! thresholds = { level_high = "2.5 m", level_low = "20 cm" }
//!
//! [models.WL-200.metrics.lvl]
//! metric = "water_level"
//! unit = "mm"
//! sentinels = [65535]
//! min = "0 m"
//! max = "12 m"
//! ```

use std::collections::BTreeMap;

use model::catalog::Catalog;
use model::registry::{DeviceModel, Threshold};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::attribute::{is_name, name_help};
use crate::finding::Findings;
use crate::metric_mapping;
use crate::threshold;

const FORM: &str =
    "[models.NAME] with thresholds = { level_high = \"2.5 m\" } and [models.NAME.metrics.SENT] would do";

/// Reads the models of a text.
pub(crate) fn read(text: &str, catalog: &Catalog, findings: &mut Findings) -> BTreeMap<String, DeviceModel> {
    let (table, syntax_errors) = DeTable::parse_recoverable(text);
    for error in &syntax_errors {
        findings.add(error.span().map_or(0, |span| span.start), error.message(), FORM);
    }
    let mut models = BTreeMap::new();
    for (key, value) in table.get_ref() {
        match value.get_ref().as_table() {
            Some(tables) if key.get_ref() == "models" => {
                for (name, value) in tables {
                    models.insert(name.get_ref().to_string(), model(value, catalog, findings));
                }
            }
            _ => findings.add(key.span().start, format!("the unknown key {}", key.get_ref()), FORM),
        }
    }
    models
}

fn model(value: &Spanned<DeValue<'_>>, catalog: &Catalog, findings: &mut Findings) -> DeviceModel {
    let mut model = DeviceModel::default();
    let Some(keys) = value.get_ref().as_table() else {
        findings.add(value.span().start, "a model that is no table", FORM);
        return model;
    };
    for (key, value) in keys {
        match (key.get_ref().as_ref(), value.get_ref().as_table()) {
            ("thresholds", Some(limits)) => model.thresholds = thresholds(limits, findings),
            ("metrics", Some(metrics)) => {
                for (sent, value) in metrics {
                    let mapping = metric_mapping::read(sent, value, catalog, findings);
                    model.metrics.extend(mapping.map(|mapping| (sent.get_ref().to_string(), mapping)));
                }
            }
            (name, _) => findings.add(key.span().start, format!("the unknown key {name}"), FORM),
        }
    }
    model
}

fn thresholds(limits: &DeTable<'_>, findings: &mut Findings) -> BTreeMap<String, Threshold> {
    let mut thresholds = BTreeMap::new();
    for (name, value) in limits {
        if !is_name(name.get_ref()) {
            findings.add(name.span().start, format!("the name {:?}", name.get_ref()), name_help());
        }
        let Some(text) = value.get_ref().as_str() else {
            let found = format!("a threshold that is {}", value.get_ref().type_str());
            findings.add(value.span().start, found, "a text with its unit would do, as in \"2.5 m\"");
            continue;
        };
        match threshold::parse(text) {
            Ok(threshold) => drop(thresholds.insert(name.get_ref().to_string(), threshold)),
            Err((found, help)) => findings.add(value.span().start, found, help),
        }
    }
    thresholds
}
