//! A rules worker whose snapshots are lost, over a log that no longer holds the first half of the day: what it reads from the
//! lake says the same alerts.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use log::embedded::EmbeddedLog;
use log::{Consumer, Error, Log, Reader, Topic, TopicStatus, Wake};
use model::{Alert, LogId};
use urban_neuron_server::config::{Config, Sources};
use urban_neuron_server::engine_configs;
use urban_neuron_server::operations::{TopicScan, scan};
use urban_neuron_server::rule_sets::RuleSets;
use urban_neuron_server::rules_partition::{Said, StandStill};
use urban_neuron_server::rules_recovery::{Recovered, Recovery, RecoverySources};
use urban_neuron_server::state_store::StateStore;

const PATIENCE: Duration = Duration::from_secs(30);

const RULES: &str = r#"
[[rule]]
id = "speed"
title = "a speed that goes up and down"
when = "vehicle_speed < 40 km/h"
severity = "warning"

[[rule]]
id = "air"
title = "air that was bad for a while"
when = "co2 > 500 ppm or pm2_5 > 20 ug/m3"
for = "1s"
severity = "critical"
"#;

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

fn run_demo(data_dir: &Path) {
    let rules = data_dir.join("rules/demo.toml");
    std::fs::create_dir_all(rules.parent().unwrap()).unwrap();
    std::fs::write(&rules, RULES).unwrap();
    let ran = Command::new(env!("CARGO_BIN_EXE_urban-neuron"))
        .args(["demo", "--for", "6s", "--devices", "140", "--data-dir"])
        .arg(data_dir)
        .env_clear()
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

fn open(data_dir: &Path) -> EmbeddedLog {
    let settings = vec![format!("data_dir={:?}", data_dir.display().to_string())];
    let config = Config::load(&Sources { settings, ..Sources::default() }).unwrap();
    EmbeddedLog::open(engine_configs::embedded(&config, |error| panic!("{error}"))).unwrap()
}

fn without_clock(alert: Alert) -> Alert {
    Alert { said_at: String::new(), ..alert }
}

fn said_live(log: &EmbeddedLog, partition: u32) -> Vec<Alert> {
    let mut alerts = Vec::new();
    scan(log, &TopicScan::all(Topic::Alerts, partition), |record| {
        alerts.push(without_clock(serde_json::from_slice(record.value).unwrap()));
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    alerts
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

#[test]
fn a_range_that_the_log_lost_is_read_from_the_lake() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("demo");
    run_demo(&data_dir);
    let lake = data_dir.join("lake");
    std::fs::remove_dir_all(lake.join("_state/rules")).unwrap();
    let store = StateStore::new(&lake);
    let rule_sets = RuleSets::new(store.clone());
    let sources = RecoverySources { store, rule_sets, lake, tenant: "default".to_owned() };
    let log = Forgetful { log: open(&data_dir) };
    let (mut said, mut from_lake) = (0, 0);
    for partition in 0..log.partitions() {
        let live = said_live(&log.log, partition);
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
    let data_dir = folder.path().join("demo");
    run_demo(&data_dir);
    let lake = data_dir.join("lake");
    std::fs::remove_dir_all(lake.join("_state/rules")).unwrap();
    let store = StateStore::new(&lake);
    let rule_sets = RuleSets::new(store.clone());
    let empty = folder.path().join("another lake");
    std::fs::create_dir_all(&empty).unwrap();
    let sources = RecoverySources { store, rule_sets, lake: empty, tenant: "default".to_owned() };
    let log = Forgetful { log: open(&data_dir) };
    let recovery = Recovery::start(&log, sources, 0).unwrap();
    let Recovered::Failed(cause) = next_event(&recovery) else { panic!("nothing has landed there") };
    assert!(matches!(cause, StandStill::NotLanded { landed: 0, .. }), "{cause}");
}
