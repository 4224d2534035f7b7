//! `alerts`: what fires now, and what changes.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use clap::{Args, Subcommand};
use model::{Alert, AlertValue};

use super::explain::ExplainArgs;
use super::output::{OutputArgs, print_json, print_line};
use super::{ConfigArgs, Failure, deployment};

#[derive(Subcommand, Debug)]
pub(super) enum AlertsCommand {
    /// What fires now, by rule and device
    List(AlertsArgs),
    /// Every raise and resolve from now on, until interrupted
    Watch(AlertsArgs),
    /// Why an alert was raised: its evidence read again from the lake, and its rule evaluated again up to it. Exit code 1
    /// when the lake contradicts it
    Explain(ExplainArgs),
}

#[derive(Args, Debug)]
pub(super) struct AlertsArgs {
    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    output: OutputArgs,
}

impl AlertsCommand {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        match self {
            AlertsCommand::List(args) => list(&args, environment),
            AlertsCommand::Watch(args) => watch(&args, environment),
            AlertsCommand::Explain(args) => args.run(environment),
        }
    }
}

fn list(args: &AlertsArgs, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
    let config = args.config.load(environment)?;
    let firing = deployment::operations(&config)?.firing()?;
    for alert in &firing {
        print_alert(args, alert)?;
    }
    if !args.output.is_json() {
        print_line(&format!("{} firing", firing.len()))?;
    }
    Ok(())
}

fn watch(args: &AlertsArgs, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
    let config = args.config.load(environment)?;
    let operations = deployment::operations(&config)?;
    let mut outcome = Ok(());
    operations.watch(&mut |alert| {
        outcome = alert.as_ref().map_or(Ok(()), |alert| print_alert(args, alert));
        if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    outcome
}

fn print_alert(args: &AlertsArgs, alert: &Alert) -> Result<(), Failure> {
    if args.output.is_json() {
        return print_json(alert);
    }
    let at = alert.resolved_at.as_ref().unwrap_or(&alert.raised_at);
    let value = match &alert.value {
        Some(AlertValue::Number(number)) => number.to_string(),
        Some(AlertValue::Boolean(flag)) => flag.to_string(),
        Some(AlertValue::Text(text)) => format!("{text:?}"),
        None => "-".to_owned(),
    };
    let metric = alert.metric.as_deref().unwrap_or("-");
    let unit = alert.unit.as_deref().unwrap_or("");
    let (event, severity) = (alert.event.name(), alert.severity.name());
    print_line(&format!(
        "{at}  {event:<8} {severity:<8} {:<28} {:<24} {metric} = {value} {unit}  [{}]",
        alert.rule_id, alert.device_id, alert.condition,
    ))
}
