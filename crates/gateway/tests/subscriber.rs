//! The subscriber against a real Mosquitto, over a wire-tap, with a log whose durability the test controls: one test for
//! each way in which an acknowledgement can go wrong.

#[allow(dead_code, reason = "shared with the endpoint's tests")]
#[path = "endpoint/fake_log.rs"]
mod fake_log;
#[path = "subscriber/mosquitto.rs"]
mod mosquitto;
#[path = "subscriber/proxy.rs"]
mod proxy;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use urban_neuron_gateway::mqtt_subscriber::{
    BrokerCredentials, BrokerTls, MqttSubscriber, SubscriberConfig, SubscriberError, SubscriptionQos,
};

use fake_log::{FakeLog, Pushed};
use mosquitto::{Mosquitto, wait_until};
use proxy::Proxy;

const TOPIC: &str = "city/sensors/1";
const STOP: Duration = Duration::from_secs(10);

fn config(address: SocketAddr) -> SubscriberConfig {
    SubscriberConfig {
        reconnect_min: Duration::from_millis(20),
        reconnect_max: Duration::from_millis(200),
        ..SubscriberConfig::new(
            format!("mqtt://{address}").parse().expect("an address"),
            "urban-neuron-test",
            vec!["city/#".to_owned()],
        )
    }
}

/// Starts, and waits until the broker has accepted the filters.
fn start(config: SubscriberConfig, log: &FakeLog) -> MqttSubscriber {
    let subscriber = MqttSubscriber::start(config, log.clone()).expect("it starts");
    wait_until("the filters are accepted", || subscriber.status().is_subscribed);
    subscriber
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("{{\"n\":{number}}}")).collect()
}

fn publish(broker: &Mosquitto, payloads: &[String]) {
    assert!(
        broker.publish(TOPIC, &["-q", "1"], payloads.iter().map(String::as_str)),
        "the broker acknowledges"
    );
}

fn payloads(pushed: &[Pushed]) -> Vec<String> {
    pushed.iter().map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect()
}

fn distinct(pushed: &[Pushed]) -> HashSet<String> {
    payloads(pushed).into_iter().collect()
}

#[test]
fn nothing_is_acknowledged_before_it_is_durable_and_then_in_order() {
    let broker = Mosquitto::start("");
    let proxy = Proxy::start(broker.address());
    let log = FakeLog::held();
    let subscriber = start(config(proxy.address()), &log);
    publish(&broker, &numbers(0..10));
    let pushed = log.wait_pushed(10);
    assert_eq!(payloads(&pushed), numbers(0..10));
    assert_eq!(proxy.wire().acknowledged, [0; 0]);
    assert_eq!(subscriber.status().counts.acknowledged, 0);
    // What the first flush carried becomes durable, then all.
    log.release_flushed();
    wait_until("the first are acknowledged", || !proxy.wire().acknowledged.is_empty());
    log.release();
    wait_until("all are acknowledged", || proxy.wire().acknowledged.len() == 10);
    proxy.assert_acks_in_order();
    let status = subscriber.stop(STOP);
    assert_eq!(
        (status.counts.received, status.counts.acknowledged, status.counts.abandoned),
        ([0, 10], 10, 0)
    );
}

#[test]
fn messages_say_where_they_come_from() {
    let broker = Mosquitto::start("");
    let retained = ["kept".to_owned()];
    assert!(broker.publish(TOPIC, &["-q", "1", "-r"], retained.iter().map(String::as_str)));
    let log = FakeLog::instant();
    let subscriber = start(config(broker.address()), &log);
    log.wait_pushed(1);
    publish(&broker, &numbers(0..1));
    let pushed = log.wait_pushed(2);
    assert_eq!(pushed.iter().map(|message| message.is_retained).collect::<Vec<_>>(), [true, false]);
    for message in &pushed {
        assert_eq!(
            (message.topic.as_str(), message.publisher.clone()),
            (TOPIC, format!("mqtt://{}", broker.address()))
        );
        assert!(
            message.packet_id.is_some()
                && !message.is_redelivered
                && !message.is_will
                && message.received_at_us > 0
        );
    }
    subscriber.stop(STOP);
}

