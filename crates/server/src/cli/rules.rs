//! `rules`: which rules are in force, what they say and would say, and other ones.

use std::collections::BTreeMap;

use clap::Subcommand;

use super::Failure;
use super::backtest::BacktestArgs;
use super::rules_explain::RulesExplainArgs;
use super::rules_in_force::{RulesListArgs, RulesPutArgs, RulesRemoveArgs};
use super::rules_schema::RulesSchemaArgs;
use super::rules_shadow::RulesShadowArgs;
use super::rules_test::RulesTestArgs;

#[derive(Subcommand, Debug)]
pub(super) enum RulesCommand {
    /// The rules in force, and on which log partition which set is
    List(RulesListArgs),
    /// Where a rule stands on a device: its state, what it waits for, the readings in place, each comparison
    Explain(RulesExplainArgs),
    /// Put a rule file into the folder of rules.paths, if the rules load with it, and wait until they are in force
    Put(RulesPutArgs),
    /// Remove a rule file, if the rest loads without it, and wait until its rules are no longer in force
    Remove(RulesRemoveArgs),
    /// Which rule set was in force when, by log partition
    Sets(RulesListArgs),
    /// How each shadow rule differs from its live rule: alerts that only one says, or both at other times
    Shadow(RulesShadowArgs),
    /// Cases beside the rules: records in, alerts expected out. Prints each difference; exit code 1 on any
    Test(RulesTestArgs),
    /// What rules would have said of what has landed: a table by rule, or with --format json an alert event a line
    Backtest(BacktestArgs),
    /// The JSON Schema of rule files, of cases or of alerts
    Schema(RulesSchemaArgs),
}

impl RulesCommand {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        match self {
            RulesCommand::List(args) => args.list(environment),
            RulesCommand::Explain(args) => args.run(environment),
            RulesCommand::Put(args) => args.run(environment),
            RulesCommand::Remove(args) => args.run(environment),
            RulesCommand::Sets(args) => args.sets(environment),
            RulesCommand::Shadow(args) => args.run(environment),
            RulesCommand::Test(args) => args.run(environment),
            RulesCommand::Backtest(args) => args.run(environment),
            RulesCommand::Schema(args) => args.run(),
        }
    }
}
