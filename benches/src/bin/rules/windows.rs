//! A window of 5 minutes on every series.

use rules::{NumberReading, Said, Sink};

use crate::workload::{METRICS, Random, SECOND_US, START_US, load_text, warm};
use crate::{allocations, cpu_seconds, held_bytes};

struct Nobody;

impl Sink for Nobody {
    fn say(&mut self, _: &Said<'_>) {}
}

const DEVICES: usize = 10_000;
/// Readings in a window of 5 minutes, by the seconds between two.
const PERIODS_S: [i64; 2] = [10, 1];

pub fn run() -> anyhow::Result<()> {
    for period_s in PERIODS_S {
        for function in ["avg", "sum", "min", "max", "count", "stddev", "delta", "rate", "increase"] {
            run_one(function, period_s)?;
        }
    }
    Ok(())
}

fn run_one(function: &str, period_s: i64) -> anyhow::Result<()> {
    let rule = |metric: &str| {
        format!(
            "[[rule]]\nid = \"w-{metric}\"\ntitle = \"t\"\nseverity = \"warning\"\nwhen = \"{function}({metric}, 5m) > 100000\"\n"
        )
    };
    let devices = DEVICES / if period_s == 1 { 10 } else { 1 };
    let held = held_bytes();
    let mut evaluator = warm(devices, 1, load_text(METRICS.iter().map(|metric| rule(metric)).collect())?)?;
    let series = (devices * METRICS.len()) as u32;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let rounds = 2 * 300 / period_s;
    let (mut elapsed, mut allocated) = (0.0, 0);
    // The first half fills the windows.
    for round in 1..=rounds {
        let values: Vec<f64> = (0..series).map(|_| 20.0 + random.unit()).collect();
        let (start, allocations_before) = (cpu_seconds(), allocations());
        for series in 0..series {
            let reading = NumberReading {
                series,
                observed_at_us: START_US + round * period_s * SECOND_US,
                value: values[series as usize],
                event_id: [0; 16],
                reading_index: 0,
                log_offset: round,
            };
            evaluator.apply_number(&reading, &mut Nobody);
        }
        if round > rounds / 2 {
            elapsed += cpu_seconds() - start;
            allocated += allocations() - allocations_before;
        }
    }
    let readings = f64::from(series) * (rounds / 2) as f64;
    println!(
        "windows: {function}(m, 5m) on {series} series, {} readings in each: {:.2} M readings/s, {:.4} allocations a reading, {} bytes a series",
        300 / period_s,
        readings / elapsed / 1e6,
        allocated as f64 / readings,
        (held_bytes() - held) / series as usize,
    );
    Ok(())
}
