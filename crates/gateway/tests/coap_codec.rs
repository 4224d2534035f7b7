//! The CoAP codec beside a slow writer made from the figures of RFC 7252 section 3, and under bytes that nobody would
//! send.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use proptest::collection::vec;
use proptest::prelude::*;
use urban_neuron_gateway::coap::{
    Block, Code, Encoder, FormatError, Message, MessageType, Options, Token, number,
};

const TYPES: [MessageType; 4] =
    [MessageType::Confirmable, MessageType::NonConfirmable, MessageType::Acknowledgement, MessageType::Reset];

/// A message as a list of its parts.
#[derive(Clone, Debug)]
struct Parts {
    message_type: usize,
    code: Code,
    message_id: u16,
    token: Vec<u8>,
    options: Vec<(u16, Vec<u8>)>,
    payload: Vec<u8>,
}

fn parts() -> impl Strategy<Value = Parts> {
    let code = prop_oneof![
        (1u8..32).prop_map(|d| (0, d)),
        (0u8..32).prop_map(|d| (2, d)),
        (0u8..32).prop_map(|d| (4, d))
    ];
    // Numbers and lengths around each change of form.
    let number = prop_oneof![0u16..40, 250u16..300, any::<u16>()];
    let value = prop_oneof![vec(any::<u8>(), 0..20), vec(any::<u8>(), 260..280)];
    (
        0usize..4,
        code,
        any::<u16>(),
        vec(any::<u8>(), 0..9),
        vec((number, value), 0..8),
        vec(any::<u8>(), 0..40),
    )
        .prop_map(|(message_type, (class, detail), message_id, token, mut options, payload)| {
            options.sort_by_key(|(number, _)| *number);
            Parts { message_type, code: Code::of(class, detail), message_id, token, options, payload }
        })
}

/// As the figures draw it, a field at a time.
fn slowly(parts: &Parts) -> Vec<u8> {
    let mut bits = String::new();
    bits += "01";
    bits += ["00", "01", "10", "11"][parts.message_type];
    bits += &format!("{:04b}", parts.token.len());
    bits += &format!("{:08b}{:016b}", parts.code.0, parts.message_id);
    let octets = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:08b}")).collect::<String>();
    bits += &octets(&parts.token);
    let mut last = 0;
    for (number, value) in &parts.options {
        let (delta, delta_more) = form(usize::from(number - last));
        let (len, len_more) = form(value.len());
        bits += &format!("{delta:04b}{len:04b}{delta_more}{len_more}{}", octets(value));
        last = *number;
    }
    if !parts.payload.is_empty() {
        bits += "11111111";
        bits += &octets(&parts.payload);
    }
    bits.as_bytes()
        .chunks(8)
        .map(|octet| u8::from_str_radix(std::str::from_utf8(octet).unwrap(), 2).unwrap())
        .collect()
}

fn form(value: usize) -> (usize, String) {
    match value {
        0..=12 => (value, String::new()),
        13..=268 => (13, format!("{:08b}", value - 13)),
        _ => (14, format!("{:016b}", value - 269)),
    }
}

fn encode(parts: &Parts) -> Vec<u8> {
    let mut out = Vec::new();
    let token = Token::new(&parts.token).unwrap();
    let mut encoder = Encoder::new(&mut out, TYPES[parts.message_type], parts.code, parts.message_id, &token);
    for (number, value) in &parts.options {
        encoder.option(*number, value);
    }
    encoder.payload(&parts.payload);
    out
}

