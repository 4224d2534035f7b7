//! How fast rules are evaluated, a core: with series numbers given, and from log bytes with the repeat window beside.
//!
//! `cargo run --release -p urban-neuron-benches --bin rules [core | log | load]`

use std::hint::black_box;
use std::sync::Arc;

use model::proto::{self, log_record, reading::Value};
use model::repeat::RepeatWindow;
use model::{LogId, LogRecordView, Record, RecordBatch, RecordBatchBuilder};
use prost::Message;
use rules::{
    Evaluator, EvaluatorConfig, KnownMetric, LoadOptions, MetricCatalog, NumberReading, RuleSet, RuleSource,
    Said, Sink,
};

const SECOND_US: i64 = 1_000_000;
const START_US: i64 = 1_772_409_600 * SECOND_US;
const METRICS: [&str; 5] = ["m0", "m1", "m2", "m3", "m4"];

/// Knows no metric: every one is without a unit.
struct NoCatalog;

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
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Seconds of processor time of this thread, which neighbours on the machine do not lengthen.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e9
}

fn main() -> anyhow::Result<()> {
    let wanted = std::env::args().nth(1);
    let is_wanted = |name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    if is_wanted("load") {
        load(100_000)?;
    }
    if is_wanted("core") {
        core(10_000, 1_000, "1,000 rules, 50,000 series")?;
        core(200_000, 100_000, "100,000 rules, 1,000,000 series")?;
    }
    if is_wanted("log") {
        from_log()?;
    }
    Ok(())
}

