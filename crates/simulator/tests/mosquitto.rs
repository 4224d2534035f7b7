//! City and flood against a real Mosquitto.

#[allow(dead_code, reason = "shared with the subscriber's tests")]
#[path = "../../gateway/tests/subscriber/mosquitto.rs"]
mod mosquitto;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mosquitto::{Mosquitto, free_port};
use urban_neuron_simulator::{
    BrokerAddress, City, CityConfig, Error, FloodConfig, MessageKind, Progress, PublisherConfig, flood,
    publish,
};

fn address(port: u16) -> BrokerAddress {
    format!("mqtt://127.0.0.1:{port}").parse().expect("an address")
}

fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

fn city(rate: f64) -> CityConfig {
    CityConfig { devices: 500, gateways: 3, malformed_per_million: 2_000, ..CityConfig::demo(3, now_us()) }
        .with_rate(rate)
}

fn go_on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// What a ledger must hold if all that the city says is acknowledged.
fn promised(config: CityConfig, duration: Duration) -> BTreeMap<String, usize> {
    let end_us = config.start_us + duration.as_micros() as i64;
    let mut lines = BTreeMap::new();
    for message in City::new(config).tick(end_us, usize::MAX) {
        for observed_at_us in message.observed_at_us {
            *lines
                .entry(format!("{}\t{}\t{observed_at_us}", message.kind.name(), message.device_id))
                .or_default() += 1;
        }
    }
    lines
}

#[test]
fn everything_is_acknowledged_although_the_broker_restarts() {
    let mut broker = Mosquitto::start("");
    let directory = tempfile::tempdir().expect("a directory");
    let duration = Duration::from_secs(4);
    let config = PublisherConfig {
        ledger: Some(directory.path().join("ledger")),
        in_flight_max: 20,
        ..PublisherConfig::new(address(broker.address().port()), duration)
    };
    let city_config = city(2_000.0);
    let city = City::new(city_config.clone());
    let mut seconds = 0;
    let summary = publish(&config, city, |progress| {
        assert!(progress.acknowledged <= progress.sent);
        seconds += 1;
        match seconds {
            1 => broker.kill(),
            2 => broker.start_again(),
            3 => {
                broker.terminate();
                broker.start_again();
            }
            _ => {}
        }
        ControlFlow::Continue(())
    })
    .expect("it publishes");
    assert_eq!(summary.unacknowledged(), 0, "{summary:?}");
    assert!(summary.reconnects >= 6 && summary.latencies.count() == summary.sent);
    assert!(summary.p50() > Duration::ZERO && summary.p50() <= summary.p99());
    let mut ledger = BTreeMap::new();
    for line in std::fs::read_to_string(directory.path().join("ledger")).expect("a ledger").lines() {
        *ledger.entry(line.to_owned()).or_default() += 1;
    }
    assert_eq!(ledger, promised(city_config, duration));
    for kind in [MessageKind::Reading, MessageKind::LatePack, MessageKind::Malformed, MessageKind::Repeat] {
        assert!(ledger.keys().any(|line| line.starts_with(kind.name())), "{}", kind.name());
    }
}

#[test]
fn what_cannot_succeed_is_an_error() {
    let nobody = PublisherConfig {
        drain: Duration::from_millis(10),
        ..PublisherConfig::new(address(free_port()), Duration::from_millis(50))
    };
    let unreachable = publish(&nobody, City::new(city(100.0)), go_on);
    assert!(matches!(unreachable, Err(Error::Unreachable { .. })), "{unreachable:?}");
    let broker = Mosquitto::start("");
    let locked = Mosquitto::start_in(tempfile::tempdir().expect("a directory"), "allow_anonymous false");
    let stranger = PublisherConfig::new(address(locked.address().port()), Duration::from_secs(60));
    let refused = publish(&stranger, City::new(city(100.0)), go_on);
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    let nowhere = PublisherConfig {
        ledger: Some("/nowhere/ledger".into()),
        ..PublisherConfig::new(address(broker.address().port()), Duration::from_secs(60))
    };
    assert!(matches!(publish(&nowhere, City::new(city(100.0)), go_on), Err(Error::Ledger { .. })));
}

#[test]
fn a_publisher_can_be_broken_off() {
    let broker = Mosquitto::start("");
    let config = PublisherConfig::new(address(broker.address().port()), Duration::from_secs(3_600));
    let summary = publish(&config, City::new(city(200.0)), |_| ControlFlow::Break(())).expect("it publishes");
    assert!(summary.sent > 0 && summary.unacknowledged() == 0 && summary.elapsed < Duration::from_secs(30));
}

#[test]
fn a_flood_is_acknowledged_to_the_last_message() {
    let broker = Mosquitto::start("");
    let config = FloodConfig {
        connections: 4,
        devices: 100,
        threads: 2,
        ..FloodConfig::new(address(broker.address().port()), Duration::from_millis(500))
    };
    let summary = flood(&config, go_on).expect("it floods");
    assert_eq!(summary.unacknowledged(), 0);
    assert!(summary.sent > 4_000, "{summary:?}");
    assert_eq!(summary.latencies.count(), summary.sent);
}

#[test]
fn a_paced_flood_keeps_its_pace() {
    let broker = Mosquitto::start("");
    let config = FloodConfig {
        connections: 5,
        messages_per_second: Some(2_000.0),
        ..FloodConfig::new(address(broker.address().port()), Duration::from_secs(1))
    };
    let summary = flood(&config, go_on).expect("it floods");
    assert_eq!(summary.unacknowledged(), 0);
    assert!((1_500..=2_000).contains(&summary.sent), "{} in a second", summary.sent);
}

#[test]
fn a_flood_ends_with_its_server() {
    let mut broker = Mosquitto::start("");
    let config = FloodConfig::new(address(broker.address().port()), Duration::from_secs(3_600));
    let ended = flood(&config, |_| {
        broker.kill();
        ControlFlow::Continue(())
    });
    assert!(matches!(ended, Err(Error::Connection { .. })), "{ended:?}");
    assert!(matches!(flood(&config, go_on), Err(Error::Connection { .. })));
}
