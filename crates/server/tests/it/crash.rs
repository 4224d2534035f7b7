//! Killed at random moments and at every named point, a service loses nothing that it acknowledged, lands nothing twice, and
//! says every alert.

use std::time::Duration;

use log::embedded::{EmbeddedConfig, EmbeddedLog};
use log::{Log, ReadEvent, Reader, Topic};
use model::Alert;

use crate::binary::Deployment;
use crate::honest_client::HonestClient;
use crate::oracle::{Oracle, RULES};

const DEVICES: usize = 12;

pub fn devices() -> Vec<String> {
    (0..DEVICES).map(|at| format!("device-{at}")).collect()
}

fn deployment(directory: &std::path::Path) -> Deployment {
    let rules = directory.join("rules.toml");
    std::fs::write(&rules, RULES).unwrap();
    Deployment::new(directory)
        .set(format!("rules.paths=[\"{}\"]", rules.display()))
        .set("lake.roll_age=200ms")
        .set("rules.snapshot_interval=1s")
        .set("log.partitions=4")
}

/// Publishes messages `numbers` of every device; each device is a client of its own.
pub fn publish(
    oracle: &Oracle,
    clients: &mut [HonestClient],
    devices: &[String],
    numbers: std::ops::Range<u64>,
) {
    for number in numbers {
        for (client, device) in clients.iter_mut().zip(devices) {
            let (topic, payload) = oracle.message(device, number);
            client.publish(&topic, &payload, number);
        }
    }
}

/// All alert events on a topic of the embedded log, which nobody else has open.
pub fn alerts_said(deployment: &Deployment, topic: Topic) -> Vec<Alert> {
    let fatal = |error: &log::Error| panic!("{error}");
    let config =
        EmbeddedConfig { partitions: 4, ..EmbeddedConfig::new(deployment.directory.join("data"), fatal) };
    let log = EmbeddedLog::open(config).unwrap();
    let mut said = Vec::new();
    for partition in 0..4 {
        let held = log.offsets(topic, partition).unwrap();
        let mut reader = log.reader(topic, &[(partition, held.start)]).unwrap();
        let mut next = held.start;
        while next < held.end {
            if let ReadEvent::Records(batch) = reader.poll(Duration::from_secs(5)).unwrap() {
                said.extend(
                    batch.iter().map(|record| serde_json::from_slice::<Alert>(record.value).unwrap()),
                );
                next = batch.next;
            }
        }
    }
    said
}

fn check(oracle: &Oracle, deployment: &Deployment, devices: &[String], count: u64) {
    oracle.check_rows(&deployment.lake(), devices, count);
    oracle.check_alerts(&alerts_said(deployment, Topic::Alerts), devices, count);
    let verified = deployment.command("lake verify").output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn killed_at_random_moments() {
    let directory = tempfile::tempdir().unwrap();
    let (oracle, deployment, devices) = (Oracle::new(), deployment(directory.path()), devices());
    let mut clients: Vec<_> =
        devices.iter().map(|device| HonestClient::new(deployment.mqtt, device)).collect();
    // Moments differ from run to run by themselves; what is fixed is how much is sent between two of them.
    let stretches = [0..60u64, 60..75, 75..190, 190..200, 200..300];
    let mut service = deployment.start(&[]);
    for stretch in stretches {
        publish(&oracle, &mut clients, &devices, stretch);
        service.kill();
        service = deployment.spawn(&[]);
    }
    publish(&oracle, &mut clients, &devices, 300..320);
    for client in clients {
        assert_eq!(client.finish().len(), 320);
    }
    service.stop();
    check(&oracle, &deployment, &devices, 320);
}

#[test]
fn killed_at_every_named_point() {
    // Points of retention lie behind the repeat window of 262,144 records; the log's own tests pass them.
    let log_points = ["before_append", "after_append", "sync", "after_sync", "before_ack"];
    assert!(log_points.iter().all(|point| log::embedded::POINTS.contains(point)));
    let points = log_points.into_iter().chain(lake::Step::ALL.map(lake::Step::name)).chain([
        "before_alert",
        "after_alert",
        "before_snapshot",
        "after_snapshot",
    ]);
    let directory = tempfile::tempdir().unwrap();
    let (oracle, deployment, devices) = (Oracle::new(), deployment(directory.path()), devices());
    let mut clients: Vec<_> =
        devices.iter().map(|device| HonestClient::new(deployment.mqtt, device)).collect();
    // The rules are in the log before the first message: one that comes before them is owed nothing.
    deployment.start(&[]).stop();
    let mut next = 0;
    for point in points {
        // The third passing: work is under way by then.
        let mut service = deployment.spawn(&[&format!("testing.abort_at={point}:3")]);
        let mut sent = 0;
        while service.is_running() && sent < 4_000 {
            publish(&oracle, &mut clients, &devices, next..next + 1);
            (next, sent) = (next + 1, sent + 1);
        }
        assert!(!service.is_running(), "{point} was not passed three times:\n{}", service.log());
    }
    let service = deployment.start(&[]);
    publish(&oracle, &mut clients, &devices, next..next + 10);
    for client in clients {
        assert_eq!(client.finish().len() as u64, next + 10);
    }
    service.stop();
    check(&oracle, &deployment, &devices, next + 10);
}