#[test]
fn an_acknowledgement_does_not_outlive_its_connection() {
    let broker = Mosquitto::start("");
    let proxy = Proxy::start(broker.address());
    let log = FakeLog::held();
    let subscriber = start(config(proxy.address()), &log);
    publish(&broker, &numbers(0..10));
    log.wait_pushed(10);
    proxy.cut();
    wait_until("the cut is noticed", || !subscriber.status().is_connected);
    assert_eq!(subscriber.status().counts.abandoned, 10);
    // They become durable while there is no connection: their packet ids now mean nothing.
    log.release();
    log.hold();
    proxy.mend();
    let pushed = log.wait_pushed(20);
    assert!(pushed[10..].iter().all(|message| message.is_redelivered));
    assert_eq!(proxy.wire().acknowledged, [0; 0]);
    log.release();
    wait_until("the redelivered are acknowledged", || proxy.wire().acknowledged.len() == 10);
    proxy.assert_acks_in_order();
    // The session was there all the time, so nothing was subscribed again.
    assert_eq!(proxy.wires().iter().map(|wire| wire.subscribes).sum::<usize>(), 1);
    subscriber.stop(STOP);
}

#[test]
fn a_session_that_the_broker_lost_is_subscribed_again() {
    let mut broker = Mosquitto::start("");
    let proxy = Proxy::start(broker.address());
    let log = FakeLog::held();
    let subscriber = start(config(proxy.address()), &log);
    publish(&broker, &numbers(0..5));
    log.wait_pushed(5);
    broker.terminate();
    broker.forget();
    broker.start_again();
    wait_until("it is subscribed again", || {
        proxy.wire().subscribes == 1 && subscriber.status().is_subscribed
    });
    // What the lost session had in flight can no longer be acknowledged, and is durable all the same.
    log.release();
    publish(&broker, &numbers(5..10));
    let pushed = log.wait_pushed(10);
    assert_eq!(payloads(&pushed), numbers(0..10));
    wait_until("the new are acknowledged", || proxy.wire().acknowledged.len() == 5);
    proxy.assert_acks_in_order();
    subscriber.stop(STOP);
}

#[test]
fn qos_0_is_counted_apart() {
    let broker = Mosquitto::start("");
    let proxy = Proxy::start(broker.address());
    let log = FakeLog::held();
    let subscriber = start(config(proxy.address()), &log);
    let lines = numbers(0..3);
    assert!(broker.publish(TOPIC, &["-q", "0"], lines.iter().map(String::as_str)));
    publish(&broker, &numbers(3..5));
    let pushed = log.wait_pushed(5);
    assert_eq!(pushed.iter().filter(|message| message.packet_id.is_none()).count(), 3);
    log.release();
    wait_until("QoS 1 is acknowledged", || proxy.wire().acknowledged.len() == 2);
    let status = subscriber.stop(STOP);
    assert_eq!((status.counts.received, status.counts.acknowledged), ([3, 2], 2));
}

#[test]
fn without_room_the_broker_keeps_its_messages_and_the_connection_lives() {
    let broker = Mosquitto::start("max_inflight_messages 0");
    let proxy = Proxy::start(broker.address());
    let log = FakeLog::instant();
    let subscriber =
        start(SubscriberConfig { keep_alive: Duration::from_secs(1), ..config(proxy.address()) }, &log);
    log.set_full(true);
    publish(&broker, &numbers(0..3_000));
    // Three keep-alives without a byte read: the broker would have closed the connection after one and a half.
    wait_until("pings go on", || proxy.wire().pings >= 6);
    assert!(log.pushed().len() < 400, "{} messages were taken without room", log.pushed().len());
    log.set_full(false);
    let pushed = log.wait_pushed(3_000);
    assert_eq!(payloads(&pushed), numbers(0..3_000));
    wait_until("all are acknowledged", || proxy.wire().acknowledged.len() == 3_000);
    assert_eq!(proxy.wires().len(), 1, "one connection");
    proxy.assert_acks_in_order();
    subscriber.stop(STOP);
}

