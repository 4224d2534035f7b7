//! Limits and clocks: each is reached, answered as the standard says, and the server goes on.

use std::sync::Arc;
use std::time::Duration;

use model::proto::Session;
use urban_neuron_gateway::mqtt::ReasonCode;
use urban_neuron_gateway::mqtt_endpoint::{Admission, Applicant, Authenticator, Identity};

use super::fake_log::FakeLog;
use super::raw_client::{Connect, PINGREQ, RawClient, packet, publish};
use super::server::{Server, Setup};

const SHORT: Duration = Duration::from_millis(150);

fn v5<'a>() -> Connect<'a> {
    Connect { level: 5, ..Connect::default() }
}

/// The reason of the DISCONNECT that comes last.
fn reason(client: &mut RawClient) -> Option<u8> {
    let said = client.read_to_end().pop()?;
    assert_eq!(said.kind(), 14, "{said:?}");
    Some(said.body[0])
}

#[test]
fn half_a_connect_is_closed_in_time() {
    let log = FakeLog::instant();
    let server = Setup::with(|config| config.connect_timeout = SHORT).start(&log);
    let mut silent = RawClient::open(server.address);
    let mut half = RawClient::open(server.address);
    half.send(&v5().encode()[..10]);
    assert_eq!(silent.read_to_end(), []);
    assert_eq!(half.read_to_end(), []);
    RawClient::connected(server.address, &v5());
}

#[test]
fn half_a_packet_is_closed_in_time() {
    let log = FakeLog::instant();
    let server = Setup::with(|config| config.packet_timeout = SHORT).start(&log);
    let mut client = RawClient::connected(server.address, &Connect { keep_alive: 0, ..v5() });
    client.send(&publish(1, 1, "t", b"whole", Some(&[]))[..7]);
    assert_eq!(reason(&mut client), Some(0x80));
}

#[test]
fn a_silent_client_is_closed_after_its_keep_alive() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let mut client = RawClient::connected(server.address, &Connect { keep_alive: 1, ..v5() });
    let started = std::time::Instant::now();
    assert_eq!(reason(&mut client), Some(0x8d));
    assert!(started.elapsed() >= Duration::from_millis(1400));
}

#[test]
fn the_longest_keep_alive_is_the_servers() {
    let log = FakeLog::instant();
    let server = Setup::with(|config| config.keep_alive_max = Some(Duration::from_secs(1))).start(&log);
    for keep_alive in [0, 600] {
        let (mut client, connack) = RawClient::connect(server.address, &Connect { keep_alive, ..v5() });
        assert!(connack.windows(3).any(|window| window == [0x13, 0, 1]), "{connack:?}");
        assert_eq!(reason(&mut client), Some(0x8d), "keep-alive {keep_alive}");
    }
}

#[test]
fn a_client_that_does_not_read_is_closed() {
    let log = FakeLog::instant();
    let server = Setup::with(|config| config.packet_timeout = SHORT).start(&log);
    let client = RawClient::connected(server.address, &Connect { client_id: "deaf", ..v5() });
    client.stream.set_nonblocking(true).unwrap();
    let pings = PINGREQ.repeat(10_000);
    let mut writer = &client.stream;
    // Until the server has closed: it stops reading when its answers find no place, so the writes stop too.
    super::server::eventually("the connection is closed", || {
        use std::io::Write;
        matches!(writer.write(&pings), Err(error) if error.kind() != std::io::ErrorKind::WouldBlock)
    });
}

#[test]
fn packets_are_bounded() {
    let log = FakeLog::instant();
    let server = Setup::with(|config| config.packet_bytes_max = 1000).start(&log);
    let (mut client, connack) = RawClient::connect(server.address, &v5());
    assert!(connack.windows(5).any(|window| window == [0x27, 0, 0, 3, 0xe8]), "{connack:?}");
    client.send(&publish(1, 1, "t", &[0; 900], Some(&[])));
    assert_eq!(client.read().packet_id(), 1);
    client.send(&publish(1, 2, "t", &[0; 1000], Some(&[])));
    assert_eq!(reason(&mut client), Some(0x95));
    let mut old = RawClient::connected(server.address, &Connect::default());
    old.send(&[0x30, 0xff, 0xff, 0x7f]);
    assert_eq!(old.read_to_end(), []);
    let mut newcomer = RawClient::open(server.address);
    newcomer.send(&[0x10, 0xff, 0xff, 0x7f]);
    assert_eq!(newcomer.read_to_end(), []);
}

