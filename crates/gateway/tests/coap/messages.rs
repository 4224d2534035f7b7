//! The message layer: when answers leave, repeats, separate answers, what a failing log does.

use std::time::Duration;

use urban_neuron_gateway::coap::{Code, MessageType};

use super::client::{Client, LOOPBACK_6, Post, Server};
use super::fake_log::FakeLog;

#[test]
fn an_answer_leaves_when_the_message_is_durable_and_not_before() {
    let log = FakeLog::held();
    let server = Server::start(&log);
    let client = Client::connect(server.address);
    client.send(&Post::new(1, b"{\"level\":1}").encode());
    client.send(&Post::new(2, b"{\"level\":2}").encode());
    log.wait_pushed(2);
    log.wait_flushed();
    client.expect_silence();
    log.release();
    for message_id in [1, 2] {
        let answer = client.receive();
        assert_eq!((answer.message_type, answer.code), (MessageType::Acknowledgement, Code::CHANGED));
        assert_eq!((answer.message_id, &answer.token[..]), (message_id, &b"tok"[..]));
        assert_eq!(answer.bytes.len(), 7, "nothing but header and token");
    }
    assert_eq!((server.counts().received, server.counts().answered), (2, 2));
}

#[test]
fn the_message_is_handed_on_as_on_the_mqtt_topic() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let client = Client::connect(server.address);
    client.ask(&Post::new(1, b"{\"level\":1}"));
    let long = ["urban-neuron", "v1", "devices", "well-1", "telemetry"];
    for (at, format) in [None, Some(0), Some(110), Some(112)].into_iter().enumerate() {
        let code = if at % 2 == 0 { Code::PUT } else { Code::POST };
        let post = Post { path: &long, content_format: format, code, ..Post::new(2 + at as u16, b"x") };
        assert_eq!(client.ask(&post).code, Code::CHANGED);
    }
    let pushed = log.wait_pushed(5);
    let types: Vec<_> = pushed.iter().map(|message| message.content_type.as_str()).collect();
    assert_eq!(types, ["application/json", "", "", "application/senml+json", "application/senml+cbor"]);
    for message in &pushed {
        assert_eq!(message.topic, "urban-neuron/v1/devices/well-1/telemetry");
        assert_eq!(message.publisher, "coap");
        assert!(message.is_redelivered, "what an earlier process took may be repeated to this one");
    }
    let mut ids: Vec<_> = pushed.iter().map(|message| message.packet_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5, "each message has an id of its own");
}

#[test]
fn a_repeated_con_is_one_event_and_gets_the_same_bytes_also_while_the_first_is_on_its_way() {
    let log = FakeLog::held();
    let server = Server::start(&log);
    let client = Client::connect(server.address);
    let datagram = Post::new(7, b"{\"level\":1}").encode();
    for _ in 0..3 {
        client.send(&datagram);
    }
    log.wait_pushed(1);
    client.expect_silence();
    log.release();
    let answers: Vec<_> = (0..3).map(|_| client.receive()).collect();
    client.send(&datagram);
    let late = client.receive();
    assert!(answers.iter().all(|answer| *answer == late), "{answers:?}");
    // Another peer with the same message id is another exchange.
    let other = Client::connect(server.address);
    other.send(&datagram);
    assert_eq!(other.receive().bytes, late.bytes);
    assert_eq!(log.pushed().len(), 2);
    assert_eq!(server.counts().repeated, 3);
}

#[test]
fn a_repeated_non_is_one_event_and_is_answered_once() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let client = Client::connect(server.address);
    let post = Post::new(7, b"{\"level\":1}").non();
    let answer = client.ask(&post);
    assert_eq!((answer.message_type, answer.code), (MessageType::NonConfirmable, Code::CHANGED));
    assert_eq!(answer.token, b"tok");
    client.send(&post.encode());
    client.expect_silence();
    assert_eq!(log.pushed().len(), 1);
}

