//! What the evaluator says, and the alert event that consumers read of it.

use model::alert::AlertLocation;
use model::time::format_rfc3339;
use model::{Alert, AlertEvent, AlertState, AlertValue, Evidence, LogId};
use sha2::{Digest, Sha256};

use crate::compiled::CompiledRule;
use crate::condition::Value;
use crate::known_registry::KnownRegistry;
use crate::life::Turn;
use crate::metrics::Metrics;
use crate::reading::{Cause, Episode, PlacedReading};
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
    pub(crate) registry: &'a KnownRegistry,
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
    /// Of the log: a registered device that never spoke is missed in the partition that its id hashes to.
    pub partitions: u32,
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
    let cause = match &episode.cause {
        Cause::Reading(reading) => Some(reading),
        Cause::Silence { .. } => None,
    };
    let alone = cause.map_or(&[][..], std::slice::from_ref);
    let evidence = if episode.evidence.is_empty() { alone } else { &episode.evidence };
    let meaning = &rule.rule.meaning;
    Alert {
        alert_id: alert_id(&rule.rule.id, said.device_id, episode),
        rule_id: rule.rule.id.clone(),
        rule_digest: rule.digest.to_string(),
        title: rule.rule.title.clone(),
        severity: meaning.severity,
        state,
        event,
        reason: said.reason.map(str::to_owned),
        device_id: said.device_id.to_owned(),
        asset_id: non_empty(episode.place.asset_id()),
        domain: episode.place.domain().to_owned(),
        tenant: config.tenant.clone(),
        location: episode.location.map(|(latitude, longitude)| AlertLocation { latitude, longitude }),
        metric: match cause {
            Some(reading) => Some(metrics.get(reading.metric).name.to_string()),
            None => meaning.absent.as_ref().and_then(|absent| absent.metric.clone()),
        },
        value: cause.map(|reading| alert_value(&reading.value)),
        unit: cause.and_then(|reading| reading.unit.as_deref().map(str::to_owned)),
        condition: condition(said),
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
        people: Vec::new(),
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

/// With the limits in force for the device, and whose they are.
fn condition(said: &Said<'_>) -> String {
    let rule = said.rule;
    let thresholds = &rule.rule.meaning.thresholds;
    if thresholds.is_empty() {
        return rule.condition.to_string();
    }
    rule.rule.condition_text_with(&|threshold| said.registry.in_force(&thresholds[threshold], said.device_id))
}

/// First 16 bytes of SHA-256 over rule, device and what started it, lower-case hex.
pub(crate) fn alert_id(rule_id: &str, device_id: &str, episode: &Episode) -> String {
    let mut hash =
        Sha256::new().chain_update(rule_id).chain_update([0]).chain_update(device_id).chain_update([0]);
    match &episode.cause {
        Cause::Reading(reading) => {
            hash.update(reading.event_id);
            hash.update(reading.reading_index.to_be_bytes());
        }
        Cause::Silence { last_us } => hash.update(last_us.to_be_bytes()),
    }
    if let Some(edge_us) = episode.edge_us {
        hash.update(edge_us.to_be_bytes());
    }
    hex(&hash.finalize()[..16])
}

pub(crate) fn alert_value(value: &Value) -> AlertValue {
    match value {
        Value::Number(number) => AlertValue::Number(*number),
        Value::Boolean(boolean) => AlertValue::Boolean(*boolean),
        Value::Text(text) => AlertValue::Text(text.to_string()),
    }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
