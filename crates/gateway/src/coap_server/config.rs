//! Limits of the CoAP server.

use std::net::SocketAddr;
use std::time::Duration;

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct CoapConfig {
    /// Addresses of CoAP over UDP.
    pub listen: Vec<SocketAddr>,
    /// Threads; the kernel keeps a peer at one of them. Default half the processors.
    pub threads: usize,
    /// Largest body, assembled from blocks. Default 64 KiB.
    pub body_bytes_max: usize,
    /// Exchanges of one thread that are remembered, to tell a repeated message by. Beyond it the oldest is forgotten, and
    /// messages are marked as possible repeats, which the log's repeat window then tells. Default 262,144.
    pub exchanges_max: usize,
    /// Uploads in blocks that one thread has open; one more is told 5.03. Default 4,096.
    pub uploads_max: usize,
    /// Uploads in blocks of one peer; one more is told 5.03. Default 8.
    pub uploads_of_peer_max: usize,
    /// Bytes of unfinished uploads that one thread holds; the upload that needs more is told 5.03. Default 64 MiB.
    pub upload_bytes_max: usize,
    /// From one block of an upload to the next. Default 247 s, the lifetime of an exchange.
    pub upload_timeout: Duration,
    /// How long a confirmable request waits for its answer before it is told that the answer comes apart. Less than the
    /// 2 s after which a client sends it again. Default 1 s.
    pub separate_after: Duration,
    /// Requests of one thread that wait to be durable; one more is told 5.03. Default 131,072.
    pub in_flight_max: usize,
    /// Answers of one thread that came apart and wait for their acknowledgement; those beyond it are sent once. Default
    /// 16,384.
    pub separates_max: usize,
    /// What a client that is told 5.03 shall wait. Default 5 s.
    pub retry_after: Duration,
    /// Payload bytes that are flushed though an earlier flush is not durable yet. Default 256 KiB.
    pub flush_bytes: usize,
    /// Longest time from a message to its flush while an earlier flush is not durable yet. Default 1 ms.
    pub flush_interval: Duration,
}

impl Default for CoapConfig {
    fn default() -> Self {
        CoapConfig {
            listen: Vec::new(),
            threads: std::thread::available_parallelism()
                .map_or(1, |processors| (processors.get() / 2).max(1)),
            body_bytes_max: 64 << 10,
            exchanges_max: 262_144,
            uploads_max: 4_096,
            uploads_of_peer_max: 8,
            upload_bytes_max: 64 << 20,
            upload_timeout: super::EXCHANGE_LIFETIME,
            separate_after: Duration::from_secs(1),
            in_flight_max: 131_072,
            separates_max: 16_384,
            retry_after: Duration::from_secs(5),
            flush_bytes: 256 << 10,
            flush_interval: Duration::from_millis(1),
        }
    }
}
