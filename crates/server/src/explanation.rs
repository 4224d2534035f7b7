//! Whether the lake bears an alert out: each piece of its evidence read again by position, and the rules that were in
//! force evaluated again on its device up to the raise.

use std::ops::ControlFlow;
use std::path::Path;

use lake::{ReplaySpan, Source};
use model::time::{format_rfc3339, parse_rfc3339};
use model::{Alert, AlertEvent, AlertValue, Evidence, LogRecordView, TelemetryView, ValueView};
use serde::Serialize;

use crate::backtest::{BacktestError, BacktestLake, BacktestRules, BacktestSpan, backtest};
use crate::rule_sets::RuleSets;
use crate::state_store::StateStore;

/// What the lake says of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The evidence stands there and its rule says the same alert again.
    Confirmed,
    Contradicted,
    /// A piece of evidence has not landed yet.
    NotLanded,
}

/// An alert held against the lake.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    pub verdict: Verdict,
    /// The raise, as it was said.
    pub alert: Alert,
    pub evidence: Vec<EvidenceCheck>,
    /// The raise, as the rules say it again.
    pub evaluated: Option<Alert>,
}

/// One piece of evidence and what stands at its position.
#[derive(Clone, Debug, Serialize)]
pub struct EvidenceCheck {
    pub said: Evidence,
    /// None where nothing has landed from there.
    pub landed: Option<Evidence>,
}

/// Holds the raise of an alert against the lake at `root`.
///
/// # Errors
/// The lake cannot be read, or a rule set that was in force is not there any more.
pub fn explain(root: &Path, partitions: u32, raise: &Alert) -> Result<Explanation, BacktestError> {
    let mut evidence = Vec::new();
    for said in &raise.evidence {
        evidence.push(EvidenceCheck { said: said.clone(), landed: landed(root, said)? });
    }
    let evaluated = evaluate_again(root, partitions, raise)?;
    let is_equal = |again: &Alert| again.clone().without_marks() == raise.clone().without_marks();
    let verdict = if evidence.iter().any(|check| check.landed.is_none()) {
        Verdict::NotLanded
    } else if evaluated.as_ref().is_some_and(is_equal)
        && evidence.iter().all(|check| check.landed.as_ref() == Some(&check.said))
    {
        Verdict::Confirmed
    } else {
        Verdict::Contradicted
    };
    Ok(Explanation { verdict, alert: raise.clone(), evidence, evaluated })
}

/// The rules in force, on the alert's device, for a day up to the clock at which the alert was said.
fn evaluate_again(root: &Path, partitions: u32, raise: &Alert) -> Result<Option<Alert>, BacktestError> {
    let Ok(said_us) = parse_rfc3339(&raise.said_at) else {
        return Ok(None);
    };
    let span = BacktestSpan {
        from_us: Some(said_us),
        to_us: Some(said_us.saturating_add(1)),
        partition: raise.evidence.first().map(|evidence| evidence.log_partition),
        device: Some(raise.device_id.clone()),
    };
    let rules = BacktestRules::Live(RuleSets::new(StateStore::new(root)));
    let lake = BacktestLake { root, tenant: &raise.tenant, partitions };
    let said = backtest(lake, &rules, &span, &mut |_| {})?.alerts;
    let is_it = |alert: &Alert| alert.alert_id == raise.alert_id && alert.event == AlertEvent::Raised;
    Ok(said.into_iter().find(is_it))
}

/// What stands at the position of a piece of evidence.
fn landed(root: &Path, said: &Evidence) -> Result<Option<Evidence>, lake::Error> {
    let Ok(log_id) = said.log_id.parse() else {
        return Ok(None);
    };
    let source = Source { log_id, log_partition: said.log_partition };
    let offsets = said.log_offset..said.log_offset.saturating_add(1);
    let mut landed = None;
    lake::replay(root, source, &ReplaySpan { offsets, ..ReplaySpan::ALL }, None, &mut |_, view| {
        if let LogRecordView::Telemetry(telemetry) = view {
            landed = evidence_of(telemetry, said);
        }
        ControlFlow::Continue(())
    })?;
    Ok(landed)
}

fn evidence_of(telemetry: &TelemetryView<'_>, said: &Evidence) -> Option<Evidence> {
    let reading = telemetry.readings().nth(said.reading_index as usize)?;
    let value = match reading.value {
        ValueView::Number(number) => Some(AlertValue::Number(number)),
        ValueView::Integer(integer) => Some(AlertValue::Number(integer as f64)),
        ValueView::Boolean(boolean) => Some(AlertValue::Boolean(boolean)),
        ValueView::Text(text) => Some(AlertValue::Text(text.to_owned())),
        ValueView::None => None,
    };
    Some(Evidence {
        event_id: telemetry.event_id.iter().map(|byte| format!("{byte:02x}")).collect(),
        reading_index: said.reading_index,
        metric: reading.metric.to_owned(),
        value,
        unit: (!reading.unit.is_empty()).then(|| reading.unit.to_owned()),
        observed_at: format_rfc3339(telemetry.time_of(&reading).observed_at_us),
        log_id: said.log_id.clone(),
        log_partition: said.log_partition,
        log_offset: said.log_offset,
    })
}
