//! `alerts explain`: an alert held against the lake, line by line.

use std::collections::BTreeMap;

use anyhow::Context;
use clap::Args;
use model::{AlertEvent, Evidence};

use super::output::{OutputArgs, print_json, print_line};
use super::{ConfigArgs, Failure, deployment};
use crate::explanation::{Explanation, Verdict, explain};

#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// The alert's id, 32 hex digits
    #[arg(value_name = "ID", value_parser = alert_id)]
    alert_id: String,

    #[command(flatten)]
    output: OutputArgs,
}

fn alert_id(text: &str) -> Result<String, String> {
    let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { Ok(text.to_ascii_lowercase()) } else { Err("32 hex digits are wanted".to_owned()) }
}

impl ExplainArgs {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        let config = self.config.load(environment)?;
        let events = deployment::operations(&config)?.alert_events(&self.alert_id)?;
        let raise = events.iter().find(|alert| alert.event == AlertEvent::Raised);
        let raise = raise.with_context(|| format!("the log does not know an alert {}", self.alert_id))?;
        let root = &config.lake.root;
        let explanation = explain(root, config.log.partitions, raise)
            .with_context(|| format!("the lake at {}", root.display()))?;
        if self.output.is_json() {
            print_json(&explanation)?;
        } else {
            print(&explanation)?;
        }
        if explanation.verdict == Verdict::Confirmed { Ok(()) } else { Err(Failure::Negative) }
    }
}

fn print(explanation: &Explanation) -> Result<(), Failure> {
    let alert = &explanation.alert;
    print_line(&format!("{} of {}: {}", alert.rule_id, alert.device_id, alert.title))?;
    print_line(&format!("condition: {}", alert.condition))?;
    print_line(&format!("started {}, raised {}", alert.started_at, alert.raised_at))?;
    for check in &explanation.evidence {
        let found = match &check.landed {
            None => "has not landed yet".to_owned(),
            Some(landed) if *landed == check.said => "as it landed".to_owned(),
            Some(landed) => format!("landed as {}", text_of(landed)?),
        };
        print_line(&format!("evidence: {}: {found}", text_of(&check.said)?))?;
    }
    print_line(match &explanation.evaluated {
        Some(_) => "its rule, evaluated again on what landed, says it",
        None => "its rule, evaluated again on what landed, does not say it",
    })?;
    print_line(match explanation.verdict {
        Verdict::Confirmed => "confirmed",
        Verdict::Contradicted => "contradicted",
        Verdict::NotLanded => "not landed yet: ask again when the lake has it",
    })
}

fn text_of(evidence: &Evidence) -> Result<String, Failure> {
    let Evidence { metric, log_partition, log_offset, reading_index, observed_at, .. } = evidence;
    let value = serde_json::to_string(&evidence.value).map_err(anyhow::Error::from)?;
    let unit = evidence.unit.as_deref().unwrap_or_default();
    Ok(format!("{metric} = {value} {unit} at {observed_at} ({log_partition}/{log_offset}/{reading_index})"))
}
