//! `rules list`, `sets`, `put` and `remove`: which rules are in force, which were when, and other ones.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::output::{OutputArgs, print_json, print_line};
use super::{ConfigArgs, Failure, deployment};
use crate::operations::OperationError;
use crate::rule_operations::{RULE_FILE_NAME_HELP, RulesChanged, is_rule_file_name};
use crate::rule_questions::PartitionRules;

#[derive(Args, Debug)]
pub(super) struct RulesListArgs {
    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct RulesPutArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// The rule file (TOML)
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Its name in the folder of rules.paths, in place of its own
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct RulesRemoveArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// The file's name in the folder of rules.paths
    #[arg(value_name = "NAME", value_parser = file_name)]
    name: String,

    #[command(flatten)]
    output: OutputArgs,
}

fn file_name(text: &str) -> Result<String, String> {
    if is_rule_file_name(text) { Ok(text.to_owned()) } else { Err(RULE_FILE_NAME_HELP.to_owned()) }
}

impl RulesListArgs {
    /// `rules list`.
    pub(super) fn list(&self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        let config = self.config.load(environment)?;
        let rules = deployment::rule_operations(&config)?.rules_in_force()?;
        if self.output.is_json() {
            return print_json(&rules);
        }
        for rule in &rules.rules {
            let shadow = if rule.is_shadow { " (shadow)" } else { "" };
            let place = rule.place.as_deref().unwrap_or("-");
            print_line(&format!(
                "{:<8} {:<32} {}{shadow}  [{}]  {place}",
                rule.severity.name(),
                rule.id,
                rule.title,
                rule.condition
            ))?;
        }
        let n = rules.n.map_or("none".to_owned(), |n| n.to_string());
        print_line(&format!("{} rules, rule set {n}, digest {}", rules.rules.len(), rules.digest))?;
        print_partitions(&rules.partitions)
    }

    /// `rules sets`.
    pub(super) fn sets(&self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        let config = self.config.load(environment)?;
        let sets = deployment::rule_operations(&config)?.rule_sets()?;
        if self.output.is_json() {
            return sets.iter().try_for_each(print_json);
        }
        print_line(&format!(
            "{:<32} {:>4} {:>6} {:>7} {:>12}  {:<27}  {:<27}  digest",
            "log", "part", "set", "rules", "from offset", "from", "until"
        ))?;
        for span in &sets {
            let number = |number: Option<String>| number.unwrap_or_else(|| "?".to_owned());
            print_line(&format!(
                "{:<32} {:>4} {:>6} {:>7} {:>12}  {:<27}  {:<27}  {}",
                span.log_id,
                span.log_partition,
                number(span.n.map(|n| n.to_string())),
                number(span.rules.map(|rules| rules.to_string())),
                span.from_offset,
                span.from,
                span.until.as_deref().unwrap_or("now"),
                span.digest,
            ))?;
        }
        Ok(())
    }
}

impl RulesPutArgs {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        let config = self.config.load(environment)?;
        let own_name = || self.file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let name = self.name.clone().unwrap_or_else(own_name);
        let name = file_name(&name).map_err(|help| Failure::Usage(format!("{name:?}: {help}")))?;
        let text = std::fs::read_to_string(&self.file).with_context(|| self.file.display().to_string())?;
        print_changed(deployment::rule_operations(&config)?.put_rule_file(&name, &text), self.output)
    }
}

impl RulesRemoveArgs {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        let config = self.config.load(environment)?;
        print_changed(deployment::rule_operations(&config)?.remove_rule_file(&self.name), self.output)
    }
}

fn print_changed(changed: Result<RulesChanged, OperationError>, output: OutputArgs) -> Result<(), Failure> {
    let changed = match changed {
        Err(OperationError::BrokenRules { diagnostics, .. }) => {
            let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
            return Err(Failure::Usage(lines.join("\n")));
        }
        changed => changed?,
    };
    if output.is_json() {
        return print_json(&changed);
    }
    changed.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let RulesChanged { file, rules, digest, n, .. } = &changed;
    print_line(&match n {
        None => format!("{file}: {rules} rules, in force at the next start, digest {digest}"),
        Some(n) if changed.is_in_force => {
            format!("{file}: {rules} rules in force as rule set {n}, digest {digest}")
        }
        Some(n) => {
            format!("{file}: {rules} rules are rule set {n}, not in force everywhere yet, digest {digest}")
        }
    })?;
    print_partitions(&changed.partitions)
}

fn print_partitions(partitions: &[PartitionRules]) -> Result<(), Failure> {
    for partition in partitions {
        let n = partition.n.map_or("none".to_owned(), |n| n.to_string());
        let from = partition.from_offset.map_or(String::new(), |offset| format!(" from offset {offset}"));
        let live = if partition.is_live { "" } else { ", not live yet" };
        let (number, position) = (partition.log_partition, partition.position);
        print_line(&format!("log partition {number}: rule set {n}{from}, evaluated to {position}{live}"))?;
    }
    Ok(())
}
