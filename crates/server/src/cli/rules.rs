//! `rules`: what rules say, before they are in force.

use std::collections::BTreeMap;

use clap::Subcommand;

use super::Failure;
use super::backtest::BacktestArgs;

#[derive(Subcommand, Debug)]
pub(super) enum RulesCommand {
    /// What rules would have said of what has landed: a table by rule, or with --format json an alert event a line
    Backtest(BacktestArgs),
}

impl RulesCommand {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        match self {
            RulesCommand::Backtest(args) => args.run(environment),
        }
    }
}
