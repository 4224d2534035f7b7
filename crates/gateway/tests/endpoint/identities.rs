//! Who may publish what and subscribe to what: refused with the standard's words, and never logged.

use std::collections::HashMap;
use std::sync::Arc;

use model::proto::{Session, SessionFilter};
use model::{DeviceRights, SomeDevices};
use urban_neuron_gateway::mqtt::ReasonCode;
use urban_neuron_gateway::mqtt_endpoint::{Admission, Applicant, Authenticator, Identity};

use super::fake_log::FakeLog;
use super::raw_client::{Connect, RawClient, publish, subscribe};
use super::server::{Server, Setup};

/// Users without passwords.
struct People(HashMap<&'static str, Arc<Identity>>);

impl Authenticator for People {
    fn check<'a>(&'a self, applicant: Applicant<'a>) -> Admission<'a> {
        let identity = applicant.username.and_then(|name| self.0.get(name)).cloned();
        Box::pin(std::future::ready(identity.ok_or(ReasonCode::BAD_USER_NAME_OR_PASSWORD)))
    }
}

const ALERTS: &str = "urban-neuron/v1/alerts/#";
const WATER: &str = "urban-neuron/v1/alerts/water/#";

/// A gateway that speaks for devices `own/...`, a reader of alerts on water, and somebody who may do everything.
fn people() -> HashMap<&'static str, Arc<Identity>> {
    let own = SomeDevices { gateway_id: "".into(), patterns: vec!["own/*".into()], may_command: false };
    HashMap::from([
        ("gateway", Arc::new(Identity::new("gateway", DeviceRights::Some(own), Vec::new()))),
        ("reader", Arc::new(Identity::new("reader", DeviceRights::Nothing, vec![WATER.into()]))),
        ("admin", Arc::new(Identity::unrestricted("admin"))),
    ])
}

fn start(log: &FakeLog, people: &HashMap<&'static str, Arc<Identity>>) -> Server {
    Setup { authenticator: Arc::new(People(people.clone())), ..Setup::default() }.start(log)
}

fn connect<'a>(level: u8, user: &'a str) -> Connect<'a> {
    Connect { level, client_id: user, username: Some(user), ..Connect::default() }
}

#[test]
fn a_5_0_client_is_told_message_by_message_in_order() {
    let log = FakeLog::held();
    let server = start(&log, &people());
    let mut client = RawClient::connected(server.address, &connect(5, "gateway"));
    // Nothing waits before it: it is answered at once, though nothing becomes durable.
    client.send(&publish(1, 1, "others/1", b"x", Some(&[])));
    assert_eq!(client.read().body, [0, 1, 0x87]);
    for (qos, id, topic) in
        [(1, 2, "own/1"), (1, 3, "others/1"), (2, 4, "others/1"), (2, 5, "own/2"), (1, 6, "own/3")]
    {
        client.send(&publish(qos, id, topic, b"x", Some(&[])));
    }
    client.send(&publish(0, 0, "others/2", b"x", Some(&[])));
    log.wait_pushed(3);
    client.expect_silence();
    log.release();
    let answers: Vec<_> = (0..5).map(|_| client.read()).map(|said| (said.kind(), said.body)).collect();
    let expected =
        [(4, vec![0, 2]), (4, vec![0, 3, 0x87]), (5, vec![0, 4, 0x87]), (5, vec![0, 5]), (4, vec![0, 6])];
    assert_eq!(answers, expected);
    // The packet id of a refused QoS 2 message is free again.
    client.send(&publish(2, 4, "own/4", b"x", Some(&[])));
    assert_eq!(client.read().body, [0, 4]);
    let topics: Vec<String> = log.pushed().into_iter().map(|message| message.topic).collect();
    assert_eq!(topics, ["own/1", "own/2", "own/3", "own/4"]);
    server.wait_counts(|counts| {
        (counts.received, counts.acknowledged, counts.refused, counts.abandoned) == ([1, 4, 3], 4, 4, 0)
    });
}

#[test]
fn a_3_1_1_client_is_cut_off_rather_than_told_that_it_is_safe() {
    let log = FakeLog::instant();
    let server = start(&log, &people());
    for qos in [1, 2] {
        let mut client = RawClient::connected(server.address, &connect(4, "gateway"));
        client.send(&publish(0, 0, "others/1", b"x", None));
        client.expect_silence();
        client.send(&publish(qos, 7, "others/1", b"x", None));
        assert_eq!(client.read_to_end(), []);
    }
    assert!(log.pushed().is_empty());
    server.wait_counts(|counts| counts.refused == 4 && counts.acknowledged == 0);
}

