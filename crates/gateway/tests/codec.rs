//! The MQTT codec beside an independent one (rumqttc's), and under bytes that nobody would send.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use rumqttc::mqttbytes::{self as peer_qos, v4};
use rumqttc::v5::mqttbytes as peer5;
use rumqttc::v5::mqttbytes::v5;
use urban_neuron_gateway::mqtt::encode::{self, ConnackProperties, Outgoing};
use urban_neuron_gateway::mqtt::{Connect, Packet, Qos, ReasonCode, Version, frame};

const BYTES_MAX: usize = 1 << 20;
const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

/// Reads all packets of a buffer as the endpoint does, and gives what it could not read.
fn walk(version: Version, mut buffer: &[u8]) -> Option<ReasonCode> {
    loop {
        match frame::split(buffer, BYTES_MAX) {
            Ok(None) => return None,
            Err(error) => return Some(error.reason),
            Ok(Some((frame, rest))) => {
                assert!(rest.len() < buffer.len());
                buffer = rest;
                // The first packet and the later ones are read by different code: both see everything.
                if let Err(error) = Connect::parse(frame) {
                    assert!(error.error.reason.0 >= 0x80);
                }
                if let Err(error) = Packet::parse(version, frame) {
                    return Some(error.reason);
                }
            }
        }
    }
}

fn topics() -> impl Strategy<Value = String> {
    "[a-z0-9/$一-龥 ]{1,30}"
}

fn qos() -> impl Strategy<Value = u8> {
    0u8..3
}

fn peer_qos_of(qos: u8) -> peer_qos::QoS {
    peer_qos::qos(qos).unwrap()
}

fn peer5_qos_of(qos: u8) -> peer5::QoS {
    peer5::qos(qos).unwrap()
}

/// One whole packet, written by the peer, read by ours.
fn ours(version: Version, written: &[u8]) -> Packet<'_> {
    let (frame, rest) = frame::split(written, BYTES_MAX).unwrap().unwrap();
    assert!(rest.is_empty());
    Packet::parse(version, frame).unwrap()
}

