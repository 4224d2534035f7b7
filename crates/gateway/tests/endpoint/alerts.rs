//! SUBSCRIBE: what is granted, what fires now, what happens next.

use urban_neuron_gateway::{AlertBoard, AlertBoardLimits};

use super::fake_log::FakeLog;
use super::raw_client::{Connect, RawClient, Said, packet, subscribe, text};
use super::server::{Server, Setup};

const ALERTS: &str = "urban-neuron/v1/alerts/#";
const TOPIC: &str = "urban-neuron/v1/alerts/water/critical/d1/r1";

fn v5<'a>() -> Connect<'a> {
    Connect { level: 5, ..Connect::default() }
}

fn suback(client: &mut RawClient) -> Vec<u8> {
    let said = client.read();
    assert_eq!(said.kind(), 9, "{said:?}");
    said.body
}

#[test]
fn only_alerts_may_be_subscribed_to() {
    let cases: [(&str, u8, u8); 9] = [
        (ALERTS, 0, 0),
        ("urban-neuron/v1/alerts/+/critical/#", 1, 1),
        (TOPIC, 2, 1),
        ("#", 0, 0x87),
        ("urban-neuron/v1/devices/+/telemetry", 0, 0x87),
        ("urban-neuron/+/alerts/#", 0, 0x87),
        ("$SYS/#", 0, 0x87),
        ("$share/g/urban-neuron/v1/alerts/#", 0, 0x9e),
        ("urban-neuron/v1/alerts/#/x", 0, 0x8f),
    ];
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let mut client = RawClient::connected(server.address, &v5());
    let mut old = RawClient::connected(server.address, &Connect { client_id: "old", ..Connect::default() });
    for (filter, qos, code) in cases {
        client.send(&subscribe(3, filter, qos, Some(&[])));
        assert_eq!(suback(&mut client), [0, 3, 0, code], "{filter}");
        old.send(&subscribe(3, filter, qos, None));
        assert_eq!(suback(&mut old), [0, 3, code.min(0x80)], "{filter}");
    }
}

#[test]
fn one_subscribe_with_several_filters_is_answered_in_order() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let mut client = RawClient::connected(server.address, &Connect::default());
    let mut body = vec![0, 9];
    for (filter, qos) in [("#", 0), (ALERTS, 1), ("x", 1)] {
        body.extend(text(filter));
        body.push(qos);
    }
    client.send(&packet(0x82, &body));
    assert_eq!(suback(&mut client), [0, 9, 0x80, 1, 0x80]);
}

#[test]
fn what_fires_now_comes_first() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    server.board.publish(TOPIC, "1".into(), true, Vec::new());
    server.board.publish(TOPIC, "2".into(), true, Vec::new());
    server.board.publish("urban-neuron/v1/alerts/water/info/d2/r1", "gone".into(), true, Vec::new());
    server.board.publish("urban-neuron/v1/alerts/water/info/d2/r1", "".into(), true, Vec::new());
    let mut client = RawClient::connected(server.address, &Connect::default());
    client.send(&subscribe(1, ALERTS, 0, None));
    assert_eq!(suback(&mut client), [0, 1, 0]);
    assert_eq!(client.read().publish_v311(), (TOPIC.to_owned(), b"2".to_vec(), true));
    server.board.publish(TOPIC, "3".into(), true, Vec::new());
    assert_eq!(client.read().publish_v311(), (TOPIC.to_owned(), b"3".to_vec(), false));
    server.board.publish(TOPIC, "".into(), true, Vec::new());
    assert_eq!(client.read().publish_v311(), (TOPIC.to_owned(), Vec::new(), false));
    client.expect_silence();
}

#[test]
fn properties_of_a_delivery_in_5_0() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let mut client = RawClient::connected(server.address, &v5());
    client.send(&subscribe(1, ALERTS, 1 | 8, Some(&[0x0b, 0x80, 0x01])));
    assert_eq!(suback(&mut client), [0, 1, 0, 1]);
    server.board.publish(TOPIC, "x".into(), true, vec![("ce_id".into(), "a/raised".into())]);
    let said = client.read();
    assert_eq!(said.first, 0x33, "QoS 1, retain as published");
    let mut body = text(TOPIC);
    body.extend_from_slice(&[0, 1, 21, 0x0b, 0x80, 0x01, 0x26]);
    body.extend(text("ce_id"));
    body.extend(text("a/raised"));
    body.push(b'x');
    assert_eq!(said.body, body);
}

#[test]
fn retain_handling() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    server.board.publish(TOPIC, "1".into(), true, Vec::new());
    let mut client = RawClient::connected(server.address, &v5());
    // Options, and whether what fires now is sent: 2 never, 1 only for a new subscription, 0 always.
    for (options, is_sent) in [(0x20, false), (0x10, false), (0x00, true)] {
        client.send(&subscribe(1, ALERTS, options, Some(&[])));
        suback(&mut client);
        if is_sent {
            assert_eq!(client.read().kind(), 3);
        }
        client.expect_silence();
    }
    client.send(&subscribe(1, TOPIC, 0x10, Some(&[])));
    suback(&mut client);
    assert_eq!(client.read().kind(), 3);
}

