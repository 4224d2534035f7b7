//! Floods a broker: `cargo run --release -p urban-neuron-simulator --example flood -- URL SECONDS [MESSAGES_PER_SECOND]`.

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Context;
use urban_neuron_simulator::{FloodConfig, flood};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, seconds, rate @ ..] = arguments.as_slice() else {
        anyhow::bail!("URL SECONDS [MESSAGES_PER_SECOND] are wanted");
    };
    let seconds = seconds.parse().context("SECONDS is a number")?;
    let config = FloodConfig {
        messages_per_second: rate
            .first()
            .map(|rate| rate.parse())
            .transpose()
            .context("MESSAGES_PER_SECOND is a number")?,
        ..FloodConfig::new(url.parse()?, Duration::from_secs_f64(seconds))
    };
    let summary = flood(&config, |progress| {
        eprintln!("{:?}: {} sent, {} acknowledged", progress.elapsed, progress.sent, progress.acknowledged);
        ControlFlow::Continue(())
    })?;
    println!(
        "{} acknowledged of {} in {:?}: {:.0} messages/s, p50 {:?}, p99 {:?}, {:.3} us of CPU a message",
        summary.acknowledged,
        summary.sent,
        summary.elapsed,
        summary.rate(),
        summary.p50(),
        summary.p99(),
        cpu_seconds()? * 1e6 / summary.acknowledged.max(1) as f64,
    );
    Ok(())
}

/// CPU that this process has used, user and system.
fn cpu_seconds() -> anyhow::Result<f64> {
    /// `USER_HZ`, which is 100 on every Linux that we run on.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().context("a stat line")?;
    let ticks: Vec<f64> =
        after_name.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}
