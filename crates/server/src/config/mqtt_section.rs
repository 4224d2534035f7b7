//! `[mqtt]`: the endpoint that devices connect to, and the brokers that we subscribe at.

use std::path::PathBuf;
use std::time::Duration;

use gateway::mqtt_subscriber::BrokerUrl;

use super::listen::Listen;
use super::reader::Section;
use super::secret::Secret;

/// `[mqtt.endpoint]`.
#[derive(Clone, Debug)]
pub struct EndpointSection {
    pub listen: Listen,
    /// Empty while there is no certificate.
    pub listen_tls: Listen,
    pub listen_websocket: Listen,
    pub tls: Option<ServerTls>,
    pub allow_anonymous: bool,
    pub credentials_path: Option<PathBuf>,
    pub failures_per_user: u32,
    pub failures_per_address: u32,
    pub password_threads: u32,
    pub connections_max: u32,
    pub sessions_max: u32,
    pub session_expiry_max: Duration,
    pub connect_timeout: Duration,
    pub packet_timeout: Duration,
    pub keep_alive_max: Duration,
    pub packet_bytes_max: u64,
    pub partial_bytes_max: u64,
    pub client_id_bytes_max: u32,
    pub topic_bytes_max: u32,
    pub receive_maximum: u16,
    pub topic_alias_max: u16,
    pub subscriptions_max: u32,
    pub subscribes_waiting_max: u32,
    pub deliveries_in_flight_max: u16,
    pub flush_bytes: u64,
    pub flush_interval: Duration,
}

/// What a TLS listener shows.
#[derive(Clone, Debug)]
pub struct ServerTls {
    pub certificate_path: PathBuf,
    pub key_path: PathBuf,
    pub client_ca_path: Option<PathBuf>,
    pub client_crl_path: Option<PathBuf>,
}

impl EndpointSection {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        let (listen_tls, tls) = read_tls(s);
        EndpointSection {
            listen: s.listen("listen", Listen::loopbacks(1883), "Plain MQTT 3.1.1 and 5.0."),
            listen_tls,
            listen_websocket: s.listen("listen_websocket", Listen::loopbacks(8083), "MQTT over WebSocket, subprotocol mqtt."),
            tls,
            allow_anonymous: s.flag("allow_anonymous", false, "Let anybody in on addresses other than loopback."),
            credentials_path: s.path("credentials_path", "", "File of the users that may connect and what each may do, see docs/security.md; *.toml, or a line each: name:password, name:sha256:hex digits or name:$argon2id$... With it everybody needs one. Read again when it changes."),
            failures_per_user: s.count("failures_per_user", 10, 1..=100_000, "Wrong passwords of one user a minute before it is refused for a while, but from where it was at home."),
            failures_per_address: s.count("failures_per_address", 120, 1..=100_000, "Wrong passwords from one address a minute (IPv6: from one /64) before it is refused for a while."),
            password_threads: s.count("password_threads", 1, 1..=16, "Threads that check argon2id passwords, which take tens of milliseconds each."),
            connections_max: s.count("connections_max", 10_000, 1..=1_000_000, "Connections at once; one more is closed."),
            sessions_max: s.count("sessions_max", 100_000, 1..=10_000_000, "Persistent sessions, connected or not; one more is refused."),
            session_expiry_max: s.duration("session_expiry_max", "7d", "0s"..="3650d", "Longest session expiry; a 3.1.1 session that is not clean gets it."),
            connect_timeout: s.duration("connect_timeout", "10s", "100ms"..="10m", "From accept to a whole CONNECT, handshakes included."),
            packet_timeout: s.duration("packet_timeout", "60s", "100ms"..="1h", "From the first byte of a packet to its last, and the longest stall of a peer that does not read."),
            keep_alive_max: s.duration("keep_alive_max", "1h", "5s"..="18h", "Longest keep-alive; a 5.0 client that asks for more is told this one."),
            packet_bytes_max: s.size("packet_bytes_max", "1MiB", "1KiB"..="63MiB", "Largest packet."),
            partial_bytes_max: s.size("partial_bytes_max", "64MiB", "1MiB"..="16GiB", "Bytes of unfinished packets that one thread holds."),
            client_id_bytes_max: s.count("client_id_bytes_max", 256, 23..=4096, "Longest client id, bytes."),
            topic_bytes_max: s.count("topic_bytes_max", 1024, 64..=16_384, "Longest MQTT topic, bytes."),
            receive_maximum: read_u16(s, "receive_maximum", 1024, "QoS 1 and 2 messages of one connection that are not acknowledged yet."),
            topic_alias_max: read_u16(s, "topic_alias_max", 64, "Topic aliases of one connection."),
            subscriptions_max: s.count("subscriptions_max", 64, 1..=10_000, "Filters of one session."),
            subscribes_waiting_max: s.count("subscribes_waiting_max", 16, 1..=1_000, "SUBSCRIBE packets of one connection that wait for their answer."),
            deliveries_in_flight_max: read_u16(s, "deliveries_in_flight_max", 64, "Alerts of QoS 1 that one subscriber may have unacknowledged."),
            flush_bytes: s.size("flush_bytes", "256KiB", "1KiB"..="64MiB", "Payload bytes that are flushed though an earlier flush is not durable yet."),
            flush_interval: s.duration("flush_interval", "1ms", "1ms"..="1s", "Longest time from a message to its flush while an earlier one is not durable yet."),
        }
    }

    /// Whether whoever reaches a listener may publish.
    pub fn is_open_to_anybody(&self) -> bool {
        self.credentials_path.is_none()
    }
}