#[test]
fn a_reader_publishes_nothing_and_a_will_speaks_for_no_other_device() {
    let log = FakeLog::instant();
    let server = start(&log, &people());
    let mut client = RawClient::connected(server.address, &connect(5, "reader"));
    client.send(&publish(1, 1, "own/1", b"x", Some(&[])));
    assert_eq!(client.read().body, [0, 1, 0x87]);
    for topic in ["others/1", "own/1"] {
        let will = Some((topic, b"gone".as_slice(), Vec::new()));
        drop(RawClient::connected(server.address, &Connect { will, ..connect(5, "gateway") }));
    }
    assert_eq!(log.wait_pushed(1)[0].topic, "own/1");
    server.wait_counts(|counts| counts.refused == 2);
}

#[test]
fn subscriptions_stay_within_what_is_allowed() {
    let log = FakeLog::instant();
    let server = start(&log, &people());
    let narrow = "urban-neuron/v1/alerts/water/critical/+/+";
    for (user, filter, is_allowed) in [
        ("reader", WATER, true),
        ("reader", narrow, true),
        ("reader", ALERTS, false),
        ("reader", "urban-neuron/v1/alerts/+/critical/#", false),
        ("reader", "#", false),
        ("gateway", narrow, false),
        ("admin", ALERTS, true),
        ("admin", "#", false),
    ] {
        let mut client = RawClient::connected(server.address, &connect(5, user));
        client.send(&subscribe(1, filter, 1, Some(&[])));
        assert_eq!(client.read().body[3], if is_allowed { 1 } else { 0x87 }, "{user} {filter}");
        let mut client = RawClient::connected(server.address, &connect(4, user));
        client.send(&subscribe(1, filter, 1, None));
        assert_eq!(client.read().body[2], if is_allowed { 1 } else { 0x80 }, "{user} {filter}");
    }
}

#[test]
fn a_session_keeps_only_the_filters_that_are_still_allowed() {
    let log = FakeLog::instant();
    let filter =
        |filter: &str| SessionFilter { filter: filter.to_owned(), qos: 1, ..SessionFilter::default() };
    let session =
        Session { expiry_seconds: 100, filters: vec![filter(ALERTS), filter(WATER)], ..Session::default() };
    let setup = Setup {
        authenticator: Arc::new(People(people())),
        sessions: vec![("reader".to_owned(), session)],
        ..Setup::default()
    };
    let server = setup.start(&log);
    let persistent =
        Connect { is_clean: false, properties: vec![0x11, 0, 0, 0, 100], ..connect(5, "reader") };
    let (_client, connack) = RawClient::connect(server.address, &persistent);
    assert_eq!(connack[..2], [1, 0]);
    let kept: Vec<String> =
        log.stored("reader").unwrap().filters.into_iter().map(|filter| filter.filter).collect();
    assert_eq!(kept, [WATER]);
}

#[test]
fn the_client_id_of_another_user_is_not_taken_over() {
    let log = FakeLog::instant();
    let server = start(&log, &people());
    let mut owner = RawClient::connected(server.address, &connect(5, "admin"));
    let thief = Connect { client_id: "admin", ..connect(5, "gateway") };
    assert_eq!(RawClient::connect(server.address, &thief).1[1], 0x85);
    assert_eq!(RawClient::connect(server.address, &Connect { level: 4, ..thief }).1, [0, 2]);
    owner.expect_silence();
    // Its own user may.
    RawClient::connected(server.address, &connect(5, "admin"));
    assert_eq!(owner.read().body[0], 0x8e);
}

#[test]
fn whoever_is_revoked_loses_the_open_connection() {
    let log = FakeLog::instant();
    let people = people();
    let server = start(&log, &people);
    let will = Some(("own/1", b"gone".as_slice(), Vec::new()));
    let gateway = Connect { will, ..connect(5, "gateway") };
    let mut revoked = RawClient::connected(server.address, &gateway);
    let mut old = RawClient::connected(
        server.address,
        &Connect { client_id: "old", level: 4, ..connect(4, "gateway") },
    );
    let mut other = RawClient::connected(server.address, &connect(5, "admin"));
    people["gateway"].revoke();
    server.wake_connections();
    let last = revoked.read_to_end();
    assert_eq!((last[0].kind(), last[0].body[0]), (14, 0x87));
    assert_eq!(old.read_to_end(), []);
    other.expect_silence();
    // It speaks for no device any more, its will neither.
    assert!(log.pushed().is_empty());
}
