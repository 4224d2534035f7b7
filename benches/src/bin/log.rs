//! The embedded log beside the raw disk: messages a second, CPU a message by thread, and commit times, all durable.
//!
//! `cargo run --release -p urban-neuron-benches --bin log -- [DIR] [SECONDS]`

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use log::embedded::{EmbeddedConfig, EmbeddedLog, EmbeddedReader};
use log::{Appender, Log, ReadEvent, Reader, Topic, Wake};

const PARTITIONS: u32 = 8;
const KEY: [u8; 16] = [b'k'; 16];
const VALUE_BYTES: usize = 144;
/// With its frame.
const STORED_BYTES: usize = KEY.len() + VALUE_BYTES + 12;
/// What a few socket reads bring under load.
const RECORDS_A_FLUSH: usize = 256;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let root = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let seconds = args.next().map_or(Ok(5), |text| text.parse()).context("SECONDS is a whole number")?;
    let span = Duration::from_secs(seconds);
    let dir = tempfile::tempdir_in(root)?;

    raw_disk(dir.path(), span / 2)?;
    raw_append(dir.path(), span / 2)?;
    for threads in [1, 2] {
        saturate(&dir.path().join(format!("saturate-{threads}")), threads, span)?;
    }
    paced(&dir.path().join("paced"), 20_000, span)?;
    raw_disk(dir.path(), span / 2)
}

/// 16 KiB appended and synced at a time: the floor under every commit.
fn raw_disk(dir: &Path, span: Duration) -> anyhow::Result<()> {
    let path = dir.join("raw");
    let mut file = std::fs::File::create(&path)?;
    let block = [7; 16 << 10];
    let mut times = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < span {
        let at = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(at.elapsed());
    }
    println!("raw fdatasync of 16 KiB: {}", quantiles(&mut times));
    Ok(std::fs::remove_file(path)?)
}

/// 1 MiB appended and synced at a time: what the same bytes cost the kernel alone.
fn raw_append(dir: &Path, span: Duration) -> anyhow::Result<()> {
    let path = dir.join("raw");
    let mut file = std::fs::File::create(&path)?;
    let block = vec![7; 1 << 20];
    let (begin, cpu_begin, mut written) = (Instant::now(), own_cpu_nanos()?, 0);
    while begin.elapsed() < span {
        file.write_all(&block)?;
        file.sync_data()?;
        written += block.len();
    }
    let nanos = (own_cpu_nanos()? - cpu_begin) as f64 * STORED_BYTES as f64 / written as f64;
    let messages = rate(written, begin.elapsed()) / STORED_BYTES as f64;
    println!("raw append of 1 MiB: {:.0} k messages/s, {nanos:.0} ns of CPU a message", messages / 1e3);
    Ok(std::fs::remove_file(path)?)
}

/// As fast as appenders with full buffers go, with one reader that keeps up; then one reads it all from the files.
fn saturate(dir: &Path, threads: usize, span: Duration) -> anyhow::Result<()> {
    let log = open(dir)?;
    let mut reader = reader(&log)?;
    let tail = spawn("reader", move || drain(&mut reader))?;
    let begin = Instant::now();
    let appenders: Vec<_> = (0..threads)
        .map(|_| {
            let log = log.clone();
            spawn("appender", move || append_for(&log, span))
        })
        .collect::<Result<_, _>>()?;
    let (mut messages, mut appender_nanos) = (0, 0);
    for appender in appenders {
        let (appended, nanos) = joined(appender)??;
        messages += appended;
        appender_nanos += nanos;
    }
    let elapsed = begin.elapsed();
    println!("{threads} appender(s), 160 B: {:.0} k messages/s durable", rate(messages, elapsed) / 1e3);
    let committer_nanos = cpu_nanos("log-telemetry")?;

    let mut reader = self::reader(&log)?;
    let (begin, mut read) = (Instant::now(), 0);
    while read < messages {
        if let ReadEvent::Records(batch) = reader.poll(Duration::ZERO)? {
            read += batch.len();
        }
    }
    println!("  catch-up reader from the files: {:.2} M messages/s", rate(read, begin.elapsed()) / 1e6);
    log.close();
    let begin = Instant::now();
    open(dir)?.close();
    println!("  opened again in {:.2?}", begin.elapsed());
    let (read, reader_nanos) = joined(tail)?;
    for (name, nanos, count) in [
        ("appender", appender_nanos, messages),
        ("committer", committer_nanos, messages),
        ("reader", reader_nanos?, read),
    ] {
        println!("  {name}: {:.0} ns of CPU a message", nanos as f64 / count as f64);
    }
    Ok(())
}