fn read_u16(s: &mut Section<'_>, key: &'static str, default: u16, text: &'static str) -> u16 {
    let number = s.count(key, u32::from(default), 1..=u32::from(u16::MAX), text);
    u16::try_from(number).expect("the range ends at 65,535")
}

/// The TLS listener and its files; off without a certificate, unless somebody asked for it.
fn read_tls(s: &mut Section<'_>) -> (Listen, Option<ServerTls>) {
    let listen =
        s.listen("listen_tls", Listen::loopbacks(8883), "MQTT over TLS; off while there is no certificate.");
    let certificate_path =
        s.path("certificate_path", "", "PEM file of the server's certificate, then its chain.");
    let key_path = s.path("key_path", "", "PEM file of its key.");
    let client_ca_path = s.path(
        "client_ca_path",
        "",
        "PEM file of authorities: clients must show a certificate that one of them signed; a user with that certificate needs no password.",
    );
    let client_crl_path = s.path(
        "client_crl_path",
        "",
        "PEM file of lists of certificates that those authorities have revoked; with it, one that no list covers is refused too.",
    );
    if client_crl_path.is_some() && client_ca_path.is_none() {
        s.error("client_crl_path", "has no meaning without client_ca_path");
    }
    match (certificate_path, key_path) {
        (Some(certificate_path), Some(key_path)) => {
            (listen, Some(ServerTls { certificate_path, key_path, client_ca_path, client_crl_path }))
        }
        (None, None) => {
            if !listen.is_default && !listen.is_off() {
                s.error("listen_tls", "needs certificate_path and key_path");
            }
            (Listen::default(), None)
        }
        (certificate, _) => {
            let missing = if certificate.is_some() { "key_path" } else { "certificate_path" };
            s.error(missing, "is missing: certificate_path and key_path go together");
            (Listen::default(), None)
        }
    }
}

/// One `[[mqtt.subscriber]]`.
#[derive(Clone, Debug)]
pub struct SubscriberSection {
    pub url: String,
    pub topics: Vec<String>,
    pub share: Option<String>,
    pub client_id: String,
    pub qos: u8,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub ca_path: Option<PathBuf>,
    pub certificate_path: Option<PathBuf>,
    pub key_path: Option<PathBuf>,
    pub keep_alive: Duration,
    pub in_flight_max: u16,
    pub packet_bytes_max: u64,
    pub reconnect_min: Duration,
    pub reconnect_max: Duration,
}

impl SubscriberSection {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        let url =
            s.required_text("url", "The broker: mqtt://host:1883 or mqtts://host:8883, without credentials.");
        if let Some(Err(error)) = (!url.is_empty()).then(|| url.parse::<BrokerUrl>()) {
            s.error("url", error.to_string());
        }
        let is_topics_written = s.is_written("topics");
        let topics = s.texts("topics", "MQTT topic filters to subscribe to; at least one.");
        if topics.is_empty() && (is_topics_written || !url.is_empty()) {
            s.error("topics", "at least one topic filter is wanted");
        }
        let qos = s.choice("qos", &[("1", 1), ("0", 0)], "Quality of service that is asked for, as text.");
        let section = SubscriberSection {
            url,
            topics,
            share: optional(s.text(
                "share",
                "",
                "Group of a shared subscription: several processes divide the messages.",
            )),
            client_id: s.text(
                "client_id",
                "urban-neuron",
                "Client id; the broker keeps what we have not acknowledged under it, so it is one a process.",
            ),
            qos,
            username: optional(s.text("username", "", "Who we are.")),
            password: s.secret("password", "password_path", "Its password."),
            ca_path: s.path(
                "ca_path",
                "",
                "PEM file of the authorities to trust with mqtts; the system's when not set.",
            ),
            certificate_path: s.path(
                "certificate_path",
                "",
                "PEM file of our own certificate, where the broker wants one.",
            ),
            key_path: s.path("key_path", "", "PEM file of its key."),
            keep_alive: s.duration("keep_alive", "30s", "5s"..="18h", "Keep-alive towards the broker."),
            in_flight_max: read_u16(s, "in_flight_max", 1000, "Messages taken and not acknowledged yet."),
            packet_bytes_max: s.size("packet_bytes_max", "1MiB", "1KiB"..="63MiB", "Largest packet; a larger one is acknowledged and dropped with an ERROR, since nothing else frees the broker of it."),
            reconnect_min: s.duration(
                "reconnect_min",
                "500ms",
                "10ms"..="1h",
                "First wait before connecting again; it doubles, with jitter.",
            ),
            reconnect_max: s.duration(
                "reconnect_max",
                "30s",
                "10ms"..="1h",
                "Longest wait before connecting again.",
            ),
        };
        if section.share.as_ref().is_some_and(|group| group.contains(['/', '+', '#'])) {
            s.error("share", "contains none of / + #");
        }
        if section.reconnect_min > section.reconnect_max {
            s.error(
                "reconnect_min",
                "the first wait is not longer than the longest: lower it or raise reconnect_max",
            );
        }
        section
    }
}

fn optional(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
