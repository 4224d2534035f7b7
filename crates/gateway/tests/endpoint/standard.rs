//! What the standards forbid, over raw sockets: the reason code in 5.0, the end of the connection in 3.1.1, and a server
//! that goes on.

use super::fake_log::FakeLog;
use super::raw_client::{Connect, RawClient, packet, publish, subscribe, text};
use super::server::Server;

/// Packets after the CONNECT that are wrong in both versions unless they say `v5`, and the reason code of 5.0.
fn wrong_packets(level: u8) -> Vec<(&'static str, Vec<u8>, u8)> {
    let none: Option<&[u8]> = if level == 5 { Some(&[]) } else { None };
    let with_flags = |mut bytes: Vec<u8>, flags: u8| {
        bytes[0] = bytes[0] & 0xf0 | flags;
        bytes
    };
    let ids = |id: u16| id.to_be_bytes();
    let mut cases = vec![
        ("packet type 0", packet(0x00, &[]), 0x81),
        ("a remaining length of five bytes", vec![0x30, 0x80, 0x80, 0x80, 0x80, 1], 0x81),
        ("QoS 3", with_flags(publish(1, 1, "t", b"", none), 0b0110), 0x81),
        ("DUP at QoS 0", with_flags(publish(0, 0, "t", b"", none), 0b1000), 0x81),
        ("packet id 0", publish(1, 0, "t", b"", none), 0x82),
        ("a wildcard in a topic", publish(0, 0, "a/+", b"", none), 0x90),
        ("a wildcard at the end of a topic", publish(0, 0, "a/#", b"", none), 0x90),
        ("an empty topic", publish(0, 0, "", b"", none), 0x82),
        ("a topic that is not UTF-8", packet(0x30, b"\x00\x02\xff\xfe\x00"), 0x81),
        ("a topic that is a surrogate", packet(0x30, b"\x00\x03\xed\xa0\x80\x00"), 0x81),
        ("a topic with U+0000", publish(0, 0, "a\0b", b"", none), 0x81),
        ("a topic longer than the packet", packet(0x30, b"\x00\x09abc"), 0x81),
        ("a PUBLISH without a body", packet(0x30, &[]), 0x81),
        ("a PUBLISH without its packet id", packet(0x32, b"\x00\x01t"), 0x81),
        ("a second CONNECT", Connect { level, ..Connect::default() }.encode(), 0x82),
        ("CONNACK from a client", packet(0x20, &[0, 0]), 0x82),
        ("SUBACK from a client", packet(0x90, &[0, 1, 0]), 0x82),
        ("UNSUBACK from a client", packet(0xb0, &[0, 1]), 0x82),
        ("PINGRESP from a client", packet(0xd0, &[]), 0x82),
        ("PINGREQ with a body", packet(0xc0, &[0]), 0x81),
        ("PINGREQ with flags", packet(0xc1, &[]), 0x81),
        ("PUBACK with flags", packet(0x41, &ids(1)), 0x81),
        ("PUBACK without an id", packet(0x40, &[0]), 0x81),
        ("PUBACK of id 0", packet(0x40, &ids(0)), 0x82),
        ("PUBREC for nothing", packet(0x50, &ids(1)), 0x82),
        ("PUBCOMP for nothing", packet(0x70, &ids(1)), 0x82),
        ("PUBREL without its flags", packet(0x60, &ids(1)), 0x81),
        ("PUBREL of id 0", packet(0x62, &ids(0)), 0x82),
        ("SUBSCRIBE without its flags", with_flags(subscribe(1, "a", 0, none), 0), 0x81),
        ("SUBSCRIBE of id 0", subscribe(0, "a", 0, none), 0x82),
        ("SUBSCRIBE at QoS 3", subscribe(1, "a", 3, none), 0x81),
        ("SUBSCRIBE with reserved options", subscribe(1, "a", 0xc0, none), 0x81),
        ("UNSUBSCRIBE without its flags", packet(0xa0, &ids(1)), 0x81),
        ("DISCONNECT with flags", packet(0xe1, &[]), 0x81),
    ];
    let no_filter = if level == 5 { vec![0, 1, 0] } else { vec![0, 1] };
    cases.push(("SUBSCRIBE without a filter", packet(0x82, &no_filter), 0x82));
    cases.push(("UNSUBSCRIBE without a filter", packet(0xa2, &no_filter), 0x82));
    if level == 4 {
        cases.push(("AUTH in 3.1.1", packet(0xf0, &[]), 0x81));
        cases.push(("options of 5.0 in 3.1.1", subscribe(1, "a", 4, None), 0x81));
        cases.push(("DISCONNECT with a body in 3.1.1", packet(0xe0, &[0]), 0x81));
    } else {
        cases.extend(wrong_in_5_0());
    }
    cases
}

