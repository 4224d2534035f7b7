//! The lake alone: log bytes in memory to committed Parquet, on one thread.
//!
//! `lake [--messages N] [--devices D] [--data DIR] [--root DIR]`. Without `--data` it measures speed on a made-up city;
//! with it also bytes a reading of the real series in that folder, column by column.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, bail};
use lake::{CommitOutcome, Lake, LakeConfig, Pushed};
use model::proto::log_record::Record;
use model::proto::reading::Value;
use model::repeat::{RepeatWindow, WARM_RECORDS};
use model::{LogId, LogRecordView, RecordBatch, RecordBatchBuilder, proto};
use parquet::file::reader::{FileReader, SerializedFileReader};
use prost::Message;

/// The allocator of the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LOG_ID: LogId = LogId([1; 16]);
const BATCH_RECORDS: usize = 1000;
/// 2026-11-23T00:00:00Z.
const DAY_START_US: i64 = 1_795_392_000_000_000;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (mut messages, mut devices, mut data, mut root) = (2_000_000usize, 10_000u64, None, None);
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--messages" => messages = value.parse()?,
            "--devices" => devices = value.parse()?,
            "--data" => data = Some(PathBuf::from(value)),
            "--root" => root = Some(PathBuf::from(value)),
            _ => bail!("unknown argument {name}"),
        }
    }
    let folder = match root {
        Some(root) => tempfile::tempdir_in(root)?,
        None => tempfile::tempdir()?,
    };
    speed(&folder.path().join("city"), messages, devices)?;
    if let Some(data) = data {
        for (name, messages) in real_series(&data)? {
            sizes(&folder.path().join(&name), &name, &messages)?;
        }
    }
    Ok(())
}

