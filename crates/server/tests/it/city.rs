//! The city: the same binary over a real Apache Kafka, in one process and as roles in several.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
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
    // Live for the partitions that it was given is not yet live for those of the dead member.
    let owed = oracle.owed(&devices, 120).len();
    eventually_within(GROUP_PATIENCE, "all alerts are said", || {
        let said: BTreeSet<String> = alerts_said(&broker).iter().map(model::Alert::ce_id).collect();
        said.len() >= owed
    });
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

/// A command as any Kafka producer writes it.
fn produce_command(broker: &KafkaBroker, partition: u32, json: &str) {
    let mut kcat = Command::new("kcat")
        .args([
            "-P",
            "-b",
            &broker.plain,
            "-t",
            "urban-neuron.alerts.commands.v1",
            "-p",
            &partition.to_string(),
        ])
        .stdin(Stdio::piped())
        .spawn()
        .expect("kcat is installed");
    kcat.stdin.take().unwrap().write_all(json.as_bytes()).unwrap();
    assert!(kcat.wait().unwrap().success());
}

#[test]
fn people_command_by_kafka_and_by_the_command_line() {
    let broker = KafkaBroker::start().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let deployment = deployment(directory.path(), &broker, &directory.path().join("lake"));
    let (oracle, device) = (Oracle::new(), "m-1".to_owned());
    // The rules are in the log before the first message.
    deployment.start(&[]).stop();
    let service = deployment.start(&[]);
    let devices = [device];
    let mut sending = clients(&deployment, &devices);
    publish(&oracle, &mut sending, &devices, 0..5);
    finish(sending, 5);
    let firing = || -> Vec<model::Alert> {
        let (_, body) = deployment.get("/v1/alerts").unwrap();
        serde_json::from_str(&body).unwrap()
    };
    eventually_within(GROUP_PATIENCE, "it fires", || firing().len() == 1);
    let alert = firing().remove(0);
    let (id, home) = (&alert.alert_id, alert.evidence[0].log_partition);
    produce_command(&broker, home, &format!(r#"{{"alert_id":"{id}","command":"acknowledge","by":"li"}}"#));
    // To another partition than the alert's: it is passed on.
    produce_command(
        &broker,
        (home + 1) % 4,
        &format!(r#"{{"alert_id":"{id}","command":"comment","by":"wang","text":"pump 2"}}"#),
    );
    eventually_within(GROUP_PATIENCE, "both are done", || firing()[0].people.len() == 2);
    produce_command(&broker, home, r#"{"command":"acknowledge"}"#);
    produce_command(
        &broker,
        0,
        &format!(r#"{{"alert_id":"{}","command":"acknowledge","by":"li"}}"#, "0".repeat(32)),
    );
    eventually_within(GROUP_PATIENCE, "both are refused", || {
        let (_, letters) = deployment.get("/v1/dead-letters").unwrap();
        letters.contains("malformed_command") && letters.contains("alert_not_firing")
    });
    let silence = ["--by", "zhao", "--for", "1h", "--id", "s-1", id];
    let ran = deployment.command("alerts silence").args(silence).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let event: model::Alert = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((event.silenced_by.as_deref(), event.ce_id()), (Some("zhao"), format!("{id}/s-1")));
    service.stop();
    let said: Vec<_> = alerts_said(&broker).iter().map(|event| event.event.name()).collect();
    let who = event.people.iter().map(|said| said.by.as_str()).collect::<Vec<_>>();
    assert_eq!((said.len(), who.len(), who[2]), (4, 3, "zhao"), "{said:?}");
}
