//! What the evaluator says, and the alert event that consumers read of it.

use model::alert::AlertLocation;
use model::time::format_rfc3339;
use model::{Alert, AlertEvent, AlertState, AlertValue, Evidence, LogId};
use sha2::{Digest, Sha256};

use crate::compiled::CompiledRule;
use crate::condition::Value;
use crate::life::Turn;
use crate::metrics::Metrics;
use crate::reading::{Episode, PlacedReading};
use crate::rule::hex;

/// One thing that is said, borrowed from the evaluator.
pub struct Said<'a> {
    pub(crate) rule: &'a CompiledRule,
    pub(crate) device_id: &'a str,
    pub(crate) episode: &'a Episode,
    pub(crate) turn: Turn,
    /// Why it resolves, where that is not its condition.
    pub(crate) reason: Option<&'static str>,
    pub(crate) clock_us: i64,
    pub(crate) metrics: &'a Metrics,
}

/// Where what is said goes.
pub trait Sink {
    fn say(&mut self, said: &Said<'_>);
}

impl Said<'_> {
    pub fn is_raise(&self) -> bool {
        matches!(self.turn, Turn::Raise { .. })
    }

    /// The alert event that consumers read.
    pub fn alert(&self, config: &EvaluatorConfig) -> Alert {
        alert(self, config)
    }
}

/// Which log partition's evaluator speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluatorConfig {
    pub log_id: LogId,
    pub partition: u32,
    pub tenant: String,
}

/// Writes alert events.
pub(crate) struct AlertWriter<'a> {
    pub(crate) config: &'a EvaluatorConfig,
    pub(crate) out: &'a mut Vec<Alert>,
}

impl Sink for AlertWriter<'_> {
    fn say(&mut self, said: &Said<'_>) {
        self.out.push(said.alert(self.config));
    }
}

fn alert(said: &Said<'_>, config: &EvaluatorConfig) -> Alert {
    let Said { rule, episode, metrics, .. } = said;
    let (state, event, resolved_us) = match said.turn {
        Turn::Raise { .. } => (AlertState::Firing, AlertEvent::Raised, None),
        Turn::Resolve { at_us } => (AlertState::Resolved, AlertEvent::Resolved, Some(at_us)),
    };
    let raised_us = episode.raised_us.unwrap_or(episode.started_us);
    let cause = &episode.cause;
    let evidence = if episode.evidence.is_empty() { std::slice::from_ref(cause) } else { &episode.evidence };
    let meaning = &rule.rule.meaning;
    Alert {
        alert_id: alert_id(&rule.rule.id, said.device_id, cause),
        rule_id: rule.rule.id.clone(),
        rule_digest: rule.digest.to_string(),
        title: rule.rule.title.clone(),
        severity: meaning.severity,
        state,
        event,
        reason: said.reason.map(str::to_owned),
        device_id: said.device_id.to_owned(),
        asset_id: non_empty(&episode.place.asset_id),
        domain: episode.place.domain.to_string(),
        tenant: config.tenant.clone(),
        location: episode.location.map(|(latitude, longitude)| AlertLocation { latitude, longitude }),
        metric: Some(metrics.get(cause.metric).name.to_string()),
        value: Some(alert_value(&cause.value)),
        unit: cause.unit.as_deref().map(str::to_owned),
        condition: rule.condition.to_string(),
        started_at: format_rfc3339(episode.started_us),
        raised_at: format_rfc3339(raised_us),
        resolved_at: resolved_us.map(format_rfc3339),
        said_at: format_rfc3339(said.clock_us),
        evidence: evidence.iter().map(|reading| evidence_of(reading, metrics, config)).collect(),
        labels: rule.rule.labels.clone(),
        runbook: rule.rule.runbook.clone(),
        shadow: meaning.shadow,
        suppressed_by: None,
        silenced_by: None,
    }
}

fn evidence_of(reading: &PlacedReading, metrics: &Metrics, config: &EvaluatorConfig) -> Evidence {
    Evidence {
        event_id: hex(&reading.event_id),
        reading_index: reading.reading_index,
        metric: metrics.get(reading.metric).name.to_string(),
        value: Some(alert_value(&reading.value)),
        unit: reading.unit.as_deref().map(str::to_owned),
        observed_at: format_rfc3339(reading.observed_at_us),
        log_id: config.log_id.to_string(),
        log_partition: config.partition,
        log_offset: reading.log_offset,
    }
}

/// First 16 bytes of SHA-256 over rule, device and the reading that started it, lower-case hex.
fn alert_id(rule_id: &str, device_id: &str, cause: &PlacedReading) -> String {
    let digest = Sha256::new()
        .chain_update(rule_id)
        .chain_update([0])
        .chain_update(device_id)
        .chain_update([0])
        .chain_update(cause.event_id)
        .chain_update(cause.reading_index.to_be_bytes())
        .finalize();
    hex(&digest[..16])
}

fn alert_value(value: &Value) -> AlertValue {
    match value {
        Value::Number(number) => AlertValue::Number(*number),
        Value::Boolean(boolean) => AlertValue::Boolean(*boolean),
        Value::Text(text) => AlertValue::Text(text.to_string()),
    }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