/// Numbers from a counter: ids and jitter that do not compress.
fn scramble(n: u64) -> u64 {
    let z = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn speed(root: &Path, messages: usize, devices: u64) -> Result<()> {
    let batches = city(messages, devices);
    let log_bytes: usize = batches.iter().map(RecordBatch::data_bytes).sum();
    println!(
        "{messages} messages of {devices} devices, two readings each, {} bytes a message in the log",
        log_bytes / messages
    );
    roof(&batches, messages)?;
    for run in 1..=3 {
        let root = root.join(run.to_string());
        let (wall, cpu) = (Instant::now(), cpu_seconds()?);
        let (commits, bytes) = land(&root, &batches)?;
        let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
        println!(
            "run {run}: {:.3} us of CPU a message, {:.2} M messages/s a core, {:.2} M/s by the clock, {commits} commits, {:.2} bytes a reading",
            cpu * 1e6 / messages as f64,
            messages as f64 / cpu / 1e6,
            messages as f64 / wall / 1e6,
            bytes as f64 / (2 * messages) as f64,
        );
    }
    print_columns(&root.join("3"))
}

/// What every consumer of the log has to do: parse the envelope with its readings, and look up repeats.
fn roof(batches: &[RecordBatch], messages: usize) -> Result<()> {
    let cpu = cpu_seconds()?;
    let mut window = RepeatWindow::new();
    let (mut readings, mut repeats) = (0, 0);
    let records = batches.iter().flat_map(|batch| batch.iter().enumerate().map(move |at| (batch, at)));
    for (batch, (n, record)) in records {
        if n.is_multiple_of(WARM_RECORDS) {
            window.warm(batch.iter().skip(n));
        }
        if let Ok(LogRecordView::Telemetry(view)) = LogRecordView::parse(record.value) {
            repeats += u64::from(window.check_and_insert(record.offset, record.log_time_us, &view));
            readings += view.readings().count();
        }
    }
    let cpu = cpu_seconds()? - cpu;
    println!(
        "parsing and repeat window alone: {:.3} us a message ({readings} readings, {repeats} repeats)",
        cpu * 1e6 / messages as f64
    );
    Ok(())
}

/// Two readings a minute or so of every device, in turn; values walk.
fn city(messages: usize, devices: u64) -> Vec<RecordBatch> {
    let mut log = LogBuilder::default();
    for n in 0..messages as u64 {
        let (device, round) = (n % devices, n / devices);
        let jitter = (scramble(n) % 1_000_000) as i64;
        let observed_at_us =
            DAY_START_US + round as i64 * 10_000_000 + (device * 997 % 10_000) as i64 * 1_000;
        let walk = (scramble(device) % 100) as f64 + ((scramble(n) % 40) as f64 - 20.0) / 10.0;
        let readings = vec![
            reading("water_level", (walk * 10.0).round() / 1000.0, "m"),
            reading("battery_level", 60.0 + (device % 40) as f64 - (round / 10) as f64, "%"),
        ];
        log.push(
            &format!("manhole-{device:06}"),
            "drainage",
            observed_at_us,
            observed_at_us + 80_000 + jitter,
            readings,
        );
    }
    log.finish()
}

fn reading(metric: &str, value: f64, unit: &str) -> proto::Reading {
    proto::Reading {
        metric: metric.to_owned(),
        value: Some(Value::Number(value)),
        unit: unit.to_owned(),
        quality: proto::Quality::Good as i32,
        ..Default::default()
    }
}

/// Encodes messages as they stand in the log.
#[derive(Default)]
struct LogBuilder {
    builder: RecordBatchBuilder,
    batches: Vec<RecordBatch>,
    next: i64,
}

impl LogBuilder {
    fn push(
        &mut self,
        device: &str,
        domain: &str,
        observed_at_us: i64,
        received_at_us: i64,
        readings: Vec<proto::Reading>,
    ) {
        let mut event_id = scramble(self.next as u64 * 2 + 1).to_le_bytes().to_vec();
        event_id.extend(scramble(self.next as u64 * 2 + 2).to_le_bytes());
        let telemetry = proto::Telemetry {
            device_id: device.to_owned(),
            event_id,
            observed_at_us,
            readings,
            received_at_us,
            kind: proto::Kind::Telemetry as i32,
            clock_verdict: proto::ClockVerdict::Ok as i32,
            observed_at_source: proto::TimeSource::Device as i32,
            source: Some(proto::Source {
                adapter: "mqtt_endpoint".to_owned(),
                protocol: "mqtt".to_owned(),
                topic: format!("urban-neuron/v1/devices/{device}/telemetry"),
                codec: "flat_json".to_owned(),
                codec_version: 1,
                ..Default::default()
            }),
            domain: domain.to_owned(),
            ..Default::default()
        };
        let record = proto::LogRecord { record: Some(Record::Telemetry(telemetry)), ..Default::default() };
        // A batch of the log shares its time.
        let log_time_us = received_at_us - received_at_us % 5_000 + 7_000;
        self.builder.push(self.next, log_time_us, device.as_bytes(), Some(&record.encode_to_vec()), &[]);
        self.next += 1;
        if self.builder.len() == BATCH_RECORDS {
            self.batches.push(self.builder.finish(0, self.next));
        }
    }

    fn finish(mut self) -> Vec<RecordBatch> {
        if !self.builder.is_empty() {
            self.batches.push(self.builder.finish(0, self.next));
        }
        self.batches
    }
}

/// Lands everything as a worker does; commits and bytes of files.
fn land(root: &Path, batches: &[RecordBatch]) -> Result<(u64, u64)> {
    let lake = Lake::open(LakeConfig::new(root))?;
    let mut lander = lake.partition(LOG_ID, 0, 0)?;
    let (mut commits, mut bytes) = (0, 0);
    let mut commit = |lander: &mut lake::PartitionLander| -> Result<()> {
        if let CommitOutcome::Committed(committed) = lander.commit(SystemTime::now())? {
            commits += 1;
            bytes += committed.bytes;
        }
        Ok(())
    };
    for batch in batches {
        while lander.push(batch)? == Pushed::Full {
            commit(&mut lander)?;
        }
        if lander.should_roll(Instant::now()) {
            commit(&mut lander)?;
        }
    }
    commit(&mut lander)?;
    Ok((commits, bytes))
}

/// Seconds of CPU that this process has used, from the kernel's ticks of 10 ms.
fn cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(')').context("no name in /proc/self/stat")?.1;
    let ticks = |place: usize| -> Result<f64> {
        Ok(after_name.split_whitespace().nth(place).context("a short /proc/self/stat")?.parse()?)
    };
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

/// One message of a real series.
struct SeriesMessage {
    device: String,
    domain: &'static str,
    second_of_day: i64,
    readings: Vec<proto::Reading>,
}

/// Every series as many devices on one day: what one sensor said on another day is another sensor here, so that a file
/// has the shape that a city gives it and the values stay those of the sensor.
fn real_series(data: &Path) -> Result<BTreeMap<String, Vec<SeriesMessage>>> {
    let mut series = BTreeMap::new();
    series.insert("air".to_owned(), air(&data.join("air/beijing_wanliu_2016.csv"))?);
    series.insert("city".to_owned(), sense_your_city(&data.join("city/sense_your_city.csv"))?);
    let mut traffic = Vec::new();
    for entry in fs::read_dir(data.join("traffic"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "csv") {
            traffic.extend(two_columns(&path, "traffic")?);
        }
    }
    series.insert("traffic".to_owned(), traffic);
    series.insert("water".to_owned(), two_columns(&data.join("water/water_flow.csv"), "water")?);
    Ok(series)
}

fn air(path: &Path) -> Result<Vec<SeriesMessage>> {
    let text = fs::read_to_string(path)?;
    let metrics = [
        (5, "pm2_5", "ug/m3"),
        (6, "pm10", "ug/m3"),
        (7, "so2", "ug/m3"),
        (8, "no2", "ug/m3"),
        (9, "co", "ug/m3"),
        (10, "o3", "ug/m3"),
        (11, "temperature", "Cel"),
        (12, "pressure", "hPa"),
        (13, "dew_point", "Cel"),
        (14, "rainfall", "mm"),
        (16, "wind_speed", "m/s"),
    ];
    let mut messages = Vec::new();
    for line in text.lines().skip(1) {
        let columns: Vec<&str> = line.split(',').collect();
        let readings = metrics
            .iter()
            .filter_map(|&(column, metric, unit)| {
                Some(reading(metric, columns.get(column)?.parse().ok()?, unit))
            })
            .collect();
        messages.push(SeriesMessage {
            device: format!("air-{:02}{:02}", columns[2].parse::<u8>()?, columns[3].parse::<u8>()?),
            domain: "environment",
            second_of_day: columns[4].parse::<i64>()? * 3600,
            readings,
        });
    }
    Ok(messages)
}

fn sense_your_city(path: &Path) -> Result<Vec<SeriesMessage>> {
    let mut messages = Vec::new();
    for (n, line) in fs::read_to_string(path)?.lines().enumerate() {
        let (_, json) = line.split_once(',').context("no JSON in the line")?;
        let document: serde_json::Value = serde_json::from_str(json)?;
        let mut device = String::new();
        let mut readings = Vec::new();
        for entry in document["e"].as_array().context("no array e")? {
            let name = entry["n"].as_str().unwrap_or_default();
            if name == "source" {
                device = entry["sv"].as_str().unwrap_or_default().to_owned();
            } else if let Some(value) = entry["v"].as_str().and_then(|value| value.parse().ok()) {
                readings.push(reading(name, value, entry["u"].as_str().unwrap_or_default()));
            }
        }
        messages.push(SeriesMessage {
            device,
            domain: "environment",
            second_of_day: n as i64 / 90 * 60,
            readings,
        });
    }
    Ok(messages)
}

/// A time and a value a line.
fn two_columns(path: &Path, domain: &'static str) -> Result<Vec<SeriesMessage>> {
    let stem = path.file_stem().context("no name")?.to_string_lossy().to_lowercase();
    let metric = if stem.starts_with("water") { "flow" } else { stem.split('_').next().unwrap_or("value") };
    let mut messages = Vec::new();
    for line in fs::read_to_string(path)?.lines().skip(1) {
        let (time, value) = line.split_once(',').context("two columns")?;
        let number = |range: std::ops::Range<usize>| -> Result<i64> {
            Ok(time.get(range).context("a time")?.parse()?)
        };
        let second_of_day = number(11..13)? * 3600 + number(14..16)? * 60 + number(17..19)?;
        let Ok(value) = value.parse() else { continue };
        messages.push(SeriesMessage {
            device: format!("{stem}-{}", &time[..10]),
            domain,
            second_of_day,
            readings: vec![reading(metric, value, "1")],
        });
    }
    Ok(messages)
}

fn sizes(root: &Path, name: &str, messages: &[SeriesMessage]) -> Result<()> {
    let mut order: Vec<&SeriesMessage> = messages.iter().collect();
    order.sort_by_key(|message| message.second_of_day);
    let mut log = LogBuilder::default();
    for (n, message) in order.iter().enumerate() {
        let observed_at_us = DAY_START_US + message.second_of_day * 1_000_000;
        let delay_us = 80_000 + (scramble(n as u64) % 2_000_000) as i64;
        log.push(
            &message.device,
            message.domain,
            observed_at_us,
            observed_at_us + delay_us,
            message.readings.clone(),
        );
    }
    let readings: usize = messages.iter().map(|message| message.readings.len()).sum();
    println!("\n{name}: {} messages, {readings} readings", messages.len());
    land(root, &log.finish())?;
    print_columns(root)
}

/// Compressed bytes a row of each column over all files, and of the rest of the files.
fn print_columns(root: &Path) -> Result<()> {
    let mut columns: Vec<(String, i64)> = Vec::new();
    let (mut rows, mut file_bytes, mut files) = (0, 0, 0);
    let mut directories = vec![root.join("telemetry")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            files += 1;
            file_bytes += fs::metadata(&path)?.len() as i64;
            let reader = SerializedFileReader::new(File::open(&path)?)?;
            rows += reader.metadata().file_metadata().num_rows();
            for group in reader.metadata().row_groups() {
                for (place, column) in group.columns().iter().enumerate() {
                    if columns.len() == place {
                        columns.push((column.column_path().string(), 0));
                    }
                    columns[place].1 += column.compressed_size();
                }
            }
        }
    }
    let a_row = |bytes: i64| bytes as f64 / rows as f64;
    let in_columns: i64 = columns.iter().map(|(_, bytes)| bytes).sum();
    let event_ids = columns.iter().find(|(name, _)| name == "event_id").map_or(0, |(_, bytes)| *bytes);
    let mut line: Vec<String> = columns
        .iter()
        .filter(|(_, bytes)| a_row(*bytes) >= 0.005)
        .map(|(name, bytes)| format!("{name} {:.2}", a_row(*bytes)))
        .collect();
    line.push(format!("footer and indexes {:.2}", a_row(file_bytes - in_columns)));
    println!(
        "{files} files, {rows} rows: {:.2} bytes a row, {:.2} without event_id: {}",
        a_row(file_bytes),
        a_row(file_bytes - event_ids),
        line.join(", ")
    );
    Ok(())
}
