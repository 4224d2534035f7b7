//! Sessions: durable before the CONNACK, taken over, expired; and wills.

use std::time::Duration;

use model::proto::{Session, SessionFilter};

use super::fake_log::FakeLog;
use super::raw_client::{Connect, DISCONNECT, RawClient, Said, packet, publish, subscribe};
use super::server::{Server, Setup};

const ALERTS: &str = "urban-neuron/v1/alerts/#";

fn expiry(seconds: u32) -> Vec<u8> {
    let mut properties = vec![0x11];
    properties.extend_from_slice(&seconds.to_be_bytes());
    properties
}

fn v5(client_id: &str, is_clean: bool, expiry_seconds: u32) -> Connect<'_> {
    Connect { level: 5, client_id, is_clean, properties: expiry(expiry_seconds), ..Connect::default() }
}

#[test]
fn a_persistent_session_is_durable_before_its_connack() {
    let log = FakeLog::held();
    let server = Server::start(&log);
    let mut client = RawClient::open(server.address);
    client.send(&Connect { is_clean: false, client_id: "p", ..Connect::default() }.encode());
    log.wait_session("p", |session| session.is_some_and(|session| session.disconnected_at_us == 0));
    assert!(client.is_silent_for(Duration::from_millis(30)));
    log.release();
    assert_eq!(client.read(), Said { first: 0x20, body: vec![0, 0] });
}

#[test]
fn a_clean_session_leaves_no_record() {
    let log = FakeLog::held();
    let server = Server::start(&log);
    let client = RawClient::connected(server.address, &Connect::default());
    drop(client);
    let client = RawClient::connected(server.address, &v5("c", true, 0));
    drop(client);
    assert_eq!(log.sessions(), []);
}

#[test]
fn filters_are_durable_before_the_suback_and_come_back() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let persistent = v5("p", false, 100);
    let mut client = RawClient::connected(server.address, &persistent);
    log.hold();
    client.send(&subscribe(1, ALERTS, 1 | 8, Some(&[0x0b, 5])));
    log.wait_session("p", |session| session.is_some_and(|session| session.filters.len() == 1));
    client.expect_silence();
    log.release();
    assert_eq!(client.read(), Said { first: 0x90, body: vec![0, 1, 0, 1] });
    let filter = &log.stored("p").unwrap().filters[0];
    let expected = SessionFilter {
        filter: ALERTS.to_owned(),
        qos: 1,
        retain_as_published: true,
        subscription_identifier: 5,
        retain_handling: 0,
    };
    assert_eq!(*filter, expected);
    drop(client);
    log.wait_session("p", |session| session.is_some_and(|session| session.disconnected_at_us > 0));
    let (mut client, connack) = RawClient::connect(server.address, &persistent);
    assert_eq!(connack[0], 1, "session present");
    server.board.publish("urban-neuron/v1/alerts/a", "x".into(), false, Vec::new());
    assert_eq!(client.read().kind(), 3);
}

#[test]
fn stored_sessions_are_present_after_a_restart() {
    let log = FakeLog::instant();
    let filter = SessionFilter { filter: ALERTS.to_owned(), qos: 0, ..SessionFilter::default() };
    let session = Session { expiry_seconds: 100, disconnected_at_us: 0, filters: vec![filter] };
    let setup = Setup { sessions: vec![("p".to_owned(), session)], ..Setup::default() };
    setup.board.publish("urban-neuron/v1/alerts/a", "now".into(), true, Vec::new());
    let server = setup.start(&log);
    let (mut client, connack) = RawClient::connect(
        server.address,
        &Connect { is_clean: false, client_id: "p", ..Connect::default() },
    );
    assert_eq!(connack, [1, 0]);
    let (topic, payload, is_retain) = client.read().publish_v311();
    assert_eq!((topic.as_str(), &payload[..], is_retain), ("urban-neuron/v1/alerts/a", &b"now"[..], true));
}

