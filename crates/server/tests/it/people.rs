//! What people do with alerts, from every side: done once, said to everybody, kept over crashes, and refused in clear words
//! where there is nothing to do it with.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use log::Topic;
use model::{Alert, AlertEvent};

use crate::binary::{Deployment, Service};
use crate::crash::alerts_said;
use crate::drain::eventually_within;
use crate::honest_client::HonestClient;
use crate::oracle::{Oracle, RULES};

const PATIENCE: Duration = Duration::from_secs(30);
const DEVICE: &str = "m-1";

struct City {
    directory: tempfile::TempDir,
    deployment: Deployment,
    oracle: Oracle,
    service: Option<Service>,
}

impl City {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let rules = directory.path().join("rules.toml");
        std::fs::write(&rules, RULES).unwrap();
        let deployment = Deployment::new(directory.path())
            .set(format!("rules.paths=[\"{}\"]", rules.display()))
            .set("rules.snapshot_interval=1s")
            .set("log.partitions=4");
        // The rules are in the log before the first message.
        deployment.start(&[]).stop();
        let service = Some(deployment.start(&[]));
        City { directory, deployment, oracle: Oracle::new(), service }
    }

    /// Publishes messages of the device; the fifth of every five fires, the first of the next resolves.
    fn publish(&self, numbers: std::ops::Range<u64>) {
        let mut client = HonestClient::new(self.deployment.mqtt, DEVICE);
        for number in numbers {
            let (topic, payload) = self.oracle.message(DEVICE, number);
            client.publish(&topic, &payload, number);
        }
        client.finish();
    }

    fn mqtt_command(&self, client_id: &str, alert_id: &str, json: &str) {
        let mut client = HonestClient::new(self.deployment.mqtt, client_id);
        client.publish(&format!("urban-neuron/v1/commands/alerts/{alert_id}"), json.as_bytes(), 0);
        client.finish();
    }

    fn firing(&self) -> Vec<Alert> {
        let (status, body) = self.deployment.get("/v1/alerts").unwrap_or((503, String::new()));
        if status == 200 { serde_json::from_str(&body).unwrap() } else { Vec::new() }
    }

    /// Waits until one alert fires that `is_it`.
    fn await_firing(&self, what: &str, is_it: impl Fn(&Alert) -> bool) -> Alert {
        let mut found = None;
        eventually_within(PATIENCE, what, || {
            found = self.firing().into_iter().find(&is_it);
            found.is_some()
        });
        found.unwrap()
    }

    fn post(&self, alert_id: &str, command: &str, body: &str) -> (u16, String) {
        self.deployment.post(&format!("/v1/alerts/{alert_id}/{command}"), body).unwrap()
    }

    /// A command that must be done: its event.
    fn done(&self, alert_id: &str, command: &str, body: &str) -> Alert {
        let (status, answer) = self.post(alert_id, command, body);
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(&answer).unwrap()
    }

    fn cli(&self, args: &[&str]) -> (i32, String) {
        let (command, args) = args.split_first().unwrap();
        let ran = self.deployment.command(&format!("alerts {command}")).args(args).output().unwrap();
        let text = [ran.stdout, ran.stderr].concat();
        (ran.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    fn events(&self, alert_id: &str) -> Vec<Alert> {
        let (_, body) = self.deployment.get(&format!("/v1/alerts/{alert_id}")).unwrap();
        serde_json::from_str(&body).unwrap()
    }

    fn kill_and_restart(&mut self) {
        self.service.take().unwrap().kill();
        self.service = Some(self.deployment.start(&[]));
    }
}

fn who(alert: &Alert) -> Vec<(&'static str, &str)> {
    alert.people.iter().map(|said| (said.event.name(), said.by.as_str())).collect()
}

#[test]
fn from_every_side_over_a_crash_to_the_resolve() {
    let mut city = City::start();
    city.publish(0..5);
    let alert = city.await_firing("it fires", |_| true);
    let id = alert.alert_id.as_str();
    assert!(alert.people.is_empty() && alert.silenced_by.is_none());

    let event = city.done(id, "acknowledge", r#"{"by":"li","id":"ack-1"}"#);
    assert_eq!((event.event, event.ce_id()), (AlertEvent::Acknowledged, format!("{id}/ack-1")));
    assert_eq!(event.clone().without_marks().evidence, alert.evidence);
    let (code, printed) = city.cli(&["comment", id, "--by", "wang", "--text", "pump 2"]);
    assert_eq!(code, 0, "{printed}");
    let event: Alert = serde_json::from_str(&printed).unwrap();
    assert_eq!(who(&event), [("acknowledged", "li"), ("commented", "wang")]);
    city.mqtt_command("panel-7", id, r#"{"command":"silence","for":"2h"}"#);
    let all = [("acknowledged", "li"), ("commented", "wang"), ("silenced", "panel-7")];
    let silenced = city.await_firing("the silence is done", |alert| alert.people.len() == 3);
    assert_eq!((who(&silenced), silenced.silenced_by.as_deref()), (all.to_vec(), Some("panel-7")));

    city.kill_and_restart();
    let kept = city.await_firing("it fires after the crash", |_| true);
    assert_eq!((who(&kept), kept.silenced_by.as_deref()), (all.to_vec(), Some("panel-7")));
    let again = city.done(id, "acknowledge", r#"{"by":"li","id":"ack-1"}"#);
    assert_eq!(who(&again), all[..1], "the event of the command that was done");

    city.publish(5..6);
    eventually_within(PATIENCE, "it is resolved", || city.firing().is_empty());
    let events = city.events(id);
    let names: Vec<_> = events.iter().map(|event| event.event.name()).collect();
    assert_eq!(names, ["raised", "acknowledged", "commented", "silenced", "resolved"]);
    assert_eq!(who(&events[4]), all);

    city.publish(6..10);
    let later = city.await_firing("it fires again", |_| true);
    assert_ne!(later.alert_id, id);
    assert_eq!((who(&later), later.silenced_by.as_deref()), (all[2..].to_vec(), Some("panel-7")));
    city.done(&later.alert_id, "silence", r#"{"by":"li","for":"1s"}"#);
    city.service.take().unwrap().stop();
    let shown = city.deployment.command("alerts list").output().unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains(&later.alert_id), "without a service too");
}

#[test]
fn what_cannot_be_done_is_said() {
    let city = City::start();
    city.publish(0..6);
    let mut resolved = None;
    eventually_within(PATIENCE, "it is resolved", || {
        let said = city.deployment.metric("urban_neuron_alerts_total");
        resolved = (said == 2.0).then_some(());
        resolved.is_some()
    });
    city.publish(6..10);
    let firing = city.await_firing("it fires", |_| true);
    let past = past_alert(&city, &firing.alert_id);
    let unknown = "0".repeat(32);
    let acknowledge = r#"{"by":"li"}"#;
    let cases = [
        (past.as_str(), "acknowledge", acknowledge, 409, "is resolved since 20"),
        (&unknown, "acknowledge", acknowledge, 404, "no alert 0000"),
        ("42", "acknowledge", acknowledge, 400, "alert_id: "),
        (&firing.alert_id, "acknowledge", "{}", 400, "by: is missing"),
        (&firing.alert_id, "acknowledge", "li", 400, "no command"),
        (&firing.alert_id, "comment", acknowledge, 400, "text: is missing"),
        (&firing.alert_id, "silence", r#"{"by":"li","until":"2020-01-01T00:00:00Z"}"#, 400, "ended already"),
        (&firing.alert_id, "silence", r#"{"by":"li","for":"1y"}"#, 400, "for: "),
        (&firing.alert_id, "silence", r#"{"by":"li","command":"comment"}"#, 400, "command: comment here"),
        (&firing.alert_id, "shout", acknowledge, 404, "no such path"),
    ];
    for (alert_id, command, body, status, words) in cases {
        let (found, answer) = city.post(alert_id, command, body);
        assert!(found == status && answer.contains(words), "{command} {body}: {found} {answer}");
    }
    for (args, words) in [
        (["acknowledge", &past, "--by", "li"], "is resolved since 20"),
        (["acknowledge", &unknown, "--by", "li"], "no alert 0000"),
    ] {
        let (code, printed) = city.cli(&args);
        assert!(code == 1 && printed.contains(words), "{args:?}: {code} {printed}");
    }
    city.mqtt_command("a", &past, r#"{"command":"acknowledge"}"#);
    city.mqtt_command("b", &firing.alert_id, r#"{"command":"comment"}"#);
    let (_, letters) = city.deployment.get("/v1/dead-letters").unwrap();
    for (client, reason) in [("\"a\"", "alert_not_firing"), ("\"b\"", "malformed_command")] {
        let is_there = letters.split("},{").any(|one| one.contains(client) && one.contains(reason));
        assert!(is_there, "{letters}");
    }
    assert!(city.await_firing("it fires still", |_| true).people.is_empty());
}

/// The alert of the log that is not `firing`.
fn past_alert(city: &City, firing: &str) -> String {
    // Only the events say it, and they are listed by alert: read beside the service, from a copy of its files.
    let copy = city.directory.path().join("copy");
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .arg(city.directory.path().join("data"))
        .arg(&copy)
        .status()
        .unwrap();
    assert!(copied.success());
    let mut copied = Deployment::new(city.directory.path());
    copied.directory = city.directory.path().join("of copy");
    std::fs::create_dir_all(&copied.directory).unwrap();
    std::fs::rename(&copy, copied.directory.join("data")).unwrap();
    let said = alerts_said(&copied, Topic::Alerts);
    said.into_iter().map(|alert| alert.alert_id).find(|id| id != firing).unwrap()
}

#[test]
fn two_at_once_are_two_events_in_one_order() {
    let city = City::start();
    city.publish(0..5);
    let id = city.await_firing("it fires", |_| true).alert_id;
    std::thread::scope(|scope| {
        for by in ["li", "wang"] {
            let (city, id) = (&city, &id);
            scope.spawn(move || city.done(id, "acknowledge", &format!(r#"{{"by":"{by}"}}"#)));
        }
    });
    let people = city.await_firing("both are done", |alert| alert.people.len() == 2);
    let events = city.events(&id);
    assert_eq!(events.len(), 3);
    assert_eq!(who(&events[1]), who(&people)[..1]);
    assert_eq!(who(&events[2]), who(&people));
}

#[test]
fn killed_in_the_middle_every_command_is_done_once() {
    let mut city = City::start();
    city.publish(0..5);
    let id = city.await_firing("it fires", |_| true).alert_id;
    let mut panel = HonestClient::new(city.deployment.mqtt, "panel");
    let topic = format!("urban-neuron/v1/commands/alerts/{id}");
    let mut sent = 0;
    for point in
        ["before_alert:3", "after_alert:5", "before_snapshot:1", "after_snapshot:2", "after_append:9"]
    {
        city.service.take().unwrap().kill();
        let mut service = city.deployment.spawn(&[&format!("testing.abort_at={point}")]);
        while service.is_running() {
            let json = format!(r#"{{"command":"comment","text":"{sent}","id":"c-{sent}"}}"#);
            panel.publish(&topic, json.as_bytes(), sent);
            sent += 1;
            // People are no flood: some hundreds are enough to meet every point.
            std::thread::park_timeout(Duration::from_millis(20));
        }
        city.service = Some(service);
    }
    city.service = Some(city.deployment.start(&[]));
    assert_eq!(panel.finish().len() as u64, sent);
    eventually_within(PATIENCE, "all are done", || {
        city.events(&id).iter().map(Alert::ce_id).collect::<BTreeSet<_>>().len() as u64 == sent + 1
    });
    city.service.take().unwrap().stop();

    let mut events = BTreeMap::new();
    for event in alerts_said(&city.deployment, Topic::Alerts) {
        let bare = |event: &Alert| (event.event, event.people.last().cloned());
        if let Some(earlier) = events.insert(event.ce_id(), event.clone()) {
            assert_eq!(bare(&earlier), bare(&event), "an equal id with other content");
        }
    }
    for number in 0..sent {
        let event = &events[&format!("{id}/c-{number}")];
        assert_eq!(event.people.last().unwrap().text, Some(number.to_string()));
    }
    assert_eq!(events.len() as u64, sent + 1, "the raise and each comment");
}
