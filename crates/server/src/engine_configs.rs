//! From the config's sections to what each engine is opened with. Plain conversions: everything was checked before.

use gateway::alert_publisher::AlertPublisherConfig;
use gateway::coap_server::CoapConfig;
use gateway::mqtt_endpoint::{EndpointConfig, TlsFiles};
use gateway::mqtt_subscriber::{BrokerCredentials, BrokerTls, SubscriberConfig, SubscriptionQos};
use log::embedded::EmbeddedConfig;
use log::kafka::{KafkaConfig, SaslConfig, SaslMechanism, TlsConfig};

use crate::config::{AlertsMqttSection, Config, SaslSection, Secret, SubscriberSection};
use crate::listening;

/// The embedded log. `fatal` is told of an fdatasync that failed and ends the process.
pub fn embedded(config: &Config, fatal: impl Fn(&log::Error) + Send + Sync + 'static) -> EmbeddedConfig {
    let section = &config.log;
    EmbeddedConfig {
        partitions: section.partitions,
        record_bytes_max: bytes(section.record_bytes_max),
        appender_bytes_max: bytes(section.appender_bytes_max),
        segment_bytes: section.segment_bytes,
        tail_bytes_max: bytes(section.tail_bytes_max),
        bytes_max: section.bytes_max,
        retention: section.retention,
        dead_letter_retention: section.dead_letter_retention,
        alerts_retention: section.alerts_retention,
        ..EmbeddedConfig::new(&config.data_dir, fatal)
    }
}

/// Kafka as the log. `client_id` is how the brokers name this process.
pub fn kafka(config: &Config, client_id: &str) -> KafkaConfig {
    let section = &config.log;
    KafkaConfig {
        topic_prefix: section.topic_prefix.clone(),
        partitions: section.partitions,
        record_bytes_max: bytes(section.record_bytes_max),
        replication_factor: u16::try_from(section.replication_factor).ok().filter(|replicas| *replicas > 0),
        retention: section.retention,
        tls: section.tls.enabled.then(|| TlsConfig {
            ca: section.tls.ca_path.clone(),
            certificate: section.tls.certificate_path.clone(),
            key: section.tls.key_path.clone(),
            verify: section.tls.verify,
        }),
        sasl: section.sasl.as_ref().map(sasl),
        client_id: client_id.to_owned(),
        in_flight_records_max: section.appender_records_max as usize,
        in_flight_bytes_max: bytes(section.appender_bytes_max),
        ..KafkaConfig::new(section.bootstrap_servers.join(","))
    }
}

fn sasl(section: &SaslSection) -> SaslConfig {
    SaslConfig {
        mechanism: match section.mechanism {
            "SCRAM-SHA-256" => SaslMechanism::ScramSha256,
            "SCRAM-SHA-512" => SaslMechanism::ScramSha512,
            _ => SaslMechanism::Plain,
        },
        username: section.username.clone(),
        password: section.password.reveal().to_owned(),
    }
}

/// The lake.
pub fn lake(config: &Config) -> lake::LakeConfig {
    let section = &config.lake;
    lake::LakeConfig {
        tenant: config.tenant.clone(),
        roll_bytes: section.roll_bytes,
        roll_rows: u64::from(section.roll_rows),
        roll_age: section.roll_age,
        roll_age_without_rows: section.roll_age_without_rows,
        memory_bytes_max: bytes(section.memory_bytes_max),
        open_table_partitions_max: section.open_table_partitions_max as usize,
        ..lake::LakeConfig::new(&section.root)
    }
}

/// Whether the MQTT endpoint listens anywhere.
pub fn has_endpoint(config: &Config) -> bool {
    let section = &config.mqtt_endpoint;
    [&section.listen, &section.listen_tls, &section.listen_websocket].iter().any(|listen| !listen.is_off())
}

