//! What is said of a (rule, device) after some records: its state, what it waits for, what it is evaluated on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod catalog;
mod log;
mod registry;

use catalog::SmallCatalog;
use log::{EPOCH_US, RuleSets, TestReading, TestRecord, apply, config, restart};
use model::proto::{Quality, reading::Value};
use model::{Alert, AlertValue};
use registry::registry_of;
use urban_neuron_rules::{Evaluator, LoadOptions, RuleExplanation, RulePhase, RuleSource, Unexplained};

/// An evaluator with the rule `x`, and what it said.
struct Tried {
    evaluator: Evaluator,
    sets: RuleSets,
    offset: i64,
    said: Vec<Alert>,
}

impl Tried {
    fn new(keys: &str) -> Self {
        Self::with_registry(keys, "")
    }

    fn with_registry(keys: &str, registry: &str) -> Self {
        let text = format!("[[rule]]\nid = \"x\"\ntitle = \"t\"\nseverity = \"warning\"\n{keys}\n");
        let registry = registry_of(&registry.parse().unwrap());
        let options = LoadOptions { registry: &registry, time_zone: "UTC", ..LoadOptions::default() };
        let loaded = RuleSource::load(&[("a.toml".into(), text)], &SmallCatalog, &options).unwrap();
        let sets = RuleSets::of(&[loaded.rule_set]);
        let mut tried = Tried { evaluator: Evaluator::new(config()), sets, offset: 0, said: Vec::new() };
        tried.apply(&TestRecord::RuleSet { log_time_us: EPOCH_US, n: 0 });
        tried
    }

    fn apply(&mut self, record: &TestRecord) {
        apply(&mut self.evaluator, self.offset, record, &self.sets, &mut self.said);
        self.offset += 1;
    }

    /// Readings of the device `a` at a second.
    fn at(mut self, second: i64, readings: &[(&str, f64, &str)]) -> Self {
        let log_time_us = EPOCH_US + second * 1_000_000;
        let reading = |(metric, value, unit): &(&str, f64, &str)| TestReading {
            metric: (*metric).to_owned(),
            value: Some(Value::Number(*value)),
            unit: (*unit).to_owned(),
            observed_at_us: log_time_us,
            quality: Quality::Good,
        };
        let event_id = u128::try_from(self.offset).unwrap().to_be_bytes();
        self.apply(&TestRecord::Telemetry {
            log_time_us,
            device: "a".to_owned(),
            event_id,
            domain: "water".to_owned(),
            place: Some((1.0, 1.0)),
            is_historical: false,
            readings: readings.iter().map(reading).collect(),
        });
        self
    }

    fn heartbeat(mut self, second: i64) -> Self {
        self.apply(&TestRecord::Heartbeat { log_time_us: EPOCH_US + second * 1_000_000 });
        self
    }

    fn tick(mut self, second: i64) -> Self {
        self.apply(&TestRecord::Tick { log_time_us: EPOCH_US + second * 1_000_000 });
        self
    }

    fn explain(&self) -> RuleExplanation {
        self.evaluator.explain("x", "a").unwrap()
    }
}

fn time(second: i64) -> String {
    model::time::format_rfc3339(EPOCH_US + second * 1_000_000)
}

fn truths(explanation: &RuleExplanation) -> Vec<(&str, Option<bool>)> {
    explanation.conditions.iter().map(|one| (one.text.as_str(), one.is_true)).collect()
}

