//! What the evaluator says, and the alert event that consumers read of it.

use model::alert::AlertLocation;
use model::{Alert, AlertEvent, AlertState, AlertValue, Evidence, LogId};
use sha2::{Digest, Sha256};

use crate::compiled::CompiledRule;
use crate::condition::Value;
use crate::life::Turn;
use crate::metrics::Metrics;
use crate::reading::{Episode, PlacedReading};
use crate::rule::hex;

/// One thing that is said, borrowed from the evaluator.
pub(crate) struct Said<'a> {
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
pub(crate) trait Sink {
    fn say(&mut self, said: &Said<'_>);
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
        self.out.push(alert(said, self.config));
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
        unit: non_empty(&cause.unit),
        condition: rule.condition.to_string(),
        started_at: time_text(episode.started_us),
        raised_at: time_text(raised_us),
        resolved_at: resolved_us.map(time_text),
        said_at: time_text(said.clock_us),
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
        unit: non_empty(&reading.unit),
        observed_at: time_text(reading.observed_at_us),
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

/// RFC 3339, UTC, microseconds.
pub(crate) fn time_text(us: i64) -> String {
    let (days, us_of_day) = (us.div_euclid(86_400_000_000), us.rem_euclid(86_400_000_000));
    let (year, month, day) = civil(days);
    let seconds = us_of_day / 1_000_000;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let fraction = us_of_day % 1_000_000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
}

/// Year, month and day of a day since 1970-01-01, in years that begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
