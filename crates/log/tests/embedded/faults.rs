//! A disk that is full, one that fails, and a directory that another owns.

use std::io::{Error as IoError, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use urban_neuron_log::embedded::{EmbeddedConfig, EmbeddedLog};
use urban_neuron_log::{Appender, Consumer, Error, Log, ReadEvent, Reader, Topic};

use crate::{ManualClock, appender, commit, config, memory_dir, put, read, until};

/// Fails while it is switched on, at one point.
fn faulty(point: &'static str, kind: ErrorKind) -> (Arc<AtomicBool>, EmbeddedConfig, tempfile::TempDir) {
    let dir = memory_dir();
    let is_on = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&is_on);
    let hook = move |at: &'static str| {
        if at == point && switch.load(Ordering::SeqCst) { Err(IoError::from(kind)) } else { Ok(()) }
    };
    let config = EmbeddedConfig { failpoint: Some(Arc::new(hook)), ..config(dir.path()) };
    (is_on, config, dir)
}

#[test]
fn a_full_disk_holds_everything_back_and_recovers_by_itself() {
    for point in ["before_append", "after_append", "before_roll"] {
        let (is_full, config, dir) = faulty(point, ErrorKind::StorageFull);
        let small = EmbeddedConfig {
            appender_bytes_max: 4000,
            record_bytes_max: 4000,
            segment_bytes: 1000,
            ..config
        };
        let log = EmbeddedLog::open(small.clone()).unwrap();
        let mut appender = appender(&log);
        for index in 0..20 {
            put(&mut appender, Topic::Telemetry, 0, "key", Some(&format!("{index:040}")));
        }
        let durable = commit(&mut appender);
        is_full.store(true, Ordering::SeqCst);
        let mut appended = 20;
        while appender.has_room() {
            put(&mut appender, Topic::Telemetry, 0, "key", Some(&format!("{appended:040}")));
            appender.flush();
            appended += 1;
        }
        until("the trouble is said", || log.trouble().is_some());
        let trouble = log.trouble().unwrap();
        assert!(
            trouble.contains("telemetry.v1") && trouble.contains("no storage space"),
            "{point}: {trouble}"
        );
        assert_eq!(appender.durable().unwrap(), durable, "{point}: nothing is acknowledged");
        assert_eq!(log.offsets(Topic::Telemetry, 0).unwrap().end, 20, "{point}: nothing is shown");

        is_full.store(false, Ordering::SeqCst);
        let ticket = appender.flush();
        until("it is written", || appender.durable().unwrap() == ticket);
        assert!(appender.has_room() && log.trouble().is_none(), "{point}");
        log.close();
        let log = EmbeddedLog::open(EmbeddedConfig { failpoint: None, ..small }).unwrap();
        let values: Vec<_> =
            read(&log, Topic::Telemetry, 0).into_iter().map(|entry| entry.value.unwrap()).collect();
        assert!(
            values.into_iter().eq((0..appended).map(|index| format!("{index:040}"))),
            "{point}: in order, each once"
        );
        drop(dir);
    }
}

#[test]
fn writes_that_fail_now_and_then_lose_and_repeat_nothing() {
    const THREADS: u32 = 3;
    const EACH: u32 = 400;
    let dir = memory_dir();
    let calls = AtomicUsize::new(0);
    // Before, after and while rolling, each in its turn.
    let hook = move |point: &'static str| {
        let fails = ["before_append", "after_append", "before_roll"].contains(&point)
            && calls.fetch_add(1, Ordering::SeqCst) % 23 == 22;
        if fails { Err(IoError::from(ErrorKind::StorageFull)) } else { Ok(()) }
    };
    let log = EmbeddedLog::open(EmbeddedConfig {
        failpoint: Some(Arc::new(hook)),
        segment_bytes: 3000,
        tail_bytes_max: 2000,
        ..config(dir.path())
    })
    .unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = &log;
            scope.spawn(move || {
                let mut appender = appender(log);
                for index in 0..EACH {
                    put(
                        &mut appender,
                        Topic::Telemetry,
                        index % 2,
                        &thread.to_string(),
                        Some(&index.to_string()),
                    );
                    if index % 5 == thread {
                        commit(&mut appender);
                    }
                }
                commit(&mut appender);
            });
        }
    });
    for partition in 0..2 {
        let entries = read(&log, Topic::Telemetry, partition);
        for thread in 0..THREADS {
            let own = entries.iter().filter(|entry| entry.key == thread.to_string());
            let values = own.map(|entry| entry.value.clone().unwrap());
            let expected = (0..EACH).filter(|index| index % 2 == partition).map(|index| index.to_string());
            assert!(values.eq(expected), "partition {partition}, thread {thread}");
        }
    }
    assert!(log.trouble().is_none());
}

