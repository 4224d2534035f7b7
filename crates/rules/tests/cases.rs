//! Cases worked out by hand: rules and records in, the alerts said out. Those of `tests/cases` are run, and those of
//! the folder that `RULES_CASES` names, in the format that `docs/rules.md` gives.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod catalog;
mod log;
mod registry;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use catalog::SmallCatalog;
use log::{EPOCH_US, RuleSets, TestReading, TestRecord, apply, config, restart};
use model::proto::{Quality, reading::Value};
use model::registry::Registry;
use model::{Alert, AlertEvent};
use registry::registry_of;
use schema::Schema;
use sha2::{Digest, Sha256};
use urban_neuron_rules::{Evaluator, LoadOptions, RuleSet, RuleSource};

struct Case {
    name: String,
    /// The first is in force from the beginning, the others from their records on.
    sets: Vec<RuleSet>,
    records: Vec<TestRecord>,
    ids: Vec<String>,
    conditions: Vec<String>,
    expected: Vec<String>,
}

/// What is done to the log between two records, none of which may change what is said.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Between {
    Nothing,
    TickAtTheRecordBefore,
    TickHalfway,
    TickAtTheRecordAfter,
    Restart,
}

#[test]
fn cases_of_this_folder() {
    run_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"));
}

#[test]
fn cases_of_the_contract() {
    if let Some(folder) = std::env::var_os("RULES_CASES") {
        run_folder(Path::new(&folder));
    }
}

fn run_folder(folder: &Path) {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    assert!(!files.is_empty(), "no cases in {}", folder.display());
    let mut failures = Vec::new();
    for file in files {
        let cases = read_cases(&std::fs::read_to_string(&file).unwrap());
        println!("{}: {} cases", file.display(), cases.len());
        for case in &cases {
            failures.extend(
                run_case(case).err().map(|failure| format!("{}: {}\n{failure}", file.display(), case.name)),
            );
        }
    }
    assert!(failures.is_empty(), "{} cases fail\n{}", failures.len(), failures.join("\n"));
}

fn read_cases(text: &str) -> Vec<Case> {
    let file: toml::Table = text.parse().unwrap();
    let mut cases = Vec::new();
    for case in file["case"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap().to_owned();
        let lines = |key: &str| -> Vec<String> {
            let list = case.get(key).and_then(toml::Value::as_array);
            list.into_iter().flatten().map(|line| line.as_str().unwrap().to_owned()).collect()
        };
        let registry = registry_of(case.as_table().unwrap());
        let mut sets = vec![load(case["rule"].as_array().unwrap(), &registry, &name)];
        for set in case.get("then").and_then(toml::Value::as_array).into_iter().flatten() {
            let set = set.as_table().unwrap();
            let rules = set.get("rule").unwrap_or(&case["rule"]).as_array().unwrap();
            let has_registry = ["devices", "models", "zones"].iter().any(|key| set.contains_key(*key));
            let own = registry_of(set);
            sets.push(load(rules, if has_registry { &own } else { &registry }, &name));
        }
        let records =
            lines("records").iter().enumerate().map(|(offset, line)| record(line, offset)).collect();
        let (ids, conditions) = (lines("ids"), lines("conditions"));
        cases.push(Case { name, sets, records, ids, conditions, expected: lines("expect") });
    }
    cases
}

fn load(rules: &[toml::Value], registry: &Registry, name: &str) -> RuleSet {
    let with_defaults = rules.iter().map(|rule| {
        let mut rule = rule.as_table().unwrap().clone();
        for (key, value) in [("id", "x"), ("title", "t"), ("severity", "warning")] {
            rule.entry(key).or_insert_with(|| value.into());
        }
        toml::Value::Table(rule)
    });
    let file = toml::Table::from_iter([("rule".to_owned(), toml::Value::Array(with_defaults.collect()))]);
    let files = [("case".to_owned(), file.to_string())];
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::open("rules"));
    assert_eq!(SCHEMA.check_toml(&files[0].1), Ok(()), "{name}");
    let options = LoadOptions { registry, ..LoadOptions::default() };
    match RuleSource::load(&files, &SmallCatalog, &options) {
        Ok(loaded) => loaded.rule_set,
        Err(errors) => panic!("{name}: {errors:#?}"),
    }
}