#[test]
fn a_clean_start_ends_the_session_before() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    drop(RawClient::connected(server.address, &v5("p", false, 100)));
    let (client, connack) = RawClient::connect(server.address, &v5("p", true, 0));
    assert_eq!(connack[0], 0);
    assert_eq!(log.stored("p"), None);
    drop(client);
    let (_, connack) = RawClient::connect(server.address, &v5("p", false, 100));
    assert_eq!(connack[0], 0, "nothing of it is left");
}

#[test]
fn a_disconnect_may_end_the_session_but_not_begin_one() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let mut client = RawClient::connected(server.address, &v5("p", false, 100));
    let mut body = vec![0, 5];
    body.extend(expiry(0));
    client.send(&packet(0xe0, &body));
    assert_eq!(client.read_to_end(), []);
    log.wait_session("p", |session| session.is_none());
    let (mut client, connack) = RawClient::connect(server.address, &v5("p", false, 0));
    assert_eq!(connack[0], 0);
    let mut body = vec![0, 5];
    body.extend(expiry(10));
    client.send(&packet(0xe0, &body));
    assert_eq!(client.read().body[0], 0x82);
}

#[test]
fn sessions_expire_with_a_tombstone() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let mut client = RawClient::connected(server.address, &v5("p", false, 1));
    client.send(&DISCONNECT);
    log.wait_session("p", |session| session.is_none());
    let (_, connack) = RawClient::connect(server.address, &v5("p", false, 1));
    assert_eq!(connack[0], 0);
}

#[test]
fn the_longest_expiry_is_the_servers() {
    let log = FakeLog::instant();
    let server = Setup::with(|config| config.session_expiry_max = Duration::from_secs(60)).start(&log);
    let (_client, connack) = RawClient::connect(server.address, &v5("p", false, u32::MAX));
    assert!(connack.windows(5).any(|window| window == [0x11, 0, 0, 0, 60]), "{connack:?}");
    assert_eq!(log.stored("p").unwrap().expiry_seconds, 60);
    let _other = RawClient::connected(
        server.address,
        &Connect { is_clean: false, client_id: "q", ..Connect::default() },
    );
    assert_eq!(log.stored("q").unwrap().expiry_seconds, 60, "3.1.1 sessions persist as long as they may");
}

#[test]
fn a_takeover_closes_the_older_connection_and_its_acks() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let mut older = RawClient::connected(server.address, &v5("p", false, 100));
    log.hold();
    older.send(&publish(1, 1, "t", b"x", Some(&[])));
    log.wait_pushed(1);
    log.wait_flushed();
    let mut newer = RawClient::open(server.address);
    newer.send(&v5("p", false, 100).encode());
    let said = older.read_to_end();
    assert_eq!(said, [Said { first: 0xe0, body: vec![0x8e, 0] }]);
    log.release();
    assert_eq!(newer.read().body[..2], [1, 0]);
    newer.expect_silence();
    server.wait_counts(|counts| counts.abandoned == 1 && counts.acknowledged == 0);
}

#[test]
fn many_takeovers_at_once_leave_one() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let mut clients: Vec<RawClient> = (0..20)
        .map(|_| {
            let mut client = RawClient::open(server.address);
            client.send(&v5("p", false, 100).encode());
            client
        })
        .collect();
    let connacks = clients.iter_mut().map(|client| client.read()).filter(|said| said.first == 0x20).count();
    assert_eq!(connacks, 20, "everyone was let in, one after the other");
    let mut open = 0;
    for client in &mut clients {
        if client.is_silent_for(Duration::from_millis(20)) {
            open += 1;
        }
    }
    assert_eq!(open, 1);
}

#[test]
fn client_ids_are_assigned() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let (mut client, connack) = RawClient::connect(server.address, &v5("", true, 0));
    assert!(connack.windows(7).any(|window| window == b"\x00\x25auto-"), "{connack:?}");
    client.send(&publish(1, 1, "t", b"x", Some(&[])));
    let mut other = RawClient::connected(server.address, &Connect { client_id: "", ..Connect::default() });
    other.send(&publish(1, 1, "t", b"x", None));
    let pushed = log.wait_pushed(2);
    assert!(pushed.iter().all(|message| message.publisher.starts_with("auto-")));
    assert_ne!(pushed[0].publisher, pushed[1].publisher);
    let nameless = Connect { client_id: "", is_clean: false, ..Connect::default() };
    assert_eq!(RawClient::connect(server.address, &nameless).1, [0, 2], "3.1.1 must be clean for it");
}

