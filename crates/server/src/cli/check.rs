//! `check`: config, catalog, credentials and rules, every error at once.

use std::collections::BTreeMap;

use clap::Args;
use rules::{LoadOptions, RuleSource};

use super::output::print_line;
use super::{ConfigArgs, Failure};
use crate::credentials::Credentials;
use crate::metric_catalog;
use crate::rule_files::RuleFiles;

#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

impl CheckArgs {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        let config = self.config.load(environment)?;
        let mut errors = Vec::new();
        if let Some(path) = &config.mqtt_endpoint.credentials_path
            && let Err(error) = Credentials::read(path)
        {
            errors.push(format!("mqtt.endpoint.credentials_path: {error}"));
        }
        let mut rule_count = 0;
        let options = LoadOptions { time_zone: &config.time_zone, ..LoadOptions::default() };
        match metric_catalog::load(&config) {
            // Rules without the catalog that they are written for would all seem wrong.
            Err(error) => errors.push(format!("{error:#}")),
            Ok(catalog) => match RuleFiles::new(config.rules.paths.clone()).read() {
                Err(error) => errors.push(error.to_string()),
                Ok(files) => match RuleSource::load(&files, catalog.as_ref(), &options) {
                    Err(found) => errors.extend(found.iter().map(ToString::to_string)),
                    Ok(loaded) => {
                        rule_count = loaded.rule_set.rules().len();
                        loaded.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
                    }
                },
            },
        }
        if errors.is_empty() {
            print_line(&format!("all is well: {rule_count} rules"))
        } else {
            Err(Failure::Usage(errors.join("\n")))
        }
    }
}
