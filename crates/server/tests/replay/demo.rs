//! A small loud city that ran for some seconds: its log, its lake and its alerts.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use log::embedded::EmbeddedLog;
use log::{Log, Topic};
use model::Alert;
use urban_neuron_server::config::{Config, Sources};
use urban_neuron_server::engine_configs;
use urban_neuron_server::operations::{TopicScan, scan};

/// Loud enough that seconds of a small city raise and resolve.
const RULES: &str = r#"
[[rule]]
id = "level"
title = "any level"
when = "water_level > 0 m"
severity = "info"

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

pub fn urban_neuron(args: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_urban-neuron")).args(args).env_clear().output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(ran.status.success(), "{args:?}: {}{}", text(&ran.stdout), text(&ran.stderr));
    text(&ran.stdout)
}

/// Runs the city in `data_dir` and gives the rule file that was in force.
pub fn run(data_dir: &Path) -> String {
    let rules = data_dir.join("rules/demo.toml");
    std::fs::create_dir_all(rules.parent().unwrap()).unwrap();
    std::fs::write(&rules, RULES).unwrap();
    let data = data_dir.display().to_string();
    urban_neuron(&["demo", "--for", "6s", "--devices", "140", "--data-dir", &data]);
    rules.display().to_string()
}

pub fn open_log(data_dir: &Path) -> EmbeddedLog {
    let settings = vec![format!("data_dir={:?}", data_dir.display().to_string())];
    let config = Config::load(&Sources { settings, ..Sources::default() }).unwrap();
    EmbeddedLog::open(engine_configs::embedded(&config, |error| panic!("{error}"))).unwrap()
}

/// The events of one log partition, in their order.
pub fn events(log: &EmbeddedLog, partition: u32) -> Vec<Alert> {
    let mut alerts = Vec::new();
    scan(log, &TopicScan::all(Topic::Alerts, partition), |record| {
        alerts.push(serde_json::from_slice(record.value).unwrap());
        ControlFlow::Continue(())
    })
    .unwrap();
    alerts
}

/// Every event of the log.
pub fn all_events(data_dir: &Path) -> Vec<Alert> {
    let log = open_log(data_dir);
    (0..log.partitions()).flat_map(|partition| events(&log, partition)).collect()
}

/// When it was said is in no comparison.
pub fn without_clock(alert: Alert) -> Alert {
    Alert { said_at: String::new(), ..alert }
}