fn our_connect(written: &[u8]) -> Connect<'_> {
    let (frame, rest) = frame::split(written, BYTES_MAX).unwrap().unwrap();
    assert!(rest.is_empty());
    Connect::parse(frame).unwrap()
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200)) {
        for version in VERSIONS {
            walk(version, &bytes);
        }
    }

    /// Random bytes seldom get beyond the fixed header: these have a right one and a plausible inside.
    #[test]
    fn no_framed_bytes_panic(
        first in any::<u8>(),
        body in vec(prop_oneof![any::<u8>(), Just(0), Just(1), 0u8..0x30], 0..80),
    ) {
        let mut packet = vec![first];
        encode::put_varint(&mut packet, body.len() as u32);
        packet.extend_from_slice(&body);
        for version in VERSIONS {
            walk(version, &packet);
        }
    }

    /// A right packet with one byte changed, cut or doubled.
    #[test]
    fn no_damaged_packet_panics(
        topic in topics(),
        payload in vec(any::<u8>(), 0..40),
        alias in any::<Option<u16>>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        kind in 0u8..3,
    ) {
        let properties = v5::PublishProperties {
            topic_alias: alias,
            content_type: Some("text/plain".into()),
            user_properties: vec![("k".into(), "v".into())],
            ..v5::PublishProperties::default()
        };
        let mut publish = v5::Publish::new(topic, peer5_qos_of(1), payload, Some(properties));
        publish.pkid = 1;
        let mut written = BytesMut::new();
        publish.write(&mut written).unwrap();
        let mut bytes = written.to_vec();
        let at = at.index(bytes.len());
        match kind {
            0 => bytes[at] = byte,
            1 => bytes.truncate(at),
            _ => bytes.insert(at, byte),
        }
        for version in VERSIONS {
            walk(version, &bytes);
        }
    }

    #[test]
    fn reads_the_peers_publish(
        topic in topics(),
        payload in vec(any::<u8>(), 0..300),
        qos in qos(),
        packet_id in 1u16..,
        is_dup in any::<bool>(),
        is_retain in any::<bool>(),
    ) {
        let mut publish = v4::Publish::new(topic.clone(), peer_qos_of(qos), payload.clone());
        publish.pkid = if qos == 0 { 0 } else { packet_id };
        publish.dup = is_dup && qos > 0;
        publish.retain = is_retain;
        let mut written = BytesMut::new();
        publish.write(&mut written).unwrap();
        let Packet::Publish(read) = ours(Version::V311, &written) else { panic!("no PUBLISH") };
        prop_assert_eq!((read.topic, read.payload), (topic.as_str(), &payload[..]));
        prop_assert_eq!((read.qos.bits(), read.packet_id), (qos, publish.pkid));
        prop_assert_eq!((read.is_dup, read.is_retain), (publish.dup, is_retain));
    }

    #[test]
    fn reads_the_peers_publish_of_5_0(
        topic in topics(),
        payload in vec(any::<u8>(), 0..300),
        qos in qos(),
        alias in proptest::option::of(1u16..),
        content_type in proptest::option::of("[a-z/]{0,20}"),
        expiry in any::<Option<u32>>(),
        correlation in proptest::option::of(vec(any::<u8>(), 0..20)),
        user in vec(("[a-z]{0,5}", "[a-z]{0,5}"), 0..4),
    ) {
        let properties = v5::PublishProperties {
            payload_format_indicator: Some(1),
            message_expiry_interval: expiry,
            topic_alias: alias,
            response_topic: Some("answers".into()),
            correlation_data: correlation.map(Bytes::from),
            user_properties: user,
            subscription_identifiers: Vec::new(),
            content_type: content_type.clone(),
        };
        let mut publish = v5::Publish::new(topic.clone(), peer5_qos_of(qos), payload.clone(), Some(properties));
        publish.pkid = if qos == 0 { 0 } else { 77 };
        let mut written = BytesMut::new();
        publish.write(&mut written).unwrap();
        let Packet::Publish(read) = ours(Version::V5, &written) else { panic!("no PUBLISH") };
        prop_assert_eq!((read.topic, read.payload), (topic.as_str(), &payload[..]));
        prop_assert_eq!((read.topic_alias, read.content_type), (alias, content_type.as_deref().unwrap_or("")));
    }

    #[test]
    fn reads_the_peers_connect(
        client_id in "[a-z0-9]{1,20}",
        keep_alive in any::<u16>(),
        is_clean in any::<bool>(),
        login in proptest::option::of(("[a-z]{1,8}", "[a-z]{1,8}")),
        will in proptest::option::of((topics(), vec(any::<u8>(), 0..20), qos(), any::<bool>())),
    ) {
        let mut connect = v4::Connect::new(client_id.clone());
        connect.keep_alive = keep_alive;
        connect.clean_session = is_clean;
        connect.login = login.clone().map(|(user, password)| v4::Login::new(user, password));
        connect.last_will = will.clone().map(|(topic, message, qos, is_retain)| v4::LastWill::new(topic, message, peer_qos_of(qos), is_retain));
        let mut written = BytesMut::new();
        connect.write(&mut written).unwrap();
        let read = our_connect(&written);
        prop_assert_eq!((read.version, read.client_id), (Version::V311, client_id.as_str()));
        prop_assert_eq!((read.keep_alive_seconds, read.is_clean_start), (keep_alive, is_clean));
        prop_assert_eq!(read.username, login.as_ref().map(|(user, _)| user.as_str()));
        prop_assert_eq!(read.password, login.as_ref().map(|(_, password)| password.as_bytes()));
        let read_will = read.will.map(|will| (will.topic.to_owned(), will.payload.to_vec(), will.qos.bits(), will.is_retain));
        prop_assert_eq!(read_will, will);
    }

    #[test]
    fn reads_the_peers_connect_of_5_0(
        expiry in any::<Option<u32>>(),
        receive_maximum in proptest::option::of(1u16..),
        max_packet_size in proptest::option::of(1u32..),
        delay in any::<Option<u32>>(),
    ) {
        let mut properties = v5::ConnectProperties::new();
        properties.session_expiry_interval = expiry;
        properties.receive_maximum = receive_maximum;
        properties.max_packet_size = max_packet_size;
        properties.topic_alias_max = Some(9);
        properties.user_properties = vec![("k".into(), "v".into())];
        let connect = v5::Connect { keep_alive: 5, client_id: "c".into(), clean_start: true, properties: Some(properties) };
        let will_properties = v5::LastWillProperties {
            delay_interval: delay,
            payload_format_indicator: None,
            message_expiry_interval: Some(3),
            content_type: Some("a/b".into()),
            response_topic: None,
            correlation_data: None,
            user_properties: Vec::new(),
        };
        let will = v5::LastWill::new("w", "gone", peer5_qos_of(1), false, Some(will_properties));
        let mut written = BytesMut::new();
        v5::Packet::Connect(connect, Some(will), None).write(&mut written, None).unwrap();
        let read = our_connect(&written);
        prop_assert_eq!(read.session_expiry_seconds, expiry.unwrap_or(0));
        prop_assert_eq!(read.receive_maximum, receive_maximum.unwrap_or(u16::MAX));
        prop_assert_eq!(read.packet_bytes_max, max_packet_size.unwrap_or(u32::MAX));
        let will = read.will.unwrap();
        prop_assert_eq!((will.delay_seconds, will.content_type), (delay.unwrap_or(0), "a/b"));
    }

    #[test]
    fn reads_the_peers_subscribe(filters in vec(("[a-z/]{1,10}", qos()), 1..5), packet_id in 1u16..) {
        let peers = filters.iter().map(|(filter, qos)| v4::SubscribeFilter::new(filter.clone(), peer_qos_of(*qos)));
        let mut subscribe = v4::Subscribe::new_many(peers);
        subscribe.pkid = packet_id;
        let mut written = BytesMut::new();
        subscribe.write(&mut written).unwrap();
        let Packet::Subscribe(read) = ours(Version::V311, &written) else { panic!("no SUBSCRIBE") };
        prop_assert_eq!(read.packet_id, packet_id);
        let requests = read.requests.iter().map(|request| (request.filter.to_owned(), request.qos.bits()));
        prop_assert_eq!(requests.collect::<Vec<_>>(), filters);
    }

    #[test]
    fn the_peer_reads_our_publish(
        topic in topics(),
        payload in vec(any::<u8>(), 0..300),
        qos in 0u8..2,
        is_retain in any::<bool>(),
        identifiers in vec(1u32..268_435_456, 0..3),
        user in vec(("[a-z]{0,5}", "[a-z]{0,5}"), 0..4),
    ) {
        let said = Outgoing {
            topic: &topic,
            payload: &payload,
            qos: Qos::from_bits(qos).unwrap(),
            is_retain,
            packet_id: 258,
            subscription_identifiers: &identifiers,
            user_properties: &user,
        };
        let mut out = Vec::new();
        prop_assert!(encode::put_publish(&mut out, Version::V311, &said, u32::MAX));
        let v4::Packet::Publish(read) = v4::Packet::read(&mut BytesMut::from(&out[..]), BYTES_MAX).unwrap() else { panic!("no PUBLISH") };
        prop_assert_eq!((read.topic.as_str(), &read.payload[..], read.retain), (topic.as_str(), &payload[..], is_retain));
        out.clear();
        prop_assert!(encode::put_publish(&mut out, Version::V5, &said, u32::MAX));
        let v5::Packet::Publish(read) = v5::Packet::read(&mut BytesMut::from(&out[..]), None).unwrap() else { panic!("no PUBLISH") };
        prop_assert_eq!((&read.topic[..], &read.payload[..], read.retain), (topic.as_bytes(), &payload[..], is_retain));
        prop_assert_eq!(read.pkid, if qos == 0 { 0 } else { 258 });
        let properties = read.properties.unwrap_or_default();
        prop_assert_eq!(properties.user_properties, user);
        prop_assert_eq!(properties.subscription_identifiers, identifiers.iter().map(|id| *id as usize).collect::<Vec<_>>());
    }

    #[test]
    fn our_publish_keeps_the_clients_packet_size(payload in vec(any::<u8>(), 0..300), bytes_max in 1u32..400) {
        let said = Outgoing {
            topic: "t",
            payload: &payload,
            qos: Qos::AtLeastOnce,
            is_retain: false,
            packet_id: 1,
            subscription_identifiers: &[],
            user_properties: &[],
        };
        for version in VERSIONS {
            let mut out = Vec::new();
            let is_said = encode::put_publish(&mut out, version, &said, bytes_max);
            prop_assert!(out.len() <= bytes_max as usize);
            prop_assert_eq!(is_said, !out.is_empty());
        }
    }
}

