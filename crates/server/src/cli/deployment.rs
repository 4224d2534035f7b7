//! Who answers a command: the running service, or the log itself while none runs.

use anyhow::Context;
use log::embedded::EmbeddedLog;
use log::kafka::KafkaLog;

use super::Failure;
use crate::config::{Config, LogKind};
use crate::decoders::Decoders;
use crate::engine_configs;
use crate::operations::{LocalOperations, OperationError, Operations, RemoteOperations};

/// Finds who answers for the deployment of this config. An embedded log has one process, so a running service is asked; over
/// Kafka the topics themselves are.
pub(super) fn operations(config: &Config) -> Result<Box<dyn Operations>, Failure> {
    let decoders = Decoders::new(config)?;
    if config.log.kind == LogKind::Kafka {
        let log = KafkaLog::connect(engine_configs::kafka(config, "urban-neuron-command"));
        return Ok(Box::new(LocalOperations::new(log.context("the log in Kafka")?, decoders)));
    }
    // Written by the log itself when its directory is made.
    let Ok(log_id) = std::fs::read_to_string(config.data_dir.join("log_id")) else {
        return Err(
            anyhow::anyhow!("no log in {}: nothing has run here yet", config.data_dir.display()).into()
        );
    };
    // Another deployment may listen on the same ports.
    if let Some(remote) = RemoteOperations::find(&config.admin, log_id.trim_end()) {
        return Ok(Box::new(remote));
    }
    let log = EmbeddedLog::open(engine_configs::embedded(config, |error| {
        tracing::error!(%error, "the log failed");
        std::process::abort();
    }));
    Ok(Box::new(LocalOperations::new(
        log.context("the log, as no service answers on admin.listen")?,
        decoders,
    )))
}

impl From<OperationError> for Failure {
    fn from(error: OperationError) -> Self {
        Failure::Failed(error.into())
    }
}
