//! Acknowledgements: never before the log has it, in order, once.

use std::time::Duration;

use super::fake_log::FakeLog;
use super::raw_client::{Connect, RawClient, Said, packet, publish};
use super::server::{Server, Setup, eventually};

fn pubrel(packet_id: u16) -> Vec<u8> {
    packet(0x62, &packet_id.to_be_bytes())
}

fn answers(client: &mut RawClient, count: usize) -> Vec<(u8, u16)> {
    (0..count).map(|_| client.read()).map(|said| (said.kind(), said.packet_id())).collect()
}

#[test]
fn acks_leave_when_durable_and_in_order() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let mut client = RawClient::connected(server.address, &Connect::default());
    log.hold();
    let bytes: Vec<u8> = [(1, 3), (2, 1), (1, 2), (2, 9)]
        .into_iter()
        .flat_map(|(qos, id)| publish(qos, id, "t", b"x", None))
        .collect();
    client.send(&bytes);
    let pushed = log.wait_pushed(4);
    assert_eq!(
        pushed.iter().map(|message| message.packet_id).collect::<Vec<_>>(),
        [Some(3), Some(1), Some(2), Some(9)]
    );
    log.wait_flushed();
    client.expect_silence();
    log.release();
    assert_eq!(answers(&mut client, 4), [(4, 3), (5, 1), (4, 2), (5, 9)]);
    server.wait_counts(|counts| counts.acknowledged == 4 && counts.received == [0, 2, 2]);
}

#[test]
fn what_is_durable_leaves_and_the_rest_waits() {
    let log = FakeLog::held();
    let server = Server::start(&log);
    let mut client = RawClient::connected(server.address, &Connect::default());
    client.send(&publish(1, 1, "t", b"x", None));
    log.wait_pushed(1);
    log.wait_flushed();
    client.send(&publish(1, 2, "t", b"x", None));
    log.wait_pushed(2);
    log.wait_flushed();
    client.expect_silence();
    log.release_flushed();
    assert_eq!(answers(&mut client, 2), [(4, 1), (4, 2)]);
    client.send(&publish(1, 3, "t", b"x", None));
    log.wait_pushed(3);
    client.expect_silence();
}

#[test]
fn a_flush_goes_out_though_the_one_before_it_is_not_durable() {
    let log = FakeLog::held();
    let server = Server::start(&log);
    let mut client = RawClient::connected(server.address, &Connect::default());
    for id in 1..=20 {
        client.send(&publish(1, id, "t", b"x", None));
        log.wait_pushed(usize::from(id));
        log.wait_flushed();
    }
    log.release();
    assert_eq!(answers(&mut client, 20).len(), 20);
}

#[test]
fn the_message_is_handed_on_whole() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let connect = Connect { level: 5, client_id: "gateway-7", ..Connect::default() };
    let mut client = RawClient::connected(server.address, &connect);
    // Content type `a/b`, and a user property that is taken and not used.
    let properties = b"\x03\x00\x03a/b\x26\x00\x01k\x00\x01v";
    let mut dup = publish(1, 5, "$oc/devices/x", b"\x00\xffpayload", Some(properties));
    dup[0] |= 0x08 | 0x01;
    client.send(&dup);
    client.send(&publish(0, 0, "t", b"", Some(&[])));
    let pushed = log.wait_pushed(2);
    let first = &pushed[0];
    assert_eq!((first.topic.as_str(), &first.payload[..]), ("$oc/devices/x", &b"\x00\xffpayload"[..]));
    assert_eq!((first.publisher.as_str(), first.content_type.as_str()), ("gateway-7", "a/b"));
    assert_eq!((first.packet_id, first.is_redelivered, first.is_will), (Some(5), true, false));
    assert!(first.received_at_us > 1_600_000_000_000_000);
    assert_eq!((pushed[1].packet_id, pushed[1].payload.len()), (None, 0));
    server.wait_counts(|counts| counts.received == [1, 1, 0] && counts.acknowledged == 1);
}

