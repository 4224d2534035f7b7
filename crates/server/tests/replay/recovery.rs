//! A rules worker whose snapshots are lost, over a log that no longer holds the first half of the day: what it reads from the
//! lake says the same alerts.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use log::embedded::EmbeddedLog;
use log::{Consumer, Error, Log, Reader, Topic, TopicStatus, Wake};
use model::{Alert, LogId};
use urban_neuron_server::rule_sets::RuleSets;
use urban_neuron_server::rules_partition::{Said, StandStill};
use urban_neuron_server::rules_recovery::{Recovered, Recovery, RecoverySources};
use urban_neuron_server::state_store::StateStore;

use crate::demo::{self, open_log, without_clock};

const PATIENCE: Duration = Duration::from_secs(30);

/// A log that has lost the first part of its telemetry, and every alert.
#[derive(Clone)]
struct Forgetful {
    log: EmbeddedLog,
}

impl Log for Forgetful {
    type Appender = <EmbeddedLog as Log>::Appender;
    type Reader = <EmbeddedLog as Log>::Reader;

    fn log_id(&self) -> LogId {
        self.log.log_id()
    }

    fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    fn appender(&self, wake: Wake) -> Result<Self::Appender, Error> {
        self.log.appender(wake)
    }

    fn group_reader(&self, consumer: Consumer) -> Result<Self::Reader, Error> {
        self.log.group_reader(consumer)
    }

    fn reader(&self, topic: Topic, starts: &[(u32, i64)]) -> Result<Self::Reader, Error> {
        self.log.reader(topic, starts)
    }

    fn offsets(&self, topic: Topic, partition: u32) -> Result<Range<i64>, Error> {
        let held = self.log.offsets(topic, partition)?;
        Ok(match topic {
            Topic::Telemetry => held.start + (held.end - held.start) / 2..held.end,
            _ => held.end..held.end,
        })
    }

    fn release(&self, consumer: Consumer, partition: u32, offset: i64) -> Result<(), Error> {
        self.log.release(consumer, partition, offset)
    }

    fn status(&self) -> Vec<TopicStatus> {
        self.log.status()
    }

    fn trouble(&self) -> Option<String> {
        self.log.trouble()
    }

    fn close(&self) {
        self.log.close();
    }
}

fn next_event(recovery: &Recovery) -> Recovered {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(event) = recovery.poll() {
            return event;
        }
        assert!(std::time::Instant::now() < deadline, "a recovery says nothing for {PATIENCE:?}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// What a recovery from the lake and the log after it say; how much of it came from the lake.
fn said_again(log: &Forgetful, sources: &RecoverySources, partition: u32) -> (Vec<Alert>, usize) {
    let recovery = Recovery::start(log, sources.clone(), partition).unwrap();
    let mut alerts = Vec::new();
    let (mut state, start) = loop {
        match next_event(&recovery) {
            Recovered::Said(said) => alerts.extend(said.alerts.into_iter().map(without_clock)),
            Recovered::Done(state, start) => break (state, start),
            Recovered::Failed(cause) => panic!("{cause}"),
        }
    };
    let from_lake = alerts.len();
    let held = log.offsets(Topic::Telemetry, partition).unwrap();
    assert_eq!(start, held.start, "the log is read from its first offset on");
    let mut reader = log.reader(Topic::Telemetry, &[(partition, start)]).unwrap();
    while state.position() < held.end {
        if let log::ReadEvent::Records(batch) = reader.poll(PATIENCE).unwrap() {
            let mut said = Said::default();
            state.take(&batch, &sources.rule_sets, &mut said).unwrap();
            alerts.extend(said.alerts.into_iter().map(without_clock));
        }
    }
    (alerts, from_lake)
}

/// A city that ran in `folder` and whose snapshots were lost.
fn without_snapshots(folder: &Path) -> (Forgetful, RecoverySources) {
    let data_dir = folder.join("demo");
    demo::run(&data_dir);
    let lake = data_dir.join("lake");
    std::fs::remove_dir_all(lake.join("_state/rules")).unwrap();
    let store = StateStore::new(&lake);
    let rule_sets = RuleSets::new(store.clone());
    let sources = RecoverySources { store, rule_sets, lake, tenant: "default".to_owned() };
    (Forgetful { log: open_log(&data_dir) }, sources)
}

#[test]
fn a_range_that_the_log_lost_is_read_from_the_lake() {
    let folder = tempfile::tempdir().unwrap();
    let (log, sources) = without_snapshots(folder.path());
    let (mut said, mut from_lake) = (0, 0);
    for partition in 0..log.partitions() {
        let live: Vec<Alert> = demo::events(&log.log, partition).into_iter().map(without_clock).collect();
        let (again, read) = said_again(&log, &sources, partition);
        assert!(again == live, "log partition {partition} says {} alerts, live {}", again.len(), live.len());
        said += again.len();
        from_lake += read;
    }
    assert!(0 < from_lake && from_lake < said, "{from_lake} of {said} alerts by the lake's part");
}

#[test]
fn a_lake_that_is_behind_the_log_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (log, sources) = without_snapshots(folder.path());
    let empty = folder.path().join("another lake");
    std::fs::create_dir_all(&empty).unwrap();
    let sources = RecoverySources { lake: empty, ..sources };
    let recovery = Recovery::start(&log, sources, 0).unwrap();
    let Recovered::Failed(cause) = next_event(&recovery) else { panic!("nothing has landed there") };
    assert!(matches!(cause, StandStill::NotLanded { landed: 0, .. }), "{cause}");
}