#[test]
fn no_more_than_the_limit_is_in_flight() {
    const IN_FLIGHT_MAX: u16 = 50;
    /// What one read of rumqttc may bring beyond it.
    const ONE_READ: usize = 9;
    let broker = Mosquitto::start("max_inflight_messages 0");
    let proxy = Proxy::start(broker.address());
    let log = FakeLog::held();
    let subscriber =
        start(SubscriberConfig { in_flight_max: IN_FLIGHT_MAX, ..config(proxy.address()) }, &log);
    publish(&broker, &numbers(0..500));
    log.wait_pushed(usize::from(IN_FLIGHT_MAX));
    wait_until("the broker has sent them all", || proxy.wire().published.len() == 500);
    assert!(log.pushed().len() <= usize::from(IN_FLIGHT_MAX) + ONE_READ, "{}", log.pushed().len());
    log.release();
    wait_until("all are acknowledged", || proxy.wire().acknowledged.len() == 500);
    proxy.assert_acks_in_order();
    assert_eq!(subscriber.stop(STOP).counts.in_flight, 0);
}

#[test]
fn a_killed_broker_sends_again_what_was_not_acknowledged() {
    let mut broker = Mosquitto::start("max_inflight_messages 0");
    let proxy = Proxy::start(broker.address());
    let log = FakeLog::held();
    let subscriber = start(config(proxy.address()), &log);
    publish(&broker, &numbers(0..300));
    log.wait_pushed(300);
    broker.save();
    broker.kill();
    broker.start_again();
    let pushed = log.wait_pushed(600);
    assert_eq!(payloads(&pushed[300..]), numbers(0..300));
    log.release();
    wait_until("all are acknowledged", || proxy.wire().acknowledged.len() == 300);
    proxy.assert_acks_in_order();
    let status = subscriber.stop(STOP);
    assert_eq!((status.counts.acknowledged, status.counts.abandoned), (300, 300));
}

#[test]
fn restarts_under_load_lose_nothing() {
    const BATCHES: usize = 30;
    const BATCH: usize = 100;
    let mut broker = Mosquitto::start("");
    let proxy = Proxy::start(broker.address());
    let log = FakeLog::instant();
    let subscriber = start(config(proxy.address()), &log);
    for batch in 0..BATCHES {
        publish(&broker, &numbers(batch * BATCH..(batch + 1) * BATCH));
        // While the subscriber is in the middle of it.
        match batch % 6 {
            2 => {
                broker.terminate();
                broker.start_again();
            }
            4 => {
                proxy.cut();
                proxy.mend();
            }
            5 => {
                broker.save();
                broker.kill();
                broker.start_again();
            }
            _ => {}
        }
    }
    let expected: HashSet<String> = numbers(0..BATCHES * BATCH).into_iter().collect();
    wait_until("every message has come", || distinct(&log.pushed()) == expected);
    wait_until("nothing is in flight", || {
        subscriber.status().counts.in_flight == 0 && subscriber.status().is_connected
    });
    proxy.assert_acks_in_order();
    let status = subscriber.stop(STOP);
    let counts = status.counts;
    assert!(counts.reconnects >= 15, "{status:?}");
    assert_eq!(counts.received[1], counts.acknowledged + counts.abandoned, "{status:?}");
}

#[test]
fn a_failing_log_leaves_messages_with_the_broker() {
    let broker = Mosquitto::start("");
    let proxy = Proxy::start(broker.address());
    let log = FakeLog::held();
    let subscriber = start(config(proxy.address()), &log);
    publish(&broker, &numbers(0..5));
    log.wait_pushed(5);
    log.fail();
    let pushed = log.wait_pushed(10);
    assert!(pushed[5..].iter().all(|message| message.is_redelivered));
    assert!(proxy.wires().iter().all(|wire| wire.acknowledged.is_empty()));
    log.release();
    wait_until("all are acknowledged", || proxy.wire().acknowledged.len() == 5);
    proxy.assert_acks_in_order();
    assert!(subscriber.stop(STOP).last_trouble.is_some_and(|cause| cause.contains("the disk is gone")));
}

