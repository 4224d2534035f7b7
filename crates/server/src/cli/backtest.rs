//! `rules backtest`: what rules would have said of what has landed.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use model::time::{format_rfc3339, parse_rfc3339};
use rules::RuleSet;

use super::output::{OutputArgs, print_json, print_line};
use super::progress_line::ProgressLine;
use super::{ConfigArgs, Failure};
use crate::backtest::{
    Backtest, BacktestLake, BacktestRules, BacktestSpan, Change, Difference, Progress, Summary, backtest,
    differences,
};
use crate::config::Config;
use crate::metric_catalog;
use crate::registry_files::RegistryFiles;
use crate::rule_files::RuleFiles;
use crate::rule_loader::load_rules;
use crate::rule_sets::RuleSets;
use crate::state_store::StateStore;

#[derive(Args, Debug)]
pub(super) struct BacktestArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// Rule files, or directories whose *.toml files are read
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    rules: Vec<PathBuf>,

    /// Directory of the lake, in place of the config's
    #[arg(long, value_name = "DIR")]
    lake: Option<PathBuf>,

    /// Say from this clock on, as in 2026-11-24T00:00:00Z; a day before it is read and not said
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<i64>,

    /// Read up to this clock
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<i64>,

    /// Only devices of this pattern, where * stands for any run of characters
    #[arg(long, value_name = "PATTERN")]
    device: Option<String>,

    /// List alerts that are new, gone or moved against `live`, what was in force, or against other rule files
    #[arg(long, value_name = "live|FILE", num_args = 1..)]
    diff: Vec<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

fn time(text: &str) -> Result<i64, String> {
    parse_rfc3339(text).map_err(|error| error.to_string())
}

impl BacktestArgs {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        let config = self.config.load(environment)?;
        let root = self.lake.clone().unwrap_or_else(|| config.lake.root.clone());
        if !root.is_dir() {
            return Err(anyhow::anyhow!("no lake at {}", root.display()).into());
        }
        let set = rule_set(&config, &self.rules)?;
        let before = match self.diff.as_slice() {
            [] => None,
            [live] if live.as_os_str() == "live" => {
                Some(BacktestRules::Live(RuleSets::new(StateStore::new(&root))))
            }
            files => Some(BacktestRules::Given(rule_set(&config, files)?)),
        };
        let now = self.replay(&config, &root, &BacktestRules::Given(set.clone()))?;
        match before {
            None => self.print(&now, &set),
            Some(rules) => {
                let before = self.replay(&config, &root, &rules)?;
                self.print_differences(&differences(&before.alerts, &now.alerts))
            }
        }
    }

    fn replay(&self, config: &Config, root: &Path, rules: &BacktestRules) -> Result<Backtest, Failure> {
        let span =
            BacktestSpan { from_us: self.from, to_us: self.to, partition: None, device: self.device.clone() };
        // Into a file nobody looks at how far it is.
        let line = std::io::stderr().is_terminal().then(ProgressLine::new);
        let mut say = |progress: &Progress| {
            let Progress { records, readings, clock_us } = *progress;
            if let Some(line) = &line {
                line.say(format!("{records} records, {readings} readings, at {}", format_rfc3339(clock_us)));
            }
        };
        let lake = BacktestLake { root, tenant: &config.tenant, partitions: config.log.partitions };
        let replayed = backtest(lake, rules, &span, &mut say);
        line.into_iter().for_each(ProgressLine::finish);
        Ok(replayed.with_context(|| format!("the lake at {}", root.display()))?)
    }

    fn print(&self, backtest: &Backtest, set: &RuleSet) -> Result<(), Failure> {
        if self.output.is_json() {
            return backtest.alerts.iter().try_for_each(print_json);
        }
        let Progress { records, readings, .. } = backtest.progress;
        let ids = set.rules().iter().map(|rule| rule.id.as_str());
        print_line(Summary::new(backtest, ids).to_string().trim_end())?;
        let span = match backtest.clock_us {
            Some((first_us, last_us)) => {
                format!(" from {} to {}", format_rfc3339(first_us), format_rfc3339(last_us))
            }
            None => String::new(),
        };
        print_line(&format!("{records} records, {readings} readings{span}"))
    }

    fn print_differences(&self, differences: &[Difference]) -> Result<(), Failure> {
        if self.output.is_json() {
            return differences.iter().try_for_each(print_json);
        }
        let mut counts = [0; 3];
        for Difference { rule_id, device_id, change } in differences {
            let (kind, name, times) = match change {
                Change::New { now } => (0, "new", now.span()),
                Change::Gone { before } => (1, "gone", before.span()),
                Change::Moved { before, now } => (2, "moved", format!("{} -> {}", before.span(), now.span())),
            };
            counts[kind] += 1;
            print_line(&format!("{name:<5} {rule_id:<28} {device_id:<24} {times}"))?;
        }
        print_line(&format!("{} new, {} gone, {} moved", counts[0], counts[1], counts[2]))
    }
}

/// The rules of some files for the registry and catalog of the config.
fn rule_set(config: &Config, paths: &[PathBuf]) -> Result<Arc<RuleSet>, Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
    let files = RuleFiles::new(paths.to_vec()).read().map_err(|error| usage(&error))?;
    let catalog = metric_catalog::load(config).map_err(|error| Failure::Usage(format!("{error:#}")))?;
    let registry = RegistryFiles::new(config.registry.path.clone(), catalog.0.clone()).read();
    let registry = registry.map_err(|error| usage(&error))?;
    match load_rules(&files, catalog.as_ref(), &registry, &config.time_zone) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
            Ok(Arc::new(loaded.rule_set))
        }
        Err(errors) => {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Err(Failure::Usage(lines.join("\n")))
        }
    }
}
