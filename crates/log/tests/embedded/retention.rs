//! What is unlinked, and what never is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use urban_neuron_log::embedded::{EmbeddedConfig, EmbeddedLog};
use urban_neuron_log::{Consumer, Error, Log, ReadEvent, Reader, Topic};

use crate::{ManualClock, appender, commit, config, memory_dir, put, read, segments, until};

/// Small segments, and a repeat window of 10 records.
fn small(dir: &std::path::Path) -> EmbeddedConfig {
    EmbeddedConfig { segment_bytes: 1000, kept_records: 10, ..config(dir) }
}

fn fill(log: &EmbeddedLog, partition: u32, from: i64, to: i64) {
    let mut appender = appender(log);
    for index in from..to {
        put(&mut appender, Topic::Telemetry, partition, "key", Some(&format!("{index:080}")));
        commit(&mut appender);
    }
}

#[test]
fn a_segment_goes_when_every_consumer_has_passed_it_by_the_repeat_window() {
    let dir = memory_dir();
    let log = EmbeddedLog::open(small(dir.path())).unwrap();
    fill(&log, 0, 0, 100);
    let all = segments(dir.path(), Topic::Telemetry).len();
    assert!(all > 10);
    log.release(Consumer::Lake, 0, 100).unwrap();
    log.release(Consumer::Rules, 0, 60).unwrap();
    // A segment has 6 of these records, and the window before 60 begins at 50.
    until("what both have passed is gone", || log.offsets(Topic::Telemetry, 0).unwrap().start >= 48);
    let held = log.offsets(Topic::Telemetry, 0).unwrap();
    assert_eq!(held, 48..100, "the window before 60 stays");
    assert!(read(&log, Topic::Telemetry, 0).iter().map(|entry| entry.offset).eq(held.clone()));
    assert!(segments(dir.path(), Topic::Telemetry).len() < all);

    let error = log.reader(Topic::Telemetry, &[(0, 0)]).err().expect("it is gone");
    let Error::OutOfRange { partition: 0, offset: 0, first, next: 100, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(first, held.start);
    log.close();
    let log = EmbeddedLog::open(small(dir.path())).unwrap();
    assert_eq!(log.offsets(Topic::Telemetry, 0).unwrap(), held);
}

/// Heartbeats alone reach a log partition that no device is hashed to: its repeat window is a month long and must not keep
/// the segments of the others.
#[test]
fn a_quiet_log_partition_does_not_hold_back_the_others() {
    let dir = memory_dir();
    let log = EmbeddedLog::open(small(dir.path())).unwrap();
    for round in 0..10 {
        fill(&log, 1, round, round + 1);
        fill(&log, 0, round * 20, round * 20 + 20);
        for consumer in [Consumer::Lake, Consumer::Rules] {
            log.release(consumer, 0, round * 20 + 20).unwrap();
            log.release(consumer, 1, round + 1).unwrap();
        }
    }
    until("the busy one's segments are gone", || log.offsets(Topic::Telemetry, 0).unwrap().start > 150);
    let quiet = read(&log, Topic::Telemetry, 1);
    assert!(quiet.iter().map(|entry| entry.offset).eq(0..10), "the quiet one has all of its window");
    assert!(quiet.iter().all(|entry| entry.value == Some(format!("{:080}", entry.offset))));
    assert!(
        read(&log, Topic::Telemetry, 0)
            .iter()
            .all(|entry| entry.value == Some(format!("{:080}", entry.offset)))
    );
    log.close();
    let log = EmbeddedLog::open(small(dir.path())).unwrap();
    assert_eq!(log.offsets(Topic::Telemetry, 0).unwrap().end, 200);
    assert_eq!(log.offsets(Topic::Telemetry, 1).unwrap(), 0..10);
    assert_eq!(read(&log, Topic::Telemetry, 1), quiet);
}

#[test]
fn offsets_go_on_when_every_record_is_gone() {
    let dir = memory_dir();
    let log = EmbeddedLog::open(small(dir.path())).unwrap();
    fill(&log, 0, 0, 40);
    [Consumer::Lake, Consumer::Rules].iter().for_each(|consumer| log.release(*consumer, 0, 1000).unwrap());
    until("one segment is left", || segments(dir.path(), Topic::Telemetry).len() == 1);
    log.close();
    let log = EmbeddedLog::open(small(dir.path())).unwrap();
    assert_eq!(log.offsets(Topic::Telemetry, 0).unwrap().end, 40);
    fill(&log, 0, 40, 41);
    assert_eq!(read(&log, Topic::Telemetry, 0).pop().unwrap().offset, 40);
}

/// Somebody who reads along outside the consumers is told that records are gone, and never given a hole.
#[test]
fn a_reader_that_retention_overtakes_is_told() {
    let dir = memory_dir();
    let log = EmbeddedLog::open(EmbeddedConfig { tail_bytes_max: 0, ..small(dir.path()) }).unwrap();
    fill(&log, 0, 0, 60);
    let mut reader = log.reader(Topic::Telemetry, &[(0, 0), (1, 0)]).unwrap();
    let mut next = 0;
    for _ in 0..3 {
        let ReadEvent::Records(batch) = reader.poll(Duration::ZERO).unwrap() else { panic!("it is there") };
        next = batch.next;
    }
    [Consumer::Lake, Consumer::Rules].iter().for_each(|consumer| log.release(*consumer, 0, 60).unwrap());
    until("the segments ahead of it are gone", || log.offsets(Topic::Telemetry, 0).unwrap().start > 30);
    let mut told = None;
    until("it is told", || {
        match reader.poll(Duration::ZERO) {
            // What it has open it may finish.
            Ok(ReadEvent::Records(batch)) => {
                assert_eq!(batch.iter().next().map(|record| record.offset), Some(next), "no hole");
                next = batch.next;
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => told = Some(error),
        }
        told.is_some()
    });
    assert!(matches!(told, Some(Error::OutOfRange { partition: 0, offset, .. }) if offset == next));
    // The other log partition goes on.
    fill(&log, 1, 0, 1);
    let ReadEvent::Records(batch) = reader.poll(crate::PATIENCE).unwrap() else { panic!("it is there") };
    assert_eq!((batch.log_partition, batch.next), (1, 1));
}

#[test]
fn without_a_lake_telemetry_stays_for_its_retention() {
    let dir = memory_dir();
    let clock = ManualClock::at(1_700_000_000_000_000);
    let log = EmbeddedLog::open(EmbeddedConfig {
        clock: clock.clone(),
        consumers: vec![Consumer::Rules],
        retention: Duration::from_secs(60),
        ..small(dir.path())
    })
    .unwrap();
    fill(&log, 0, 0, 50);
    clock.set(1_700_000_059_000_000);
    fill(&log, 0, 50, 100);
    log.release(Consumer::Rules, 0, 100).unwrap();
    clock.set(1_700_000_062_000_000);
    log.release(Consumer::Rules, 0, 100).unwrap();
    until("what is old is gone", || log.offsets(Topic::Telemetry, 0).unwrap().start > 35);
    assert!(log.offsets(Topic::Telemetry, 0).unwrap().start <= 50, "what is young stays");
}

#[test]
fn dead_letters_and_alerts_go_by_age() {
    let dir = memory_dir();
    let clock = ManualClock::at(1_700_000_000_000_000);
    let config = || EmbeddedConfig { clock: clock.clone(), ..small(dir.path()) };
    let log = EmbeddedLog::open(config()).unwrap();
    for topic in [Topic::DeadLetter, Topic::Alerts] {
        let mut appender = appender(&log);
        for index in 0..40 {
            put(&mut appender, topic, 0, "key", Some(&format!("{index:080}")));
            commit(&mut appender);
        }
    }
    log.close();
    clock.set(1_700_000_000_000_000 + 31 * 24 * 3600 * 1_000_000);
    let log = EmbeddedLog::open(config()).unwrap();
    until("dead letters over 30 days are gone", || log.offsets(Topic::DeadLetter, 0).unwrap().start > 20);
    assert_eq!(log.offsets(Topic::Alerts, 0).unwrap(), 0..40, "alerts stay for 90 days");
}

/// A reader that falls behind reads the files while the writer rolls and retention unlinks what all have passed.
#[test]
fn a_slow_reader_gets_every_record_while_segments_come_and_go() {
    const RECORDS: i64 = 3000;
    let dir = memory_dir();
    let log = EmbeddedLog::open(EmbeddedConfig {
        tail_bytes_max: 1000,
        consumers: vec![Consumer::Lake],
        ..small(dir.path())
    })
    .unwrap();
    let is_done = Arc::new(AtomicBool::new(false));
    let (writer, done) = (log.clone(), Arc::clone(&is_done));
    let writing = std::thread::spawn(move || {
        let mut appender = appender(&writer);
        for index in 0..RECORDS {
            put(&mut appender, Topic::Telemetry, (index % 3 == 0).into(), "key", Some(&index.to_string()));
            if index % 11 == 0 {
                commit(&mut appender);
            }
        }
        commit(&mut appender);
        done.store(true, Ordering::SeqCst);
    });
    let mut reader = log.group_reader(Consumer::Lake).unwrap();
    assert!(matches!(reader.poll(Duration::ZERO).unwrap(), ReadEvent::Assigned(all) if all == [0, 1]));
    (0..2).for_each(|partition| reader.start(partition, 0).unwrap());
    let (mut next, mut values) = ([0; 2], Vec::new());
    until("all is read", || {
        if let ReadEvent::Records(batch) = reader.poll(Duration::from_millis(1)).unwrap() {
            let next = &mut next[batch.log_partition as usize];
            for record in batch.iter() {
                assert_eq!(record.offset, *next, "no hole, no repeat");
                *next += 1;
                values.push(std::str::from_utf8(record.value).unwrap().parse::<i64>().unwrap());
            }
            assert_eq!(batch.next, *next);
            log.release(Consumer::Lake, batch.log_partition, *next).unwrap();
        }
        is_done.load(Ordering::SeqCst) && next.iter().sum::<i64>() == RECORDS
    });
    writing.join().unwrap();
    values.sort_unstable();
    assert!(values.into_iter().eq(0..RECORDS));
    until("what was passed is gone", || log.offsets(Topic::Telemetry, 0).unwrap().start > RECORDS / 2);
}
