//! `lake`: what stands there, and the proof that it is whole. Works beside a running service: readers take no lock.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::output::{OutputArgs, print_json, print_line};
use super::{ConfigArgs, Failure, deployment};
use crate::config::Config;
use crate::{engine_configs, lake_description};

#[derive(Subcommand, Debug)]
pub(super) enum LakeCommand {
    /// Prove that every chain of commits is whole and every file is what was committed, and that nothing else stands in
    /// the tables. Exit code 1 and the problems when not
    Verify(LakeArgs),
    /// Table partitions, rows, and how far each log partition has landed
    Describe(LakeArgs),
    /// Accept that the log lost records before they landed, so that a log partition that stands still goes on. The
    /// service must be stopped
    AcceptGap(AcceptGapArgs),
}

#[derive(Args, Debug)]
pub(super) struct LakeArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// Directory of the lake, in place of the config's
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct AcceptGapArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// The log partition that stands still
    #[arg(long, value_name = "NUMBER")]
    partition: u32,
}

impl LakeCommand {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        match self {
            LakeCommand::Verify(args) => verify(&args, environment),
            LakeCommand::Describe(args) => describe(&args, environment),
            LakeCommand::AcceptGap(args) => accept_gap(&args, environment),
        }
    }
}

impl LakeArgs {
    fn root(&self, environment: &BTreeMap<String, String>) -> Result<PathBuf, Failure> {
        let root = match &self.root {
            Some(root) => root.clone(),
            None => self.config.load(environment)?.lake.root,
        };
        if root.is_dir() { Ok(root) } else { Err(anyhow::anyhow!("no lake at {}", root.display()).into()) }
    }
}

fn verify(args: &LakeArgs, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
    let root = args.root(environment)?;
    let report = lake::verify(&root).with_context(|| format!("the lake at {}", root.display()))?;
    let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    if args.output.is_json() {
        print_json(&serde_json::json!({
            "is_whole": problems.is_empty(),
            "log_partitions": report.log_partitions,
            "commits": report.commits,
            "files": report.files,
            "bytes": report.bytes,
            "rows": report.counts.rows,
            "messages": report.counts.messages,
            "repeats": report.counts.repeats,
            "control": report.counts.control,
            "undecodable": report.counts.undecodable,
            "unpublished": report.unpublished,
            "gaps": report.gaps.iter().map(|(source, range)| serde_json::json!({
                "log_id": source.log_id.to_string(),
                "log_partition": source.log_partition,
                "first": range.start,
                "next": range.end,
            })).collect::<Vec<_>>(),
            "problems": problems,
        }))?;
    } else {
        print_report(&report, &problems)?;
    }
    if problems.is_empty() { Ok(()) } else { Err(Failure::Negative) }
}

fn print_report(report: &lake::Report, problems: &[String]) -> Result<(), Failure> {
    let lake::Report { log_partitions, commits, files, bytes, counts, unpublished, gaps, .. } = report;
    print_line(&format!("{log_partitions} log partitions, {commits} commits, {files} files, {bytes} bytes"))?;
    print_line(&format!(
        "{} records = {} messages ({} rows) + {} repeats + {} control + {} undecodable",
        counts.records(),
        counts.messages,
        counts.rows,
        counts.repeats,
        counts.control,
        counts.undecodable
    ))?;
    if *unpublished > 0 {
        print_line(&format!("{unpublished} files of the newest ranges are decided and not published yet"))?;
    }
    for (source, range) in gaps {
        let (log_id, partition) = (source.log_id, source.log_partition);
        print_line(&format!(
            "accepted gap: log {log_id} partition {partition}, {}..{}",
            range.start, range.end
        ))?;
    }
    for problem in problems {
        print_line(problem)?;
    }
    print_line(&match problems.len() {
        0 => "the lake is whole".to_owned(),
        count => format!("the lake is not whole: {count} problems"),
    })
}

fn describe(args: &LakeArgs, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
    let root = args.root(environment)?;
    let description =
        lake_description::describe(&root).with_context(|| format!("the lake at {}", root.display()))?;
    if args.output.is_json() {
        print_json(&description)
    } else {
        print_line(description.to_string().trim_end())
    }
}

fn accept_gap(args: &AcceptGapArgs, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
    let config: Config = args.config.load(environment)?;
    let log = deployment::operations(&config)?.describe_log()?;
    let is_wanted = |part: &&crate::operations::PartitionOffsets| {
        part.topic == ::log::Topic::Telemetry.name() && part.log_partition == args.partition
    };
    let held = log.partitions.iter().find(is_wanted);
    let held = held.ok_or_else(|| Failure::Usage(format!("the log has no partition {}", args.partition)))?;
    let log_id = log.log_id.parse().context("the log's id")?;
    let lake = lake::Lake::open(engine_configs::lake(&config)).context("the lake")?;
    match lake.accept_gap(log_id, args.partition, held.first).context("the lake")? {
        Some(range) => print_line(&format!("accepted: {}..{} will never land", range.start, range.end)),
        None => print_line("nothing is missing"),
    }
}