fn wrong_in_5_0() -> Vec<(&'static str, Vec<u8>, u8)> {
    let publish = |properties: &[u8]| publish(0, 0, "t", b"", Some(properties));
    let subscribe = |filter, options, properties: &[u8]| subscribe(1, filter, options, Some(properties));
    vec![
        ("AUTH without a method", packet(0xf0, &[0x18]), 0x82),
        ("an unknown property", publish(&[0x7f, 0]), 0x81),
        ("a property of another packet", publish(&[0x11, 0, 0, 0, 1]), 0x81),
        ("a property twice", publish(&[0x02, 0, 0, 0, 1, 0x02, 0, 0, 0, 1]), 0x82),
        ("a property that is cut off", publish(&[0x02, 0, 0]), 0x81),
        ("properties longer than the packet", packet(0x30, b"\x00\x01t\x09\x01\x00"), 0x81),
        ("a property length that is padded", packet(0x30, b"\x00\x01t\x80\x00"), 0x81),
        ("a payload format of 2", publish(&[0x01, 2]), 0x82),
        ("a response topic with a wildcard", publish(b"\x08\x00\x01#"), 0x82),
        ("a user property that is not UTF-8", publish(b"\x26\x00\x01\xff\x00\x00"), 0x81),
        ("a subscription identifier from a client", publish(&[0x0b, 1]), 0x82),
        ("a topic alias of 0", publish(&[0x23, 0, 0]), 0x94),
        ("a topic alias too high", publish(&[0x23, 0xff, 0xff]), 0x94),
        ("a topic alias for nothing", super::raw_client::publish(0, 0, "", b"", Some(&[0x23, 0, 1])), 0x82),
        ("a subscription identifier of 0", subscribe("a", 0, &[0x0b, 0]), 0x82),
        ("two subscription identifiers", subscribe("a", 0, &[0x0b, 1, 0x0b, 2]), 0x82),
        ("retain handling 3", subscribe("a", 0x30, &[]), 0x82),
        ("no local on a shared subscription", subscribe("$share/g/a", 4, &[]), 0x82),
        ("PUBACK with a reason of another packet", packet(0x40, &[0, 1, 0x92]), 0x81),
        ("PUBREL with a reason of another packet", packet(0x62, &[0, 1, 0x10]), 0x81),
        ("DISCONNECT with a server's reason", packet(0xe0, &[0x8e]), 0x81),
        ("DISCONNECT with bytes behind", packet(0xe0, &[0, 0, 0]), 0x81),
    ]
}

#[test]
fn wrong_packets_end_the_connection_with_their_reason() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    for level in [4, 5] {
        for (name, bytes, reason) in wrong_packets(level) {
            let mut client = RawClient::connected(server.address, &Connect { level, ..Connect::default() });
            client.send(&bytes);
            let said = client.read_to_end();
            if level == 5 {
                assert_eq!(said.len(), 1, "{name}: {said:?}");
                assert_eq!((said[0].first, said[0].body[0]), (0xe0, reason), "{name}");
            } else {
                assert_eq!(said, [], "{name}");
            }
        }
    }
    assert_eq!(log.pushed(), []);
    let mut client = RawClient::connected(server.address, &Connect::default());
    client.expect_silence();
}

/// The bytes of a CONNECT after its fixed header, with one of them changed.
fn changed(connect: &Connect<'_>, at: usize, value: u8) -> Vec<u8> {
    let mut bytes = connect.encode();
    bytes[2 + at] = value;
    bytes
}

