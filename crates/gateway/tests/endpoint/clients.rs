//! Clients of others: rumqttc, mosquitto_pub and mosquitto_sub, over TCP, TLS and WebSocket.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS, TlsConfiguration, Transport};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};
use urban_neuron_gateway::mqtt_endpoint::TlsFiles;

use super::fake_log::{FakeLog, PATIENCE};
use super::raw_client::{Connect, publish};
use super::server::{LOOPBACK, Server, Setup};

const ALERTS: &str = "urban-neuron/v1/alerts/#";
const TOPIC: &str = "urban-neuron/v1/alerts/water/critical/d1/r1";

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(PATIENCE, future).await.expect("it takes too long") })
}

fn options(port: u16) -> MqttOptions {
    let mut options = MqttOptions::new("rumqttc", "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(5)).set_clean_session(false);
    options
}

/// Publishes `count` messages of QoS 1 and of QoS 2 and waits until all are answered.
async fn publish_all(options: MqttOptions, count: usize) {
    let (client, mut events) = AsyncClient::new(options, 10);
    tokio::spawn(async move {
        for n in 0..count {
            client.publish("t/1", QoS::AtLeastOnce, false, n.to_string()).await.unwrap();
            client.publish("t/2", QoS::ExactlyOnce, false, n.to_string()).await.unwrap();
        }
        // The event loop ends with its client.
        std::future::pending::<()>().await;
    });
    let (mut pubacks, mut pubcomps) = (0, 0);
    while pubacks < count || pubcomps < count {
        match events.poll().await.unwrap() {
            Event::Incoming(Packet::PubAck(_)) => pubacks += 1,
            Event::Incoming(Packet::PubComp(_)) => pubcomps += 1,
            _ => {}
        }
    }
}

fn check_published(log: &FakeLog, count: usize) {
    let pushed = log.pushed();
    for topic in ["t/1", "t/2"] {
        let of_topic = pushed.iter().filter(|message| message.topic == topic);
        let payloads: Vec<String> =
            of_topic.map(|message| String::from_utf8(message.payload.clone()).unwrap()).collect();
        assert_eq!(payloads, (0..count).map(|n| n.to_string()).collect::<Vec<_>>(), "{topic}");
    }
}

#[test]
fn rumqttc_publishes_at_qos_1_and_2() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    block_on(publish_all(options(server.address.port()), 200));
    check_published(&log, 200);
}

#[test]
fn rumqttc_subscribes() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    server.board.publish(TOPIC, "now".into(), true, Vec::new());
    block_on(async {
        let (client, mut events) = AsyncClient::new(options(server.address.port()), 10);
        client.subscribe(ALERTS, QoS::ExactlyOnce).await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < 2 {
            if let Event::Incoming(Packet::Publish(alert)) = events.poll().await.unwrap() {
                assert_eq!((alert.topic.as_str(), alert.qos), (TOPIC, QoS::AtLeastOnce));
                seen.push((alert.payload.to_vec(), alert.retain));
                if seen.len() == 1 {
                    server.board.publish(TOPIC, "later".into(), false, Vec::new());
                }
            }
        }
        assert_eq!(seen, [(b"now".to_vec(), true), (b"later".to_vec(), false)]);
    });
}

#[test]
fn rumqttc_speaks_5_0() {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::Packet;
    use rumqttc::v5::{AsyncClient, Event, MqttOptions};
    let log = FakeLog::instant();
    let server = Server::start(&log);
    server.board.publish(TOPIC, "now".into(), true, vec![("ce_id".into(), "1/raised".into())]);
    block_on(async {
        let mut options = MqttOptions::new("rumqttc5", "127.0.0.1", server.address.port());
        options.set_keep_alive(Duration::from_secs(5));
        let (client, mut events) = AsyncClient::new(options, 10);
        client.subscribe(ALERTS, QoS::AtLeastOnce).await.unwrap();
        client.publish("t", QoS::AtLeastOnce, false, "1").await.unwrap();
        client.publish("t", QoS::ExactlyOnce, false, "2").await.unwrap();
        let (mut is_acked, mut is_completed, mut alert) = (false, false, None);
        while !is_acked || !is_completed || alert.is_none() {
            match events.poll().await.unwrap() {
                Event::Incoming(Packet::PubAck(_)) => is_acked = true,
                Event::Incoming(Packet::PubComp(_)) => is_completed = true,
                Event::Incoming(Packet::Publish(publish)) => alert = Some(publish),
                _ => {}
            }
        }
        let properties = alert.unwrap().properties.unwrap();
        assert_eq!(properties.user_properties, [("ce_id".to_owned(), "1/raised".to_owned())]);
    });
    assert_eq!(log.pushed().len(), 2);
}

fn mosquitto(program: &str, port: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(arguments);
    command
}

#[test]
fn mosquitto_pub_publishes_at_each_qos_in_each_version() {
    let log = FakeLog::instant();
    let server = Server::start(&log);
    let port = server.address.port();
    let mut count = 0;
    for version in ["mqttv311", "mqttv5"] {
        for qos in ["0", "1", "2"] {
            let arguments = ["-V", version, "-q", qos, "-t", "t", "-m", "hello", "-i", "m"];
            let output = mosquitto("mosquitto_pub", port, &arguments).output().unwrap();
            assert!(output.status.success(), "{version} {qos}: {output:?}");
            count += 1;
            assert_eq!(
                log.wait_pushed(count).last().map(|message| message.payload.clone()),
                Some(b"hello".to_vec())
            );
        }
    }
    assert_eq!(log.pushed().len(), count);
}

