//! Every dialect, a core: the samples of `docs/dialects` decoded again and again, names, units, clock verdicts and event ids
//! included.
//!
//! `cargo run --release -p urban-neuron-benches --bin dialects [seconds a sample]`

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use decode::{Decoder, DecoderConfig, LocalZone, Outcome};
use model::catalog::Catalog;
use model::{Adapter, RawMessage};

const RECEIVED_AT_US: i64 = 1_772_409_600_000_000;
const TURNS: usize = 3;

struct Sample {
    topic: String,
    payload: Vec<u8>,
}

fn main() -> anyhow::Result<()> {
    let seconds: f64 =
        std::env::args().nth(1).map_or(Ok(0.3), |text| text.parse()).context("seconds a sample")?;
    let turn = Duration::from_secs_f64(seconds);
    let mut decoder = Decoder::new(DecoderConfig {
        catalog: Arc::new(Catalog::shipped()),
        process: 1,
        time_zone: LocalZone::find("Asia/Shanghai").context("the zone")?,
    });
    println!("{:20} {:>6} {:>10} {:>8}", "dialect", "bytes", "M/s a core", "ns each");
    for dialect in Decoder::dialects() {
        for sample in samples(dialect.name)? {
            let best = (0..TURNS).map(|_| rate(&mut decoder, &sample, turn));
            let best = best.collect::<anyhow::Result<Vec<f64>>>()?.into_iter().fold(0.0, f64::max);
            let bytes = sample.payload.len();
            println!("{:20} {bytes:>6} {:>10.2} {:>8.0}", dialect.name, best / 1e6, 1e9 / best);
        }
    }
    Ok(())
}

/// Messages a second.
fn rate(decoder: &mut Decoder, sample: &Sample, turn: Duration) -> anyhow::Result<f64> {
    const BATCH: u32 = 1_000;
    let message = RawMessage {
        adapter: Adapter::MqttEndpoint,
        topic: &sample.topic,
        payload: &sample.payload,
        publisher: "gateway-17",
        content_type: "",
        packet_id: Some(7),
        is_redelivered: false,
        is_retained: false,
        is_will: false,
        received_at_us: RECEIVED_AT_US,
    };
    let start = Instant::now();
    let mut messages = 0;
    while start.elapsed() < turn {
        for _ in 0..BATCH {
            let outcome = decoder.decode(black_box(&message));
            ensure!(matches!(outcome, Outcome::Decoded(_)), "{} is refused: {outcome:?}", sample.topic);
            black_box(&outcome);
        }
        messages += BATCH;
    }
    Ok(f64::from(messages) / start.elapsed().as_secs_f64())
}

/// The samples of a dialect's page: a line "On `TOPIC`:", then a block `json`, `text` or `hex`.
fn samples(dialect: &str) -> anyhow::Result<Vec<Sample>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/dialects").join(format!("{dialect}.md"));
    let page = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (mut topic, mut samples) = (String::new(), Vec::new());
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("On `") {
            topic = rest.split('`').next().unwrap_or_default().to_owned();
        }
        let Some(kind) = line.strip_prefix("```").filter(|kind| ["json", "text", "hex"].contains(kind))
        else {
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let payload = if kind == "hex" { hex(&block.concat()) } else { block.join("\n").into_bytes() };
        samples.push(Sample { topic: topic.clone(), payload });
    }
    Ok(samples)
}

fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
