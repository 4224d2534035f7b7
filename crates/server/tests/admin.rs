//! The admin server over real HTTP and a real embedded log: what it answers is what the log holds.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::embedded::{EmbeddedConfig, EmbeddedLog};
use log::{Appender, Log, Topic};
use model::{Alert, RawMessage, Rejection};
use urban_neuron_server::admin::{Admin, AdminParts};
use urban_neuron_server::config::{Config, Secret, Sources};
use urban_neuron_server::dead_letter::DeadLetterDraft;
use urban_neuron_server::dead_letters::{DeadLetterFilter, RedriveOutcome};
use urban_neuron_server::decoders::Decoders;
use urban_neuron_server::health::{Health, Role};
use urban_neuron_server::metrics;
use urban_neuron_server::operations::{About, LocalOperations, OperationError, Operations, RemoteOperations};
use urban_neuron_server::pipeline::rules_role;

/// Longest wait for anything here.
const PATIENCE: Duration = Duration::from_secs(20);

struct Deployment {
    log: EmbeddedLog,
    health: Health,
    admin: Admin,
    _dir: tempfile::TempDir,
}

impl Deployment {
    fn start(token: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        config.admin.token = token.map(Secret::new);
        let log = EmbeddedLog::open(EmbeddedConfig {
            partitions: 2,
            ..EmbeddedConfig::new(dir.path(), |error| panic!("{error}"))
        });
        let log = log.unwrap();
        let health = Health::new(&[Role::Gateway, Role::Lake]);
        let rules = rules_role::operations(&log, &config, None).unwrap();
        let parts = AdminParts {
            about: About::new(&log.log_id(), health.roles()),
            health: health.clone(),
            metrics: metrics::install().unwrap(),
            operations: Arc::new(LocalOperations::new(log.clone(), Decoders::new(&config).unwrap())),
            rules: Arc::new(rules),
            lake_root: config.lake.root.clone(),
        };
        let admin = Admin::start(&config.admin, parts).unwrap();
        Deployment { log, health, admin, _dir: dir }
    }

    fn address(&self) -> SocketAddr {
        self.admin.addresses()[0]
    }

    fn remote(&self) -> RemoteOperations {
        RemoteOperations::at(self.address(), None)
    }

    /// Appends to one partition and waits until it is durable.
    fn append(&self, topic: Topic, partition: u32, key: &str, value: Option<&[u8]>, headers: &[u8]) {
        let (woken, wakes) = std::sync::mpsc::channel();
        let mut appender = self
            .log
            .appender(Arc::new(move || {
                woken.send(()).ok();
            }))
            .unwrap();
        appender.append(topic, partition, key.as_bytes(), value, headers).unwrap();
        let ticket = appender.flush();
        while appender.durable().unwrap() < ticket {
            wakes.recv_timeout(PATIENCE).unwrap();
        }
    }

    fn append_alert(&self, topic: Topic, partition: u32, alert: &Alert) {
        let json = serde_json::to_vec(alert).unwrap();
        self.append(topic, partition, &alert.key(), Some(&json), &[]);
    }

    fn append_dead_letter(&self, device: &str, payload: &[u8], reason: model::Reason) {
        let topic = format!("urban-neuron/v1/devices/{device}/telemetry");
        let message = RawMessage {
            adapter: model::Adapter::MqttEndpoint,
            topic: &topic,
            payload,
            publisher: "gw-1",
            content_type: "",
            packet_id: Some(7),
            is_redelivered: false,
            is_retained: false,
            is_will: false,
            received_at_us: 1_764_000_000_000_000,
        };
        let mut draft = DeadLetterDraft::default();
        let (value, headers) = draft.encode(&message, Some(&Rejection::new(reason, "byte 0")), &[]);
        self.append(Topic::DeadLetter, 0, "mqtt_endpoint", Some(value), headers);
    }
}

fn config(data_dir: &Path) -> Config {
    let settings =
        [format!("data_dir={:?}", data_dir.display().to_string()), "admin.listen=127.0.0.1:0".to_owned()];
    Config::load(&Sources { settings: settings.into(), ..Sources::default() }).unwrap()
}

