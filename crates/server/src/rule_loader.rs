//! The rule files of the config, loaded over the metric catalog; what is wrong with them is said once a change.

use std::sync::Arc;

use model::registry::Registry;
use rules::{LoadOptions, MetricCatalog, RuleSet, RuleSource};
use tracing::{error, warn};

use crate::rule_files::{RuleFiles, RuleFilesError};

/// Loads the rules of one process.
pub struct RuleLoader {
    files: RuleFiles,
    catalog: Arc<dyn MetricCatalog + Send + Sync>,
    registry: Arc<Registry>,
    time_zone: String,
    /// What was said last, so that a file that stays broken is not told again and again.
    said: Option<String>,
}

impl RuleLoader {
    /// `time_zone` is that of rules which name none.
    pub fn new(
        files: RuleFiles,
        catalog: Arc<dyn MetricCatalog + Send + Sync>,
        registry: Arc<Registry>,
        time_zone: String,
    ) -> Self {
        RuleLoader { files, catalog, registry, time_zone, said: None }
    }

    /// True when the files differ from those at the last call.
    ///
    /// # Errors
    /// A file or folder cannot be read.
    pub fn have_changed(&mut self) -> Result<bool, RuleFilesError> {
        self.files.have_changed()
    }

    /// The rule set of the files; nothing when they are broken, and then why is said.
    pub fn load(&mut self) -> Option<RuleSet> {
        // Looked at before they are read, so that a change in between is seen at the next look.
        let files = match self.files.have_changed().and_then(|_| self.files.read()) {
            Ok(files) => files,
            Err(error) => {
                self.say_broken(&error.to_string());
                return None;
            }
        };
        let options =
            LoadOptions { registry: &self.registry, time_zone: &self.time_zone, ..LoadOptions::default() };
        match RuleSource::load(&files, self.catalog.as_ref(), &options) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    warn!(%warning, "rule file");
                }
                let shadows = loaded.rule_set.rules().iter().filter(|rule| rule.meaning.shadow).count();
                if shadows > 0 {
                    warn!(
                        rules = shadows,
                        "shadow rules are evaluated and not said: this version has no topic for them"
                    );
                }
                metrics::gauge!("urban_neuron_rules_broken").set(0.0);
                metrics::gauge!("urban_neuron_rules_loaded").set(loaded.rule_set.rules().len() as f64);
                self.said = None;
                Some(loaded.rule_set)
            }
            Err(errors) => {
                let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
                self.say_broken(&text.join("\n"));
                None
            }
        }
    }

    /// The rules in force stay; an operator must mend the files.
    pub fn say_broken(&mut self, cause: &str) {
        if self.said.as_deref() != Some(cause) {
            error!(cause, "the rule files are broken, the rules in force stay");
            metrics::counter!("urban_neuron_rules_reload_errors_total").increment(1);
            metrics::gauge!("urban_neuron_rules_broken").set(1.0);
            self.said = Some(cause.to_owned());
        }
    }
}