#[test]
fn packets_arrive_in_any_pieces() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let mut client = RawClient::connected(server.address, &Connect::default());
    let large = vec![b'x'; 300_000];
    let mut bytes = publish(1, 1, "t", b"small", None);
    bytes.extend(publish(1, 2, "t", &large, None));
    bytes.extend(publish(1, 3, "t", b"small", None));
    let (head, tail) = bytes.split_at(40);
    for byte in head {
        client.send(&[*byte]);
    }
    for piece in tail.chunks(70_001) {
        client.send(piece);
    }
    assert_eq!(answers(&mut client, 3), [(4, 1), (4, 2), (4, 3)]);
    assert_eq!(log.pushed()[1].payload, large);
}

#[test]
fn qos_2_is_taken_once() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let mut client = RawClient::connected(server.address, &Connect::default());
    let mut dup = publish(2, 7, "t", b"x", None);
    client.send(&dup);
    assert_eq!(answers(&mut client, 1), [(5, 7)]);
    dup[0] |= 8;
    client.send(&dup);
    client.send(&dup);
    assert_eq!(answers(&mut client, 2), [(5, 7), (5, 7)]);
    client.send(&pubrel(7));
    client.send(&pubrel(7));
    assert_eq!(answers(&mut client, 2), [(7, 7), (7, 7)]);
    assert_eq!(log.pushed().len(), 1);
    client.send(&publish(2, 7, "t", b"y", None));
    assert_eq!(answers(&mut client, 1), [(5, 7)]);
    assert_eq!(log.pushed().len(), 2, "the id is free after PUBCOMP");
    assert_eq!(server.counts().received, [0, 0, 2]);
}

#[test]
fn a_qos_2_repeat_is_not_answered_before_the_first_is_durable() {
    let log = FakeLog::held();
    let server = Server::start(&log);
    let mut client = RawClient::connected(server.address, &Connect::default());
    let mut bytes = publish(2, 7, "t", b"x", None);
    bytes.extend(publish(2, 7, "t", b"x", None));
    client.send(&bytes);
    log.wait_pushed(1);
    log.wait_flushed();
    client.expect_silence();
    log.release();
    assert_eq!(answers(&mut client, 2), [(5, 7), (5, 7)]);
    assert_eq!(log.pushed().len(), 1);
}

#[test]
fn an_unknown_pubrel_is_said_in_5_0() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let mut client = RawClient::connected(server.address, &Connect { level: 5, ..Connect::default() });
    client.send(&pubrel(9));
    assert_eq!(client.read(), Said { first: 0x70, body: vec![0, 9, 0x92] });
}

#[test]
fn qos_2_survives_the_connection() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let persistent = Connect { is_clean: false, client_id: "p", ..Connect::default() };
    let mut client = RawClient::connected(server.address, &persistent);
    log.hold();
    client.send(&publish(2, 7, "t", b"x", None));
    log.wait_pushed(1);
    drop(client);
    // The newcomer is not let in before what the older one left is durable.
    let mut client = RawClient::open(server.address);
    client.send(&persistent.encode());
    assert!(client.is_silent_for(Duration::from_millis(50)));
    log.release();
    assert_eq!(client.read().body, [1, 0]);
    let mut dup = publish(2, 7, "t", b"x", None);
    dup[0] |= 8;
    client.send(&dup);
    assert_eq!(answers(&mut client, 1), [(5, 7)]);
    client.send(&pubrel(7));
    assert_eq!(answers(&mut client, 1), [(7, 7)]);
    assert_eq!(log.pushed().len(), 1);
    assert_eq!(server.counts().abandoned, 1);
}

#[test]
fn sockets_are_not_read_while_there_is_no_room() {
    let log = FakeLog::instant();
    let server = Setup::with(|config| config.packet_timeout = Duration::from_millis(1)).start(&log);
    let keep_alive = Connect { keep_alive: 1, ..Connect::default() };
    let mut client = RawClient::connected(server.address, &keep_alive);
    log.set_full(true);
    // The endpoint reads what it had begun to; the next is left in the socket.
    client.send(&publish(1, 1, "t", b"x", None));
    client.send(&publish(1, 2, "t", b"x", None));
    assert!(client.is_silent_for(Duration::from_millis(1800)), "the keep-alive is not enforced meanwhile");
    assert_eq!(log.pushed().len(), 0);
    log.set_full(false);
    assert_eq!(answers(&mut client, 2), [(4, 1), (4, 2)]);
}