#[test]
fn the_peer_reads_our_answers() {
    let said = ConnackProperties {
        session_expiry_seconds: Some(100),
        receive_maximum: Some(1024),
        packet_bytes_max: Some(1 << 20),
        assigned_client_id: Some("auto-1"),
        topic_alias_maximum: 64,
        server_keep_alive_seconds: Some(60),
    };
    let mut out = Vec::new();
    encode::put_connack(&mut out, Version::V5, true, &said);
    encode::put_suback(&mut out, Version::V5, 7, &[ReasonCode(1), ReasonCode::NOT_AUTHORIZED]);
    encode::put_unsuback(&mut out, Version::V5, 8, &[ReasonCode::NO_SUBSCRIPTION_EXISTED]);
    encode::put_pubcomp_not_found(&mut out, Version::V5, 9);
    encode::put_pingresp(&mut out);
    encode::put_disconnect(&mut out, ReasonCode::SESSION_TAKEN_OVER, "why", u32::MAX);
    encode::put_connack_refusal(&mut out, Version::V5, ReasonCode::NOT_AUTHORIZED, "why");
    let mut stream = BytesMut::from(&out[..]);
    let mut read = || v5::Packet::read(&mut stream, None).unwrap();
    let v5::Packet::ConnAck(connack) = read() else { panic!("no CONNACK") };
    let properties = connack.properties.unwrap();
    assert!(connack.session_present);
    assert_eq!(properties.session_expiry_interval, Some(100));
    assert_eq!(properties.receive_max, Some(1024));
    assert_eq!(properties.max_packet_size, Some(1 << 20));
    assert_eq!(properties.assigned_client_identifier.as_deref(), Some("auto-1"));
    assert_eq!((properties.topic_alias_max, properties.server_keep_alive), (Some(64), Some(60)));
    assert_eq!(properties.shared_subscription_available, Some(0));
    let v5::Packet::SubAck(suback) = read() else { panic!("no SUBACK") };
    assert_eq!((suback.pkid, suback.return_codes.len()), (7, 2));
    let v5::Packet::UnsubAck(unsuback) = read() else { panic!("no UNSUBACK") };
    assert_eq!(unsuback.pkid, 8);
    let v5::Packet::PubComp(pubcomp) = read() else { panic!("no PUBCOMP") };
    assert_eq!((pubcomp.pkid, pubcomp.reason), (9, v5::PubCompReason::PacketIdentifierNotFound));
    assert!(matches!(read(), v5::Packet::PingResp(_)));
    let v5::Packet::Disconnect(disconnect) = read() else { panic!("no DISCONNECT") };
    assert_eq!(disconnect.reason_code, v5::DisconnectReasonCode::SessionTakenOver);
    assert_eq!(disconnect.properties.unwrap().reason_string.as_deref(), Some("why"));
    let v5::Packet::ConnAck(refusal) = read() else { panic!("no CONNACK") };
    assert_eq!(refusal.code, v5::ConnectReturnCode::NotAuthorized);
}

#[test]
fn a_disconnect_keeps_the_clients_packet_size() {
    let what = "x".repeat(300);
    for bytes_max in [4, 20, 306, 307, 308, 309, 310, 311, u32::MAX] {
        let mut out = Vec::new();
        encode::put_disconnect(&mut out, ReasonCode::PROTOCOL_ERROR, &what, bytes_max);
        assert!(out.len() <= bytes_max as usize, "{} bytes of {bytes_max}", out.len());
        let v5::Packet::Disconnect(_) = v5::Packet::read(&mut BytesMut::from(&out[..]), None).unwrap() else {
            panic!("no DISCONNECT")
        };
    }
}