#[test]
fn the_life_of_a_rule_on_one_number() {
    let keys = "when = \"water_level > 250 cm\"\nfor = \"60s\"\nclear = \"water_level < 2.2 m\"\nclear_for = \"30s\"";
    let tried = Tried::new(keys).at(10, &[("water_level", 1.0, "m")]);
    let idle = tried.explain();
    assert_eq!(
        (idle.phase, &idle.since, &idle.waits_for, &idle.alert_id),
        (RulePhase::Idle, &None, &None, &None)
    );
    assert_eq!((idle.clock.unwrap(), idle.now.unwrap(), idle.rule_set_n), (time(10), time(10), Some(0)));
    assert_eq!(idle.condition, "water_level > 2.5 m");
    assert_eq!(idle.clear.as_deref(), Some("water_level < 2.2 m"));
    let reading = &idle.readings[0];
    assert_eq!((reading.value.as_ref(), reading.between), (None, Some([None, Some(2.5)])));
    assert_eq!((reading.unit.as_deref(), reading.age_seconds), (Some("m"), 0.0));
    // Somewhere up to 2.5 m: whether it is below 2.2 m is not told.
    assert_eq!(idle.conditions[0].is_true, Some(false));
    assert_eq!(idle.conditions[1].is_true, None);

    let tried = tried.at(20, &[("water_level", 2.6, "m")]);
    let pending = tried.explain();
    assert_eq!((pending.phase, pending.since), (RulePhase::Pending, Some(time(20))));
    let waits = pending.waits_for.unwrap();
    assert_eq!((waits.is_raise, waits.at, waits.clock_past), (true, time(80), time(140)));
    let started_by = pending.started_by.unwrap();
    assert_eq!((started_by.value, started_by.observed_at), (AlertValue::Number(2.6), time(20)));
    assert_eq!(pending.conditions[0].is_true, Some(true));

    let tried = tried.at(80, &[("water_level", 2.7, "m")]);
    let firing = tried.explain();
    assert_eq!(
        (firing.phase, firing.since, firing.raised_at),
        (RulePhase::Firing, Some(time(80)), Some(time(80)))
    );
    assert_eq!(firing.alert_id.as_ref(), Some(&tried.said[0].alert_id));
    assert_eq!(firing.waits_for, None);

    let tried = tried.at(90, &[("water_level", 2.0, "m")]);
    let clearing = tried.explain();
    assert_eq!((clearing.phase, clearing.since), (RulePhase::Clearing, Some(time(90))));
    let waits = clearing.waits_for.unwrap();
    assert_eq!((waits.is_raise, waits.at, waits.clock_past), (false, time(120), time(180)));
    assert_eq!(clearing.alert_id.as_ref(), Some(&tried.said[0].alert_id));

    let restored = restart(&tried.evaluator, &tried.sets).explain("x", "a").unwrap();
    assert_eq!((restored.phase, restored.waits_for.unwrap().at), (RulePhase::Clearing, time(120)));
    assert_eq!(restored.readings[0].between, None, "the interval is made anew by the next reading");
}

#[test]
fn what_it_waits_for_comes_when_it_says() {
    let pending = || Tried::new("when = \"rain > 1\"\nfor = \"60s\"").at(20, &[("rain", 2.0, "")]);
    let waits = pending().explain().waits_for.unwrap();
    assert_eq!((waits.at, waits.clock_past), (time(80), time(140)));
    assert_eq!(pending().tick(140).explain().phase, RulePhase::Pending, "not past it");
    let raised = pending().tick(141).explain();
    assert_eq!((raised.phase, raised.raised_at), (RulePhase::Firing, Some(time(80))));
}

#[test]
fn each_comparison_with_what_it_found() {
    let keys =
        "when = \"water_level > 2 m and (temperature < 0 Cel or avg(rain, 5m) > 3)\"\nmax_age = \"1m\"";
    let tried = Tried::new(keys)
        .at(0, &[("temperature", 5.0, "Cel"), ("rain", 2.0, "")])
        .at(90, &[("water_level", 2.5, "m"), ("rain", 6.0, "")]);
    let explained = tried.explain();
    assert_eq!(
        truths(&explained),
        [
            ("water_level > 2 m and (temperature < 0 Cel or avg(rain, 5m) > 3)", Some(true)),
            ("water_level > 2 m", Some(true)),
            ("temperature < 0 Cel", None),
            ("avg(rain, 5m) > 3", Some(true)),
        ]
    );
    let found: Vec<_> = explained.conditions.iter().map(|one| one.found.clone()).collect();
    let number = |number| Some(AlertValue::Number(number));
    assert_eq!(found, [None, number(2.5), None, number(4.0)]);
    let old = &explained.readings[1];
    assert_eq!((old.metric.as_str(), &old.value), ("temperature", &number(5.0)));
    assert_eq!((old.age_seconds, old.is_too_old), (90.0, true));
    assert_eq!(explained.phase, RulePhase::Firing);
}

