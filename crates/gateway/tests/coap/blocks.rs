//! Bodies in blocks.

use std::time::Duration;

use urban_neuron_gateway::coap::{Block, Code, number};

use super::client::{Answer, Client, Post, Server};
use super::fake_log::FakeLog;

fn block(number: u32, has_more: bool) -> Option<Block> {
    Some(Block { number, has_more, size_exponent: 0 })
}

fn ask(client: &Client, id: u16, number: u32, has_more: bool, tag: Option<&[u8]>, payload: &[u8]) -> Answer {
    let token = id.to_be_bytes();
    let post =
        Post { block1: block(number, has_more), request_tag: tag, token: &token, ..Post::new(id, payload) };
    let datagram = post.encode();
    let answer = client.ask(&post);
    assert!(answer.bytes.len() <= datagram.len());
    assert_eq!(answer.token, token);
    answer
}

#[test]
fn uploads_of_different_tags_interleave_and_each_is_one_message() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let client = Client::connect(server.address);
    let tags: [Option<&[u8]>; 3] = [None, Some(b"a"), Some(b"b")];
    let mut id = 0;
    for number in 0..3 {
        for tag in tags {
            id += 1;
            let payload = [b'0' + number as u8; 16];
            let payload = if number == 2 { &payload[..tag.map_or(1, <[u8]>::len)] } else { &payload[..] };
            let answer = ask(&client, id, number, number < 2, tag, payload);
            let code = if number < 2 { Code::CONTINUE } else { Code::CHANGED };
            assert_eq!(
                (answer.code, answer.option(number::BLOCK1)),
                (code, Some(number << 4 | u32::from(number < 2) << 3))
            );
        }
    }
    let pushed = log.wait_pushed(3);
    assert!(pushed.iter().all(|message| message.payload == b"000000000000000011111111111111112"));
    assert_eq!(pushed.len(), 3);
}

#[test]
fn a_repeated_block_is_answered_as_before_and_taken_once() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let client = Client::connect(server.address);
    let first = ask(&client, 1, 0, true, None, &[b'0'; 16]);
    assert_eq!(ask(&client, 1, 0, true, None, &[b'0'; 16]), first);
    let last = ask(&client, 2, 1, false, None, b"1");
    assert_eq!(ask(&client, 2, 1, false, None, b"1"), last);
    assert_eq!(log.pushed()[0].payload, b"00000000000000001");
    assert_eq!(log.pushed().len(), 1);
}

#[test]
fn the_last_block_waits_for_durability() {
    let log = FakeLog::held();
    let server = Server::start(&log);
    let client = Client::connect(server.address);
    assert_eq!(ask(&client, 1, 0, true, None, &[b'0'; 16]).code, Code::CONTINUE);
    client.send(&Post { block1: block(1, false), ..Post::new(2, b"1") }.encode());
    log.wait_pushed(1);
    client.expect_silence();
    log.release();
    assert_eq!(client.receive().code, Code::CHANGED);
}

#[test]
fn what_does_not_follow_is_incomplete_and_what_is_too_large_is_said_at_once() {
    let log = FakeLog::instant();
    let server = Server::with(&log, |config| config.body_bytes_max = 40);
    let client = Client::connect(server.address);
    let incomplete = Code::REQUEST_ENTITY_INCOMPLETE;
    assert_eq!(ask(&client, 1, 1, true, None, &[b'0'; 16]).code, incomplete);
    assert_eq!(ask(&client, 2, 0, true, None, &[b'0'; 16]).code, Code::CONTINUE);
    assert_eq!(ask(&client, 3, 2, false, None, b"2").code, incomplete);
    assert_eq!(ask(&client, 4, 1, false, None, b"1").code, incomplete, "the upload is over");
    assert_eq!(ask(&client, 5, 0, true, None, b"short").code, Code::BAD_REQUEST);
    for (id, number) in [(6, 0), (7, 1)] {
        assert_eq!(ask(&client, id, number, true, None, &[b'0'; 16]).code, Code::CONTINUE);
    }
    let answer = ask(&client, 8, 2, false, None, b"123456789");
    assert_eq!((answer.code, answer.option(number::SIZE1)), (Code::REQUEST_ENTITY_TOO_LARGE, Some(40)));
    let post = Post { block1: block(0, true), size1: Some(41), ..Post::new(9, &[b'0'; 16]) };
    let answer = client.ask(&post);
    assert_eq!((answer.code, answer.option(number::SIZE1)), (Code::REQUEST_ENTITY_TOO_LARGE, Some(40)));
    assert_eq!(log.pushed().len(), 0);
}

#[test]
fn uploads_that_never_end_are_bounded_and_forgotten() {
    let log = FakeLog::instant();
    let server = Server::with(&log, |config| {
        config.uploads_of_peer_max = 2;
        config.upload_timeout = Duration::from_millis(50);
    });
    let client = Client::connect(server.address);
    let full = [b'0'; 16];
    assert_eq!(ask(&client, 1, 0, true, Some(b"a"), &full).code, Code::CONTINUE);
    assert_eq!(ask(&client, 2, 0, true, Some(b"b"), &full).code, Code::CONTINUE);
    let answer = ask(&client, 3, 0, true, Some(b"c"), &full);
    assert_eq!((answer.code, answer.option(number::MAX_AGE)), (Code::SERVICE_UNAVAILABLE, Some(5)));
    let mut id = 4;
    while ask(&client, id, 0, true, Some(b"c"), &full).code != Code::CONTINUE {
        id += 1;
    }
    assert_eq!(ask(&client, id + 1, 1, false, Some(b"a"), b"1").code, Code::REQUEST_ENTITY_INCOMPLETE);
}