#[test]
fn unfinished_packets_are_bounded_over_all_connections() {
    let log = FakeLog::instant();
    let setup = Setup::with(|config| {
        config.threads = 1;
        config.partial_bytes_max = 150_000;
    });
    let server = setup.start(&log);
    let whole = publish(1, 1, "t", &vec![0; 100_000], Some(&[]));
    let mut first = RawClient::connected(server.address, &Connect { client_id: "a", ..v5() });
    let mut second = RawClient::connected(server.address, &Connect { client_id: "b", ..v5() });
    let (head, tail) = whole.split_at(90_000);
    first.send(head);
    second.send(head);
    let first_reason =
        if second.is_silent_for(Duration::from_millis(200)) { reason(&mut first) } else { None };
    match first_reason {
        Some(reason) => {
            assert_eq!(reason, 0x97);
            second.send(tail);
            assert_eq!(second.read().packet_id(), 1);
        }
        None => {
            first.send(tail);
            assert_eq!(first.read().packet_id(), 1);
        }
    }
}

#[test]
fn the_receive_maximum_is_enforced() {
    let log = FakeLog::held();
    let server = Setup::with(|config| config.receive_maximum = 4).start(&log);
    let (mut client, connack) = RawClient::connect(server.address, &v5());
    assert!(connack.windows(3).any(|window| window == [0x21, 0, 4]), "{connack:?}");
    for (qos, id) in [(1, 1), (2, 2), (2, 3), (1, 4), (0, 0)] {
        client.send(&publish(qos, id, "t", b"x", Some(&[])));
    }
    log.wait_pushed(5);
    client.expect_silence();
    client.send(&publish(1, 5, "t", b"x", Some(&[])));
    assert_eq!(reason(&mut client), Some(0x93));
    assert_eq!(log.pushed().len(), 5);
    let counts = server.counts();
    assert_eq!((counts.received, counts.refused, counts.abandoned), ([1, 3, 2], 1, 4));
}

#[test]
fn qos_2_counts_against_the_receive_maximum_until_it_is_complete() {
    let log = FakeLog::instant();
    let server = Setup::with(|config| config.receive_maximum = 2).start(&log);
    let mut client = RawClient::connected(server.address, &v5());
    for id in 1..=2 {
        client.send(&publish(2, id, "t", b"x", Some(&[])));
        assert_eq!(client.read().packet_id(), id);
    }
    client.send(&packet(0x62, &[0, 1]));
    assert_eq!(client.read().packet_id(), 1);
    client.send(&publish(2, 3, "t", b"x", Some(&[])));
    assert_eq!(client.read().packet_id(), 3);
    client.send(&publish(1, 4, "t", b"x", Some(&[])));
    assert_eq!(reason(&mut client), Some(0x93));
}

#[test]
fn topic_aliases() {
    let log = FakeLog::instant();
    let server = Setup::with(|config| config.topic_alias_max = 2).start(&log);
    let (mut client, connack) = RawClient::connect(server.address, &v5());
    assert!(connack.windows(3).any(|window| window == [0x22, 0, 2]), "{connack:?}");
    let alias = |n| [0x23, 0, n];
    for (topic, n) in [("a/b", 1), ("", 1), ("c", 2), ("", 1), ("d", 1), ("", 1), ("", 2)] {
        client.send(&publish(0, 0, topic, b"x", Some(&alias(n))));
    }
    let topics: Vec<String> = log.wait_pushed(7).into_iter().map(|message| message.topic).collect();
    assert_eq!(topics, ["a/b", "a/b", "c", "a/b", "d", "d", "c"]);
    for (topic, n, expected) in [("t", 3, 0x94), ("t", 0, 0x94), ("", 1, 0x82)] {
        let mut client = RawClient::connected(server.address, &Connect { client_id: "other", ..v5() });
        client.send(&publish(0, 0, topic, b"x", Some(&alias(n))));
        assert_eq!(reason(&mut client), Some(expected), "alias {n} for {topic:?}");
    }
}