#[test]
fn a_client_of_3_1_1_is_read_up_to_the_receive_maximum() {
    let log = FakeLog::held();
    let server = Setup::with(|config| config.receive_maximum = 10).start(&log);
    let mut client = RawClient::connected(server.address, &Connect::default());
    for id in 1..=100 {
        client.send(&publish(1, id, "t", b"x", None));
    }
    log.wait_pushed(10);
    log.wait_flushed();
    assert!(client.is_silent_for(Duration::from_millis(50)));
    assert_eq!(log.pushed().len(), 10);
    log.release();
    assert_eq!(answers(&mut client, 100).last(), Some(&(4, 100)));
}

#[test]
fn a_failed_log_closes_without_an_answer_and_goes_on() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let connect = Connect { level: 5, will: Some(("will", b"gone", Vec::new())), ..Connect::default() };
    let mut client = RawClient::connected(server.address, &connect);
    log.hold();
    client.send(&publish(1, 1, "t", b"x", Some(&[])));
    client.send(&publish(1, 2, "t", b"x", Some(&[])));
    log.wait_pushed(2);
    log.wait_flushed();
    log.fail();
    assert_eq!(client.read_to_end(), []);
    server.wait_counts(|counts| counts.abandoned == 2 && counts.acknowledged == 0);
    log.release();
    let mut client = RawClient::reconnected(server.address, &connect);
    client.send(&publish(1, 1, "t", b"x", Some(&[])));
    assert_eq!(answers(&mut client, 1), [(4, 1)]);
    assert_eq!(log.pushed().iter().filter(|message| message.is_will).count(), 0, "the device is not gone");
}

#[test]
fn stopping_acknowledges_what_becomes_durable() {
    let log = FakeLog::held();
    let server = Server::start(&log);
    let mut client = RawClient::connected(server.address, &Connect { level: 5, ..Connect::default() });
    let mut idle = RawClient::connected(server.address, &Connect { client_id: "idle", ..Connect::default() });
    client.send(&publish(1, 1, "t", b"x", Some(&[])));
    log.wait_pushed(1);
    log.wait_flushed();
    let address = server.address;
    let stopping = server.begin_stop(Duration::from_secs(10));
    assert_eq!(idle.read_to_end(), []);
    client.send(&publish(1, 2, "t", b"x", Some(&[])));
    log.release();
    let said = client.read_to_end();
    assert_eq!(said[0], Said { first: 0x40, body: vec![0, 1] });
    assert_eq!(said[1..], [Said { first: 0xe0, body: vec![0x8b, 0] }]);
    drop((client, idle));
    stopping.join().unwrap();
    assert_eq!(log.pushed().len(), 1, "nothing is read any more");
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn the_deadline_of_a_stop_holds() {
    let log = FakeLog::held();
    let server = Server::start(&log);
    let mut client = RawClient::connected(server.address, &Connect::default());
    client.send(&publish(1, 1, "t", b"x", None));
    log.wait_pushed(1);
    let started = std::time::Instant::now();
    let stopping = server.begin_stop(Duration::from_millis(50));
    assert_eq!(client.read_to_end(), [], "no acknowledgement");
    drop(client);
    stopping.join().unwrap();
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[test]
fn every_message_is_accounted_for() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let mut clients = Vec::new();
    for n in 0..8 {
        let name = format!("c{n}");
        let mut client =
            RawClient::connected(server.address, &Connect { client_id: &name, ..Connect::default() });
        for id in 1..=50 {
            client.send(&publish(u8::from(id % 5 > 0), id, "t", b"x", None));
        }
        clients.push(client);
    }
    log.wait_pushed(400);
    eventually("all acknowledged", || server.counts().acknowledged == 320);
    log.hold();
    for client in &mut clients {
        client.send(&publish(1, 60, "t", b"x", None));
    }
    log.wait_pushed(408);
    drop(clients);
    server.wait_counts(|counts| {
        counts.received == [80, 328, 0] && counts.acknowledged == 320 && counts.abandoned == 8
    });
}