/// The MQTT endpoint. A default address of an IPv6 that this machine does not have is left out, with a warning.
pub fn endpoint(config: &Config) -> EndpointConfig {
    let section = &config.mqtt_endpoint;
    EndpointConfig {
        listen: listening::addresses("mqtt.endpoint.listen", &section.listen),
        listen_tls: listening::addresses("mqtt.endpoint.listen_tls", &section.listen_tls),
        listen_websocket: listening::addresses("mqtt.endpoint.listen_websocket", &section.listen_websocket),
        tls: section.tls.as_ref().map(|tls| TlsFiles {
            certificate_path: tls.certificate_path.clone(),
            key_path: tls.key_path.clone(),
            client_ca_path: tls.client_ca_path.clone(),
        }),
        threads: config.gateway.threads as usize,
        connections_max: section.connections_max as usize,
        sessions_max: section.sessions_max as usize,
        session_expiry_max: section.session_expiry_max,
        connect_timeout: section.connect_timeout,
        packet_timeout: section.packet_timeout,
        keep_alive_max: Some(section.keep_alive_max),
        packet_bytes_max: bytes(section.packet_bytes_max),
        partial_bytes_max: bytes(section.partial_bytes_max),
        client_id_bytes_max: section.client_id_bytes_max as usize,
        topic_bytes_max: section.topic_bytes_max as usize,
        receive_maximum: section.receive_maximum,
        topic_alias_max: section.topic_alias_max,
        subscriptions_max: section.subscriptions_max as usize,
        subscribes_waiting_max: section.subscribes_waiting_max as usize,
        deliveries_in_flight_max: section.deliveries_in_flight_max,
        flush_bytes: bytes(section.flush_bytes),
        flush_interval: section.flush_interval,
    }
}

/// The CoAP server.
pub fn coap(config: &Config) -> CoapConfig {
    let section = &config.coap;
    CoapConfig {
        listen: listening::addresses("coap.listen", &section.listen),
        threads: config.gateway.threads as usize,
        body_bytes_max: bytes(section.body_bytes_max),
        exchanges_max: section.exchanges_max as usize,
        in_flight_max: section.in_flight_max as usize,
        uploads_max: section.uploads_max as usize,
        uploads_of_peer_max: section.uploads_of_peer_max as usize,
        upload_bytes_max: bytes(section.upload_bytes_max),
        upload_timeout: section.upload_timeout,
        flush_bytes: bytes(section.flush_bytes),
        flush_interval: section.flush_interval,
        ..CoapConfig::default()
    }
}

/// One subscriber.
pub fn subscriber(section: &SubscriberSection) -> SubscriberConfig {
    let url = section.url.parse().expect("checked when the config was read");
    let defaults = SubscriberConfig::new(url, &section.client_id, section.topics.clone());
    SubscriberConfig {
        credentials: credentials(section.username.as_ref(), section.password.as_ref()),
        tls: BrokerTls {
            ca_path: section.ca_path.clone(),
            client: section.certificate_path.clone().zip(section.key_path.clone()),
        },
        qos: if section.qos == 0 { SubscriptionQos::AtMostOnce } else { SubscriptionQos::AtLeastOnce },
        share: section.share.clone(),
        keep_alive: section.keep_alive,
        in_flight_max: section.in_flight_max,
        packet_bytes_max: bytes(section.packet_bytes_max),
        reconnect_min: section.reconnect_min,
        reconnect_max: section.reconnect_max,
        ..defaults
    }
}

/// The publisher of alerts at a foreign broker; `instance` keeps the client ids of processes apart.
pub fn alert_publisher(section: &AlertsMqttSection, instance: &str) -> AlertPublisherConfig {
    let url = section.url.parse().expect("checked when the config was read");
    AlertPublisherConfig {
        credentials: credentials(section.username.as_ref(), section.password.as_ref()),
        tls: BrokerTls { ca_path: section.ca_path.clone(), client: None },
        ..AlertPublisherConfig::new(url, format!("{}-{instance}", section.client_id))
    }
}

fn credentials(username: Option<&String>, password: Option<&Secret>) -> Option<BrokerCredentials> {
    username.map(|username| BrokerCredentials {
        username: username.clone(),
        password: password.map(|password| password.reveal().to_owned()).unwrap_or_default(),
    })
}

/// A size as the machine counts; on a machine of 32 bits the greatest there is.
fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
