//! A stop under load loses nothing that was acknowledged; the books balance before and after a fault; a lake or a rule file that
//! breaks does not stop the rest.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::binary::Deployment;
use crate::honest_client::HonestClient;
use crate::oracle::{Oracle, RULES};

const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a condition.
pub fn eventually(what: &str, holds: impl FnMut() -> bool) {
    eventually_within(PATIENCE, what, holds);
}

/// Waits for a condition for so long.
pub fn eventually_within(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Publishes messages `numbers` of one device, all acknowledged when it returns.
fn publish_all(deployment: &Deployment, oracle: &Oracle, device: &str, numbers: std::ops::Range<u64>) {
    let mut client = HonestClient::new(deployment.mqtt, device);
    let count = numbers.end - numbers.start;
    for number in numbers {
        let (topic, payload) = oracle.message(device, number);
        client.publish(&topic, &payload, number);
    }
    assert_eq!(client.finish().len() as u64, count);
}

/// The sum of each state of a message, as `/metrics` has it.
fn books(deployment: &Deployment) -> (f64, f64) {
    let metric = |state: &str| deployment.metric(&format!("urban_neuron_{state}"));
    let explained = ["logged", "dead_lettered", "refused", "abandoned"]
        .map(|state| metric(&format!("{state}_messages_total")))
        .iter()
        .sum::<f64>()
        + metric("in_flight_messages");
    (metric("received_messages_total"), explained)
}

#[test]
fn a_stop_under_load_loses_nothing_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let deployment = Deployment::new(directory.path());
    let oracle = Oracle::new();
    let service = deployment.start(&[]);
    let devices = ["a".to_owned(), "b".to_owned()];
    let senders: Vec<_> = devices
        .iter()
        .map(|device| {
            let mut client = HonestClient::new(deployment.mqtt, device);
            let messages: Vec<_> = (0..3_000).map(|number| oracle.message(device, number)).collect();
            std::thread::spawn(move || {
                for (number, (topic, payload)) in messages.iter().enumerate() {
                    client.publish(topic, payload, number as u64);
                }
                client.finish()
            })
        })
        .collect();
    eventually("messages flow", || deployment.metric("urban_neuron_logged_messages_total") > 100.0);
    service.stop();
    // What was not acknowledged is the sender's to send again, to the service that comes back.
    let service = deployment.start(&[]);
    for sender in senders {
        assert_eq!(sender.join().unwrap().len(), 3_000);
    }
    service.stop();
    oracle.check_rows(&deployment.lake(), &devices, 3_000);
}

#[test]
fn the_books_balance_after_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    let deployment = Deployment::new(directory.path());
    let oracle = Oracle::new();
    let service = deployment.start(&[]);
    publish_all(&deployment, &oracle, "a", 0..500);
    service.kill();
    let service = deployment.start(&[]);
    publish_all(&deployment, &oracle, "a", 500..900);
    let mut client = HonestClient::new(deployment.mqtt, "broken");
    client.publish("urban-neuron/v1/devices/broken/telemetry", b"{\"x\":", 0);
    client.publish("no/such/topic", b"1", 1);
    assert_eq!(client.finish(), [0, 1]);
    eventually("the books balance", || {
        let (received, explained) = books(&deployment);
        received == 402.0 && explained == received
    });
    assert_eq!(deployment.metric("urban_neuron_dead_lettered_messages_total"), 2.0);
    service.stop();
    oracle.check_rows(&deployment.lake(), &["a".to_owned()], 900);
}

#[test]
fn a_lake_that_cannot_be_written_stops_nothing_but_itself() {
    let directory = tempfile::tempdir().unwrap();
    let deployment = Deployment::new(directory.path()).set("lake.roll_age=100ms");
    let oracle = Oracle::new();
    let service = deployment.start(&[]);
    publish_all(&deployment, &oracle, "a", 0..50);
    eventually("rows land", || deployment.metric("urban_neuron_lake_rows_total") == 100.0);
    // Root may write anywhere: a file in the place of the folder stops it too.
    let (staging, aside) = (deployment.lake().join("_staging"), directory.path().join("aside"));
    fs::rename(&staging, &aside).unwrap();
    fs::write(&staging, "in the way").unwrap();
    publish_all(&deployment, &oracle, "a", 50..120);
    eventually("readiness says so", || {
        deployment
            .get("/health/ready?role=lake")
            .is_some_and(|(status, body)| status == 503 && body.contains("_staging"))
    });
    assert_eq!(deployment.get("/health/ready?role=gateway").map(|(status, _)| status), Some(200));
    fs::remove_file(&staging).unwrap();
    fs::rename(&aside, &staging).unwrap();
    eventually("landing resumes", || deployment.metric("urban_neuron_lake_rows_total") == 240.0);
    eventually("ready again", || deployment.is_ready());
    service.stop();
    oracle.check_rows(&deployment.lake(), &["a".to_owned()], 120);
}

#[test]
fn a_broken_rule_file_leaves_the_rules_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules.toml");
    fs::write(&rules, RULES).unwrap();
    let deployment = Deployment::new(directory.path())
        .set(format!("rules.paths=[\"{}\"]", rules.display()))
        .set("rules.reload_interval=100ms");
    let service = deployment.start(&[]);
    let is_firing = |rule: &str, device: &str| {
        deployment.get("/v1/alerts").is_some_and(|(_, body)| body.contains(rule) && body.contains(device))
    };
    eventually("the rules are loaded", || deployment.metric("urban_neuron_rules_loaded") == 1.0);
    let publish = |device: &str, payload: &str| {
        let mut client = HonestClient::new(deployment.mqtt, device);
        client.publish(&format!("urban-neuron/v1/devices/{device}/telemetry"), payload.as_bytes(), 0);
        client.finish();
    };
    eventually("the first set fires", || {
        publish("one", "{\"x\":90}");
        is_firing("x-high", "one")
    });
    write_aside(&rules, "[[rule]]\nid = \"x-high\"\nwhen = \"x >\"\n");
    eventually("the error is counted", || deployment.metric("urban_neuron_rules_reload_errors_total") == 1.0);
    let log = service.log();
    assert!(log.contains("rules.toml:3"), "file and line are said:\n{log}");
    publish("two", "{\"x\":90}");
    eventually("the set in force still fires", || is_firing("x-high", "two"));
    write_aside(&rules, &RULES.replace("x-high", "x-higher"));
    eventually("the mended file is in force", || {
        publish("three", "{\"x\":90}");
        is_firing("x-higher", "three")
    });
    eventually("the old rule's alerts have resolved", || !is_firing("\"x-high\"", "one"));
    service.stop();
}

/// As editors do: written beside and renamed.
fn write_aside(path: &Path, text: &str) {
    let aside = path.with_extension("new");
    fs::write(&aside, text).unwrap();
    fs::rename(&aside, path).unwrap();
}