/// `[historical] r=SECONDS [d=DEVICE] [t=SECONDS] [e=N] [domain=D] [place=LATITUDE,LONGITUDE]
/// METRIC=VALUE[UNIT][@SECONDS][!QUALITY] ...`, `tick r=..`, `heartbeat r=..` or `rules r=.. n=..`.
fn record(line: &str, offset: usize) -> TestRecord {
    let (mut log_time_us, mut device, mut event, mut observed_at_us) = (0, "a", offset as u128, None);
    let (mut readings, mut kind) = (Vec::new(), "");
    let (mut domain, mut place, mut rule_set) = ("unknown", None, 0);
    for word in line.split_whitespace() {
        match word.split_once('=') {
            None => kind = word,
            Some(("domain", value)) => domain = value,
            Some(("place", value)) => {
                let (latitude, longitude) = value.split_once(',').unwrap();
                place = Some((latitude.parse().unwrap(), longitude.parse().unwrap()));
            }
            Some(("n", value)) => rule_set = value.parse().unwrap(),
            Some(("r", value)) => log_time_us = time_us(value),
            Some(("t", value)) => observed_at_us = Some(time_us(value)),
            Some(("d", value)) => device = value,
            Some(("e", value)) => event = value.parse().unwrap(),
            Some((metric, value)) => readings.push(reading(metric, value)),
        }
    }
    for reading in &mut readings {
        if reading.observed_at_us == i64::MIN {
            reading.observed_at_us = observed_at_us.unwrap_or(log_time_us);
        }
    }
    match kind {
        "tick" => TestRecord::Tick { log_time_us },
        "heartbeat" => TestRecord::Heartbeat { log_time_us },
        "rules" => TestRecord::RuleSet { log_time_us, n: rule_set },
        "" | "historical" => TestRecord::Telemetry {
            log_time_us,
            device: device.into(),
            event_id: event.to_be_bytes(),
            domain: domain.into(),
            place,
            is_historical: kind == "historical",
            readings,
        },
        other => panic!("unknown record {other}"),
    }
}

fn reading(metric: &str, text: &str) -> TestReading {
    let (text, quality) = text.split_once('!').unwrap_or((text, "good"));
    let (value, observed_at) = match text.split_once('@') {
        Some((value, at)) => (value, Some(at)),
        None => (text, None),
    };
    let quality = Quality::from_str_name(&format!("QUALITY_{}", quality.to_uppercase())).unwrap();
    let (value, unit) =
        value.strip_suffix(']').and_then(|value| value.split_once('[')).unwrap_or((value, ""));
    let value = match value {
        "none" => None,
        "true" | "false" => Some(Value::Boolean(value == "true")),
        value => {
            Some(value.parse().map_or_else(|_| Value::Text(value.trim_matches('\'').into()), Value::Number))
        }
    };
    TestReading {
        metric: metric.into(),
        value,
        unit: unit.into(),
        observed_at_us: observed_at.map_or(i64::MIN, time_us),
        quality,
    }
}

fn time_us(seconds: &str) -> i64 {
    EPOCH_US + (seconds.parse::<f64>().unwrap() * 1e6).round() as i64
}

fn run_case(case: &Case) -> Result<(), String> {
    let expected = by_rule_and_device(case.expected.clone());
    for between in [
        Between::Nothing,
        Between::TickAtTheRecordBefore,
        Between::TickHalfway,
        Between::TickAtTheRecordAfter,
        Between::Restart,
    ] {
        let alerts = evaluate(case, between);
        let said: Vec<String> = alerts.iter().map(line).collect();
        let is_equal = match between {
            // A tick may change which of two rules speaks first.
            Between::Nothing | Between::Restart => said == case.expected,
            _ => by_rule_and_device(said.clone()) == expected,
        };
        if !is_equal {
            return Err(format!("  {between:?}\n  expected {:#?}\n  said {said:#?}", case.expected));
        }
        check_ids(case, &alerts)?;
        alerts.iter().try_for_each(check_shape)?;
        let conditions: Vec<&str> = alerts.iter().map(|alert| alert.condition.as_str()).collect();
        if !case.conditions.is_empty() && case.conditions != conditions {
            return Err(format!("  conditions {:#?}, said {conditions:#?}", case.conditions));
        }
    }
    Ok(())
}

