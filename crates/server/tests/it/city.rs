//! The city: the same binary over a real Apache Kafka, in one process and as roles in several.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::binary::Deployment;
use crate::crash::{devices, publish};
use crate::drain::eventually_within;
use crate::honest_client::HonestClient;
use crate::kafka_broker::KafkaBroker;
use crate::lake_rows;
use crate::oracle::{Oracle, RULES};

/// librdkafka's session timeout is 45 s.
const GROUP_PATIENCE: Duration = Duration::from_secs(100);

/// A deployment over the broker. Roles in several processes share the lake.
fn deployment(directory: &Path, broker: &KafkaBroker, lake: &Path) -> Deployment {
    std::fs::create_dir_all(directory).unwrap();
    let rules = directory.join("rules.toml");
    std::fs::write(&rules, RULES).unwrap();
    Deployment::new(directory)
        .set("log.kind=kafka")
        .set(format!("log.bootstrap_servers=[\"{}\"]", broker.plain))
        .set("log.partitions=4")
        .set(format!("lake.root={}", lake.display()))
        .set(format!("rules.paths=[\"{}\"]", rules.display()))
        .set("lake.roll_age=200ms")
        .set("rules.snapshot_interval=1s")
}

fn clients(deployment: &Deployment, devices: &[String]) -> Vec<HonestClient> {
    devices.iter().map(|device| HonestClient::new(deployment.mqtt, device)).collect()
}

fn finish(clients: Vec<HonestClient>, count: u64) {
    for client in clients {
        assert_eq!(client.finish().len() as u64, count);
    }
}

/// The alert events as any Kafka consumer reads them.
fn alerts_said(broker: &KafkaBroker) -> Vec<model::Alert> {
    let consumed = Command::new("kcat")
        .args([
            "-C",
            "-q",
            "-e",
            "-b",
            &broker.plain,
            "-o",
            "beginning",
            "-t",
            "urban-neuron.alerts.v1",
            "-f",
            "%s\\n",
        ])
        .output()
        .expect("kcat is installed");
    assert!(consumed.status.success(), "{}", String::from_utf8_lossy(&consumed.stderr));
    let text = String::from_utf8(consumed.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn one_process_survives_its_own_death_and_that_of_the_broker() {
    let broker = KafkaBroker::start().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let lake = directory.path().join("lake");
    let deployment = deployment(directory.path(), &broker, &lake);
    let (oracle, devices) = (Oracle::new(), devices());
    let mut clients = clients(&deployment, &devices);
    let service = deployment.start(&[]);
    publish(&oracle, &mut clients, &devices, 0..40);
    broker.kill().unwrap();
    broker.restart().unwrap();
    publish(&oracle, &mut clients, &devices, 40..80);
    service.kill();
    let service = deployment.start(&[]);
    publish(&oracle, &mut clients, &devices, 80..120);
    finish(clients, 120);
    // The group waits for the member that died before it gives its partitions away; only then do they land.
    let rows = 2 * 120 * devices.len();
    eventually_within(GROUP_PATIENCE, "all rows land", || lake_rows::read(&lake).len() >= rows);
    eventually_within(GROUP_PATIENCE, "rules are live again", || deployment.is_ready());
    service.stop();
    oracle.check_rows(&lake, &devices, 120);
    oracle.check_alerts(&alerts_said(&broker), &devices, 120);
}

#[test]
fn roles_in_several_processes_are_one_service() {
    let broker = KafkaBroker::start().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let lake = directory.path().join("lake");
    let role = |role: &str| {
        let mut deployment = deployment(&directory.path().join(role), &broker, &lake);
        deployment.roles = Some(role.to_owned());
        deployment
    };
    let (gateway, landing, rules) = (role("gateway"), role("lake"), role("rules"));
    let (oracle, devices) = (Oracle::new(), devices());
    let running = [gateway.start(&[]), landing.start(&[]), rules.start(&[])];
    let mut clients = clients(&gateway, &devices);
    publish(&oracle, &mut clients, &devices, 0..60);
    finish(clients, 60);
    running.into_iter().for_each(crate::binary::Service::stop);
    oracle.check_rows(&lake, &devices, 60);
    oracle.check_alerts(&alerts_said(&broker), &devices, 60);
}
