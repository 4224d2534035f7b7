//! `run`: the service.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use tracing::info;

use super::stop_signal::StopSignal;
use super::{ConfigArgs, Failure};
use crate::health::Role;
use crate::pipeline::Service;

/// How often what the components do not say by themselves is looked at.
const REFRESH_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Args, Debug)]
pub(super) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// What this process does; several processes may share the work over Kafka
    #[arg(long, value_name = "ROLES", value_delimiter = ',', default_values_t = Role::ALL)]
    roles: Vec<Role>,
}

impl RunArgs {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        let config = self.config.load(environment)?;
        let mut roles = self.roles;
        roles.sort_unstable();
        roles.dedup();
        let stop = StopSignal::listen()?;
        let service = Service::start(&config, &roles)?;
        info!(
            endpoint = ?service.endpoint_addresses(),
            admin = ?service.admin_addresses(),
            data_dir = %config.data_dir.display(),
            lake = %config.lake.root.display(),
            "serving"
        );
        while !stop.wait(REFRESH_INTERVAL) && !service.has_failed() {
            service.refresh();
        }
        let has_failed = service.has_failed();
        service.stop(None);
        if has_failed {
            return Err(anyhow::anyhow!("a worker ended by itself, see the log").into());
        }
        Ok(())
    }
}
