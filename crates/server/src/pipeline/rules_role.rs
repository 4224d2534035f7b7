//! The rules role: its worker over the rule files and the state beside the lake.

use std::sync::Arc;

use log::Log;

use super::shared::{Shared, Worker};
use crate::config::{Config, LogKind};
use crate::health::Role;
use crate::metric_catalog;
use crate::registry_files::RegistryFiles;
use crate::rule_files::RuleFiles;
use crate::rule_loader::RuleLoader;
use crate::rule_operations::{LocalRules, RuleFolder};
use crate::rule_questions::{AskedRules, RuleQuestions};
use crate::rules_worker::{RulesWorker, RulesWorkerConfig, RulesWorkerParts};
use crate::state_store::StateStore;

pub(super) fn start<L: Log>(
    log: &L,
    config: &Config,
    parts: &Shared,
    asked: AskedRules,
) -> anyhow::Result<Worker> {
    let worker_config = RulesWorkerConfig {
        tenant: config.tenant.clone(),
        lake_root: config.lake.root.clone(),
        instance: parts.instance.clone(),
        snapshot_interval: config.rules.snapshot_interval,
        reload_interval: config.rules.reload_interval,
        may_return_to_older_rules: config.log.kind == LogKind::Embedded,
    };
    let failpoints = parts.failpoints.clone();
    let worker_parts = RulesWorkerParts {
        store: StateStore::new(&config.lake.root),
        stream: parts.stream.clone(),
        health: parts.health.clone(),
        stats: parts.stats.clone(),
        failpoint: failpoints.is_armed().then(|| {
            Arc::new(move |name: &'static str| failpoints.pass(name))
                as Arc<dyn Fn(&'static str) + Send + Sync>
        }),
    };
    let catalog = metric_catalog::load(config)?;
    let loader = RuleLoader::new(
        RuleFiles::new(config.rules.paths.clone()),
        RegistryFiles::new(config.registry.path.clone(), catalog.0.clone()),
        catalog,
        config.time_zone.clone(),
    );
    let log = log.clone();
    parts.spawn("rules worker", Role::Rules, move |stop| {
        RulesWorker::new(log, worker_parts, worker_config, loader)?.answering(asked).run(stop)
    })
}

/// Who answers what people ask of the rules; without `questions` from what a worker left.
///
/// # Errors
/// The metric catalog does not load.
pub fn operations<L: Log>(
    log: &L,
    config: &Config,
    questions: Option<RuleQuestions>,
) -> anyhow::Result<LocalRules<L>> {
    let folder = RuleFolder {
        paths: config.rules.paths.clone(),
        registry_path: config.registry.path.clone(),
        catalog: metric_catalog::load(config)?,
        time_zone: config.time_zone.clone(),
        one_at_a_time: Default::default(),
    };
    let (lake_root, tenant) = (config.lake.root.clone(), config.tenant.clone());
    Ok(LocalRules { log: log.clone(), questions, folder, lake_root, tenant })
}