#[test]
fn a_stop_acknowledges_what_becomes_durable_and_says_goodbye() {
    let broker = Mosquitto::start("");
    let proxy = Proxy::start(broker.address());
    let log = FakeLog::held();
    let subscriber = start(config(proxy.address()), &log);
    publish(&broker, &numbers(0..10));
    log.wait_pushed(10);
    let stopped = std::thread::spawn(move || subscriber.stop(STOP));
    log.wait_flushed();
    assert_eq!(proxy.wire().acknowledged, [0; 0]);
    log.release();
    let status = stopped.join().expect("it stops");
    wait_until("it says goodbye", || proxy.wire().disconnects == 1);
    assert_eq!((proxy.wire().acknowledged.len(), status.counts.abandoned), (10, 0));
    // The session stays: what comes meanwhile is there for the next start.
    publish(&broker, &numbers(10..12));
    let subscriber = start(config(proxy.address()), &log);
    let pushed = log.wait_pushed(12);
    assert_eq!(payloads(&pushed), numbers(0..12));
    subscriber.stop(STOP);
}

#[test]
fn a_stop_does_not_wait_beyond_its_deadline() {
    let broker = Mosquitto::start("");
    let proxy = Proxy::start(broker.address());
    let log = FakeLog::held();
    let subscriber = start(config(proxy.address()), &log);
    publish(&broker, &numbers(0..4));
    log.wait_pushed(4);
    let status = subscriber.stop(Duration::from_millis(50));
    assert_eq!((status.counts.acknowledged, status.counts.abandoned, status.is_connected), (0, 4, false));
    assert_eq!(proxy.wire().acknowledged, [0; 0]);
}

#[test]
fn members_of_a_group_divide_the_messages() {
    let broker = Mosquitto::start("");
    let logs = [FakeLog::instant(), FakeLog::instant()];
    let member = |number: usize| SubscriberConfig {
        client_id: format!("member-{number}"),
        share: Some("lake".to_owned()),
        ..config(broker.address())
    };
    let members = [start(member(0), &logs[0]), start(member(1), &logs[1])];
    publish(&broker, &numbers(0..200));
    wait_until("all have come", || logs.iter().map(|log| log.pushed().len()).sum::<usize>() == 200);
    let [first, second] = logs.map(|log| distinct(&log.pushed()));
    assert!(!first.is_empty() && !second.is_empty() && first.is_disjoint(&second));
    members.into_iter().for_each(|member| drop(member.stop(STOP)));
}

#[test]
fn a_message_over_the_limit_does_not_block_the_session() {
    let broker = Mosquitto::start("");
    let proxy = Proxy::start(broker.address());
    let log = FakeLog::instant();
    let subscriber = start(SubscriberConfig { packet_bytes_max: 1_000, ..config(proxy.address()) }, &log);
    publish(&broker, &["a".to_owned(), "x".repeat(2_000), "b".to_owned()]);
    assert_eq!(payloads(&log.wait_pushed(2)), ["a", "b"]);
    wait_until("all three are acknowledged", || proxy.wire().acknowledged.len() == 3);
    let status = subscriber.stop(STOP);
    assert_eq!((status.counts.received, status.counts.refused, status.counts.reconnects), ([0, 3], 1, 0));
}

