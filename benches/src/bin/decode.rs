//! Flat JSON to the bytes of a log record, a core: ours with names, units, clock verdict and event id, beside JSON readers with
//! prost that do none of these.
//!
//! `cargo run --release -p urban-neuron-benches --bin decode [seconds a turn]`
//!
//! The contenders take turns, so that what the machine does meanwhile meets all of them. Allocations are counted over one more
//! pass of each.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use decode::{Decoder, DecoderConfig, LocalZone, Outcome};
use model::catalog::Catalog;
use model::proto::{self, log_record, reading::Value};
use model::{Adapter, RawMessage, time};
use prost::Message;
use sonic_rs::JsonValueTrait;

/// The system's allocator, counting what is asked of it.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed to the system's allocator as it came; the counter is an atomic.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const RECEIVED_AT_US: i64 = 1_772_409_601_000_000;
const MESSAGES: usize = 4_096;
const TURNS: usize = 5;

struct Payload {
    topic: String,
    device_id: String,
    json: String,
}

/// Encodes one payload and gives the length of the envelope.
type Contender<'a> = &'a mut dyn FnMut(&Payload) -> anyhow::Result<usize>;

fn main() -> anyhow::Result<()> {
    let seconds: f64 =
        std::env::args().nth(1).map_or(Ok(1.0), |text| text.parse()).context("seconds a turn")?;
    let turn = Duration::from_secs_f64(seconds);
    let payloads = payloads();
    let bytes: usize = payloads.iter().map(|payload| payload.json.len()).sum();
    println!("{MESSAGES} messages, {} bytes each on average, {TURNS} turns of {seconds} s", bytes / MESSAGES);

    let mut decoder = Decoder::new(DecoderConfig {
        catalog: Arc::new(Catalog::shipped()),
        process: 1,
        time_zone: LocalZone::UTC,
    });
    let mut buffer = Vec::new();
    let mut ours = |payload: &Payload| ours(&mut decoder, payload);
    let mut sonic = |payload: &Payload| sonic_and_prost(&mut buffer, payload);
    let mut other = Vec::new();
    let mut serde = |payload: &Payload| serde_and_prost(&mut other, payload);
    let mut contenders: [(&str, Contender<'_>); 3] = [
        ("urban-neuron decode", &mut ours),
        ("sonic-rs + prost", &mut sonic),
        ("serde_json + prost", &mut serde),
    ];
    let mut best = [0.0f64; 3];
    for _ in 0..TURNS {
        for (at, (_, contender)) in contenders.iter_mut().enumerate() {
            best[at] = best[at].max(rate(&payloads, turn, contender)?);
        }
    }
    for (at, (name, contender)) in contenders.iter_mut().enumerate() {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for payload in &payloads {
            black_box(contender(payload)?);
        }
        let allocations = (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64 / MESSAGES as f64;
        println!(
            "{name:20} {:6.2} M messages/s  {:5.0} ns  {allocations:5.2} allocations each",
            best[at] / 1e6,
            1e9 / best[at]
        );
    }
    println!("ours / sonic-rs + prost: {:.2}", best[0] / best[1]);
    Ok(())
}

/// Messages a second of CPU over whole passes: what else the machine does meanwhile is not counted.
fn rate(
    payloads: &[Payload],
    turn: Duration,
    contender: &mut dyn FnMut(&Payload) -> anyhow::Result<usize>,
) -> anyhow::Result<f64> {
    let (start, cpu) = (Instant::now(), cpu_seconds()?);
    let mut messages = 0;
    while start.elapsed() < turn {
        for payload in payloads {
            black_box(contender(payload)?);
        }
        messages += payloads.len();
    }
    Ok(messages as f64 / (cpu_seconds()? - cpu))
}

/// Seconds of CPU that this process has used, from the kernel's ticks of 10 ms.
fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(')').context("no name in /proc/self/stat")?.1;
    let ticks = |place: usize| -> anyhow::Result<f64> {
        Ok(after_name.split_whitespace().nth(place).context("a short /proc/self/stat")?.parse()?)
    };
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

/// About 90 bytes each: a time and two or three metrics.
fn payloads() -> Vec<Payload> {
    let payload = |number: usize| {
        let device_id = format!("manhole-{:05}", number % 10_000);
        let at = time::format_rfc3339(RECEIVED_AT_US - 1_000_000 + number as i64);
        let level = (number * 37 % 4_000) as f64 / 1_000.0;
        let json = format!(
            "{{\"observed_at\":\"{at}\",\"water_level\":{level:.3},\"temperature\":{:.1},\"battery_level\":{}}}",
            (number % 350) as f64 / 10.0,
            number % 100
        );
        Payload { topic: format!("urban-neuron/v1/devices/{device_id}/telemetry"), device_id, json }
    };
    (0..MESSAGES).map(payload).collect()
}

fn ours(decoder: &mut Decoder, payload: &Payload) -> anyhow::Result<usize> {
    let message = RawMessage {
        adapter: Adapter::MqttEndpoint,
        topic: &payload.topic,
        payload: payload.json.as_bytes(),
        publisher: "gateway-17",
        content_type: "",
        packet_id: Some(7),
        is_redelivered: false,
        is_retained: false,
        is_will: false,
        received_at_us: RECEIVED_AT_US,
    };
    match decoder.decode(&message) {
        Outcome::Decoded(decoded) => {
            let child = decoded.telemetry().next().context("no telemetry")?;
            Ok(black_box(child.record).len())
        }
        Outcome::Rejected(rejection) => bail!("{rejection}"),
    }
}

fn sonic_and_prost(buffer: &mut Vec<u8>, payload: &Payload) -> anyhow::Result<usize> {
    let mut telemetry = telemetry(payload);
    for member in sonic_rs::to_object_iter(&payload.json) {
        let (key, value) = member?;
        match value.as_str() {
            Some(at) if key == "observed_at" => telemetry.observed_at_us = time::parse_rfc3339(at)?,
            _ => telemetry.readings.push(reading(&key, value.as_f64().context("a number")?)),
        }
    }
    encode(buffer, telemetry)
}

fn serde_and_prost(buffer: &mut Vec<u8>, payload: &Payload) -> anyhow::Result<usize> {
    let mut telemetry = telemetry(payload);
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&payload.json)?;
    for (key, value) in &object {
        match value.as_str() {
            Some(at) if key == "observed_at" => telemetry.observed_at_us = time::parse_rfc3339(at)?,
            _ => telemetry.readings.push(reading(key, value.as_f64().context("a number")?)),
        }
    }
    encode(buffer, telemetry)
}

fn telemetry(payload: &Payload) -> proto::Telemetry {
    proto::Telemetry {
        device_id: payload.device_id.clone(),
        event_id: vec![7; 16],
        received_at_us: RECEIVED_AT_US,
        domain: "unknown".to_owned(),
        source: Some(proto::Source { topic: payload.topic.clone(), ..proto::Source::default() }),
        ..proto::Telemetry::default()
    }
}

fn reading(metric: &str, number: f64) -> proto::Reading {
    proto::Reading {
        metric: metric.to_owned(),
        value: Some(Value::Number(number)),
        ..proto::Reading::default()
    }
}

fn encode(buffer: &mut Vec<u8>, telemetry: proto::Telemetry) -> anyhow::Result<usize> {
    buffer.clear();
    proto::LogRecord { record: Some(log_record::Record::Telemetry(telemetry)), major: 0 }.encode(buffer)?;
    Ok(black_box(buffer.as_slice()).len())
}
