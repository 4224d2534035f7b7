//! What is turned away, and how little is said of it.

use urban_neuron_gateway::coap::{Code, Encoder, MessageType, Token, number};

use super::client::{Client, Post, Server};
use super::fake_log::{BAD_PAYLOAD, FakeLog};

#[test]
fn each_refusal_has_its_code_and_is_no_larger_than_its_request() {
    let log = FakeLog::instant();
    let server = Server::with(&log, |config| config.body_bytes_max = 100);
    let client = Client::connect(server.address);
    let post = |payload| Post::new(0, payload);
    let cases = [
        (Post { path: &["nowhere"], ..post(b"{}") }, Code::NOT_FOUND),
        (Post { path: &["t"], ..post(b"{}") }, Code::NOT_FOUND),
        (Post { path: &[], content_format: None, token: b"", ..post(b"") }, Code::NOT_FOUND),
        (Post { code: Code::GET, path: &[".well-known", "core"], ..post(b"") }, Code::NOT_FOUND),
        (Post { code: Code::GET, ..post(b"") }, Code::METHOD_NOT_ALLOWED),
        (Post { code: Code::DELETE, ..post(b"") }, Code::METHOD_NOT_ALLOWED),
        (Post { code: Code::of(0, 5), ..post(b"") }, Code::METHOD_NOT_ALLOWED),
        (Post { content_format: Some(60), ..post(b"{}") }, Code::UNSUPPORTED_CONTENT_FORMAT),
        (post(&[b'x'; 101]), Code::REQUEST_ENTITY_TOO_LARGE),
    ];
    let count = cases.len() as u64;
    for (at, (post, code)) in cases.into_iter().enumerate() {
        let post = Post { message_id: at as u16, ..post };
        let answer = client.ask(&post);
        assert_eq!((answer.message_type, answer.code), (MessageType::Acknowledgement, code));
        assert_eq!((answer.message_id, &answer.token[..]), (post.message_id, post.token));
        assert!(answer.bytes.len() <= post.encode().len(), "{code}");
        assert_eq!(client.ask(&post), answer, "a repeat hears the same");
    }
    assert_eq!((server.counts().refused, log.pushed().len()), (count, 0));
}

#[test]
fn a_bad_payload_is_kept_and_its_sender_told_why_as_far_as_there_is_room() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let client = Client::connect(server.address);
    let answer = client.ask(&Post { path: &["t", "a-device-of-a-longer-name"], ..Post::new(1, BAD_PAYLOAD) });
    assert_eq!((answer.code, &answer.payload[..]), (Code::BAD_REQUEST, &b"malformed_json"[..]));
    let answer = client.ask(&Post { path: &["t", "d"], ..Post::new(2, BAD_PAYLOAD) });
    assert_eq!((answer.code, &answer.payload[..]), (Code::BAD_REQUEST, &b""[..]));
    assert_eq!(log.pushed().len(), 2);
}

#[test]
fn without_room_a_request_is_told_when_to_come_again() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let client = Client::connect(server.address);
    log.set_full(true);
    let answer = client.ask(&Post::new(1, b"{\"level\":1}"));
    assert_eq!((answer.code, answer.option(number::MAX_AGE)), (Code::SERVICE_UNAVAILABLE, Some(5)));
    let answer = client.ask(&Post::new(2, b"{\"level\":1}").non());
    assert_eq!((answer.message_type, answer.code), (MessageType::NonConfirmable, Code::SERVICE_UNAVAILABLE));
    log.set_full(false);
    assert_eq!(client.ask(&Post::new(3, b"{\"level\":1}")).code, Code::CHANGED);
    assert_eq!(log.pushed().len(), 1);
}

#[test]
fn too_many_in_flight_are_told_as_much() {
    let log = FakeLog::held();
    let server = Server::with(&log, |config| config.in_flight_max = 2);
    let client = Client::connect(server.address);
    client.send(&Post::new(1, b"{}").encode());
    client.send(&Post::new(2, b"{}").encode());
    assert_eq!(client.ask(&Post::new(3, b"{}")).code, Code::SERVICE_UNAVAILABLE);
    log.release();
    assert_eq!([client.receive().code, client.receive().code], [Code::CHANGED; 2]);
}

#[test]
fn what_is_no_message_is_reset_or_passed_over_in_silence() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let client = Client::connect(server.address);
    let reset = |datagram: &[u8]| {
        client.send(datagram);
        assert_eq!(client.receive().bytes, [0x70, 0x00, datagram[2], datagram[3]], "{datagram:02x?}");
    };
    let silence = |datagram: &[u8]| {
        client.send(datagram);
        client.expect_silence();
    };
    // Confirmable: a ping, a token of 9, a nibble of 15, past the end, a marker alone, a reserved code, a response.
    reset(&[0x40, 0x00, 0, 1]);
    reset(&[0x49, 0x02, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    reset(&[0x40, 0x02, 0, 3, 0xf0]);
    reset(&[0x40, 0x02, 0, 4, 0xb5, b't']);
    reset(&[0x40, 0x02, 0, 5, 0xff]);
    reset(&[0x40, 0x20, 0, 6]);
    reset(&[0x40, 0x45, 0, 7]);
    // The same, non-confirmable or acknowledging; too short; of another version.
    for first in [0x50, 0x60, 0x70] {
        silence(&[first | 9, 0x02, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        silence(&[first, 0x02, 0, 3, 0xf0]);
        silence(&[first, 0x45, 0, 7]);
        silence(&[first, 0x00, 0, 8]);
    }
    silence(&[]);
    silence(&[0x40, 0x02, 0]);
    for version in [0x00, 0x80, 0xc0] {
        silence(&[version, 0x02, 0, 1]);
    }
    assert_eq!(log.pushed().len(), 0);
}

#[test]
fn an_unknown_critical_option_is_refused_in_a_con_and_drops_a_non() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let client = Client::connect(server.address);
    let with_option = |message_type, message_id, unknown| {
        let mut out = Vec::new();
        Encoder::new(&mut out, message_type, Code::POST, message_id, &Token::default())
            .option(number::URI_PATH, b"t")
            .option(number::URI_PATH, b"d")
            .option(unknown, b"?")
            .payload(b"{}");
        out
    };
    client.send(&with_option(MessageType::Confirmable, 1, 65_001));
    assert_eq!(client.receive().code, Code::BAD_OPTION);
    client.send(&with_option(MessageType::NonConfirmable, 2, 65_001));
    client.expect_silence();
    client.send(&with_option(MessageType::Confirmable, 3, 65_000));
    assert_eq!(client.receive().code, Code::CHANGED);
    assert_eq!((log.pushed().len(), server.counts().refused), (1, 2));
}
