//! The indexed evaluator says what the reference says: on random rules, series with equal times, late readings and
//! repeats of times, qualities, texts, thresholds and attributes of the registry, zones, ticks anywhere, rule-set changes,
//! and a restart at any record.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod catalog;
mod log;
mod reference;

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::SmallCatalog;
use log::{EPOCH_US, RuleSets, TestReading, TestRecord, apply, config, restart};
use model::proto::{Quality, reading::Value};
use model::registry::{DeviceModel, RegisteredDevice, Registry, Threshold, Zone};
use model::{Alert, AlertState};
use proptest::prelude::*;
use reference::{Cause, Condition, REGISTERED, Reference, ReferenceRule, Said, THRESHOLDS, ZONE};
use urban_neuron_rules::{Evaluator, LoadOptions, RuleSet, RuleSource};

const SECOND_US: i64 = 1_000_000;

fn metric() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec!["x", "x", "x", "y"])
}

fn comparison() -> impl Strategy<Value = Condition> {
    let symbol = proptest::sample::select(vec![">", ">", ">=", "<", "<", "<=", "=", "!="]);
    (metric(), symbol, 0..5_i32)
        .prop_map(|(metric, symbol, limit)| Condition::Compare(metric, symbol, limit.into()))
}

fn window() -> impl Strategy<Value = Condition> {
    let function = proptest::sample::select(vec![
        "avg", "min", "max", "sum", "count", "stddev", "delta", "rate", "increase",
    ]);
    let symbol = proptest::sample::select(vec![">", ">=", "<", "="]);
    let span_s = proptest::sample::select(vec![2, 5, 20, 90]);
    (function, metric(), span_s, symbol, 0..5_i32).prop_map(|(function, metric, span_s, symbol, limit)| {
        Condition::Window(function, metric, span_s, symbol, limit.into())
    })
}

