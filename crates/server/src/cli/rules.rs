//! `rules`: what rules say, before they are in force.

use std::collections::BTreeMap;

use clap::Subcommand;

use super::Failure;
use super::backtest::BacktestArgs;
use super::rules_test::RulesTestArgs;

#[derive(Subcommand, Debug)]
pub(super) enum RulesCommand {
    /// Cases beside the rules: records in, alerts expected out. Prints each difference; exit code 1 on any
    Test(RulesTestArgs),
    /// What rules would have said of what has landed: a table by rule, or with --format json an alert event a line
    Backtest(BacktestArgs),
}

impl RulesCommand {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        match self {
            RulesCommand::Test(args) => args.run(environment),
            RulesCommand::Backtest(args) => args.run(environment),
        }
    }
}
