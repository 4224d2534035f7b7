//! `rules explain`: where a rule stands on a device, and why.

use std::collections::BTreeMap;
use std::fmt::Write;

use clap::Args;
use model::AlertValue;
use rules::{ConditionTruth, DeadManClock, ReadingInPlace, RuleExplanation, RulePhase};

use super::output::{OutputArgs, print_json, print_line};
use super::{ConfigArgs, Failure, deployment};
use crate::rule_operations::{AnswerSource, RuleAnswer};

#[derive(Args, Debug)]
pub(super) struct RulesExplainArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// The rule's id
    #[arg(value_name = "RULE")]
    rule_id: String,

    /// The device's id
    #[arg(long = "device", value_name = "DEVICE")]
    device_id: String,

    #[command(flatten)]
    output: OutputArgs,
}

impl RulesExplainArgs {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        let config = self.config.load(environment)?;
        let answer = deployment::rule_operations(&config)?.explain_rule(&self.rule_id, &self.device_id)?;
        if self.output.is_json() { print_json(&answer) } else { print_line(text_of(&answer).trim_end()) }
    }
}

/// As people read it.
fn text_of(answer: &RuleAnswer) -> String {
    let explanation = &answer.explanation;
    let mut text = String::new();
    head(&mut text, answer)
        .and_then(|()| body(&mut text, explanation))
        .expect("writing into a String cannot fail");
    text
}

fn head(text: &mut String, answer: &RuleAnswer) -> std::fmt::Result {
    let RuleAnswer { source, log_partition, position, explanation } = answer;
    let RuleExplanation { rule_id, device_id, title, severity, clock, .. } = explanation;
    let shadow = if explanation.is_shadow { ", shadow" } else { "" };
    writeln!(text, "{rule_id} on {device_id}: {title} ({}{shadow})", severity.name())?;
    let who = match source {
        AnswerSource::Worker => "as it is now",
        AnswerSource::Snapshot => "as the newest snapshot has it",
    };
    let n = explanation.rule_set_n.map_or("none".to_owned(), |n| n.to_string());
    writeln!(
        text,
        "{who}: log partition {log_partition}, offset {position}, clock {}, rule set {n}",
        or_dash(clock.as_deref())
    )?;
    if !explanation.is_matched {
        writeln!(text, "its `where` does not match the device")?;
    }
    Ok(())
}

fn body(text: &mut String, explanation: &RuleExplanation) -> std::fmt::Result {
    state(text, explanation)?;
    for reading in &explanation.readings {
        writeln!(text, "in place: {}", reading_text(reading))?;
    }
    for one in &explanation.conditions {
        let ConditionTruth { part, text: condition, found, is_true } = one;
        let found = found.as_ref().map_or(String::new(), |found| format!("  (it is {})", value_text(found)));
        let truth = match is_true {
            Some(true) => "true",
            Some(false) => "false",
            None => "unknown",
        };
        writeln!(text, "{part:<5} {truth:<7} {condition}{found}")?;
    }
    for threshold in &explanation.thresholds {
        let unit = threshold.unit.as_deref().unwrap_or_default();
        writeln!(
            text,
            "threshold {} = {} {unit}, of the {}",
            threshold.name, threshold.value, threshold.origin
        )?;
    }
    if let Some(hits) = explanation.hits {
        writeln!(
            text,
            "{} of the last {} evaluations were true, {} are wanted",
            hits.hits, hits.of, hits.needed
        )?;
    }
    if let Some(active) = &explanation.active {
        let (now, then) = if active.is_active { ("open", "closes") } else { ("closed", "opens") };
        let at = or_dash(active.changes_at.as_deref());
        writeln!(text, "active: {now}, it {then} at {at} ({})", active.time_zone)?;
    }
    explanation.dead_man.as_ref().map_or(Ok(()), |clock| dead_man(text, clock))
}

fn state(text: &mut String, explanation: &RuleExplanation) -> std::fmt::Result {
    let phase = match explanation.phase {
        RulePhase::Idle => "idle",
        RulePhase::Pending => "pending",
        RulePhase::Firing => "firing",
        RulePhase::Clearing => "firing, clearing",
    };
    let since = explanation.since.as_ref().map_or(String::new(), |since| format!(" since {since}"));
    writeln!(text, "{phase}{since}")?;
    if let Some(reading) = &explanation.started_by {
        let unit = reading.unit.as_deref().unwrap_or_default();
        let (value, at) = (value_text(&reading.value), &reading.observed_at);
        writeln!(
            text,
            "started by {} = {value} {unit} at {at} (offset {})",
            reading.metric, reading.log_offset
        )?;
    }
    if let Some(waiting) = &explanation.waits_for {
        let what = if waiting.is_raise { "is raised" } else { "is resolved" };
        writeln!(
            text,
            "{what} at {} if it still holds; without a further reading once the clock is past {}",
            waiting.at, waiting.clock_past
        )?;
    }
    match (&explanation.alert_id, &explanation.raised_at) {
        (Some(alert_id), Some(raised_at)) => writeln!(text, "alert {alert_id}, raised at {raised_at}"),
        _ => Ok(()),
    }
}

fn reading_text(reading: &ReadingInPlace) -> String {
    let value = match (&reading.value, reading.between) {
        (Some(value), _) => value_text(value),
        (None, Some([low, high])) => {
            let end = |end: Option<f64>, open: &str| end.map_or(open.to_owned(), |end| end.to_string());
            format!("between {} and {}", end(low, "-inf"), end(high, "inf"))
        }
        (None, None) => "not kept".to_owned(),
    };
    let age = if reading.is_too_old { "too old, " } else { "" };
    let unit = reading.unit.as_deref().unwrap_or_default();
    format!(
        "{} = {value} {unit} at {} ({age}{} s old)",
        reading.metric, reading.observed_at, reading.age_seconds
    )
}

fn dead_man(text: &mut String, clock: &DeadManClock) -> std::fmt::Result {
    if !clock.is_watched {
        return writeln!(text, "not watched: no sign of life since the rule took effect");
    }
    let last = or_dash(clock.last_sign_of_life.as_deref());
    let alive = clock.alive_seconds.unwrap_or_default();
    writeln!(
        text,
        "heard last at {last}; {alive} s of live time since, missed after {} s",
        clock.absent_seconds
    )?;
    clock.missed_since.as_ref().map_or(Ok(()), |since| writeln!(text, "missed since {since}"))
}

fn value_text(value: &AlertValue) -> String {
    match value {
        AlertValue::Number(number) => number.to_string(),
        AlertValue::Boolean(flag) => flag.to_string(),
        AlertValue::Text(text) => format!("'{text}'"),
    }
}

fn or_dash(text: Option<&str>) -> &str {
    text.unwrap_or("-")
}