fn with_will(level: u8, client_id: &str, properties: Vec<u8>, will_properties: Vec<u8>) -> Connect<'_> {
    let is_clean = properties.is_empty();
    Connect {
        level,
        client_id,
        is_clean,
        properties,
        will: Some(("state/c", b"offline", will_properties)),
        ..Connect::default()
    }
}

fn will_delay(seconds: u32) -> Vec<u8> {
    let mut properties = vec![0x18];
    properties.extend_from_slice(&seconds.to_be_bytes());
    properties
}

fn is_will_only(log: &FakeLog) -> bool {
    let pushed = log.wait_pushed(1);
    pushed.len() == 1 && pushed[0].is_will && pushed[0].topic == "state/c" && pushed[0].payload == b"offline"
}

#[test]
fn a_will_is_published_when_the_connection_is_lost() {
    for level in [4, 5] {
        let log = FakeLog::instant();
        let server = Server::start(&log);
        drop(RawClient::connected(server.address, &with_will(level, "c", Vec::new(), Vec::new())));
        assert!(is_will_only(&log), "level {level}");
        assert_eq!(log.pushed()[0].publisher, "c");
        assert_eq!(server.counts().received, [1, 0, 0]);
    }
}

#[test]
fn a_will_is_published_when_the_client_errs_and_when_it_asks_for_it() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let mut client = RawClient::connected(server.address, &with_will(5, "c", Vec::new(), Vec::new()));
    client.send(&packet(0xe0, &[4]));
    assert!(is_will_only(&log));
    let mut client = RawClient::connected(server.address, &with_will(5, "c", Vec::new(), Vec::new()));
    client.send(&packet(0x36, b"qos 3"));
    log.wait_pushed(2);
}

#[test]
fn a_disconnect_drops_the_will() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let mut client = RawClient::connected(server.address, &with_will(4, "c", Vec::new(), Vec::new()));
    client.send(&DISCONNECT);
    assert_eq!(client.read_to_end(), []);
    // A takeover of the same id comes after whatever the older connection left.
    drop(RawClient::connected(server.address, &with_will(4, "c", Vec::new(), Vec::new())));
    assert!(is_will_only(&log));
}

#[test]
fn a_takeover_publishes_the_will() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let _older = RawClient::connected(server.address, &with_will(4, "c", Vec::new(), Vec::new()));
    let _newer = RawClient::connected(server.address, &Connect { client_id: "c", ..Connect::default() });
    assert!(is_will_only(&log));
}

#[test]
fn a_will_waits_for_its_delay_or_the_end_of_the_session() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    // The delay is shorter than the session.
    let delayed = with_will(5, "c", expiry(100), will_delay(1));
    drop(RawClient::connected(server.address, &delayed));
    log.wait_session("c", |session| session.is_some_and(|session| session.disconnected_at_us > 0));
    assert_eq!(log.pushed(), []);
    assert!(is_will_only(&log));
    // Back in time: no will. Then the session ends before the delay.
    let resumed = with_will(5, "d", expiry(1), will_delay(100));
    drop(RawClient::connected(server.address, &resumed));
    log.wait_session("d", |session| session.is_some_and(|session| session.disconnected_at_us > 0));
    let (client, connack) = RawClient::connect(server.address, &resumed);
    assert_eq!(connack[0], 1);
    drop(client);
    log.wait_session("d", |session| session.is_none());
    assert_eq!(log.wait_pushed(2)[1].publisher, "d");
    assert_eq!(log.pushed().len(), 2);
}

#[test]
fn a_clean_start_publishes_the_will_of_the_session_it_ends() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    drop(RawClient::connected(server.address, &with_will(5, "c", expiry(100), will_delay(100))));
    let _client = RawClient::connected(server.address, &v5("c", true, 0));
    assert!(is_will_only(&log));
}
