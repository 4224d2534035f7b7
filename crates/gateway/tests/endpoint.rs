//! The endpoint over real sockets, with a log whose durability the test controls.

#[path = "endpoint/fake_log.rs"]
mod fake_log;
#[path = "endpoint/raw_client.rs"]
mod raw_client;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use urban_neuron_gateway::AlertBoard;
use urban_neuron_gateway::mqtt_endpoint::{AllowAnyone, EndpointConfig, MqttEndpoint};

use fake_log::FakeLog;
use raw_client::{Connect, RawClient, publish};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn start(log: &FakeLog) -> (MqttEndpoint, SocketAddr) {
    start_with(log, EndpointConfig::default())
}

fn start_with(log: &FakeLog, config: EndpointConfig) -> (MqttEndpoint, SocketAddr) {
    let config = EndpointConfig { listen: vec![LOOPBACK], ..config };
    let board = AlertBoard::default();
    let endpoint =
        MqttEndpoint::start(config, log.clone(), board, Arc::new(AllowAnyone), Vec::new()).unwrap();
    let address = endpoint.addresses().tcp[0];
    (endpoint, address)
}

fn stop(endpoint: MqttEndpoint) {
    endpoint.stop(Duration::from_secs(5));
}

#[test]
fn acks_leave_when_durable_and_in_order() {
    let log = FakeLog::instant();
    let (endpoint, address) = start(&log);
    let mut client = RawClient::connected(address, &Connect::default());
    log.hold();
    let mut bytes = Vec::new();
    for id in 1..=3 {
        bytes.extend(publish(1, id, "t", b"x", None));
    }
    client.send(&bytes);
    log.wait_pushed(3);
    log.wait_flushed();
    client.expect_silence();
    log.release();
    assert_eq!([1, 2, 3], [client.read().packet_id(), client.read().packet_id(), client.read().packet_id()]);
    assert_eq!(endpoint.counters().counts().acknowledged, 3);
    stop(endpoint);
    assert_eq!(client.read_to_end(), []);
}