/// What consumers are told of an alert's shape holds.
fn check_shape(alert: &Alert) -> Result<(), String> {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::open("alert"));
    SCHEMA.check(&serde_json::to_value(alert).unwrap())
}

fn evaluate(case: &Case, between: Between) -> Vec<Alert> {
    let sets = RuleSets::of(&case.sets);
    let mut out = Vec::new();
    let mut evaluator = Evaluator::new(config());
    let mut before_us = case.records[0].log_time_us();
    apply(&mut evaluator, -1, &TestRecord::RuleSet { log_time_us: before_us, n: 0 }, &sets, &mut out);
    for (offset, record) in case.records.iter().enumerate() {
        let offset = offset as i64;
        let tick_us = match between {
            Between::Nothing | Between::Restart => None,
            Between::TickAtTheRecordBefore => Some(before_us),
            Between::TickHalfway => Some(i64::midpoint(before_us, record.log_time_us())),
            Between::TickAtTheRecordAfter => Some(record.log_time_us()),
        };
        if let Some(log_time_us) = tick_us {
            apply(&mut evaluator, offset - 1, &TestRecord::Tick { log_time_us }, &sets, &mut out);
        }
        if between == Between::Restart {
            evaluator = restart(&evaluator, &sets);
        }
        apply(&mut evaluator, offset, record, &sets, &mut out);
        before_us = record.log_time_us();
    }
    out
}

/// An alert event as a line of `expect`.
fn line(alert: &Alert) -> String {
    let Alert { rule_id, device_id, .. } = alert;
    let (started, raised) = (seconds(&alert.started_at), seconds(&alert.raised_at));
    match (alert.event, &alert.resolved_at) {
        (AlertEvent::Raised, None) => format!("raised {rule_id} {device_id} t0={started} at={raised}"),
        (AlertEvent::Resolved, Some(resolved)) => {
            let resolved = seconds(resolved);
            let reason = alert.reason.as_ref().map_or(String::new(), |reason| format!(" reason={reason}"));
            format!("resolved {rule_id} {device_id} t0={started} raised={raised} at={resolved}{reason}")
        }
        _ => panic!("neither raised nor resolved: {alert:?}"),
    }
}

/// Seconds since 2026-03-02T00:00:00Z of a time within that month.
fn seconds(text: &str) -> String {
    let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    assert!(text.len() == 27 && text.ends_with('Z') && &text[..5] == "2026-", "{text}");
    let day_of_year = if part(5..7) == 3 { 59 + part(8..10) } else { part(8..10) + 31 * (part(5..7) - 1) };
    let us = ((day_of_year - 61) * 86_400 + part(11..13) * 3_600 + part(14..16) * 60 + part(17..19))
        * 1_000_000
        + part(20..26);
    format!("{}", us as f64 / 1e6)
}

fn by_rule_and_device(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_by_key(|line| line.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" "));
    lines
}

/// Ids of what is raised, in full or as `@OFFSET/INDEX` of the reading that they are made of.
fn check_ids(case: &Case, alerts: &[Alert]) -> Result<(), String> {
    if case.ids.is_empty() {
        return Ok(());
    }
    let raised: Vec<&Alert> = alerts.iter().filter(|alert| alert.event == AlertEvent::Raised).collect();
    let said: Vec<&str> = raised.iter().map(|alert| alert.alert_id.as_str()).collect();
    let expected: Vec<String> = case.ids.iter().zip(&raised).map(|(id, alert)| full_id(id, alert)).collect();
    if said == expected && said.len() == case.ids.len() {
        Ok(())
    } else {
        Err(format!("  ids {expected:?}, said {said:?}"))
    }
}

fn full_id(id: &str, alert: &Alert) -> String {
    let Some((offset, index)) = id.strip_prefix('@').and_then(|id| id.split_once('/')) else {
        return id.to_owned();
    };
    let mut bytes = format!("{}\0{}\0", alert.rule_id, alert.device_id).into_bytes();
    bytes.extend(offset.parse::<u128>().unwrap().to_be_bytes());
    bytes.extend(index.parse::<u32>().unwrap().to_be_bytes());
    Sha256::digest(bytes)[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