#[test]
fn a_filter_that_the_broker_refuses_is_said() {
    // Mosquitto's ACL files let anyone subscribe to anything and withhold messages; only this plugin refuses.
    const RULES: &str = r#"{
        "defaultACLAccess": {"publishClientSend": true, "publishClientReceive": true, "subscribe": true, "unsubscribe": true},
        "roles": [{"rolename": "guest", "acls": [
            {"acltype": "subscribePattern", "topic": "city/secret/#", "priority": 1, "allow": false}
        ]}],
        "groups": [{"groupname": "guests", "roles": [{"rolename": "guest", "priority": 1}], "clients": []}],
        "anonymousGroup": "guests",
        "clients": []
    }"#;
    let directory = TempDir::new().expect("a directory");
    let rules = directory.path().join("rules.json");
    std::fs::write(&rules, RULES).expect("a file");
    let plugin = format!(
        "plugin {}\nplugin_opt_config_file {}",
        mosquitto::security_plugin().display(),
        rules.display()
    );
    let broker = Mosquitto::start_in(directory, &format!("allow_anonymous true\n{plugin}"));
    let log = FakeLog::instant();
    let topics = vec!["city/open/#".to_owned(), "city/secret/#".to_owned()];
    let subscriber =
        MqttSubscriber::start(SubscriberConfig { topics, ..config(broker.address()) }, log.clone())
            .expect("it starts");
    wait_until("the refusal is known", || !subscriber.status().refused_filters.is_empty());
    let status = subscriber.status();
    assert_eq!(
        (status.refused_filters, status.is_subscribed, status.is_connected),
        (vec!["city/secret/#".to_owned()], false, true)
    );
    let lines = numbers(0..1);
    assert!(broker.publish("city/open/1", &["-q", "1"], lines.iter().map(String::as_str)));
    log.wait_pushed(1);
    subscriber.stop(STOP);
}

#[test]
fn wrong_credentials_are_said_and_right_ones_work() {
    let directory = TempDir::new().expect("a directory");
    let passwords = directory.path().join("passwords");
    let made = std::process::Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(&passwords)
        .args(["city", "right"])
        .status();
    assert!(made.is_ok_and(|status| status.success()), "mosquitto_passwd is installed");
    let settings = format!("allow_anonymous false\npassword_file {}", passwords.display());
    let broker = Mosquitto::start_in(directory, &settings);
    let log = FakeLog::instant();
    let with = |password: &str| SubscriberConfig {
        credentials: Some(BrokerCredentials { username: "city".to_owned(), password: password.to_owned() }),
        ..config(broker.address())
    };
    let subscriber = MqttSubscriber::start(with("wrong"), log.clone()).expect("it starts");
    wait_until("it is tried again", || subscriber.status().counts.reconnects >= 2);
    let status = subscriber.stop(STOP);
    assert!(status.last_trouble.is_some_and(|cause| cause.contains("refused")) && !status.is_connected);
    start(with("right"), &log).stop(STOP);
}

#[test]
fn a_broker_over_tls_is_trusted_by_its_authority_only() {
    let directory = TempDir::new().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
        .expect("a certificate");
    std::fs::write(path("cert.pem"), certified.cert.pem()).expect("a file");
    std::fs::write(path("key.pem"), certified.signing_key.serialize_pem()).expect("a file");
    let ca_path = Some(path("cert.pem"));
    let settings = format!(
        "allow_anonymous true\ncertfile {}\nkeyfile {}",
        path("cert.pem").display(),
        path("key.pem").display()
    );
    let broker = Mosquitto::start_in(directory, &settings);
    let log = FakeLog::instant();
    let secure = |tls: BrokerTls| SubscriberConfig {
        url: format!("mqtts://{}", broker.address()).parse().expect("an address"),
        tls,
        ..config(broker.address())
    };
    let missing = SubscriberConfig {
        tls: BrokerTls { ca_path: Some("/nowhere.pem".into()), client: None },
        ..secure(BrokerTls::default())
    };
    assert!(matches!(MqttSubscriber::start(missing, log.clone()), Err(SubscriberError::Tls(_))));
    start(secure(BrokerTls { ca_path, client: None }), &log).stop(STOP);
}

#[test]
fn qos_0_can_be_asked_for() {
    let broker = Mosquitto::start("");
    let log = FakeLog::instant();
    let subscriber =
        start(SubscriberConfig { qos: SubscriptionQos::AtMostOnce, ..config(broker.address()) }, &log);
    publish(&broker, &numbers(0..3));
    assert!(log.wait_pushed(3).iter().all(|message| message.packet_id.is_none()));
    assert_eq!(subscriber.stop(STOP).counts.received, [3, 0]);
}
