//! The embedded log as its callers see it, and as a crash, a full disk or a flipped bit leaves it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod compaction;
mod conformance;
mod crash;
mod faults;
mod model;
mod retention;
#[path = "../support/conformance.rs"]
mod suite;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use urban_neuron_log::embedded::{Clock, EmbeddedAppender, EmbeddedConfig, EmbeddedLog};
use urban_neuron_log::{Appender, Error, Log, ReadEvent, Reader, Ticket, Topic};

const PATIENCE: Duration = Duration::from_secs(20);

/// In memory where the system has such a place: these tests ask for many syncs and none needs a disk.
fn memory_dir() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Two log partitions; a failure that ends the process fails the test.
fn config(dir: &Path) -> EmbeddedConfig {
    let config = EmbeddedConfig::new(dir, |error| panic!("{error}"));
    EmbeddedConfig { partitions: 2, ..config }
}

fn appender(log: &EmbeddedLog) -> EmbeddedAppender {
    log.appender(Arc::new(|| {})).unwrap()
}

fn put(appender: &mut EmbeddedAppender, topic: Topic, partition: u32, key: &str, value: Option<&str>) {
    appender.append(topic, partition, key.as_bytes(), value.map(str::as_bytes), &[]).unwrap();
}

/// Flushes and waits until all is durable.
fn commit(appender: &mut EmbeddedAppender) -> Ticket {
    let ticket = appender.flush();
    until("all is durable", || appender.durable().unwrap() == ticket);
    ticket
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} until {what}");
        std::thread::yield_now();
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    offset: i64,
    key: String,
    value: Option<String>,
}

/// All that a reader from the first offset to the end gets; read again where retention took what is being read.
fn read(log: &EmbeddedLog, topic: Topic, partition: u32) -> Vec<Entry> {
    loop {
        match try_read(log, topic, partition) {
            Ok(entries) => return entries,
            Err(Error::OutOfRange { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn try_read(log: &EmbeddedLog, topic: Topic, partition: u32) -> Result<Vec<Entry>, Error> {
    let held = log.offsets(topic, partition)?;
    let mut reader = log.reader(topic, &[(partition, held.start)])?;
    let (mut next, mut entries) = (held.start, Vec::new());
    let deadline = Instant::now() + PATIENCE;
    while next != held.end {
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} for {topic:?} {partition} at {next} of {held:?}"
        );
        if let ReadEvent::Records(batch) = reader.poll(Duration::from_millis(10))? {
            entries.extend(batch.iter().map(|record| Entry {
                offset: record.offset,
                key: String::from_utf8(record.key.to_vec()).unwrap(),
                value: (!record.is_tombstone).then(|| String::from_utf8(record.value.to_vec()).unwrap()),
            }));
            next = batch.next;
        }
    }
    Ok(entries)
}

/// The segment files of a topic, oldest first.
fn segments(data_dir: &Path, topic: Topic) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data_dir.join("log").join(topic.name())).unwrap();
    let paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    let mut segments: Vec<_> = paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "segment"))
        .collect();
    segments.sort();
    segments
}

/// Files by their path below the directory. What is unlinked meanwhile is left out, as a crash might have it.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(at) = dirs.pop() {
        let mut paths: Vec<_> = std::fs::read_dir(&at).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                dirs.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                files.insert(path.strip_prefix(dir).unwrap().to_owned(), bytes);
            }
        }
    }
    files
}

fn write_files(dir: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    for (path, bytes) in files {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// A clock that stands where the test puts it.
struct ManualClock {
    wall_us: AtomicI64,
}

impl ManualClock {
    fn at(wall_us: i64) -> Arc<Self> {
        Arc::new(ManualClock { wall_us: AtomicI64::new(wall_us) })
    }

    fn set(&self, wall_us: i64) {
        self.wall_us.store(wall_us, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall_us(&self) -> i64 {
        self.wall_us.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}