/// Appends while there is room, then waits until all is durable: how many, and the thread's CPU.
fn append_for(log: &EmbeddedLog, span: Duration) -> anyhow::Result<(usize, u64)> {
    let mut appender = log.appender(waker())?;
    let value = [b'v'; VALUE_BYTES];
    let (begin, mut messages) = (Instant::now(), 0);
    while begin.elapsed() < span {
        if !appender.has_room() {
            appender.durable()?;
            std::thread::park_timeout(Duration::from_millis(100));
            continue;
        }
        for record in 0..RECORDS_A_FLUSH as u32 {
            appender.append(Topic::Telemetry, record % PARTITIONS, &KEY, Some(&value), &[])?;
        }
        messages += RECORDS_A_FLUSH;
        appender.flush();
        appender.durable()?;
    }
    let ticket = appender.flush();
    while appender.durable()? < ticket {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    Ok((messages, own_cpu_nanos()?))
}

/// Reads until the log closes: how many, and the thread's CPU.
fn drain(reader: &mut EmbeddedReader) -> (usize, anyhow::Result<u64>) {
    let mut read = 0;
    loop {
        match reader.poll(Duration::from_millis(100)) {
            Ok(ReadEvent::Records(batch)) => {
                read += batch.iter().map(|record| usize::from(!record.is_tombstone)).sum::<usize>()
            }
            Ok(_) => {}
            Err(_) => return (read, own_cpu_nanos()),
        }
    }
}

/// A steady rate, one millisecond's records a flush: how long until they are durable, and until a reader has them.
fn paced(dir: &Path, messages_a_second: usize, span: Duration) -> anyhow::Result<()> {
    let log = open(dir)?;
    let mut appender = log.appender(waker())?;
    let mut reader = reader(&log)?;
    let begin = Instant::now();
    let seen = spawn("reader", move || arrivals(&mut reader, begin))?;
    let (mut in_flight, mut times, mut next) = (VecDeque::new(), Vec::new(), Duration::ZERO);
    let mut value = [b'v'; VALUE_BYTES];
    while begin.elapsed() < span {
        if begin.elapsed() >= next {
            next += Duration::from_millis(1);
            value[..8].copy_from_slice(&(begin.elapsed().as_nanos() as u64).to_le_bytes());
            for record in 0..(messages_a_second / 1000) as u32 {
                appender.append(Topic::Telemetry, record % PARTITIONS, &KEY, Some(&value), &[])?;
            }
            in_flight.push_back((appender.flush(), Instant::now()));
        }
        let durable = appender.durable()?;
        while let Some((_, at)) = in_flight.pop_front_if(|(ticket, _)| *ticket <= durable) {
            times.push(at.elapsed());
        }
        std::thread::park_timeout(next.saturating_sub(begin.elapsed()));
    }
    log.close();
    println!("{messages_a_second} messages/s, 1 ms a flush: flush to durable {}", quantiles(&mut times));
    println!("  append to reader {}", quantiles(&mut joined(seen)?));
    Ok(())
}

/// Reads until the log closes: how long after its append each message came.
fn arrivals(reader: &mut EmbeddedReader, begin: Instant) -> Vec<Duration> {
    let mut times = Vec::new();
    while let Ok(event) = reader.poll(Duration::from_millis(100)) {
        let ReadEvent::Records(batch) = event else { continue };
        let now = begin.elapsed();
        let sent = batch.iter().filter_map(|record| Some(u64::from_le_bytes(*record.value.first_chunk()?)));
        times.extend(sent.map(|sent| now.saturating_sub(Duration::from_nanos(sent))));
    }
    times
}

fn open(dir: &Path) -> anyhow::Result<EmbeddedLog> {
    let config = EmbeddedConfig::new(dir, |error| {
        eprintln!("{error}");
        std::process::abort();
    });
    Ok(EmbeddedLog::open(config)?)
}

fn reader(log: &EmbeddedLog) -> anyhow::Result<EmbeddedReader> {
    let starts: Vec<_> = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
    Ok(log.reader(Topic::Telemetry, &starts)?)
}

fn waker() -> Wake {
    let thread = std::thread::current();
    Arc::new(move || thread.unpark())
}

fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

fn joined<T>(thread: JoinHandle<T>) -> anyhow::Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))
}

/// CPU so far of the living threads of this name (the kernel keeps 15 bytes of it).
fn cpu_nanos(name: &str) -> anyhow::Result<u64> {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if std::fs::read_to_string(task.join("comm"))?.starts_with(name) {
            nanos += schedstat(&task.join("schedstat"))?;
        }
    }
    Ok(nanos)
}

fn own_cpu_nanos() -> anyhow::Result<u64> {
    schedstat(Path::new("/proc/thread-self/schedstat"))
}

fn schedstat(path: &Path) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(path)?;
    Ok(stat.split(' ').next().unwrap_or_default().parse()?)
}

fn rate(count: usize, span: Duration) -> f64 {
    count as f64 / span.as_secs_f64()
}

fn quantiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |quantile: f64| times.get((times.len() as f64 * quantile) as usize).copied().unwrap_or_default();
    format!("p50 {:.2?}, p99 {:.2?}, {} times", at(0.5), at(0.99), times.len())
}
