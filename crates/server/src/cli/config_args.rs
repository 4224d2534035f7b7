//! The flags that say which config a command works on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::config::{Config, Sources};

/// Which config: file, environment, flags, the later over the earlier.
#[derive(Args, Debug, Clone, Default)]
pub struct ConfigArgs {
    /// Config file (TOML). Without one every key has its default
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Set one key over file and environment, as in --set lake.roll_age=30s. The value is TOML; bare text is text.
    /// May be given often. Environment: URBAN_NEURON__LAKE__ROLL_AGE=30s
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,

    /// Short for --set data_dir=DIR
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl ConfigArgs {
    /// Reads and checks the config.
    pub fn load(&self, environment: &BTreeMap<String, String>) -> Result<Config, Failure> {
        self.load_over(environment, &[])
    }

    /// The same with `defaults`, `key=value`, for keys that nobody set.
    pub fn load_over(
        &self,
        environment: &BTreeMap<String, String>,
        defaults: &[String],
    ) -> Result<Config, Failure> {
        let file = match &self.config {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
                Some((path.clone(), text))
            }
        };
        let mut settings = defaults.to_vec();
        settings.extend(self.settings.iter().cloned());
        if let Some(dir) = &self.data_dir {
            // Quoted as TOML, or a directory called 7 would be a number.
            settings.push(format!("data_dir={}", toml::Value::String(dir.display().to_string())));
        }
        let sources = Sources { file, environment: environment.clone(), settings, ..Sources::default() };
        Config::load(&sources).map_err(|errors| Failure::Usage(errors.to_string()))
    }
}