proptest! {
    #[test]
    fn writes_as_the_standard_draws_and_reads_it_back(parts in parts()) {
        let datagram = encode(&parts);
        prop_assert_eq!(&datagram, &slowly(&parts));
        let message = Message::parse(&datagram).unwrap();
        prop_assert_eq!(message.message_type, TYPES[parts.message_type]);
        prop_assert_eq!((message.code, message.message_id), (parts.code, parts.message_id));
        prop_assert_eq!(message.token.as_bytes(), &parts.token[..]);
        let options: Vec<_> = message.options.map(|(number, value)| (number, value.to_vec())).collect();
        prop_assert_eq!(options, parts.options);
        prop_assert_eq!(message.payload, &parts.payload[..]);
    }

    /// Cut anywhere it is another message or none, and never more than was sent.
    #[test]
    fn a_cut_message_gives_nothing_that_was_not_sent(parts in parts(), cut in any::<prop::sample::Index>()) {
        let datagram = slowly(&parts);
        let len = cut.index(datagram.len());
        if let Ok(message) = Message::parse(&datagram[..len]) {
            prop_assert!(len >= 4);
            prop_assert!(message.payload.len() <= parts.payload.len());
            prop_assert!(message.options.count() <= parts.options.len());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(datagram in vec(any::<u8>(), 0..80)) {
        if let Ok(message) = Message::parse(&datagram) {
            let options = message.options.map(|(_, value)| value.len()).sum::<usize>();
            prop_assert!(options + message.payload.len() + message.token.as_bytes().len() + 4 <= datagram.len());
        }
    }

    #[test]
    fn a_block_is_what_it_was(bits in 0u32..1 << 24) {
        let mut out = Vec::new();
        Encoder::new(&mut out, MessageType::Confirmable, Code::POST, 1, &Token::default()).uint(number::BLOCK1, bits);
        let (_, value) = Message::parse(&out).unwrap().options.next().unwrap();
        prop_assert_eq!(Options::uint(value), Some(bits));
        prop_assert_eq!(value.first() == Some(&0), false);
        let block = Block::parse(value).unwrap();
        prop_assert_eq!(block.bits(), bits);
        prop_assert_eq!(block.size().is_none(), bits & 7 == 7);
        prop_assert_eq!(block.offset(), block.size().map(|size| size * block.number as usize));
    }
}

#[test]
fn each_error_of_format_has_its_name() {
    let cases: &[(&[u8], FormatError)] = &[
        (&[], FormatError::TooShort),
        (&[0x40, 0x02, 0x00], FormatError::TooShort),
        (&[0x00, 0x02, 0, 1], FormatError::Version),
        (&[0x80, 0x02, 0, 1], FormatError::Version),
        (&[0xc0, 0x02, 0, 1], FormatError::Version),
        // Token lengths 9 to 15, also with as many bytes.
        (&[0x49, 0x02, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9], FormatError::TokenLength),
        (&[0x4f, 0x02, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], FormatError::TokenLength),
        (&[0x44, 0x02, 0, 1, 1, 2, 3], FormatError::TokenLength),
        (&[0x40, 0x02, 0, 1, 0xf0], FormatError::OptionNibble),
        (&[0x40, 0x02, 0, 1, 0x0f], FormatError::OptionNibble),
        (&[0x40, 0x02, 0, 1, 0xf1, 0x00], FormatError::OptionNibble),
        (&[0x40, 0x02, 0, 1, 0xb2, b't'], FormatError::OptionPastEnd),
        (&[0x40, 0x02, 0, 1, 0xd0], FormatError::OptionPastEnd),
        (&[0x40, 0x02, 0, 1, 0xe0, 1], FormatError::OptionPastEnd),
        (&[0x40, 0x02, 0, 1, 0x0d], FormatError::OptionPastEnd),
        (&[0x40, 0x02, 0, 1, 0x0e, 0], FormatError::OptionPastEnd),
        (&[0x40, 0x02, 0, 1, 0xe0, 0xff, 0xff], FormatError::OptionNumber),
        (&[0x40, 0x02, 0, 1, 0xff], FormatError::EmptyPayload),
        (&[0x40, 0x02, 0, 1, 0xb1, b't', 0xff], FormatError::EmptyPayload),
        (&[0x40, 0x00, 0, 1, 0xff, 1], FormatError::NotEmpty),
        (&[0x41, 0x00, 0, 1, 1], FormatError::NotEmpty),
        (&[0x41, 0x00, 0, 1], FormatError::NotEmpty),
        (&[0x40, 0x20, 0, 1], FormatError::ReservedCode),
        (&[0x40, 0xc0, 0, 1], FormatError::ReservedCode),
        (&[0x40, 0xe1, 0, 1], FormatError::ReservedCode),
    ];
    for (datagram, error) in cases {
        assert_eq!(Message::parse(datagram).unwrap_err(), *error, "{datagram:02x?}");
    }
}

/// A confirmable POST with Content-Format 50, and its answer: written by hand from the figures.
#[test]
fn reads_a_small_post() {
    let datagram = b"\x42\x02\x12\x34\xaa\xbb\xb1t\x03d-1\x11\x32\xff{}";
    let message = Message::parse(datagram).unwrap();
    let options: Vec<_> = message.options.collect();
    let expected: [(u16, &[u8]); 3] =
        [(number::URI_PATH, b"t"), (number::URI_PATH, b"d-1"), (number::CONTENT_FORMAT, &[50])];
    assert_eq!(options, expected);
    assert_eq!((message.code, message.message_id, message.payload), (Code::POST, 0x1234, &b"{}"[..]));
    let mut out = Vec::new();
    Encoder::new(&mut out, MessageType::Acknowledgement, Code::CHANGED, 0x1234, &message.token).payload(&[]);
    assert_eq!(out, b"\x62\x44\x12\x34\xaa\xbb");
}
