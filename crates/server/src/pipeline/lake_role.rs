//! The lake role: its worker over the lake that the config names.

use std::sync::Arc;

use anyhow::Context;
use lake::Lake;
use log::Log;

use super::shared::{Shared, Worker};
use crate::config::Config;
use crate::engine_configs;
use crate::health::Role;
use crate::lake_worker::LakeWorker;

pub(super) fn start<L: Log>(log: &L, config: &Config, parts: &Shared) -> anyhow::Result<Worker> {
    let mut engine = engine_configs::lake(config);
    if parts.failpoints.is_armed() {
        let failpoints = parts.failpoints.clone();
        engine.failpoint = Some(Arc::new(move |step: lake::Step| failpoints.io(step.name())));
    }
    let lake = Lake::open(engine)
        .with_context(|| format!("cannot open the lake at {}", config.lake.root.display()))?;
    let (log, parts_of_worker) = (log.clone(), parts.clone());
    parts.spawn("lake worker", Role::Lake, move |stop| {
        LakeWorker::new(log, lake, parts_of_worker.health, parts_of_worker.stats)?.run(stop)
    })
}
