//! Who answers a command: the running service, or the log itself while none runs.

use anyhow::Context;
use log::Log;
use log::embedded::EmbeddedLog;
use log::kafka::KafkaLog;

use super::Failure;
use crate::config::{Config, LogKind};
use crate::decoders::Decoders;
use crate::engine_configs;
use crate::health::Role;
use crate::operations::{LocalOperations, OperationError, Operations, RemoteOperations};
use crate::pipeline::rules_role;
use crate::rule_operations::RuleOperations;

/// Finds who answers for the deployment of this config. An embedded log has one process, so a running service is asked; over
/// Kafka the topics themselves are.
pub(super) fn operations(config: &Config) -> Result<Box<dyn Operations>, Failure> {
    let decoders = Decoders::new(config)?;
    if config.log.kind == LogKind::Kafka {
        let log = KafkaLog::connect(engine_configs::kafka(config, "urban-neuron-command"));
        return Ok(Box::new(LocalOperations::new(log.context("the log in Kafka")?, decoders)));
    }
    // Another deployment may listen on the same ports.
    if let Some(remote) = RemoteOperations::find(&config.admin, &embedded_log_id(config)?) {
        return Ok(Box::new(remote));
    }
    Ok(Box::new(LocalOperations::new(embedded_log(config)?, decoders)))
}

/// Finds who answers for the rules of this deployment: a running service that evaluates them, else what one left.
pub(super) fn rule_operations(config: &Config) -> Result<Box<dyn RuleOperations>, Failure> {
    if config.log.kind == LogKind::Kafka {
        let log = KafkaLog::connect(engine_configs::kafka(config, "urban-neuron-command"));
        let log = log.context("the log in Kafka")?;
        let remote = RemoteOperations::find(&config.admin, &log.log_id().to_string());
        return match remote.filter(|remote| remote.has_role(Role::Rules)) {
            Some(remote) => Ok(Box::new(remote)),
            None => Ok(Box::new(rules_role::operations(&log, config, None)?)),
        };
    }
    if let Some(remote) = RemoteOperations::find(&config.admin, &embedded_log_id(config)?) {
        return Ok(Box::new(remote));
    }
    Ok(Box::new(rules_role::operations(&embedded_log(config)?, config, None)?))
}

/// Written by the log itself when its directory is made.
fn embedded_log_id(config: &Config) -> Result<String, Failure> {
    let log_id = std::fs::read_to_string(config.data_dir.join("log_id"));
    let log_id = log_id
        .map_err(|_| anyhow::anyhow!("no log in {}: nothing has run here yet", config.data_dir.display()))?;
    Ok(log_id.trim_end().to_owned())
}

fn embedded_log(config: &Config) -> Result<EmbeddedLog, Failure> {
    let log = EmbeddedLog::open(engine_configs::embedded(config, |error| {
        tracing::error!(%error, "the log failed");
        std::process::abort();
    }));
    Ok(log.context("the log, as no service answers on admin.listen")?)
}

impl From<OperationError> for Failure {
    fn from(error: OperationError) -> Self {
        Failure::Failed(error.into())
    }
}