#[test]
fn wrong_connects_are_answered_as_the_standard_says() {
    let v311 = || Connect { username: Some("u"), password: Some("p"), ..Connect::default() };
    let v5 = || Connect { level: 5, ..v311() };
    let with = |properties: &[u8]| Connect { properties: properties.to_vec(), ..v5() }.encode();
    // The body of a CONNACK to expect: none where the connection just closes.
    let cases: Vec<(&str, Vec<u8>, Option<u8>)> = vec![
        ("no CONNECT first", packet(0xc0, &[]), None),
        (
            "flags in the fixed header",
            {
                let mut bytes = v5().encode();
                bytes[0] = 0x11;
                bytes
            },
            None,
        ),
        ("another protocol name", packet(0x10, b"\x00\x04HTTP\x05\x02\x00\x00\x00\x00\x00"), None),
        ("protocol level 3", changed(&v311(), 6, 3), Some(1)),
        ("MQIsdp", packet(0x10, b"\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01c"), Some(1)),
        ("protocol level 6", changed(&v5(), 6, 6), Some(0x84)),
        ("the reserved flag, 3.1.1", changed(&v311(), 7, 0xc3), None),
        ("the reserved flag", changed(&v5(), 7, 0xc3), Some(0x81)),
        ("a will of QoS 3", changed(&v5(), 7, 0xde), Some(0x81)),
        ("a will's QoS without a will", changed(&v5(), 7, 0xca), Some(0x81)),
        ("a will's retain without a will", changed(&v5(), 7, 0xe2), Some(0x81)),
        ("a password without a user name, 3.1.1", Connect { username: None, ..v311() }.encode(), None),
        (
            "bytes behind the last field",
            {
                let mut bytes = v5().encode();
                bytes[1] += 1;
                bytes.push(0);
                bytes
            },
            Some(0x81),
        ),
        (
            "a client id that is not UTF-8",
            packet(0x10, b"\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01\xff"),
            Some(0x81),
        ),
        ("cut off after the flags", packet(0x10, b"\x00\x04MQTT\x05\x02"), Some(0x81)),
        ("an authentication method", with(b"\x15\x00\x01x"), Some(0x8c)),
        ("authentication data without a method", with(b"\x16\x00\x01x"), Some(0x82)),
        ("a receive maximum of 0", with(&[0x21, 0, 0]), Some(0x82)),
        ("a maximum packet size of 0", with(&[0x27, 0, 0, 0, 0]), Some(0x82)),
        ("request problem information of 2", with(&[0x17, 2]), Some(0x82)),
        ("a property of PUBLISH", with(&[0x23, 0, 1]), Some(0x81)),
        ("a property twice", with(&[0x21, 0, 1, 0x21, 0, 1]), Some(0x82)),
        (
            "a will with a wildcard",
            Connect { will: Some(("a/#", b"", Vec::new())), ..v5() }.encode(),
            Some(0x90),
        ),
        (
            "a will to the server's own",
            Connect { will: Some(("$SYS/x", b"", Vec::new())), ..v5() }.encode(),
            Some(0x90),
        ),
    ];
    let log = FakeLog::instant();
    let server = Server::start(&log);
    for (name, bytes, code) in cases {
        let mut client = RawClient::open(server.address);
        client.send(&bytes);
        let said = client.read_to_end();
        assert_eq!(
            said.first().map(|said| (said.first, said.body[1])),
            code.map(|code| (0x20, code)),
            "{name}"
        );
        assert!(said.len() <= 1, "{name}: {said:?}");
    }
    RawClient::connected(server.address, &Connect { username: None, ..v5() });
}

#[test]
fn a_connack_of_5_0_says_what_holds() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let (_, connack) = RawClient::connect(server.address, &Connect { level: 5, ..Connect::default() });
    let mut expected = vec![0, 0, 13, 0x21, 4, 0, 0x27];
    expected.extend_from_slice(&(1u32 << 20).to_be_bytes());
    expected.extend_from_slice(&[0x22, 0, 64, 0x2a, 0]);
    assert_eq!(connack, expected);
}

#[test]
fn what_follows_the_connect_at_once_is_taken() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let mut bytes = Connect::default().encode();
    bytes.extend(publish(1, 1, "t", b"x", None));
    bytes.extend(publish(1, 2, "t", b"y", None));
    bytes.extend(super::raw_client::DISCONNECT);
    bytes.extend(text("never looked at"));
    let mut client = RawClient::open(server.address);
    client.send(&bytes);
    assert_eq!(client.read().first, 0x20);
    assert_eq!(log.wait_pushed(2)[1].payload, b"y");
}
