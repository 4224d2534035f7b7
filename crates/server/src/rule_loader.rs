//! The rule files and the registry of the config, loaded over the metric catalog; what is wrong with them is said once a
//! change.

use std::sync::Arc;

use model::registry::Registry;
use rules::{Diagnostic, LoadOptions, Loaded, MetricCatalog, RuleSet, RuleSource};
use tracing::{error, warn};

use crate::registry_files::{RegistryFiles, RegistryFilesError};
use crate::rule_files::{RuleFiles, RuleFilesError};

/// Loads rule texts, given as (name, text), for the devices of a registry; `time_zone` is that of rules which name none. The one place where rules are loaded.
///
/// # Errors
/// Everything that is wrong with them.
pub fn load_rules(
    files: &[(String, String)],
    catalog: &dyn MetricCatalog,
    registry: &Registry,
    time_zone: &str,
) -> Result<Loaded, Vec<Diagnostic>> {
    RuleSource::load(files, catalog, &LoadOptions { registry, time_zone, ..LoadOptions::default() })
}

/// File and line of each rule, by its id.
pub type RulePlaces = std::collections::HashMap<String, String>;

/// Loads the rules of one process.
pub struct RuleLoader {
    files: RuleFiles,
    registry_files: RegistryFiles,
    catalog: Arc<dyn MetricCatalog + Send + Sync>,
    time_zone: String,
    /// The last that loaded.
    registry: Option<Arc<Registry>>,
    /// Of the rules that loaded last, with the digest of their set.
    places: Option<(String, Arc<RulePlaces>)>,
    rules: Trouble,
    registry_trouble: Trouble,
}

/// What was said last, so that a file that stays broken is not told again and again.
#[derive(Default)]
struct Trouble {
    said: Option<String>,
}