#[test]
fn a_close_at_a_full_disk_ends_and_does_not_acknowledge() {
    let (is_full, config, _dir) = faulty("before_append", ErrorKind::StorageFull);
    let log = EmbeddedLog::open(EmbeddedConfig { fatal: Arc::new(|_| {}), ..config }).unwrap();
    let mut appender = appender(&log);
    is_full.store(true, Ordering::SeqCst);
    put(&mut appender, Topic::Telemetry, 0, "key", Some("lost unacknowledged"));
    appender.flush();
    until("the trouble is said", || log.trouble().is_some());
    let mut reader = log.reader(Topic::Telemetry, &[(0, 0)]).unwrap();
    log.close();
    assert!(matches!(appender.durable(), Err(Error::Closed)));
    assert!(matches!(reader.poll(Duration::ZERO), Err(Error::Closed)));
}

#[test]
fn a_failed_sync_is_fatal_and_never_acknowledged_or_shown() {
    for point in ["sync", "after_sync"] {
        let (is_broken, config, _dir) = faulty(point, ErrorKind::Other);
        let fatal = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&fatal);
        let counting = move |error: &Error| {
            assert!(matches!(error, Error::Io { action: "sync", .. }), "{error}");
            count.fetch_add(1, Ordering::SeqCst);
        };
        let log = EmbeddedLog::open(EmbeddedConfig { fatal: Arc::new(counting), ..config }).unwrap();
        let mut appender = appender(&log);
        put(&mut appender, Topic::Telemetry, 0, "key", Some("durable"));
        let durable = commit(&mut appender);
        is_broken.store(true, Ordering::SeqCst);
        put(&mut appender, Topic::Telemetry, 0, "key", Some("unknown"));
        let ticket = appender.flush();
        until("the appender is told", || match appender.durable() {
            Ok(found) => {
                assert_eq!(found, durable, "{point}");
                false
            }
            Err(error) => matches!(error, Error::Closed),
        });
        assert!(ticket > durable && log.trouble().is_some());
        assert_eq!(fatal.load(Ordering::SeqCst), 1, "the process is told to end, once");
        assert_eq!(log.offsets(Topic::Telemetry, 0).unwrap(), 0..1);
        let mut reader = log.reader(Topic::Telemetry, &[(0, 1)]).unwrap();
        assert!(matches!(reader.poll(Duration::ZERO).unwrap(), ReadEvent::Idle));
    }
}

#[test]
fn a_full_log_takes_nothing_until_it_is_released() {
    let dir = memory_dir();
    let log = EmbeddedLog::open(EmbeddedConfig {
        segment_bytes: 1000,
        bytes_max: 8000,
        kept_records: 10,
        consumers: vec![Consumer::Lake],
        ..config(dir.path())
    })
    .unwrap();
    let mut appender = appender(&log);
    let mut appended = 0;
    until("the log is full", || {
        put(&mut appender, Topic::Telemetry, 0, "key", Some(&format!("{appended:060}")));
        appender.flush();
        appended += 1;
        log.trouble().is_some()
    });
    let trouble = log.trouble().unwrap();
    assert!(trouble.contains("log.bytes_max is 8000") && trouble.contains("telemetry.v1"), "{trouble}");
    let end = log.offsets(Topic::Telemetry, 0).unwrap().end;
    assert!(log.status()[0].disk_bytes <= 8000);
    // The other topics are not stopped by it: rules must be able to say alerts to come on.
    let mut other = crate::appender(&log);
    put(&mut other, Topic::Alerts, 0, "rule/device", Some("{}"));
    commit(&mut other);

    // Each release lets the log take as much again.
    let mut released = end;
    let ticket = appender.flush();
    until("all is taken", || {
        log.release(Consumer::Lake, 0, released).unwrap();
        released = log.offsets(Topic::Telemetry, 0).unwrap().end;
        appender.durable().unwrap() == ticket
    });
    assert_eq!(log.offsets(Topic::Telemetry, 0).unwrap().end, appended);
    assert!(log.trouble().is_none());
}

