//! Alerts that others explain are marked with them, over a crash too, and said all the same; a gateway whose devices are all
//! silent is one alert.

use std::time::Duration;

use model::Alert;

use crate::binary::Deployment;
use crate::drain::eventually_within;
use crate::honest_client::HonestClient;

const PATIENCE: Duration = Duration::from_secs(60);

const RULES: &str = r#"
[[rule]]
id = "power-lost"
title = "no power"
severity = "critical"
when = "mains = 0"

[[rule]]
id = "level-high"
title = "level"
severity = "warning"
when = "water_level > 2 m"

[[rule]]
id = "silent"
title = "nothing heard"
severity = "warning"
absent = "3s"
where = "gateway_id = 'g-1'"

[[inhibit]]
id = "power"
source = ["power-lost"]
targets = ["level-high"]
equal = ["asset_id"]
"#;

const DEVICES: &str = "\
device_id,gateway_id,asset_id
meter,g-2,pump-1
probe-1,g-2,pump-1
probe-2,g-2,pump-2
quiet-1,g-1,
quiet-2,g-1,
";

fn publish(deployment: &Deployment, device: &str, json: &str) {
    let mut client = HonestClient::new(deployment.mqtt, device);
    client.publish(&format!("urban-neuron/v1/devices/{device}/telemetry"), json.as_bytes(), 0);
    client.finish();
}

fn firing(deployment: &Deployment) -> Vec<Alert> {
    let (status, body) = deployment.get("/v1/alerts").unwrap_or((503, String::new()));
    if status == 200 { serde_json::from_str(&body).unwrap() } else { Vec::new() }
}

fn of<'a>(firing: &'a [Alert], rule: &str, device: &str) -> Option<&'a Alert> {
    firing.iter().find(|alert| alert.rule_id == rule && alert.device_id == device)
}

fn events(deployment: &Deployment, alert_id: &str) -> Vec<&'static str> {
    let (_, body) = deployment.get(&format!("/v1/alerts/{alert_id}")).unwrap();
    let events: Vec<Alert> = serde_json::from_str(&body).unwrap();
    events.iter().map(|event| event.event.name()).collect()
}

#[test]
fn marks_come_and_go_with_what_explains() {
    let directory = tempfile::tempdir().unwrap();
    let (rules, registry) = (directory.path().join("rules.toml"), directory.path().join("registry"));
    std::fs::write(&rules, RULES).unwrap();
    std::fs::create_dir(&registry).unwrap();
    std::fs::write(registry.join("devices.csv"), DEVICES).unwrap();
    let deployment = Deployment::new(directory.path())
        .set(format!("rules.paths=[\"{}\"]", rules.display()))
        .set(format!("registry.path={}", registry.display()))
        .set("rules.snapshot_interval=1s")
        .set("log.partitions=4");
    // The rules are in the log before the first message.
    deployment.start(&[]).stop();
    let service = deployment.start(&[]);
    publish(&deployment, "probe-1", r#"{"water_level": 3}"#);
    publish(&deployment, "probe-2", r#"{"water_level": 3}"#);
    publish(&deployment, "meter", r#"{"mains": 0}"#);
    let suppressed_by = |firing: &[Alert], device: &str| {
        of(firing, "level-high", device).map(|alert| alert.suppressed_by.clone())
    };
    let mut power = String::new();
    eventually_within(PATIENCE, "the probe of the same pump is marked", || {
        let firing = firing(&deployment);
        power = of(&firing, "power-lost", "meter").map(|alert| alert.alert_id.clone()).unwrap_or_default();
        suppressed_by(&firing, "probe-1") == Some(Some(power.clone()))
    });
    let level = of(&firing(&deployment), "level-high", "probe-1").unwrap().alert_id.clone();
    assert_eq!(suppressed_by(&firing(&deployment), "probe-2"), Some(None), "another pump");
    assert_eq!(events(&deployment, &level), ["raised", "suppressed"]);

    service.kill();
    let service = deployment.start(&[]);
    let mut outage = None;
    eventually_within(PATIENCE, "the silent gateway is one alert", || {
        outage = of(&firing(&deployment), "gateway-outage", "g-1").cloned();
        outage.is_some()
    });
    let outage = outage.unwrap();
    eventually_within(PATIENCE, "its devices are marked", || {
        let firing = firing(&deployment);
        let is_marked = |device| {
            of(&firing, "silent", device)
                .is_some_and(|alert| alert.suppressed_by == Some(outage.alert_id.clone()))
        };
        is_marked("quiet-1") && is_marked("quiet-2")
    });
    assert_eq!(suppressed_by(&firing(&deployment), "probe-1"), Some(Some(power)), "the mark is kept");
    assert_eq!(events(&deployment, &level), ["raised", "suppressed"], "and was not said again");

    publish(&deployment, "quiet-2", r#"{"mains": 1}"#);
    publish(&deployment, "meter", r#"{"mains": 1}"#);
    eventually_within(PATIENCE, "what explained them is over", || {
        let firing = firing(&deployment);
        of(&firing, "gateway-outage", "g-1").is_none()
            && suppressed_by(&firing, "probe-1") == Some(None)
            && of(&firing, "silent", "quiet-1").is_some_and(|alert| alert.suppressed_by.is_none())
    });
    assert_eq!(events(&deployment, &level), ["raised", "suppressed", "unsuppressed"]);
    assert_eq!(events(&deployment, &outage.alert_id), ["raised", "resolved"]);
    service.stop();
    let service = deployment.start(&[]);
    assert_eq!(deployment.metric("urban_neuron_rules_replay_mismatches_total"), 0.0);
    service.stop();
}