/// `count` rules: every series is looked at by 20 thresholds of its asset.
fn rule_file(count: usize) -> String {
    use std::fmt::Write;
    let assets = count / (METRICS.len() * 20);
    let mut text = String::new();
    for (metric, asset, level) in METRICS.iter().flat_map(|metric| {
        (0..assets).flat_map(move |asset| (1..=20).map(move |level| (metric, asset, level)))
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

fn rule_set(count: usize) -> anyhow::Result<Arc<RuleSet>> {
    let files = [("bench.toml".to_owned(), rule_file(count))];
    let loaded = RuleSource::load(&files, &NoCatalog, &LoadOptions::default());
    Ok(Arc::new(loaded.map_err(|errors| anyhow::anyhow!("{}", errors[0]))?.rule_set))
}

fn load(count: usize) -> anyhow::Result<()> {
    let files = [("bench.toml".to_owned(), rule_file(count))];
    let start = cpu_seconds();
    let loaded = RuleSource::load(&files, &NoCatalog, &LoadOptions::default());
    let loaded = loaded.map_err(|errors| anyhow::anyhow!("{}", errors[0]))?;
    println!("load: {count} rules of {} MB in {:.2} s", files[0].1.len() >> 20, cpu_seconds() - start);
    let start = cpu_seconds();
    let set = RuleSet::from_bytes(loaded.rule_set.bytes())?;
    println!("load: opened from {} MB in {:.2} s", set.bytes().len() >> 20, cpu_seconds() - start);
    let start = cpu_seconds();
    let mut evaluator = evaluator();
    evaluator.apply_rule_set(&Record::new(0, START_US, b"", b""), 1, Arc::new(set), &mut Vec::new());
    println!("load: put in force in {:.2} s", cpu_seconds() - start);
    Ok(())
}

fn evaluator() -> Evaluator {
    Evaluator::new(EvaluatorConfig {
        log_id: LogId([1; 16]),
        partition: 0,
        partitions: 1,
        tenant: "default".into(),
    })
}

/// A message of one device with one number for each metric.
fn message(device: usize, assets: usize, event: u128, observed_at_us: i64, values: &[f64]) -> Vec<u8> {
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
        asset_id: format!("a{}", device % assets),
        readings: METRICS.iter().zip(values).map(reading).collect(),
        ..Default::default()
    };
    proto::LogRecord { record: Some(log_record::Record::Telemetry(telemetry)), ..Default::default() }
        .encode_to_vec()
}

/// An evaluator that has rules in force and has seen every series once.
fn warm(devices: usize, rules: usize) -> anyhow::Result<Evaluator> {
    let assets = rules / (METRICS.len() * 20);
    let mut evaluator = evaluator();
    let mut out = Vec::new();
    evaluator.apply_rule_set(&Record::new(0, START_US, b"", b""), 1, rule_set(rules)?, &mut out);
    for device in 0..devices {
        let bytes = message(device, assets, device as u128, START_US, &[0.5; 5]);
        let view = LogRecordView::parse(&bytes)?;
        evaluator.apply(&Record::new(device as i64 + 1, START_US, b"", &bytes), &view, &mut out);
    }
    Ok(evaluator)
}

#[derive(Default)]
struct Counted {
    raised: u64,
    resolved: u64,
}

impl Sink for Counted {
    fn say(&mut self, said: &Said<'_>) {
        if said.is_raise() {
            self.raised += 1;
        } else {
            self.resolved += 1;
        }
    }
}

/// Every series in turn, in order or at random; a number of the readings crosses the lowest threshold.
fn core(devices: usize, rules: usize, name: &str) -> anyhow::Result<()> {
    let series = devices * METRICS.len();
    for (crossings, is_random) in
        [(0.02, false), (0.02, true), (0.10, false), (0.10, true), (0.50, false), (0.50, true)]
    {
        let mut evaluator = warm(devices, rules)?;
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut order: Vec<u32> = (0..series as u32).collect();
        if is_random {
            (1..order.len()).rev().for_each(|at| order.swap(at, random.below(at as u64 + 1) as usize));
        }
        // A series is up a tenth of the time (half, where half of the readings cross).
        let up_share = if crossings > 0.2 { 0.5 } else { 0.1 };
        let (go_up, go_down) = (crossings / 2.0 / (1.0 - up_share), crossings / 2.0 / up_share);
        let mut is_up = vec![false; series];
        let rounds = (8_000_000 / series).clamp(8, 100);
        let mut values = vec![0.0; series];
        let (mut sink, mut elapsed, mut readings) = (Counted::default(), 0.0, 0);
        let before = evaluator.counts();
        for round in 1..=rounds as i64 {
            for (value, is_up) in values.iter_mut().zip(&mut is_up) {
                *is_up ^= random.unit() < if *is_up { go_down } else { go_up };
                *value = f64::from(u8::from(*is_up)) + 0.1 + 0.8 * random.unit();
            }
            let observed_at_us = START_US + round * 10 * SECOND_US;
            let log_time_us = observed_at_us + SECOND_US;
            let tick = LogRecordView::Tick { instance: "" };
            let start = cpu_seconds();
            evaluator.apply(&Record::new(round, log_time_us, b"", b""), &tick, &mut Vec::new());
            for (at, series) in order.iter().enumerate() {
                let reading = NumberReading {
                    series: *series,
                    observed_at_us,
                    value: values[at],
                    event_id: [0; 16],
                    reading_index: 0,
                    log_offset: round,
                };
                evaluator.apply_number(&reading, &mut sink);
            }
            elapsed += cpu_seconds() - start;
            readings += series;
        }
        black_box(&evaluator);
        let counts = evaluator.counts();
        println!(
            "core: {name}, {} order, {:.1} % of readings change state: {:.0} M readings/s ({} raised, {} resolved)",
            if is_random { "random" } else { "device" },
            100.0 * (counts.state_changes - before.state_changes) as f64 / readings as f64,
            readings as f64 / elapsed / 1e6,
            sink.raised,
            sink.resolved,
        );
    }
    Ok(())
}

/// Batches of log bytes, each read once: parse, repeat window, evaluation.
fn from_log() -> anyhow::Result<()> {
    const DEVICES: usize = 10_000;
    const RULES: usize = 1_000;
    const MESSAGES: usize = 2_000_000;
    let mut evaluator = warm(DEVICES, RULES)?;
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut batches: Vec<RecordBatch> = Vec::new();
    let mut builder = RecordBatchBuilder::default();
    for at in 0..MESSAGES {
        let device = random.below(DEVICES as u64) as usize;
        let observed_at_us = START_US + (at as i64 + 1) * 1_000;
        let values = [0.1 + 0.91 * random.unit(), 0.1 + 0.91 * random.unit()];
        let bytes = message(device, RULES / 100, (DEVICES + at) as u128, observed_at_us, &values);
        let offset = (DEVICES + 1 + at) as i64;
        builder.push(offset, observed_at_us, b"", Some(&bytes), &[]);
        if builder.len() == 1_000 {
            batches.push(builder.finish(0, offset + 1));
        }
    }
    let mut window = RepeatWindow::new();
    let mut out = Vec::new();
    let (mut said, before) = (0, evaluator.counts());
    let start = cpu_seconds();
    for record in batches.iter().flat_map(RecordBatch::iter) {
        let view = LogRecordView::parse(record.value)?;
        let LogRecordView::Telemetry(telemetry) = &view else { continue };
        if !window.check_and_insert(record.offset, record.log_time_us, telemetry) {
            evaluator.apply(&record, &view, &mut out);
            said += out.drain(..).count();
        }
    }
    let elapsed = cpu_seconds() - start;
    let counts = evaluator.counts();
    println!(
        "log: {RULES} rules, {DEVICES} devices, two readings a message: {:.2} M messages/s, {:.1} % of readings change state, {said} alerts",
        MESSAGES as f64 / elapsed / 1e6,
        100.0 * (counts.state_changes - before.state_changes) as f64
            / (counts.readings - before.readings) as f64,
    );
    Ok(())
}