#[test]
fn mosquitto_sub_reads_alerts_in_each_version() {
    for version in ["mqttv311", "mqttv5"] {
        let log = FakeLog::instant();
        let server = Server::start(&log);
        server.board.publish(TOPIC, "now".into(), true, Vec::new());
        let arguments = ["-V", version, "-q", "1", "-t", ALERTS, "-C", "3", "-F", "%r %t %p"];
        let mut child = mosquitto("mosquitto_sub", server.address.port(), &arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
        assert_eq!(lines.next(), Some(format!("1 {TOPIC} now")));
        server.board.publish(TOPIC, "2".into(), true, Vec::new());
        server.board.publish(TOPIC, "3".into(), false, Vec::new());
        assert_eq!(lines.next(), Some(format!("0 {TOPIC} 2")));
        assert_eq!(lines.next(), Some(format!("0 {TOPIC} 3")));
        assert!(child.wait().unwrap().success());
    }
}

/// A certificate for `localhost` and 127.0.0.1 that vouches for itself.
struct Certificate {
    directory: tempfile::TempDir,
    files: TlsFiles,
}

impl Certificate {
    fn new() -> Self {
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let certificate_path = directory.path().join("server.pem");
        let key_path = directory.path().join("server.key");
        std::fs::write(&certificate_path, made.cert.pem()).unwrap();
        std::fs::write(&key_path, made.signing_key.serialize_pem()).unwrap();
        Certificate {
            directory,
            files: TlsFiles { certificate_path, key_path, client_ca_path: None, client_crl_path: None },
        }
    }

    fn client_config(&self) -> ClientConfig {
        use rustls_pki_types::CertificateDer;
        use rustls_pki_types::pem::PemObject;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.files.certificate_path).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        builder.with_root_certificates(roots).with_no_client_auth()
    }
}

#[test]
fn tls_with_two_clients() {
    let log = FakeLog::instant();
    let certificate = Certificate::new();
    let setup = Setup::with(|config| {
        config.listen_tls = vec![LOOPBACK];
        config.tls = Some(certificate.files.clone());
    });
    let server = setup.start(&log);
    let port = server.addresses().tls[0].port();
    let mut options = options(port);
    let client_config = Arc::new(certificate.client_config());
    options.set_transport(Transport::Tls(TlsConfiguration::Rustls(client_config)));
    block_on(publish_all(options, 50));
    check_published(&log, 50);
    let ca = certificate.directory.path().join("server.pem");
    let arguments = ["--cafile", ca.to_str().unwrap(), "-q", "1", "-t", "t", "-m", "over tls"];
    let output = mosquitto("mosquitto_pub", port, &arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(log.wait_pushed(101)[100].payload, b"over tls");
}

#[test]
fn plain_bytes_on_the_tls_port_harm_nobody() {
    let log = FakeLog::instant();
    let certificate = Certificate::new();
    let setup = Setup::with(|config| {
        config.listen_tls = vec![LOOPBACK];
        config.tls = Some(certificate.files.clone());
    });
    let server = setup.start(&log);
    let mut client = super::raw_client::RawClient::open(server.addresses().tls[0]);
    client.send(&Connect::default().encode());
    use std::io::Read;
    let mut rest = Vec::new();
    // A TLS alert, or a reset; the connection is over either way.
    client.stream.read_to_end(&mut rest).ok();
    super::raw_client::RawClient::connected(server.address, &Connect::default());
}

#[test]
fn websocket() {
    let log = FakeLog::instant();
    let server = Setup::with(|config| config.listen_websocket = vec![LOOPBACK]).start(&log);
    let url = format!("ws://{}/mqtt", server.addresses().websocket[0]);
    block_on(async {
        let mut request = url.as_str().into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
        let (mut socket, response) =
            tokio_tungstenite::client_async(request, connect(&server).await).await.unwrap();
        assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "mqtt");
        // Two and a half packets, then the rest: messages are not packets [MQTT-6.0.0-2].
        let mut bytes = Connect::default().encode();
        bytes.extend(publish(1, 1, "t", b"one", None));
        bytes.extend(publish(1, 2, "t", b"two", None));
        let tail = bytes.split_off(bytes.len() - 5);
        socket.send(Message::Binary(bytes.into())).await.unwrap();
        socket.send(Message::Ping("are you there".into())).await.unwrap();
        socket.send(Message::Binary(tail.into())).await.unwrap();
        let (mut said, mut has_pong) = (Vec::new(), false);
        while said.len() < 12 || !has_pong {
            match socket.next().await.unwrap().unwrap() {
                Message::Binary(bytes) => said.extend_from_slice(&bytes),
                Message::Pong(_) => has_pong = true,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(said, [0x20, 2, 0, 0, 0x40, 2, 0, 1, 0x40, 2, 0, 2]);
        socket.send(Message::Text("text".into())).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            assert!(message.is_close(), "{message:?}");
        }
    });
    assert_eq!(log.pushed().len(), 2);
}

async fn connect(server: &Server) -> tokio::net::TcpStream {
    tokio::net::TcpStream::connect(server.addresses().websocket[0]).await.unwrap()
}

#[test]
fn a_websocket_of_another_protocol_is_refused() {
    let log = FakeLog::instant();
    let server = Setup::with(|config| config.listen_websocket = vec![LOOPBACK]).start(&log);
    let url = format!("ws://{}/mqtt", server.addresses().websocket[0]);
    block_on(async {
        for protocol in [None, Some("chat")] {
            let mut request = url.as_str().into_client_request().unwrap();
            if let Some(protocol) = protocol {
                request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(protocol));
            }
            match tokio_tungstenite::client_async(request, connect(&server).await).await {
                Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 400),
                other => panic!("{protocol:?}: {:?}", other.map(|_| ())),
            }
        }
    });
}