#[test]
fn connections_are_bounded() {
    let log = FakeLog::instant();
    let server = Setup::with(|config| config.connections_max = 2).start(&log);
    let first = RawClient::connected(server.address, &Connect { client_id: "a", ..v5() });
    let _second = RawClient::connected(server.address, &Connect { client_id: "b", ..v5() });
    assert_eq!(RawClient::open(server.address).read_to_end(), []);
    drop(first);
    super::server::eventually("there is room again", || {
        let mut client = RawClient::open(server.address);
        // The server may close before it has read this.
        use std::io::Write;
        client.stream.write_all(&Connect { client_id: "c", ..v5() }.encode()).is_ok()
            && client.try_read().is_some()
    });
}

#[test]
fn sessions_are_bounded() {
    let log = FakeLog::instant();
    let setup = Setup {
        sessions: vec![("old".to_owned(), Session { expiry_seconds: 100, ..Session::default() })],
        ..Setup::with(|config| config.sessions_max = 1)
    };
    let server = setup.start(&log);
    let persistent = |level| Connect { level, client_id: "new", is_clean: false, ..Connect::default() };
    let expiry = vec![0x11, 0, 0, 0, 9];
    assert_eq!(
        RawClient::connect(server.address, &Connect { properties: expiry, ..persistent(5) }).1[1],
        0x97
    );
    assert_eq!(RawClient::connect(server.address, &persistent(4)).1, [0, 3]);
    assert_eq!(RawClient::connect(server.address, &Connect { client_id: "old", ..persistent(4) }).1, [1, 0]);
    RawClient::connected(server.address, &v5());
}

#[test]
fn client_ids_and_topics_are_bounded() {
    let log = FakeLog::instant();
    let server = Setup::with(|config| {
        config.client_id_bytes_max = 10;
        config.topic_bytes_max = 10;
    })
    .start(&log);
    let long = Connect { client_id: "12345678901", ..v5() };
    assert_eq!(RawClient::connect(server.address, &long).1[1], 0x85);
    assert_eq!(RawClient::connect(server.address, &Connect { level: 4, ..long }).1, [0, 2]);
    let will = Connect { will: Some(("12345678901", b"", Vec::new())), ..v5() };
    assert_eq!(RawClient::connect(server.address, &will).1[1], 0x90);
    let mut client = RawClient::connected(server.address, &v5());
    client.send(&publish(1, 1, "1234567890", b"x", Some(&[])));
    assert_eq!(client.read().packet_id(), 1);
    client.send(&publish(1, 2, "12345678901", b"x", Some(&[])));
    assert_eq!(reason(&mut client), Some(0x90));
    for topic in ["$SYS/x", "$share/x"] {
        let mut client = RawClient::connected(server.address, &v5());
        client.send(&publish(1, 2, topic, b"x", Some(&[])));
        assert_eq!(reason(&mut client), Some(0x90), "{topic}");
    }
    server.wait_counts(|counts| counts.refused == 3 && counts.received == [0, 4, 0]);
}

struct OneUser;

impl Authenticator for OneUser {
    fn check<'a>(&'a self, applicant: Applicant<'a>) -> Admission<'a> {
        let answer = match (applicant.client_id, applicant.username, applicant.password) {
            ("banned", _, _) => Err(ReasonCode::NOT_AUTHORIZED),
            (_, Some("u"), Some(b"p")) => Ok(Arc::new(Identity::unrestricted("u"))),
            _ => Err(ReasonCode::BAD_USER_NAME_OR_PASSWORD),
        };
        Box::pin(std::future::ready(answer))
    }
}

#[test]
fn credentials_are_checked() {
    let log = FakeLog::instant();
    let server = Setup { authenticator: Arc::new(OneUser), ..Setup::default() }.start(&log);
    let cases = [
        ("c", Some("u"), Some("p"), 0, 0),
        ("c", Some("u"), Some("x"), 0x86, 4),
        ("c", None, None, 0x86, 4),
        ("banned", Some("u"), Some("p"), 0x87, 5),
    ];
    for (client_id, username, password, code, old_code) in cases {
        let connect = Connect { client_id, username, password, ..v5() };
        assert_eq!(RawClient::connect(server.address, &connect).1[1], code);
        assert_eq!(RawClient::connect(server.address, &Connect { level: 4, ..connect }).1[1], old_code);
    }
}

#[test]
fn a_log_that_is_gone_refuses_newcomers() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    log.close();
    log.fail();
    let persistent = Connect { is_clean: false, properties: vec![0x11, 0, 0, 0, 9], ..v5() };
    super::server::eventually("it is refused", || {
        RawClient::connect(server.address, &persistent).1[1] == 0x88
    });
}
