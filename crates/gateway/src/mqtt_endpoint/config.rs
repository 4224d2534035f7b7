//! What the endpoint is told: addresses and limits.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Configuration of the endpoint. Every limit has a name, a unit and a default.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Plain MQTT. Port 0: the system chooses. Default none.
    pub listen: Vec<SocketAddr>,
    /// MQTT over TLS; needs `tls`. Default none.
    pub listen_tls: Vec<SocketAddr>,
    /// MQTT over WebSocket, subprotocol `mqtt`. Default none.
    pub listen_websocket: Vec<SocketAddr>,
    pub tls: Option<TlsFiles>,
    /// Threads, each with its connections and its intake. Default: half the processors, at least 1.
    pub threads: usize,
    /// Connections at once; one more is closed without an answer. Default 10,000.
    pub connections_max: usize,
    /// Persistent sessions, connected or not; one more is refused (0x97, 3.1.1: 3). Default 100,000.
    pub sessions_max: usize,
    /// Longest session expiry interval; 3.1.1 sessions that are not clean get it. Default 7 days.
    pub session_expiry_max: Duration,
    /// From accept to a whole CONNECT, TLS and WebSocket handshakes included. Default 10 s.
    pub connect_timeout: Duration,
    /// From the first byte of a packet to its last, and the longest stall of a peer that does not read. Default 60 s.
    pub packet_timeout: Duration,
    /// Longest keep-alive; a 5.0 client that asks for more, or for none, is told this one. `None`: any. Default 1 hour.
    pub keep_alive_max: Option<Duration>,
    /// Largest packet. Default 1 MiB.
    pub packet_bytes_max: usize,
    /// Bytes of unfinished packets that one thread holds; the connection that needs more is closed. Default 64 MiB.
    pub partial_bytes_max: usize,
    /// Longest client id, bytes. Default 256.
    pub client_id_bytes_max: usize,
    /// Longest topic, bytes. Default 1,024.
    pub topic_bytes_max: usize,
    /// Messages of QoS above 0 that one connection may have unacknowledged: 5.0 clients are told, 3.1.1 clients are not
    /// read beyond it. Default 1,024.
    pub receive_maximum: u16,
    /// Topic aliases of one connection. Default 64.
    pub topic_alias_max: u16,
    /// Filters of one session. Default 64.
    pub subscriptions_max: usize,
    /// SUBSCRIBE packets of one connection that wait for their answer. Default 16.
    pub subscribes_waiting_max: usize,
    /// Alerts of QoS 1 that one subscriber may have unacknowledged; its receive maximum where that is less. Default 64.
    pub deliveries_in_flight_max: u16,
    /// Payload bytes that are flushed though an earlier flush is not durable yet. Default 256 KiB.
    pub flush_bytes: usize,
    /// Longest time from a message to its flush while an earlier flush is not durable yet; timers have a resolution of
    /// 1 ms. Default 1 ms.
    pub flush_interval: Duration,
}

/// PEM files.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The server's certificate, then its chain.
    pub certificate_path: PathBuf,
    pub key_path: PathBuf,
    /// With it, clients must show a certificate that one of these authorities signed.
    pub client_ca_path: Option<PathBuf>,
    /// Lists of certificates that their authorities have revoked; with it every client's must be covered by one. Only with
    /// `client_ca_path`.
    pub client_crl_path: Option<PathBuf>,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        EndpointConfig {
            listen: Vec::new(),
            listen_tls: Vec::new(),
            listen_websocket: Vec::new(),
            tls: None,
            threads: std::thread::available_parallelism()
                .map_or(1, |processors| (processors.get() / 2).max(1)),
            connections_max: 10_000,
            sessions_max: 100_000,
            session_expiry_max: Duration::from_secs(7 * 24 * 3600),
            connect_timeout: Duration::from_secs(10),
            packet_timeout: Duration::from_secs(60),
            keep_alive_max: Some(Duration::from_secs(3600)),
            packet_bytes_max: 1 << 20,
            partial_bytes_max: 64 << 20,
            client_id_bytes_max: 256,
            topic_bytes_max: 1024,
            receive_maximum: 1024,
            topic_alias_max: 64,
            subscriptions_max: 64,
            subscribes_waiting_max: 16,
            deliveries_in_flight_max: 64,
            flush_bytes: 256 << 10,
            flush_interval: Duration::from_millis(1),
        }
    }
}