#[test]
fn unsubscribe_ends_it() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let mut client = RawClient::connected(server.address, &v5());
    client.send(&subscribe(1, ALERTS, 0, Some(&[])));
    suback(&mut client);
    let mut body = vec![0, 2, 0];
    body.extend(text(ALERTS));
    body.extend(text("unknown"));
    client.send(&packet(0xa2, &body));
    assert_eq!(client.read(), Said { first: 0xb0, body: vec![0, 2, 0, 0, 0x11] });
    server.board.publish(TOPIC, "x".into(), true, Vec::new());
    client.expect_silence();
}

#[test]
fn nobody_is_answered_before_the_board_is_live() {
    let log = FakeLog::instant();
    let setup = Setup { board: AlertBoard::default(), ..Setup::default() };
    let server = setup.start(&log);
    let mut client = RawClient::connected(server.address, &Connect::default());
    client.send(&subscribe(1, ALERTS, 0, None));
    client.expect_silence();
    server.board.publish(TOPIC, "1".into(), true, Vec::new());
    client.expect_silence();
    server.board.set_live(true);
    assert_eq!(suback(&mut client), [0, 1, 0]);
    assert_eq!(client.read().publish_v311(), (TOPIC.to_owned(), b"1".to_vec(), true));
}

#[test]
fn too_many_waiting_subscribes_are_refused() {
    let log = FakeLog::instant();
    let mut setup = Setup::with(|config| config.subscribes_waiting_max = 2);
    setup.board = AlertBoard::default();
    let server = setup.start(&log);
    let mut client = RawClient::connected(server.address, &v5());
    for id in 1..=3 {
        client.send(&subscribe(id, ALERTS, 0, Some(&[])));
    }
    assert_eq!(client.read().body[0], 0x97);
}

#[test]
fn filters_of_a_session_are_bounded() {
    let log = FakeLog::instant();
    let server = Setup::with(|config| config.subscriptions_max = 2).start(&log);
    let mut client = RawClient::connected(server.address, &v5());
    for (n, code) in [(1, 0), (2, 0), (1, 0), (3, 0x97)] {
        client.send(&subscribe(n, &format!("urban-neuron/v1/alerts/{n}"), 0, Some(&[])));
        assert_eq!(suback(&mut client)[3], code, "filter {n}");
    }
}

#[test]
fn qos_1_deliveries_wait_for_the_client() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    // Receive maximum 2.
    let mut client = RawClient::connected(server.address, &Connect { properties: vec![0x21, 0, 2], ..v5() });
    client.send(&subscribe(1, ALERTS, 1, Some(&[])));
    suback(&mut client);
    for n in 0..4 {
        server.board.publish(TOPIC, format!("{n}").into(), false, Vec::new());
    }
    let ids: Vec<Said> = (0..2).map(|_| client.read()).collect();
    client.expect_silence();
    assert!(ids.iter().zip(["0", "1"]).all(|(said, payload)| said.body.ends_with(payload.as_bytes())));
    let id_at = 2 + TOPIC.len();
    for said in &ids {
        client.send(&packet(0x40, &said.body[id_at..id_at + 2]));
    }
    let rest: Vec<Said> = (0..2).map(|_| client.read()).collect();
    assert!(rest.iter().zip(["2", "3"]).all(|(said, payload)| said.body.ends_with(payload.as_bytes())));
}

#[test]
fn a_slow_subscriber_is_disconnected() {
    let log = FakeLog::instant();
    let board = AlertBoard::new(AlertBoardLimits { queue_messages_max: 3, ..AlertBoardLimits::default() });
    board.set_live(true);
    let server = Setup { board, ..Setup::default() }.start(&log);
    let mut client = RawClient::connected(server.address, &Connect { properties: vec![0x21, 0, 1], ..v5() });
    client.send(&subscribe(1, ALERTS, 1, Some(&[])));
    suback(&mut client);
    for n in 0..10 {
        server.board.publish(TOPIC, format!("{n}").into(), false, Vec::new());
    }
    let said = client.read_to_end();
    assert_eq!(said.last().map(|said| (said.kind(), said.body[0])), Some((14, 0x97)), "{said:?}");
}

#[test]
fn an_alert_over_the_clients_packet_size_is_left_out() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let mut client =
        RawClient::connected(server.address, &Connect { properties: vec![0x27, 0, 0, 0, 100], ..v5() });
    client.send(&subscribe(1, ALERTS, 0, Some(&[])));
    suback(&mut client);
    server.board.publish(TOPIC, vec![b'x'; 200].into(), false, Vec::new());
    server.board.publish(TOPIC, "small".into(), false, Vec::new());
    assert!(client.read().body.ends_with(b"small"));
}

#[test]
fn every_thread_is_served() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let names: Vec<String> = (0..6).map(|n| n.to_string()).collect();
    let mut clients: Vec<RawClient> = names
        .iter()
        .map(|name| {
            let mut client =
                RawClient::connected(server.address, &Connect { client_id: name, ..Connect::default() });
            client.send(&subscribe(1, ALERTS, 0, None));
            suback(&mut client);
            client
        })
        .collect();
    for n in 0..100 {
        server.board.publish(TOPIC, n.to_string().into(), false, Vec::new());
    }
    for client in &mut clients {
        for n in 0..100 {
            assert_eq!(client.read().publish_v311().1, n.to_string().as_bytes());
        }
    }
}