#[test]
fn a_late_answer_comes_apart_and_again_until_it_is_acknowledged() {
    let log = FakeLog::held();
    let server = Server::with(&log, |config| config.separate_after = Duration::from_millis(20));
    let client = Client::connect(server.address);
    let datagram = Post::new(9, b"{\"level\":1}").encode();
    client.send(&datagram);
    let empty = client.receive();
    assert_eq!(empty.bytes, [0x60, 0x00, 0x00, 0x09]);
    client.send(&datagram);
    assert_eq!(client.receive(), empty, "a repeat hears the same");
    log.release();
    let answer = client.receive();
    assert_eq!((answer.message_type, answer.code), (MessageType::Confirmable, Code::CHANGED));
    assert_eq!(answer.token, b"tok");
    assert_eq!(client.receive(), answer, "sent again, since nobody acknowledged it");
    let [high, low] = answer.message_id.to_be_bytes();
    client.send(&[0x60, 0x00, high, low]);
    client.send(&datagram);
    assert_eq!(client.receive(), empty);
    assert_eq!(log.pushed().len(), 1);
}

#[test]
fn no_response_is_silence_but_for_the_acknowledgement_which_waits_for_durability() {
    let log = FakeLog::held();
    let server = Server::with(&log, |config| config.separate_after = Duration::from_millis(1));
    let client = Client::connect(server.address);
    client.send(&Post { no_response: Some(26), ..Post::new(1, b"{}") }.encode());
    client.send(&Post { no_response: Some(2), ..Post::new(2, b"{}").non() }.encode());
    log.wait_pushed(2);
    client.expect_silence();
    log.release();
    assert_eq!(client.receive().bytes, [0x60, 0x00, 0x00, 0x01]);
    client.expect_silence();
    // Only the classes that are named are not wanted.
    let post = Post { no_response: Some(2), path: &["nowhere"], ..Post::new(3, b"{}").non() };
    assert_eq!(client.ask(&post).code, Code::NOT_FOUND);
    let post = Post { no_response: Some(8), path: &["nowhere"], ..Post::new(4, b"{}").non() };
    client.send(&post.encode());
    client.expect_silence();
}

#[test]
fn when_the_log_fails_nothing_is_answered_and_the_repeat_is_taken() {
    let log = FakeLog::held();
    let server = Server::start(&log);
    let client = Client::connect(server.address);
    let datagram = Post::new(5, b"{\"level\":1}").encode();
    client.send(&datagram);
    log.wait_pushed(1);
    log.fail();
    client.expect_silence();
    log.release();
    // The failed intake may not have been replaced yet; a client would repeat as well.
    let answer = loop {
        client.send(&datagram);
        let answer = client.receive();
        if answer.code != Code::SERVICE_UNAVAILABLE {
            break answer;
        }
    };
    assert_eq!(answer.code, Code::CHANGED);
    let pushed = log.pushed();
    assert_eq!(pushed.len(), 2);
    assert_eq!(pushed[0].packet_id, pushed[1].packet_id);
    assert!(pushed[1].is_redelivered);
}

#[test]
fn a_stop_answers_what_becomes_durable() {
    let log = FakeLog::held();
    let server = Server::start(&log);
    let client = Client::connect(server.address);
    client.send(&Post::new(1, b"{\"level\":1}").encode());
    log.wait_pushed(1);
    let stopping = std::thread::spawn(move || server.stop(Duration::from_secs(10)));
    log.release();
    assert_eq!(client.receive().code, Code::CHANGED);
    stopping.join().unwrap();
}

#[test]
fn several_threads_and_both_families_listen() {
    let log = FakeLog::instant();
    let server = Server::with(&log, |config| {
        config.threads = 3;
        config.listen.push(LOOPBACK_6);
    });
    for (at, address) in server.addresses().into_iter().cycle().take(20).enumerate() {
        let client = Client::connect(address);
        assert_eq!(client.ask(&Post::new(at as u16, b"{}")).code, Code::CHANGED, "{address}");
    }
    assert_eq!(log.pushed().len(), 20);
}
