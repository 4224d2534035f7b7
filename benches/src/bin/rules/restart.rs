//! A restart with a million series, and the bytes that a series costs under each kind of rule.

use std::convert::Infallible;
use std::sync::Arc;

use model::{LogRecordView, Record};
use rules::Evaluator;

use crate::workload::{METRICS, SECOND_US, START_US, assets_of, config, load_text, message, rule_file, warm};
use crate::{cpu_seconds, held_bytes};

pub fn run() -> anyhow::Result<()> {
    restart(200_000, 100_000)?;
    const DEVICES: usize = 20_000;
    let none = bytes_a_series("no rule", DEVICES, "", &[0.5])?;
    let rule = |keys: &str| {
        let rule = |metric: &&str| {
            let keys = keys.replace('M', metric);
            format!("[[rule]]\nid = \"{metric}\"\ntitle = \"t\"\nseverity = \"warning\"\n{keys}\n")
        };
        METRICS.iter().map(rule).collect::<String>()
    };
    for (name, keys, values) in [
        ("a threshold, idle", "when = \"M > 1\"", &[0.5][..]),
        ("a threshold, pending", "when = \"M > 1\"\nfor = \"30m\"", &[1.5]),
        ("a threshold, firing", "when = \"M > 1\"", &[1.5]),
        ("a threshold, resolved once", "when = \"M > 1\"", &[1.5, 0.5]),
        ("`hits`, idle", "when = \"M > 1\"\nhits = \"3 of 5\"", &[0.5]),
        ("`hits`, one counted", "when = \"M > 1\"\nhits = \"3 of 5\"", &[1.5]),
        ("several metrics, idle", "when = \"M > 1 and m0 > 1\"", &[0.5]),
        ("a threshold of the device", "when = \"M > threshold('t', 1)\"", &[0.5]),
        ("a window of 30 readings", "when = \"avg(M, 5m) > 1\"", &[0.5; 40]),
        ("`absent` of each metric", "absent = \"1h\"\nmetric = \"M\"", &[0.5]),
    ] {
        let bytes = bytes_a_series(name, DEVICES, &rule(keys), values)?;
        println!("memory: {name}: {bytes} bytes a series, {} more than without rules", bytes - none);
    }
    println!("memory: no rule: {none} bytes a series, its fifth of the device included");
    Ok(())
}

/// Bytes held for each series of devices of five metrics, after readings of these values 10 s apart.
fn bytes_a_series(_: &str, devices: usize, rules: &str, values: &[f64]) -> anyhow::Result<i64> {
    let rule_set = load_text(rules.to_owned())?;
    let held = held_bytes();
    let mut evaluator = warm(devices, 1, rule_set)?;
    for (round, value) in values.iter().enumerate() {
        let at_us = START_US + (round as i64 + 1) * 10 * SECOND_US;
        for device in 0..devices {
            let bytes = message(device, 1, 0, at_us, &[*value; METRICS.len()]);
            let offset = ((round + 1) * devices + device) as i64 + 1;
            let view = LogRecordView::parse(&bytes)?;
            evaluator.apply(&Record::new(offset, at_us, b"", &bytes), &view, &mut Vec::new());
        }
    }
    Ok(((held_bytes() - held) / evaluator.series()) as i64)
}

/// Takes a snapshot of an evaluator of which every tenth series is pending, and restores it.
fn restart(devices: usize, rules: usize) -> anyhow::Result<()> {
    let rule_set = load_text(rule_file(rules))?;
    let mut evaluator = warm(devices, assets_of(rules), Arc::clone(&rule_set))?;
    for device in (0..devices).step_by(10) {
        let at_us = START_US + SECOND_US;
        let bytes = message(device, assets_of(rules), 0, at_us, &[1.5; METRICS.len()]);
        let view = LogRecordView::parse(&bytes)?;
        let record = Record::new((devices + device) as i64 + 1, at_us, b"", &bytes);
        evaluator.apply(&record, &view, &mut Vec::new());
    }
    let start = cpu_seconds();
    let snapshot = evaluator.snapshot();
    let written = cpu_seconds() - start;
    drop(evaluator);
    let start = cpu_seconds();
    let evaluator = Evaluator::restore(config(), &snapshot, |_, _| Ok::<_, Infallible>(rule_set))?;
    println!(
        "restart: {rules} rules, {} series, {} states: snapshot of {:.1} MB written in {written:.2} s, restored in {:.2} s",
        evaluator.series(),
        evaluator.states(),
        snapshot.len() as f64 / 1e6,
        cpu_seconds() - start,
    );
    Ok(())
}