fn threshold() -> impl Strategy<Value = Condition> {
    let symbol = proptest::sample::select(vec![">", ">=", "<", "="]);
    let name = proptest::sample::select(vec!["own", "of-model", "of-nobody"]);
    (metric(), symbol, name, 0..5_i32).prop_map(|(metric, symbol, name, default)| {
        Condition::Threshold(metric, symbol, name, default.into())
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        8 => comparison(),
        1 => proptest::sample::select(vec!["on", "off"]).prop_map(|text| Condition::Text("x", text)),
        1 => metric().prop_map(Condition::Missing),
        2 => window(),
        2 => threshold(),
        2 => any::<bool>().prop_map(Condition::Zone),
    ];
    let pair = (comparison(), leaf.clone()).boxed();
    prop_oneof![
        6 => comparison(),
        2 => window(),
        2 => threshold(),
        1 => leaf.clone().prop_filter("names a metric", |leaf| !matches!(leaf, Condition::Zone(_))),
        2 => pair.clone().prop_map(|(a, b)| Condition::And(a.into(), b.into())),
        1 => pair.prop_map(|(a, b)| Condition::Or(a.into(), b.into())),
        1 => comparison().prop_map(|a| Condition::Not(a.into())),
    ]
}

fn span_us() -> impl Strategy<Value = i64> {
    proptest::sample::select(vec![0, 0, 1, 5, 20]).prop_map(|seconds: i64| seconds * SECOND_US)
}

fn rule() -> impl Strategy<Value = ReferenceRule> {
    let spans = (span_us(), span_us(), span_us(), proptest::sample::select(vec![20, 60, 3_600]));
    let domain = proptest::option::weighted(0.3, proptest::sample::select(vec!["p", "q"]));
    let tag = proptest::option::weighted(0.2, proptest::sample::select(vec!["u", "v"]));
    let hits = proptest::sample::select(vec![(1, 1), (1, 1), (1, 1), (2, 3), (2, 2)]);
    let active = proptest::sample::select(vec![
        vec![],
        vec![],
        vec![],
        vec![(1, 3)],
        vec![(0, 1), (2, 3)],
        vec![(1, 2), (3, 4), (5, 6)],
    ]);
    let absent_s = proptest::sample::select(vec![3, 10, 40]);
    let absent = proptest::option::weighted(0.15, (absent_s, proptest::option::of(metric())));
    let of_conditions =
        (condition(), proptest::option::of(condition()), spans, proptest::bool::weighted(0.2));
    (0..6_u8, of_conditions, (domain, tag), hits, active, absent).prop_map(
        |(id, (when, clear, spans, takes_any), (domain, tag), hits, active, absent)| ReferenceRule {
            id: format!("r{id}"),
            when,
            clear,
            for_us: spans.0,
            clear_for_us: spans.1,
            max_age_us: spans.3 * SECOND_US,
            silence_grace_us: spans.2,
            takes_any,
            domain,
            tag,
            hits,
            active,
            absent: absent.map(|(seconds, metric)| (seconds * SECOND_US, metric)),
        },
    )
}

/// Rules with ids of their own, each of which loads.
fn rules() -> impl Strategy<Value = Vec<ReferenceRule>> {
    proptest::collection::vec(rule(), 1..6).prop_map(|mut rules| {
        rules.sort_by(|a, b| a.id.cmp(&b.id));
        rules.dedup_by(|a, b| a.id == b.id);
        for rule in &mut rules {
            // Two conditions that can hold at once do not load.
            if load(std::slice::from_ref(rule)).is_none() {
                rule.clear = None;
            }
        }
        rules
    })
}

fn load(rules: &[ReferenceRule]) -> Option<RuleSet> {
    let text: String = rules.iter().map(rule_text).collect();
    let options = LoadOptions { registry: &registry(), ..LoadOptions::default() };
    let loaded = RuleSource::load(&[("rules.toml".into(), text)], &SmallCatalog, &options);
    loaded.ok().map(|loaded| loaded.rule_set)
}

/// The one that the reference knows.
fn registry() -> Registry {
    let (device, domain, tag) = REGISTERED;
    let [own, of_model] = THRESHOLDS.map(|(name, limit)| {
        let threshold = Threshold { number: limit.to_string(), unit: String::new() };
        BTreeMap::from([(name.to_owned(), threshold)])
    });
    let [west, south, east, north] = ZONE;
    let corners = vec![(west, south), (east, south), (east, north), (west, north), (west, south)];
    let registered = RegisteredDevice {
        domain: domain.into(),
        model: "m".into(),
        tags: BTreeMap::from([("t".into(), tag.into())]),
        thresholds: own,
        ..RegisteredDevice::default()
    };
    Registry {
        devices: BTreeMap::from([(device.into(), Arc::new(registered))]),
        models: BTreeMap::from([(
            "m".into(),
            DeviceModel { thresholds: of_model, ..DeviceModel::default() },
        )]),
        zones: BTreeMap::from([("z".into(), Zone { polygons: vec![vec![corners]] })]),
        ..Registry::default()
    }
}

fn rule_text(rule: &ReferenceRule) -> String {
    let seconds = |us: i64| format!("\"{}s\"", us / SECOND_US);
    let mut text = format!("[[rule]]\nid = \"{}\"\ntitle = \"t\"\nseverity = \"info\"\n", rule.id);
    if let Some((span_us, metric)) = rule.absent {
        text += &format!("absent = {}\n", seconds(span_us));
        text += &metric.map_or(String::new(), |metric| format!("metric = \"{metric}\"\n"));
    } else {
        text += &keys_of_conditions(rule);
    }
    let domain = rule.domain.map(|domain| format!("domain = '{domain}'"));
    let tests: Vec<String> =
        domain.into_iter().chain(rule.tag.map(|tag| format!("tag.t = '{tag}'"))).collect();
    if tests.is_empty() { text } else { text + &format!("where = \"{}\"\n", tests.join(" and ")) }
}

fn keys_of_conditions(rule: &ReferenceRule) -> String {
    let seconds = |us: i64| format!("\"{}s\"", us / SECOND_US);
    let mut text = String::new();
    text += &format!("when = \"{}\"\n", rule.when.text());
    text += &rule.clear.as_ref().map_or(String::new(), |clear| format!("clear = \"{}\"\n", clear.text()));
    text += &format!("for = {}\nclear_for = {}\n", seconds(rule.for_us), seconds(rule.clear_for_us));
    text += &format!("max_age = {}\n", seconds(rule.max_age_us));
    text += &format!("silence_grace = {}\n", seconds(rule.silence_grace_us));
    text += if rule.takes_any { "quality = \"any\"\n" } else { "" };
    text += &format!("hits = \"{} of {}\"\n", rule.hits.0, rule.hits.1);
    let spans = rule.active.iter().map(|(from, to)| format!("\"Mon 00:{from:02}-00:{to:02}\""));
    let spans: Vec<String> = spans.collect();
    if !spans.is_empty() {
        text += &format!("active = [{}]\ntime_zone = \"UTC\"\n", spans.join(", "));
    }
    text
}

#[derive(Clone, Debug)]
enum Event {
    Message {
        device: usize,
        domain: bool,
        place: Option<(f64, f64)>,
        readings: Vec<(&'static str, Option<Value>, i64, Quality)>,
    },
    Historical,
    Offline(usize),
    Tick,
    Heartbeat,
    RuleSet(usize),
}

fn event(sets: usize) -> impl Strategy<Value = Event> {
    let value = prop_oneof![
        12 => (0..5_i32).prop_map(|number| Some(Value::Number(number.into()))),
        1 => (0..5_i64).prop_map(|number| Some(Value::Number(number as f64 + 0.5))),
        1 => proptest::sample::select(vec!["on", "off", "?"]).prop_map(|text| Some(Value::Text(text.into()))),
        1 => Just(None),
    ];
    let age = proptest::sample::select(vec![0, 0, 0, 0, 1, 2, 5, 20, 30, -3]);
    let quality = proptest::sample::select(vec![
        Quality::Good,
        Quality::Good,
        Quality::Good,
        Quality::Good,
        Quality::Suspect,
    ]);
    let place = proptest::sample::select(vec![None, Some((1.0, 2.0)), Some((4.0, 0.0)), Some((5.0, 2.0))]);
    let readings = proptest::collection::vec((metric(), value, age, quality), 1..4);
    prop_oneof![
        12 => (0..2_usize, proptest::bool::weighted(0.2), place, readings)
            .prop_map(|(device, domain, place, readings)| Event::Message { device, domain, place, readings }),
        1 => Just(Event::Historical),
        1 => (0..2_usize).prop_map(Event::Offline),
        1 => Just(Event::Tick),
        1 => Just(Event::Heartbeat),
        1 => (0..sets).prop_map(Event::RuleSet),
    ]
}

fn records(events: Vec<(i64, Event)>) -> Vec<TestRecord> {
    let mut log_time_us = EPOCH_US;
    let mut records = vec![TestRecord::RuleSet { log_time_us, n: 0 }];
    for (passed, event) in events {
        log_time_us += passed * SECOND_US;
        records.push(match event {
            Event::Historical => message(log_time_us, records.len(), "a", "x", Value::Number(3.0), true),
            Event::Offline(device) => {
                let value = Value::Text("offline".into());
                message(log_time_us, records.len(), ["a", "b"][device], "status", value, false)
            }
            Event::Tick => TestRecord::Tick { log_time_us },
            Event::Heartbeat => TestRecord::Heartbeat { log_time_us },
            Event::RuleSet(n) => TestRecord::RuleSet { log_time_us, n: n as u64 },
            Event::Message { device, domain, place, readings } => TestRecord::Telemetry {
                log_time_us,
                device: ["a", "b"][device].into(),
                event_id: (records.len() as u128).to_be_bytes(),
                domain: if domain { "q" } else { "p" }.into(),
                place,
                is_historical: false,
                readings: readings
                    .into_iter()
                    .map(|(metric, value, age, quality)| TestReading {
                        metric: metric.into(),
                        value,
                        unit: String::new(),
                        observed_at_us: log_time_us - age * SECOND_US,
                        quality,
                    })
                    .collect(),
            },
        });
    }
    records
}

fn message(
    log_time_us: i64,
    offset: usize,
    device: &str,
    metric: &str,
    value: Value,
    is_historical: bool,
) -> TestRecord {
    TestRecord::Telemetry {
        log_time_us,
        device: device.into(),
        event_id: (offset as u128).to_be_bytes(),
        domain: "p".into(),
        place: None,
        is_historical,
        readings: vec![TestReading {
            metric: metric.into(),
            value: Some(value),
            unit: String::new(),
            observed_at_us: log_time_us,
            quality: Quality::Good,
        }],
    }
}

/// What the evaluator says, restarted before every record of `restarts`.
fn evaluate(records: &[TestRecord], sets: &RuleSets, restarts: impl Fn(usize) -> bool) -> Vec<Alert> {
    let mut evaluator = Evaluator::new(config());
    let mut out = Vec::new();
    for (offset, record) in records.iter().enumerate() {
        if restarts(offset) {
            evaluator = restart(&evaluator, sets);
        }
        apply(&mut evaluator, offset as i64, record, sets, &mut out);
    }
    out
}

fn said(alert: &Alert) -> Said {
    let us = |text: &String| time_us(text);
    let event = |id: &str| i64::from_str_radix(&id[16..], 16).unwrap();
    let evidence: Vec<_> =
        alert.evidence.iter().map(|reading| (event(&reading.event_id), reading.reading_index)).collect();
    Said {
        rule: alert.rule_id.clone(),
        device: alert.device_id.clone(),
        started_us: us(&alert.started_at),
        raised_us: us(&alert.raised_at),
        resolved_us: alert.resolved_at.as_ref().map(us),
        reason: alert.reason.clone(),
        cause: Cause::Silence(0),
        edge_us: None,
        evidence,
    }
}

/// Microseconds of an RFC 3339 time in March 2026.
fn time_us(text: &str) -> i64 {
    let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let (month, day) = (part(5..7), part(8..10));
    let days = if month == 3 { day - 2 } else { day - 30 };
    let seconds = days * 86_400 + part(11..13) * 3_600 + part(14..16) * 60 + part(17..19);
    EPOCH_US + seconds * SECOND_US + part(20..26)
}

/// The alert ids that the reference's causes make.
fn id_of(said: &Said) -> String {
    use sha2::{Digest, Sha256};
    let mut bytes = format!("{}\0{}\0", said.rule, said.device).into_bytes();
    match said.cause {
        Cause::Reading(offset, index) => {
            bytes.extend((offset as u128).to_be_bytes());
            bytes.extend(index.to_be_bytes());
        }
        Cause::Silence(last_us) => bytes.extend(last_us.to_be_bytes()),
    }
    bytes.extend(said.edge_us.into_iter().flat_map(i64::to_be_bytes));
    Sha256::digest(bytes)[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn indexed_is_naive(
        sets in proptest::collection::vec(rules(), 1..4),
        events in proptest::collection::vec((proptest::sample::select(vec![0, 0, 1, 1, 2, 5, 30]), event(3)), 1..60),
    ) {
        let stored = RuleSets::of(&sets.iter().map(|rules| load(rules).unwrap()).collect::<Vec<_>>());
        let mut records = records(events);
        for record in &mut records {
            if let TestRecord::RuleSet { n, .. } = record {
                *n %= sets.len() as u64;
            }
        }
        let mut reference = Reference::default();
        for (offset, record) in records.iter().enumerate() {
            reference.apply(offset as i64, record, &sets);
        }
        let alerts = evaluate(&records, &stored, |_| false);
        let ids: Vec<String> = alerts.iter().map(|alert| alert.alert_id.clone()).collect();
        prop_assert_eq!(ids, reference.out.iter().map(id_of).collect::<Vec<_>>());
        let expected: Vec<Said> = reference.out.iter().map(|said| Said { cause: Cause::Silence(0), edge_us: None, ..said.clone() }).collect();
        prop_assert_eq!(alerts.iter().map(said).collect::<Vec<_>>(), expected);
        for alert in &alerts {
            prop_assert_eq!(alert.state == AlertState::Resolved, alert.resolved_at.is_some());
        }
        let restarted = evaluate(&records, &stored, |_| true);
        prop_assert_eq!(restarted, alerts);
    }
}
