//! What a crash leaves: whatever bytes are missing or wrong, the log opens with a prefix that holds all that was
//! acknowledged, or says that what was durable is damaged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use urban_neuron_log::embedded::{EmbeddedConfig, EmbeddedLog, POINTS};
use urban_neuron_log::{Consumer, Error, Log, Topic};

use crate::{Entry, appender, commit, config, files, memory_dir, put, read, segments, write_files};

/// A closed log of three commits, both log partitions in each.
struct Template {
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// Of the one segment of telemetry.
    segment: PathBuf,
    /// Bytes of the segment after each commit; the first is its header.
    ends: Vec<usize>,
    records: [Vec<Entry>; 2],
    /// Records of each log partition after each commit.
    counts: Vec<usize>,
}

impl Template {
    fn new() -> Self {
        let dir = memory_dir();
        let log = EmbeddedLog::open(config(dir.path())).unwrap();
        let mut appender = appender(&log);
        let segment = segments(dir.path(), Topic::Telemetry).remove(0);
        let end = || std::fs::metadata(&segment).unwrap().len() as usize;
        let (mut ends, mut counts) = (vec![end()], vec![0]);
        for round in 0..3 {
            for index in 0..2 {
                put(&mut appender, Topic::Telemetry, 0, "left", Some(&format!("{round}.{index}")));
                put(&mut appender, Topic::Telemetry, 1, "right", Some(&format!("{index}.{round}")));
            }
            commit(&mut appender);
            ends.push(end());
            counts.push(2 * (round + 1));
        }
        let records = [read(&log, Topic::Telemetry, 0), read(&log, Topic::Telemetry, 1)];
        log.close();
        let segment = segment.strip_prefix(dir.path()).unwrap().to_owned();
        Template { files: files(dir.path()), segment, ends, records, counts }
    }

    /// Commits that end at or before this byte.
    fn whole_commits(&self, at: usize) -> usize {
        self.ends.iter().skip(1).filter(|end| **end <= at).count()
    }

