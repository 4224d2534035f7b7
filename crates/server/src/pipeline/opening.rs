//! Opening the log that the config names.

use anyhow::{Context, bail};
use log::Consumer;
use log::embedded::EmbeddedLog;
use log::kafka::KafkaLog;

use crate::config::Config;
use crate::engine_configs;
use crate::failpoints::Failpoints;
use crate::health::Role;

/// The embedded log. All roles must be here: it has one process.
pub(super) fn embedded(
    config: &Config,
    roles: &[Role],
    failpoints: &Failpoints,
) -> anyhow::Result<EmbeddedLog> {
    let mut engine = engine_configs::embedded(config, |cause| {
        // What the disk holds of the last batch is not known any more: nobody may be told that it is safe.
        tracing::error!(%cause, "an fdatasync failed, the process ends without acknowledging");
        std::process::abort();
    });
    engine.consumers = roles
        .iter()
        .filter_map(|role| match role {
            Role::Lake => Some(Consumer::Lake),
            Role::Rules => Some(Consumer::Rules),
            Role::Gateway => None,
        })
        .collect();
    if failpoints.is_armed() {
        let failpoints = failpoints.clone();
        engine.failpoint = Some(std::sync::Arc::new(move |name| failpoints.io(name)));
    }
    EmbeddedLog::open(engine).context("cannot open the embedded log")
}

/// Kafka.
pub(super) fn kafka(config: &Config) -> anyhow::Result<KafkaLog> {
    refuse_embedded_data(config)?;
    KafkaLog::connect(engine_configs::kafka(config, "urban-neuron")).context("cannot use the Kafka log")
}

/// A process that is given Kafka does not start over an embedded log that lake and rules have not passed; until there is a
/// `log drain`, any embedded log counts as such.
fn refuse_embedded_data(config: &Config) -> anyhow::Result<()> {
    let embedded = config.data_dir.join("log");
    if embedded.exists() {
        bail!(
            "{} holds an embedded log; moving it to Kafka (`log drain`) is not supported yet: name another data_dir, or keep log.kind = \"embedded\"",
            config.data_dir.display()
        );
    }
    Ok(())
}
