//! Rules, messages and evaluators that the benches share: devices of `METRICS` each, 20 thresholds on every series.

use std::sync::Arc;

use model::proto::{self, log_record, reading::Value};
use model::{LogId, LogRecordView, Record};
use prost::Message;
use rules::{Evaluator, EvaluatorConfig, KnownMetric, LoadOptions, MetricCatalog, RuleSet, RuleSource};

pub const SECOND_US: i64 = 1_000_000;
pub const START_US: i64 = 1_772_409_600 * SECOND_US;
pub const METRICS: [&str; 5] = ["m0", "m1", "m2", "m3", "m4"];

/// Knows no metric: every one is without a unit.
pub struct NoCatalog;

impl MetricCatalog for NoCatalog {
    fn metric(&self, _: &str) -> Option<KnownMetric<'_>> {
        None
    }

    fn nearest(&self, _: &str) -> Option<&str> {
        None
    }

    fn convert(&self, _: &str, _: &str, _: &str) -> Option<f64> {
        None
    }

    fn convert_difference(&self, decimal: &str, _from: &str, _to: &str, _per: Option<&str>) -> Option<f64> {
        decimal.parse().ok()
    }

    fn units(&self) -> Vec<(&str, &str)> {
        Vec::new()
    }
}

/// Numbers that look random and are the same in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// `count` rules: every series is looked at by 20 thresholds of its asset.
pub fn rule_file(count: usize) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for (metric, asset, level) in METRICS.iter().flat_map(|metric| {
        (0..assets_of(count)).flat_map(move |asset| (1..=20).map(move |level| (metric, asset, level)))
    }) {
        let hold = if level == 1 { "60s" } else { "0s" };
        writeln!(
            text,
            "[[rule]]\nid = \"{metric}-{asset}-{level}\"\ntitle = \"t\"\nseverity = \"warning\"\nwhen = \"{metric} > {level}\"\nfor = \"{hold}\"\nwhere = \"asset_id = 'a{asset}'\""
        )
        .expect("writing into a String cannot fail");
    }
    text
}

/// Assets that `rules` rules are about.
pub fn assets_of(rules: usize) -> usize {
    rules / (METRICS.len() * 20)
}

pub fn load_text(text: String) -> anyhow::Result<Arc<RuleSet>> {
    let loaded = RuleSource::load(&[("bench.toml".to_owned(), text)], &NoCatalog, &LoadOptions::default());
    Ok(Arc::new(loaded.map_err(|errors| anyhow::anyhow!("{}", errors[0]))?.rule_set))
}

pub fn config() -> EvaluatorConfig {
    EvaluatorConfig { log_id: LogId([1; 16]), partition: 0, partitions: 1, tenant: "default".into() }
}

/// A message as the gateway writes it, of one device of an asset, with one number for each of the first metrics.
pub fn message(device: usize, assets: usize, event: u128, observed_at_us: i64, values: &[f64]) -> Vec<u8> {
    let reading = |(metric, value): (&&str, &f64)| proto::Reading {
        metric: (*metric).into(),
        value: Some(Value::Number(*value)),
        quality: proto::Quality::Good as i32,
        ..Default::default()
    };
    let telemetry = proto::Telemetry {
        device_id: format!("device-{device:06}"),
        // As even over all bytes as the hashes that real ids are.
        event_id: event.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes().to_vec(),
        observed_at_us,
        received_at_us: observed_at_us,
        observed_at_source: proto::TimeSource::Device as i32,
        domain: "bench".into(),
        asset_id: format!("a{}", device % assets.max(1)),
        source: Some(proto::Source {
            adapter: "mqtt".into(),
            protocol: "mqtt-3.1.1".into(),
            topic: format!("city/bench/device-{device:06}/telemetry"),
            gateway_id: "gateway-01".into(),
            codec: "flat-json".into(),
            codec_version: 1,
            ..Default::default()
        }),
        readings: METRICS.iter().zip(values).map(reading).collect(),
        ..Default::default()
    };
    proto::LogRecord { record: Some(log_record::Record::Telemetry(telemetry)), ..Default::default() }
        .encode_to_vec()
}

/// An evaluator that has a rule set in force and has seen every series of its devices once.
pub fn warm(devices: usize, assets: usize, rule_set: Arc<RuleSet>) -> anyhow::Result<Evaluator> {
    let mut evaluator = Evaluator::new(config());
    let mut out = Vec::new();
    evaluator.apply_rule_set(&Record::new(0, START_US, b"", b""), 1, rule_set, &mut out);
    for device in 0..devices {
        let bytes = message(device, assets, device as u128, START_US, &[0.5; METRICS.len()]);
        let view = LogRecordView::parse(&bytes)?;
        evaluator.apply(&Record::new(device as i64 + 1, START_US, b"", &bytes), &view, &mut out);
    }
    Ok(evaluator)
}
