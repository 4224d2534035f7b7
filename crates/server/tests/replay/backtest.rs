//! A backtest over the lake of a pipeline that ran is what that pipeline said live.

use std::path::Path;

use model::{Alert, AlertEvent};
use urban_neuron_server::backtest::{BacktestLake, BacktestRules, BacktestSpan, backtest};
use urban_neuron_server::explanation::{Verdict, explain};
use urban_neuron_server::rule_sets::RuleSets;
use urban_neuron_server::state_store::StateStore;

use crate::demo::{self, all_events, urban_neuron, without_clock};

/// Of the log, by default.
const PARTITIONS: u32 = 8;

fn lake_of(root: &Path) -> BacktestLake<'_> {
    BacktestLake { root, tenant: "default", partitions: PARTITIONS }
}

fn events_of(data_dir: &Path, alert_id: &str) -> Vec<Alert> {
    all_events(data_dir).into_iter().filter(|alert| alert.alert_id == alert_id).collect()
}

/// Every event that the evaluator said, in the order of a backtest and without the clock when it was said.
fn said_live(data_dir: &Path) -> Vec<Alert> {
    let mut alerts = all_events(data_dir);
    alerts.retain(|alert| matches!(alert.event, AlertEvent::Raised | AlertEvent::Resolved));
    alerts.sort_by_key(|alert| {
        let at = alert.resolved_at.clone().unwrap_or_else(|| alert.raised_at.clone());
        (at, alert.rule_id.clone(), alert.device_id.clone(), alert.event.name())
    });
    without_clocks(alerts)
}

fn without_clocks(alerts: Vec<Alert>) -> Vec<Alert> {
    alerts.into_iter().map(without_clock).collect()
}

#[test]
fn a_backtest_says_what_was_said_live() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("demo");
    let rules = demo::run(&data_dir);
    let data = data_dir.display().to_string();
    let live = said_live(&data_dir);
    assert!(live.iter().any(|alert| alert.event == AlertEvent::Raised), "a city this loud says something");

    let lake = data_dir.join("lake");
    let in_force = BacktestRules::Live(RuleSets::new(StateStore::new(&lake)));
    let again = backtest(lake_of(&lake), &in_force, &BacktestSpan::default(), &mut |_| {}).unwrap();
    assert_eq!(without_clocks(again.alerts), live);

    let raise = live.iter().find(|alert| alert.event == AlertEvent::Raised).unwrap();
    let explained =
        urban_neuron(&["alerts", "explain", &raise.alert_id, "--data-dir", &data, "--format", "text"]);
    assert!(explained.ends_with("says it\nconfirmed\n"), "{explained}");
    let mut forged = events_of(&data_dir, &raise.alert_id).remove(0);
    assert_eq!(explain(&lake, PARTITIONS, &forged).unwrap().verdict, Verdict::Confirmed);
    forged.evidence[0].value = Some(model::AlertValue::Number(-1.0));
    assert_eq!(explain(&lake, PARTITIONS, &forged).unwrap().verdict, Verdict::Contradicted);
    forged.evidence[0].log_offset = i64::MAX - 1;
    assert_eq!(explain(&lake, PARTITIONS, &forged).unwrap().verdict, Verdict::NotLanded);

    // One device of it says what it said among all.
    let device = live[0].device_id.clone();
    let of_one = BacktestSpan { device: Some(device.clone()), ..BacktestSpan::default() };
    let of_one = backtest(lake_of(&lake), &in_force, &of_one, &mut |_| {}).unwrap();
    let expected: Vec<Alert> = live.iter().filter(|alert| alert.device_id == device).cloned().collect();
    assert_eq!(without_clocks(of_one.alerts), expected);

    let lines =
        urban_neuron(&["rules", "backtest", "--rules", &rules, "--data-dir", &data, "--format", "json"]);
    let given: Vec<Alert> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(given.len() >= live.len(), "in force from the first record on, rules say no less");

    let table =
        urban_neuron(&["rules", "backtest", "--rules", &rules, "--data-dir", &data, "--format", "text"]);
    assert!(table.starts_with("rule "), "{table}");
    assert!(table.contains("loudest devices: "), "{table}");
    let same = urban_neuron(&[
        "rules",
        "backtest",
        "--rules",
        &rules,
        "--diff",
        &rules,
        "--data-dir",
        &data,
        "--format",
        "text",
    ]);
    assert_eq!(same, "0 new, 0 gone, 0 moved\n");
}