    /// Opens the log with other bytes in its segment.
    fn opened(&self, dir: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Result<EmbeddedLog, Error> {
        let mut files = self.files.clone();
        change(files.get_mut(&self.segment).unwrap());
        write_files(dir, &files);
        EmbeddedLog::open(config(dir))
    }

    /// The log holds a prefix with at least so many commits, and goes on after it.
    fn check(&self, log: &EmbeddedLog, commits: usize, what: &str) {
        let mut appender = appender(log);
        for partition in 0..2 {
            let found = read(log, Topic::Telemetry, partition);
            let records = &self.records[partition as usize];
            assert!(records.starts_with(&found), "{what}: {found:?} is no prefix");
            assert!(
                found.len() >= self.counts[commits],
                "{what}: {} of {} records",
                found.len(),
                self.counts[commits]
            );
            put(&mut appender, Topic::Telemetry, partition, "key", Some("after"));
            commit(&mut appender);
            let after = read(log, Topic::Telemetry, partition);
            assert_eq!(after.len(), found.len() + 1, "{what}");
            assert_eq!(after[found.len()].offset, found.len() as i64, "{what}");
        }
        log.close();
    }
}

#[test]
fn a_segment_cut_at_any_byte_keeps_every_whole_commit() {
    let template = Template::new();
    let dir = memory_dir();
    for cut in 0..=template.ends[3] {
        let opened = template.opened(dir.path(), |bytes| bytes.truncate(cut));
        match opened {
            Ok(log) => template.check(&log, template.whole_commits(cut), &format!("cut at {cut}")),
            Err(Error::Damaged { .. }) => {
                assert!(cut < template.ends[0], "a header is never torn, cut at {cut}")
            }
            Err(error) => panic!("cut at {cut}: {error}"),
        }
    }
}

#[test]
fn a_flipped_byte_is_damage_where_it_was_durable_and_a_torn_tail_at_the_end() {
    let template = Template::new();
    let dir = memory_dir();
    for at in 0..template.ends[3] {
        let opened = template.opened(dir.path(), |bytes| bytes[at] ^= 0x41);
        let commits = template.whole_commits(at);
        match opened {
            Ok(log) => {
                assert_eq!(commits, 2, "byte {at} was synced before a later commit and is not missed");
                template.check(&log, commits, &format!("byte {at}"));
            }
            Err(Error::Damaged { at: said, .. }) => {
                assert!(
                    commits < 2 && said <= at as u64,
                    "byte {at} is of the last commit, or {said} lies beyond"
                );
            }
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
}

#[test]
fn what_a_crash_leaves_after_the_end_is_cut() {
    let template = Template::new();
    // A batch of which only the header and some of the body came.
    let torn_batch = template.files[&template.segment][template.ends[2]..template.ends[2] + 60].to_vec();
    for garbage in [vec![0; 5000], vec![0xff; 7], torn_batch] {
        let dir = memory_dir();
        let log = template.opened(dir.path(), |bytes| bytes.extend_from_slice(&garbage)).unwrap();
        template.check(&log, 3, "garbage");
    }
}

/// One write of two batches of which the disk has only the second.
#[test]
fn a_hole_in_the_last_commit_is_a_torn_tail() {
    let template = Template::new();
    let dir = memory_dir();
    let (begin, end) = (template.ends[2], template.ends[3]);
    let log = template.opened(dir.path(), |bytes| bytes[begin..(begin + end) / 2].fill(0)).unwrap();
    template.check(&log, 2, "hole");
}

#[test]
fn damage_of_an_older_segment_is_found() {
    let dir = memory_dir();
    let rolling = || EmbeddedConfig { segment_bytes: 500, ..config(dir.path()) };
    let log = EmbeddedLog::open(rolling()).unwrap();
    let mut appender = appender(&log);
    for index in 0..60 {
        put(&mut appender, Topic::Telemetry, 0, "key", Some(&index.to_string()));
        commit(&mut appender);
    }
    log.close();
    let whole = files(dir.path());
    let paths = segments(dir.path(), Topic::Telemetry);
    assert!(paths.len() > 3);
    let refused = |change: &dyn Fn(&Path)| {
        change(&paths[1]);
        let error = EmbeddedLog::open(rolling()).err().expect("damage is never repaired silently");
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        write_files(dir.path(), &whole);
    };
    refused(&|path| std::fs::remove_file(path).unwrap());
    refused(&|path| std::fs::File::options().write(true).open(path).unwrap().set_len(300).unwrap());
    refused(&|path| std::fs::write(path, b"").unwrap());
    // A record that went bad is found when it is read.
    let mut bytes = whole[paths[1].strip_prefix(dir.path()).unwrap()].clone();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&paths[1], bytes).unwrap();
    let log = EmbeddedLog::open(rolling()).unwrap();
    let mut reader = log.reader(Topic::Telemetry, &[(0, 0)]).unwrap();
    let mut found = None;
    crate::until("the damage is said", || {
        found = urban_neuron_log::Reader::poll(&mut reader, std::time::Duration::ZERO).err();
        found.is_some()
    });
    assert!(matches!(found, Some(Error::Damaged { path, .. }) if path == paths[1]));
}

/// The index beside a segment is only a help: without it, with a torn one and with that of another segment the log is the
/// same.
#[test]
fn an_index_that_does_not_fit_is_not_used() {
    let dir = memory_dir();
    let rolling = || EmbeddedConfig { segment_bytes: 2000, tail_bytes_max: 0, ..config(dir.path()) };
    let log = EmbeddedLog::open(rolling()).unwrap();
    let mut appender = appender(&log);
    for index in 0..200 {
        put(&mut appender, Topic::Telemetry, index % 2, "key", Some(&index.to_string()));
        commit(&mut appender);
    }
    let expected = [read(&log, Topic::Telemetry, 0), read(&log, Topic::Telemetry, 1)];
    let indexes: Vec<_> =
        segments(dir.path(), Topic::Telemetry).iter().map(|path| path.with_extension("index")).collect();
    let (active, sealed) = indexes.split_last().unwrap();
    crate::until("every sealed segment has its index", || sealed.iter().all(|path| path.exists()));
    assert!(!active.exists() && sealed.len() > 3);
    log.close();
    let changes: [fn(&[PathBuf]); 4] = [
        |_| {},
        |paths| paths.iter().for_each(|path| std::fs::remove_file(path).unwrap()),
        |paths| std::fs::write(&paths[1], &std::fs::read(&paths[1]).unwrap()[..40]).unwrap(),
        |paths| _ = std::fs::copy(&paths[1], &paths[2]).unwrap(),
    ];
    for change in changes {
        change(sealed);
        let log = EmbeddedLog::open(rolling()).unwrap();
        assert_eq!([read(&log, Topic::Telemetry, 0), read(&log, Topic::Telemetry, 1)], expected);
        crate::until("every sealed segment has its index again", || sealed.iter().all(|path| path.exists()));
        log.close();
    }
}

/// The data directory as it stood at every failpoint of a busy log is opened: each image holds what was acknowledged when
/// it was taken.
#[test]
fn every_failpoint_leaves_what_was_acknowledged() {
    let dir = memory_dir();
    let acknowledged = Arc::new(AtomicI64::new(0));
    let images: Arc<Mutex<Vec<Image>>> = Arc::default();
    let hook = {
        let (acknowledged, images, dir) =
            (Arc::clone(&acknowledged), Arc::clone(&images), dir.path().to_owned());
        move |point: &'static str| {
            let mut images = images.lock();
            // Bounded, and still every point from early and from late in the run.
            if images.iter().filter(|image| image.point == point).count() < 25 {
                let acknowledged = acknowledged.load(Ordering::SeqCst);
                images.push(Image { point, acknowledged, files: files(&dir) });
            }
            Ok(())
        }
    };
    let rolling = |dir: &Path| EmbeddedConfig {
        segment_bytes: 2400,
        kept_records: 40,
        consumers: vec![Consumer::Lake],
        ..config(dir)
    };
    let log =
        EmbeddedLog::open(EmbeddedConfig { failpoint: Some(Arc::new(hook)), ..rolling(dir.path()) }).unwrap();
    let mut appender = appender(&log);
    for index in 0..240i64 {
        put(&mut appender, Topic::Telemetry, 0, "key", Some(&index.to_string()));
        put(&mut appender, Topic::Sessions, 0, &format!("client-{}", index % 7), Some(&index.to_string()));
        commit(&mut appender);
        acknowledged.store(index + 1, Ordering::SeqCst);
        log.release(Consumer::Lake, 0, index).unwrap();
    }
    log.close();
    let images = std::mem::take(&mut *images.lock());
    for point in POINTS {
        assert!(images.iter().any(|image| image.point == point), "{point} was never passed");
    }
    for image in images {
        image.check(rolling);
    }
}

struct Image {
    point: &'static str,
    acknowledged: i64,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Image {
    fn check(&self, config: impl Fn(&Path) -> EmbeddedConfig) {
        let dir = memory_dir();
        write_files(dir.path(), &self.files);
        let log =
            EmbeddedLog::open(config(dir.path())).unwrap_or_else(|error| panic!("{}: {error}", self.point));
        let what = format!("{} with {} acknowledged", self.point, self.acknowledged);
        let held = log.offsets(Topic::Telemetry, 0).unwrap();
        assert!(
            held.end >= self.acknowledged && held.start <= (self.acknowledged - 40).max(0),
            "{what}: {held:?}"
        );
        let records = read(&log, Topic::Telemetry, 0);
        assert!(records.iter().map(|entry| entry.offset).eq(held), "{what}");
        assert!(records.iter().all(|entry| entry.value == Some(entry.offset.to_string())), "{what}");
        let sessions: BTreeMap<_, _> =
            read(&log, Topic::Sessions, 0).into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        for newest in (self.acknowledged - 7).max(0)..self.acknowledged {
            let found = &sessions[&format!("client-{}", newest % 7)];
            assert!(
                found.offset >= newest && found.value == Some(found.offset.to_string()),
                "{what}: {found:?}"
            );
        }
        log.close();
    }
}
