//! `log`: what it holds.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};

use super::output::{OutputArgs, print_json, print_line};
use super::{ConfigArgs, Failure, deployment};

#[derive(Subcommand, Debug)]
pub(super) enum LogCommand {
    /// The log's identity, and the offsets that each partition holds
    Describe(DescribeArgs),
    /// Bring what an embedded log still holds to the lake and the rules before a change to Kafka. Not in this version
    Drain(DrainArgs),
}

#[derive(Args, Debug)]
pub(super) struct DescribeArgs {
    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct DrainArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

impl LogCommand {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        match self {
            LogCommand::Describe(args) => describe(&args, environment),
            LogCommand::Drain(args) => {
                args.config.load(environment)?;
                let words = "log drain is not supported yet: keep this deployment on its embedded log, or begin the one over \
                             Kafka with a data_dir and a lake of its own";
                Err(anyhow::anyhow!(words).into())
            }
        }
    }
}

fn describe(args: &DescribeArgs, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
    let config = args.config.load(environment)?;
    let log = deployment::operations(&config)?.describe_log()?;
    if args.output.is_json() {
        return print_json(&log);
    }
    print_line(&format!("log {}", log.log_id))?;
    print_line(&format!(
        "{:<20} {:>9} {:>14} {:>14} {:>14}",
        "topic", "partition", "first", "next", "records"
    ))?;
    for part in &log.partitions {
        let (first, next) = (part.first, part.next);
        print_line(&format!(
            "{:<20} {:>9} {first:>14} {next:>14} {:>14}",
            part.topic,
            part.log_partition,
            next - first
        ))?;
    }
    match &log.trouble {
        None => Ok(()),
        Some(cause) => print_line(&format!("nothing can be appended: {cause}")),
    }
}