/// The files could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum RuleLoaderError {
    #[error(transparent)]
    Rules(#[from] RuleFilesError),
    #[error(transparent)]
    Registry(#[from] RegistryFilesError),
}

impl RuleLoader {
    /// `time_zone` is that of rules which name none.
    pub fn new(
        files: RuleFiles,
        registry_files: RegistryFiles,
        catalog: Arc<dyn MetricCatalog + Send + Sync>,
        time_zone: String,
    ) -> Self {
        let (rules, registry_trouble) = (Trouble::default(), Trouble::default());
        RuleLoader {
            files,
            registry_files,
            catalog,
            time_zone,
            registry: None,
            places: None,
            rules,
            registry_trouble,
        }
    }

    /// True when the files differ from those at the last call.
    ///
    /// # Errors
    /// A file or folder cannot be read.
    pub fn have_changed(&mut self) -> Result<bool, RuleLoaderError> {
        // Both are looked at, or a change of the second would be seen a look later.
        let (rules, registry) = (self.files.have_changed(), self.registry_files.have_changed());
        Ok(rules? | registry?)
    }

    /// The rule set of the files; nothing when they are broken, and then why is said.
    pub fn load(&mut self) -> Option<RuleSet> {
        self.load_registry();
        let registry = self.registry.clone()?;
        // Looked at before they are read, so that a change in between is seen at the next look.
        let files = match self.files.have_changed().and_then(|_| self.files.read()) {
            Ok(files) => files,
            Err(error) => {
                self.say_broken(&error.to_string());
                return None;
            }
        };
        match load_rules(&files, self.catalog.as_ref(), &registry, &self.time_zone) {
            Ok(loaded) => {
                self.rules.said = None;
                self.places = Some((loaded.rule_set.digest().to_owned(), Arc::new(loaded.places)));
                metrics::gauge!("urban_neuron_rules_unmatched").set(loaded.unmatched as f64);
                Some(loaded_well(loaded.rule_set, &loaded.warnings))
            }
            Err(errors) => {
                let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
                self.say_broken(&text.join("\n"));
                None
            }
        }
    }

    /// Where the rules that loaded last stand, and the digest of their set.
    pub fn places(&self) -> Option<(&str, &Arc<RulePlaces>)> {
        self.places.as_ref().map(|(digest, places)| (digest.as_str(), places))
    }

    /// Why the files did not load at the last look.
    pub fn trouble(&self) -> Option<&str> {
        self.rules.said.as_deref()
    }

    /// A registry that does not load leaves the one before it.
    fn load_registry(&mut self) {
        match self.registry_files.have_changed().and_then(|_| self.registry_files.read()) {
            Ok(registry) => {
                metrics::gauge!("urban_neuron_registry_broken").set(0.0);
                metrics::gauge!("urban_neuron_registry_devices").set(registry.devices.len() as f64);
                self.registry = Some(Arc::new(registry));
                self.registry_trouble.said = None;
            }
            Err(cause) => {
                if self.registry_trouble.is_news(&cause.to_string()) {
                    error!(%cause, "the registry is broken, the one before it stays");
                    metrics::counter!("urban_neuron_registry_reload_errors_total").increment(1);
                    metrics::gauge!("urban_neuron_registry_broken").set(1.0);
                }
            }
        }
    }

    /// The rules in force stay; an operator must mend the files.
    pub fn say_broken(&mut self, cause: &str) {
        if self.rules.is_news(cause) {
            error!(cause, "the rule files are broken, the rules in force stay");
            metrics::counter!("urban_neuron_rules_reload_errors_total").increment(1);
            metrics::gauge!("urban_neuron_rules_broken").set(1.0);
        }
    }
}

impl Trouble {
    fn is_news(&mut self, cause: &str) -> bool {
        let is_news = self.said.as_deref() != Some(cause);
        self.said = Some(cause.to_owned());
        is_news
    }
}

fn loaded_well(rule_set: RuleSet, warnings: &[Diagnostic]) -> RuleSet {
    for warning in warnings {
        warn!(%warning, "rule file");
    }
    metrics::gauge!("urban_neuron_rules_broken").set(0.0);
    metrics::gauge!("urban_neuron_rules_loaded").set(rule_set.rules().len() as f64);
    rule_set
}

#[cfg(test)]
mod tests {
    use std::fs;

    use model::catalog::Catalog;

    use super::*;
    use crate::metric_catalog::SharedCatalog;

    const RULE: &str =
        "[[rule]]\nid = \"a\"\ntitle = \"t\"\nseverity = \"info\"\nwhen = \"water_level > 2 m\"\n";

    #[test]
    fn a_registry_that_breaks_leaves_the_one_before_and_rules_go_on_changing() {
        let folder = tempfile::tempdir().unwrap();
        let (rules, devices) = (folder.path().join("rules.toml"), folder.path().join("devices.csv"));
        fs::write(&rules, RULE).unwrap();
        fs::write(&devices, "device_id\nm-1,\n").unwrap();
        let mut loader = RuleLoader::new(
            RuleFiles::new(vec![rules.clone()]),
            RegistryFiles::new(Some(folder.path().to_owned()), Arc::new(model::catalog::Catalog::shipped())),
            Arc::new(SharedCatalog(Arc::new(Catalog::shipped()))),
            "Asia/Shanghai".to_owned(),
        );
        assert!(loader.load().is_none(), "no registry was ever whole");
        fs::write(&devices, "device_id\nm-1\n").unwrap();
        assert!(loader.have_changed().unwrap());
        assert_eq!(loader.load().unwrap().len(), 1);

        fs::write(&devices, "device_id,color\nm-1,red\n").unwrap();
        fs::write(&rules, format!("{RULE}{}", RULE.replace("\"a\"", "\"b\""))).unwrap();
        assert!(loader.have_changed().unwrap());
        assert_eq!(loader.load().unwrap().len(), 2);
        assert_eq!(loader.registry.unwrap().devices.len(), 1);
        assert!(loader.registry_trouble.said.unwrap().contains("color"));
    }
}
