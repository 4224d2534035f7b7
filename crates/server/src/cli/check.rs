//! `check`: config, catalog, credentials, registry and rules, every error at once.

use std::collections::BTreeMap;

use clap::Args;

use super::output::print_line;
use super::{ConfigArgs, Failure};
use crate::config::Config;
use crate::identity::user_file;
use crate::metric_catalog;
use crate::registry_files::RegistryFiles;
use crate::rule_files::RuleFiles;
use crate::rule_loader::load_rules;

#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

/// What is there when all is well.
#[derive(Default)]
struct Found {
    rules: usize,
    devices: usize,
}

impl CheckArgs {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        let config = self.config.load(environment)?;
        let mut errors = Vec::new();
        if let Some(path) = &config.mqtt_endpoint.credentials_path
            && let Err(error) = user_file::read(path)
        {
            errors.push(format!("mqtt.endpoint.credentials_path: {error}"));
        }
        let found = check_rules(&config, &mut errors);
        if errors.is_empty() {
            let devices = match config.registry.path {
                Some(_) => format!(", {} devices in the registry", found.devices),
                None => String::new(),
            };
            print_line(&format!("all is well: {} rules{devices}", found.rules))
        } else {
            Err(Failure::Usage(errors.join("\n")))
        }
    }
}

fn check_rules(config: &Config, errors: &mut Vec<String>) -> Found {
    let mut found = Found::default();
    let catalog = metric_catalog::load(config).map_err(|error| errors.push(format!("{error:#}"))).ok();
    let registry = catalog
        .as_ref()
        .map(|catalog| RegistryFiles::new(config.registry.path.clone(), catalog.0.clone()).read());
    let registry = registry.and_then(|read| read.map_err(|error| errors.push(error.to_string())).ok());
    found.devices = registry.as_ref().map_or(0, |registry| registry.devices.len());
    let files = RuleFiles::new(config.rules.paths.clone()).read();
    let files = files.map_err(|error| errors.push(error.to_string())).unwrap_or_default();
    // Rules without the catalog and the registry that they are written for would all seem wrong.
    let (Some(catalog), Some(registry)) = (catalog, registry) else {
        return found;
    };
    match load_rules(&files, catalog.as_ref(), &registry, &config.time_zone) {
        Err(wrong) => errors.extend(wrong.iter().map(ToString::to_string)),
        Ok(loaded) => {
            found.rules = loaded.rule_set.rules().len();
            loaded.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
        }
    }
    found
}
