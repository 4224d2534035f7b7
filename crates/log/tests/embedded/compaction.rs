//! Topics that keep the newest record of each key.

use std::collections::BTreeMap;
use std::time::Duration;

use urban_neuron_log::embedded::{EmbeddedConfig, EmbeddedLog};
use urban_neuron_log::{Log, ReadEvent, Reader, Topic};

use crate::{Entry, ManualClock, appender, commit, config, memory_dir, put, read, segments, until};

const TOPIC: Topic = Topic::Sessions;

fn small(dir: &std::path::Path) -> EmbeddedConfig {
    // Compacted topics have an eighth of the segment size. Nothing stays in memory, where records are never compacted.
    EmbeddedConfig { segment_bytes: 8000, tail_bytes_max: 0, ..config(dir) }
}

fn newest(entries: Vec<Entry>) -> BTreeMap<String, Entry> {
    entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect()
}

#[test]
fn the_newest_record_of_each_key_stays_and_the_disk_is_bounded() {
    let dir = memory_dir();
    let log = EmbeddedLog::open(small(dir.path())).unwrap();
    let mut appender = appender(&log);
    let mut expected = BTreeMap::new();
    for index in 0..2000i64 {
        let key = format!("client-{}", index * index % 23);
        let value = (index % 5 != 0).then(|| index.to_string());
        put(&mut appender, TOPIC, 0, &key, value.as_deref());
        expected.insert(key.clone(), Entry { offset: index, key, value });
        if index % 3 == 0 {
            commit(&mut appender);
        }
    }
    commit(&mut appender);
    until("what is superseded is gone", || segments(dir.path(), TOPIC).len() <= 4);
    assert_eq!(newest(read(&log, TOPIC, 0)), expected);
    assert_eq!(log.offsets(TOPIC, 0).unwrap(), 0..2000, "offsets stay");
    let status = log.status()[TOPIC as usize];
    assert!(status.disk_bytes < 12_000, "{status:?}");
    log.close();

    let log = EmbeddedLog::open(small(dir.path())).unwrap();
    assert_eq!(newest(read(&log, TOPIC, 0)), expected);
    let mut appender = crate::appender(&log);
    put(&mut appender, TOPIC, 0, "client-new", Some("x"));
    commit(&mut appender);
    assert_eq!(read(&log, TOPIC, 0).pop().unwrap().offset, 2000, "offsets go on");
}

#[test]
fn old_tombstones_go_and_the_last_record_never_does() {
    let dir = memory_dir();
    let clock = ManualClock::at(1_700_000_000_000_000);
    let log = EmbeddedLog::open(EmbeddedConfig { clock: clock.clone(), ..small(dir.path()) }).unwrap();
    let mut appender = appender(&log);
    put(&mut appender, TOPIC, 0, "gone", Some("x"));
    put(&mut appender, TOPIC, 0, "gone", None);
    commit(&mut appender);
    clock.set(1_700_000_000_000_000 + 23 * 3600 * 1_000_000);
    let mut rounds = 0;
    let mut churn = |until_empty: bool| {
        // Enough to be compacted again.
        for index in 0..200 {
            put(&mut appender, TOPIC, 0, "busy", Some(&format!("{rounds}-{index:060}")));
            commit(&mut appender);
        }
        rounds += 1;
        until("it is compacted", || {
            let entries = read(&log, TOPIC, 0);
            let tombstones = entries.iter().filter(|entry| entry.value.is_none()).count();
            let is_compacted = !entries.iter().any(|entry| entry.key == "gone" && entry.value.is_some());
            is_compacted && (!until_empty || tombstones == 0)
        });
        newest(read(&log, TOPIC, 0)).contains_key("gone")
    };
    assert!(churn(false), "a reader that has the key still learns that it is gone");
    clock.set(1_700_000_000_000_000 + 25 * 3600 * 1_000_000);
    assert!(!churn(true), "after a day it does not");
    let held = log.offsets(TOPIC, 0).unwrap();
    assert_eq!(read(&log, TOPIC, 0).pop().unwrap().offset + 1, held.end);
}

/// A reader that is in the middle when what it reads is rewritten sees each key's newest record.
#[test]
fn a_reader_survives_a_rewrite_under_it() {
    let dir = memory_dir();
    let log = EmbeddedLog::open(small(dir.path())).unwrap();
    let mut appender = appender(&log);
    put(&mut appender, TOPIC, 0, "client-0", Some("0"));
    commit(&mut appender);
    let mut reader = log.reader(TOPIC, &[(0, 0)]).unwrap();
    let mut seen = BTreeMap::new();
    let mut next = 0;
    for index in 1..1500 {
        put(&mut appender, TOPIC, 0, &format!("client-{}", index % 9), Some(&index.to_string()));
        commit(&mut appender);
        // Slower than the writer, so that it is far behind when segments are replaced.
        if index % 4 == 0 {
            next = take(&mut reader, &mut seen, next);
        }
    }
    until("it has caught up", || {
        next = take(&mut reader, &mut seen, next);
        next == 1500
    });
    let expected: BTreeMap<_, _> =
        (1491..1500).map(|index| (format!("client-{}", index % 9), index.to_string())).collect();
    assert_eq!(seen, expected);
}

fn take(reader: &mut impl Reader, seen: &mut BTreeMap<String, String>, next: i64) -> i64 {
    let ReadEvent::Records(batch) = reader.poll(Duration::ZERO).unwrap() else { return next };
    let mut last = next - 1;
    for record in batch.iter() {
        assert!(record.offset > last, "offsets never step back");
        last = record.offset;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        seen.insert(text(record.key), text(record.value));
    }
    batch.next
}