fn alert(rule: &str, device: &str) -> Alert {
    serde_json::from_value(serde_json::json!({
        "alert_id": format!("{rule}{device}"), "rule_id": rule, "rule_digest": "d", "title": "t", "severity": "critical",
        "state": "firing", "event": "raised", "reason": null, "device_id": device, "asset_id": null, "domain": "water",
        "tenant": "default", "location": null, "metric": "water_level", "value": 2.5, "unit": "m", "condition": "c",
        "started_at": "2026-11-24T00:00:00.000000Z", "raised_at": "2026-11-24T00:00:01.000000Z", "resolved_at": null,
        "said_at": "2026-11-24T00:00:02.000000Z", "evidence": [], "labels": {}, "runbook": null, "shadow": false,
        "suppressed_by": null, "silenced_by": null,
    }))
    .unwrap()
}

fn get(address: SocketAddr, path: &str, token: Option<&str>) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = agent.get(format!("http://{address}{path}"));
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let mut response = request.call().unwrap();
    (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
}

#[test]
fn readiness_says_the_causes() {
    let deployment = Deployment::start(None);
    let ready = |query: &str| get(deployment.address(), &format!("/health/ready{query}"), None);
    assert_eq!(get(deployment.address(), "/health/live", None).0, 200);
    assert_eq!(ready("").0, 503);
    deployment.health.set("log", Role::Gateway, None);
    deployment.health.set("root", Role::Lake, Some("read-only file system".to_owned()));
    assert_eq!(ready("?role=gateway"), (200, r#"{"is_ready":true,"causes":[]}"#.to_owned()));
    let (status, body) = ready("");
    assert_eq!(status, 503);
    assert!(body.contains(r#"{"role":"lake","component":"root","cause":"read-only file system"}"#), "{body}");
    assert_eq!(ready("?role=rules").0, 503);
    assert_eq!(ready("?role=cook").0, 400);
    deployment.health.set("root", Role::Lake, None);
    assert_eq!(ready("").0, 200);
}

#[test]
fn a_token_guards_all_but_health() {
    let deployment = Deployment::start(Some("s3cret"));
    let status = |path: &str, token| get(deployment.address(), path, token).0;
    assert_eq!(status("/health/live", None), 200);
    for path in [
        "/metrics",
        "/v1/about",
        "/v1/rules",
        "/v1/rules/sets",
        "/v1/alerts",
        "/v1/dead-letters",
        "/v1/log",
        "/v1/lake",
        "/v1/alerts/watch",
    ] {
        assert_eq!(status(path, None), 401, "{path}");
        assert_eq!(status(path, Some("s3cre")), 401, "{path}");
    }
    assert_eq!(status("/metrics", Some("s3cret")), 200);
    assert_eq!(status("/no/such", Some("s3cret")), 404);
    let with_token = RemoteOperations::at(deployment.address(), Some(Secret::new("s3cret")));
    assert_eq!(with_token.describe_log().unwrap().log_id, deployment.log.log_id().to_string());
}

#[test]
fn metrics_are_in_the_text_format() {
    let deployment = Deployment::start(None);
    ::metrics::counter!("urban_neuron_lake_rows_total").increment(3);
    ::metrics::histogram!("urban_neuron_mqtt_endpoint_ack_seconds").record(0.003);
    let (status, body) = get(deployment.address(), "/metrics", None);
    assert_eq!(status, 200);
    assert!(body.contains("# TYPE urban_neuron_lake_rows_total counter"), "{body}");
    assert!(body.contains("urban_neuron_mqtt_endpoint_ack_seconds_bucket{le=\"0.004\"}"), "{body}");
}

#[test]
fn what_fires_now_is_the_newest_of_each_key() {
    let deployment = Deployment::start(None);
    let (a, b, c) = (alert("high", "a"), alert("high", "b"), alert("low", "c"));
    deployment.append_alert(Topic::AlertsCurrent, 0, &a);
    deployment.append_alert(Topic::AlertsCurrent, 1, &b);
    deployment.append_alert(Topic::AlertsCurrent, 0, &c);
    deployment.append(Topic::AlertsCurrent, 0, &a.key(), None, &[]);
    assert_eq!(deployment.remote().firing().unwrap(), [b, c]);
}

#[test]
fn a_watcher_hears_every_event_from_now_on() {
    let deployment = Deployment::start(None);
    let remote = deployment.remote();
    let (ready, is_ready) = std::sync::mpsc::channel();
    let watcher = std::thread::spawn(move || {
        let mut heard = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        let watched = remote.watch(&mut |alert| {
            // The first line of any kind says that the log is followed from its end.
            ready.send(()).ok();
            heard.extend(alert);
            if heard.len() == 2 || Instant::now() > deadline {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        watched.map(|()| heard)
    });
    is_ready.recv_timeout(PATIENCE).unwrap();
    deployment.append_alert(Topic::Alerts, 0, &alert("high", "a"));
    deployment.append_alert(Topic::Alerts, 1, &alert("high", "b"));
    let heard = watcher.join().unwrap().unwrap();
    assert_eq!(heard, [alert("high", "a"), alert("high", "b")]);
}

#[test]
fn a_stop_ends_the_watchers() {
    let deployment = Deployment::start(None);
    let remote = deployment.remote();
    let (ready, is_ready) = std::sync::mpsc::channel();
    let watcher = std::thread::spawn(move || {
        remote.watch(&mut |_| {
            // The test has all that it waits for after the first.
            ready.send(()).ok();
            ControlFlow::Continue(())
        })
    });
    is_ready.recv_timeout(PATIENCE).unwrap();
    let started = Instant::now();
    drop(deployment);
    watcher.join().unwrap().unwrap();
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
}

#[test]
fn dead_letters_are_listed_shown_and_redriven_once() {
    let deployment = Deployment::start(None);
    let remote = deployment.remote();
    deployment.append_dead_letter("m-1", b"{\"water_level\": ", model::Reason::MalformedJson);
    deployment.append_dead_letter("m-2", b"{\"water_level\": 1.5}", model::Reason::UnknownDialect);

    let all = remote.dead_letters(&DeadLetterFilter::default()).unwrap();
    let offsets: Vec<_> = all.iter().map(|letter| (letter.log_offset, letter.reason.as_str())).collect();
    assert_eq!(offsets, [(0, "malformed_json"), (1, "unknown_dialect")]);
    let filter =
        DeadLetterFilter { reason: Some("malformed_json".to_owned()), ..DeadLetterFilter::default() };
    assert_eq!(remote.dead_letters(&filter).unwrap().len(), 1);
    let filter = DeadLetterFilter { limit: 1, ..DeadLetterFilter::default() };
    assert_eq!(remote.dead_letters(&filter).unwrap()[0].log_offset, 1);

    let shown = remote.dead_letter(0, 0).unwrap();
    assert_eq!(shown.payload_text.as_deref(), Some("{\"water_level\": "));
    assert_eq!((shown.summary.publisher.as_str(), shown.summary.payload_bytes), ("gw-1", 16));
    assert!(matches!(remote.dead_letter(0, 99), Err(OperationError::NotFound(_))));
    assert!(matches!(remote.dead_letter(1, 0), Err(OperationError::NotFound(_))));

    assert!(matches!(remote.redrive(0, 0).unwrap(), RedriveOutcome::StillRejected { .. }));
    let redriven = remote.redrive(0, 1).unwrap();
    assert_eq!(redriven, RedriveOutcome::Redriven { records: 1, still_rejected: Vec::new() });
    assert_eq!(remote.redrive(0, 1).unwrap(), RedriveOutcome::AlreadyRedriven { records: 1 });
    let telemetry: i64 =
        (0..2).map(|partition| deployment.log.offsets(Topic::Telemetry, partition).unwrap().end).sum();
    assert_eq!(telemetry, 1);

    let filter = DeadLetterFilter { is_open_only: true, ..DeadLetterFilter::default() };
    let open = remote.dead_letters(&filter).unwrap();
    assert_eq!(open.iter().map(|letter| letter.log_offset).collect::<Vec<_>>(), [0]);
}
