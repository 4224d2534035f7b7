//! The core of evaluation with series numbers given: no bytes to read, no names to look up.

use std::hint::black_box;

use model::{LogRecordView, Record};
use rules::{NumberReading, Said, Sink};

use crate::workload::{METRICS, Random, SECOND_US, START_US, assets_of, load_text, rule_file, warm};
use crate::{allocations, cpu_seconds};

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

pub fn run() -> anyhow::Result<()> {
    for (devices, rules) in [(10_000, 1_000), (200_000, 100_000)] {
        for crossings in [0.02, 0.10, 0.50] {
            for is_random in [false, true] {
                run_one(devices, rules, crossings, is_random)?;
            }
        }
    }
    Ok(())
}

/// Every series in turn, in order or at random; a number of the readings crosses the lowest threshold.
fn run_one(devices: usize, rules: usize, crossings: f64, is_random: bool) -> anyhow::Result<()> {
    let series = devices * METRICS.len();
    let mut evaluator = warm(devices, assets_of(rules), load_text(rule_file(rules))?)?;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut order: Vec<u32> = (0..series as u32).collect();
    if is_random {
        (1..order.len()).rev().for_each(|at| order.swap(at, random.below(at as u64 + 1) as usize));
    }
    // A series is up a tenth of the time (half, where half of the readings cross).
    let up_share = if crossings > 0.2 { 0.5 } else { 0.1 };
    let (go_up, go_down) = (crossings / 2.0 / (1.0 - up_share), crossings / 2.0 / up_share);
    let mut is_up = vec![false; series];
    let rounds = (8_000_000 / series).clamp(8, 100) as i64;
    let mut values = vec![0.0; series];
    let (mut sink, mut elapsed, mut allocated) = (Counted::default(), 0.0, 0);
    let mut before = evaluator.counts();
    // The first half of the rounds fills what is kept; the second is measured.
    for round in 1..=2 * rounds {
        for (value, is_up) in values.iter_mut().zip(&mut is_up) {
            *is_up ^= random.unit() < if *is_up { go_down } else { go_up };
            *value = f64::from(u8::from(*is_up)) + 0.1 + 0.8 * random.unit();
        }
        let observed_at_us = START_US + round * 10 * SECOND_US;
        let tick = LogRecordView::Tick { instance: "" };
        let (start, allocations_before) = (cpu_seconds(), allocations());
        evaluator.apply(&Record::new(round, observed_at_us + SECOND_US, b"", b""), &tick, &mut Vec::new());
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
        (elapsed, allocated) =
            (elapsed + cpu_seconds() - start, allocated + allocations() - allocations_before);
        if round == rounds {
            (elapsed, allocated, before, sink) = (0.0, 0, evaluator.counts(), Counted::default());
        }
    }
    black_box(&evaluator);
    let roof = bare_tests(&order, &values);
    let readings = (series as i64 * rounds) as f64;
    let changes = (evaluator.counts().state_changes - before.state_changes) as f64;
    println!(
        "core: {rules:>6} rules, {series:>7} series, {:6} order, {:4.1} % of readings change state: {:5.1} M readings/s, {:.4} allocations a reading ({} raised, {} resolved); the test alone {roof:.0} M/s",
        if is_random { "random" } else { "device" },
        100.0 * changes / readings,
        readings / elapsed / 1e6,
        allocated as f64 / readings,
        sink.raised,
        sink.resolved,
    );
    Ok(())
}

/// Million readings a second of the test that every reading takes, over the same series in the same order, where all pass:
/// the roof, on the machine as it is now.
fn bare_tests(order: &[u32], values: &[f64]) -> f64 {
    const TURNS: usize = 5;
    let mut entries = vec![(-1.0, 9.0, 0_i64, i64::MAX); order.len()];
    let start = cpu_seconds();
    for turn in 0..TURNS as i64 {
        for (series, value) in order.iter().zip(values) {
            let (low, high, newest_us, due_us) = &mut entries[*series as usize];
            if (*low..=*high).contains(value) && *newest_us <= turn && turn < *due_us {
                *newest_us = turn;
            }
        }
        black_box(&mut entries);
    }
    (order.len() * TURNS) as f64 / (cpu_seconds() - start) / 1e6
}