#[test]
fn one_process_at_a_time_owns_the_directory() {
    let dir = memory_dir();
    let log = EmbeddedLog::open(config(dir.path())).unwrap();
    let error = EmbeddedLog::open(config(dir.path())).err().expect("the first holds the lock");
    assert!(matches!(&error, Error::Refused(what) if what.contains("in use")), "{error}");
    drop(log);
    let log = EmbeddedLog::open(config(dir.path())).unwrap();
    log.close();
    EmbeddedLog::open(config(dir.path())).unwrap();
}

#[test]
fn a_log_that_lost_or_changed_its_identity_is_refused() {
    let dir = memory_dir();
    EmbeddedLog::open(config(dir.path())).unwrap().close();
    let path = dir.path().join("log_id");
    let id = std::fs::read_to_string(&path).unwrap();
    for text in ["", "not an id", "00000000000000000000000000000000\n"] {
        std::fs::write(&path, text).unwrap();
        let error = EmbeddedLog::open(config(dir.path())).err().expect("another identity");
        assert!(matches!(error, Error::Refused(_)), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    let error = EmbeddedLog::open(config(dir.path())).err().expect("a lost identity");
    assert!(matches!(&error, Error::Refused(what) if what.contains("missing")), "{error}");
    std::fs::write(&path, id).unwrap();
    EmbeddedLog::open(config(dir.path())).unwrap();
}

#[test]
fn nonsense_settings_are_refused_by_name() {
    type Change = fn(&mut EmbeddedConfig);
    let cases: [(Change, &str); 4] = [
        (|config| config.partitions = 0, "log.partitions"),
        (|config| config.record_bytes_max = usize::MAX, "log.record_bytes_max"),
        (|config| config.appender_bytes_max = 10, "log.appender_bytes_max"),
        (|config| config.bytes_max = 1000, "log.bytes_max"),
    ];
    for (change, name) in cases {
        let dir = memory_dir();
        let mut config = config(dir.path());
        change(&mut config);
        let error = EmbeddedLog::open(config).err().expect("nonsense");
        assert!(matches!(&error, Error::Refused(what) if what.contains(name)), "{error}");
    }
}

#[test]
fn log_time_goes_on_when_the_wall_clock_steps_back() {
    let dir = memory_dir();
    let clock = ManualClock::at(1_700_000_000_000_000);
    let with_clock = || EmbeddedConfig { clock: clock.clone(), ..config(dir.path()) };
    let mut log = EmbeddedLog::open(with_clock()).unwrap();
    let mut last = 0;
    for (step, wall_us) in
        [1_700_000_000_000_000, 1_600_000_000_000_000, 1_600_000_000_000_000, 1_800_000_000_000_000]
            .into_iter()
            .enumerate()
    {
        clock.set(wall_us);
        if step == 2 {
            log.close();
            log = EmbeddedLog::open(with_clock()).unwrap();
        }
        let mut appender = appender(&log);
        put(&mut appender, Topic::Telemetry, 0, "key", Some("x"));
        commit(&mut appender);
        let mut reader = log.reader(Topic::Telemetry, &[(0, step as i64)]).unwrap();
        let ReadEvent::Records(batch) = reader.poll(crate::PATIENCE).unwrap() else {
            panic!("it is durable")
        };
        let log_time_us = batch.iter().next().unwrap().log_time_us;
        assert_eq!(log_time_us, wall_us.max(last + 1), "step {step}");
        // Stamps of one commit are 1 us apart and begin at the clock.
        let stamps_us = log_time_us - wall_us - log.status()[0].clock_ahead_us;
        assert!((0..=2).contains(&stamps_us), "step {step}: {stamps_us}");
        last = log_time_us;
    }
}
