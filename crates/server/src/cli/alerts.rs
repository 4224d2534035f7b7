//! `alerts`: what fires now, what changes, and what is done about it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use clap::{Args, Subcommand};
use model::{Alert, AlertEvent, AlertValue};

use super::alert_commands::{AcknowledgeArgs, CommentArgs, SilenceArgs};
use super::explain::ExplainArgs;
use super::output::{OutputArgs, print_json, print_line};
use super::{ConfigArgs, Failure, deployment};

#[derive(Subcommand, Debug)]
pub(super) enum AlertsCommand {
    /// What fires now, by rule and device
    List(AlertsArgs),
    /// Every event from now on, until interrupted
    Watch(AlertsArgs),
    /// Why an alert was raised: its evidence read again from the lake, and its rule evaluated again up to it. Exit code 1
    /// when the lake contradicts it
    Explain(ExplainArgs),
    /// Says that somebody is on it
    Acknowledge(AcknowledgeArgs),
    /// Adds a text to an alert
    Comment(CommentArgs),
    /// Marks this and later alerts of its rule and device as silenced until a time; it hides nothing
    Silence(SilenceArgs),
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
            AlertsCommand::Acknowledge(args) => args.run(environment),
            AlertsCommand::Comment(args) => args.run(environment),
            AlertsCommand::Silence(args) => args.run(environment),
        }
    }
}

fn list(args: &AlertsArgs, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
    let config = args.config.load(environment)?;
    let firing = deployment::operations(&config)?.firing()?;
    for alert in &firing {
        print_alert(args.output, alert)?;
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
        outcome = alert.as_ref().map_or(Ok(()), |alert| print_alert(args.output, alert));
        if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    outcome
}

pub(super) fn print_alert(output: OutputArgs, alert: &Alert) -> Result<(), Failure> {
    if output.is_json() {
        return print_json(alert);
    }
    let of_people = alert.people.last().filter(|_| alert.event.is_of_people());
    let at = of_people.map(|said| &said.at).or(alert.resolved_at.as_ref()).unwrap_or(&alert.raised_at);
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
        "{at}  {event:<12} {severity:<8} {:<28} {:<24} {metric} = {value} {unit}  [{}]{}",
        alert.rule_id,
        alert.device_id,
        alert.condition,
        marks(alert),
    ))
}

/// Who is on it, who has silenced it and until when, and what was said last.
fn marks(alert: &Alert) -> String {
    let mut words = String::new();
    let first = |event| alert.people.iter().find(|said| said.event == event);
    if let Some(said) = first(AlertEvent::Acknowledged) {
        words += &format!("  acknowledged by {}", said.by);
    }
    if let Some(by) = &alert.silenced_by {
        let silences = alert.people.iter().rev().filter(|said| said.event == AlertEvent::Silenced);
        let until = silences.filter_map(|said| said.until.as_deref()).next().unwrap_or("later");
        words += &format!("  silenced by {by} until {until}");
    }
    if let Some(suppressing) = &alert.suppressed_by {
        words += &format!("  suppressed by {suppressing}");
    }
    let mut texts = alert.people.iter().rev().filter_map(|said| Some((&said.by, said.text.as_ref()?)));
    if let Some((by, text)) = texts.next() {
        words += &format!("  {by}: {text:?}");
    }
    words
}
