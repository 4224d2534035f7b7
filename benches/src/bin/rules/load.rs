//! Rule sets: how long one takes to load, to be opened and to be put in force, with states and without.

use std::sync::Arc;

use model::Record;
use rules::{Evaluator, RuleSet};

use crate::cpu_seconds;
use crate::workload::{START_US, assets_of, config, load_text, rule_file, warm};

const RULES: usize = 100_000;
const DEVICES: usize = 200_000;

pub fn run() -> anyhow::Result<()> {
    let text = rule_file(RULES);
    let megabytes = text.len() >> 20;
    let start = cpu_seconds();
    let loaded = load_text(text)?;
    println!("load: {RULES} rules of {megabytes} MB in {:.2} s", cpu_seconds() - start);
    let start = cpu_seconds();
    let set = Arc::new(RuleSet::from_bytes(loaded.bytes())?);
    println!("load: opened from {} MB in {:.2} s", set.bytes().len() >> 20, cpu_seconds() - start);
    let record = Record::new(1 << 32, START_US, b"", b"");
    let start = cpu_seconds();
    let mut evaluator = Evaluator::new(config());
    evaluator.apply_rule_set(&record, 1, Arc::clone(&set), &mut Vec::new());
    println!("load: put in force where nothing is known in {:.0} ms", 1e3 * (cpu_seconds() - start));
    let mut evaluator = warm(DEVICES, assets_of(RULES), Arc::clone(&set))?;
    let other = load_text(rule_file(RULES).replacen("> 7", "> 7.5", 1))?;
    let start = cpu_seconds();
    evaluator.apply_rule_set(&record, 2, other, &mut Vec::new());
    println!(
        "load: one rule of it changed, with {} series: pause of {:.0} ms",
        evaluator.series(),
        1e3 * (cpu_seconds() - start)
    );
    Ok(())
}
