//! A rule in shadow beside a live one: each of its events stands once on the shadow topic, over restarts too, and nowhere else.

use log::Topic;
use model::Alert;

use crate::binary::Deployment;
use crate::crash::{alerts_said, devices, publish};
use crate::honest_client::HonestClient;
use crate::oracle::{Oracle, RULES};

#[test]
fn a_shadow_rule_speaks_on_its_own_topic_only() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules.toml");
    let shadow = format!("{}shadow = true\n", RULES.replace("x-high", "x-high-shadow"));
    std::fs::write(&rules, format!("{RULES}{shadow}")).unwrap();
    let deployment = Deployment::new(directory.path())
        .set(format!("rules.paths=[\"{}\"]", rules.display()))
        .set("rules.snapshot_interval=1s")
        .set("log.partitions=4");
    let (oracle, devices) = (Oracle::new(), devices());
    let mut clients: Vec<_> =
        devices.iter().map(|device| HonestClient::new(deployment.mqtt, device)).collect();
    // The rules are in the log before the first message: one that comes before them is owed nothing.
    deployment.start(&[]).stop();
    let mut sent = 0;
    for point in ["before_snapshot:2", "after_alert:40", "after_snapshot:2"] {
        let mut service = deployment.spawn(&[&format!("testing.abort_at={point}")]);
        while service.is_running() {
            publish(&oracle, &mut clients, &devices, sent..sent + 1);
            sent += 1;
        }
    }
    let service = deployment.start(&[]);
    // It ends with a message that fires.
    let count = sent + 5 - sent % 5;
    publish(&oracle, &mut clients, &devices, sent..count);
    for client in clients {
        assert_eq!(client.finish().len() as u64, count);
    }
    crate::drain::eventually_within(std::time::Duration::from_secs(30), "all devices fire", || {
        deployment.metric("urban_neuron_alert_board_retained_messages") == devices.len() as f64
    });
    // The current states follow when their events are durable.
    let firing = || -> Vec<Alert> {
        let (_, firing) = deployment.get("/v1/alerts").unwrap();
        serde_json::from_str(&firing).unwrap()
    };
    crate::drain::eventually_within(std::time::Duration::from_secs(30), "all stand as current", || {
        firing().len() == devices.len()
    });
    assert!(firing().iter().all(|alert| alert.rule_id == "x-high"), "{:?}", firing());
    service.stop();

    let (live, shadow) =
        (alerts_said(&deployment, Topic::Alerts), alerts_said(&deployment, Topic::AlertsShadow));
    assert!(live.iter().all(|alert| alert.rule_id == "x-high" && !alert.shadow));
    assert!(shadow.iter().all(|alert| alert.rule_id == "x-high-shadow" && alert.shadow));
    oracle.check_alerts(&live, &devices, count);
    oracle.check_alerts(&shadow, &devices, count);
}