#[test]
fn thresholds_say_whose_they_are() {
    let registry = r#"
        devices = { a = { model = "m", thresholds = { high = "250 cm" } }, b = { model = "m" } }
        models = { m = { thresholds = { low = "1 m" } } }
    "#;
    let keys = "when = \"water_level > threshold('high', 3 m) or water_level < threshold('low', 0 m) or water_level = threshold('odd', 9 m)\"";
    let tried = Tried::with_registry(keys, registry).at(0, &[("water_level", 2.0, "m")]);
    let explained = tried.explain();
    let origins: Vec<_> =
        explained.thresholds.iter().map(|one| (one.name.as_str(), one.value, one.origin.as_str())).collect();
    assert_eq!(origins, [("high", 2.5, "device"), ("low", 1.0, "model m"), ("odd", 9.0, "default")]);
    assert_eq!(explained.conditions[1].text, "water_level > 2.5 m (high of the device)");
    assert_eq!(explained.conditions[1].is_true, Some(false));
}

#[test]
fn hits_and_active_are_told() {
    let keys = "when = \"rain > 1\"\nhits = \"2 of 3\"\nactive = [\"Mon 00:00-01:00\"]";
    let tried = Tried::new(keys).at(1, &[("rain", 2.0, "")]).at(2, &[("rain", 0.0, "")]);
    let explained = tried.explain();
    let hits = explained.hits.unwrap();
    assert_eq!((hits.hits, hits.needed, hits.of), (1, 2, 3));
    let active = explained.active.unwrap();
    assert_eq!((active.is_active, active.time_zone.as_str()), (true, "UTC"));
    assert_eq!(active.changes_at, Some(time(3_600)));

    // What fires outside is not said: it has no alert.
    let tried = tried.at(4_000, &[("rain", 2.0, "")]).at(4_001, &[("rain", 2.0, "")]);
    let masked = tried.explain();
    assert_eq!((masked.phase, masked.alert_id), (RulePhase::Firing, None));
    assert!(!masked.active.unwrap().is_active);
}

#[test]
fn a_dead_man_counts_live_time() {
    let tried = Tried::new("absent = \"30s\"").at(0, &[("rain", 1.0, "")]).heartbeat(20);
    let explained = tried.explain();
    let clock = explained.dead_man.unwrap();
    assert_eq!((explained.phase, clock.is_watched), (RulePhase::Idle, true));
    assert_eq!((clock.alive_seconds, clock.absent_seconds), (Some(20.0), 30.0));
    assert_eq!(clock.last_sign_of_life, Some(time(0)));

    let tried = tried.heartbeat(40);
    let missed = tried.explain();
    assert_eq!(
        (missed.phase, missed.since, missed.alert_id.is_some()),
        (RulePhase::Firing, Some(time(30)), true)
    );
    assert_eq!(missed.dead_man.unwrap().missed_since, Some(time(30)));
    assert_eq!(missed.condition, "nothing for 30s");
}

#[test]
fn a_zone_is_unknown_here_and_a_device_that_does_not_match_says_so() {
    let registry = "zones = { z = [[[0, 0], [4, 0], [4, 4], [0, 0]]] }";
    let keys = "when = \"inside zone('z')\"\nwhere = \"domain = 'air'\"";
    let explained = Tried::with_registry(keys, registry).at(0, &[("rain", 1.0, "")]).explain();
    assert!(!explained.is_matched);
    assert_eq!(truths(&explained), [("inside zone('z')", None)]);
}

#[test]
fn what_is_not_there_is_said() {
    let tried = Tried::new("when = \"rain > 1\"").at(0, &[("rain", 1.0, "")]);
    let error = |rule: &str, device: &str| tried.evaluator.explain(rule, device).unwrap_err();
    assert_eq!(error("y", "a"), Unexplained::NoRule { rule_id: "y".to_owned() });
    assert_eq!(error("x", "b"), Unexplained::NoDevice { device_id: "b".to_owned() });
    let json = serde_json::to_value(tried.explain()).unwrap();
    assert_eq!(serde_json::from_value::<RuleExplanation>(json).unwrap(), tried.explain());
}
