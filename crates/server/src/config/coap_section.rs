//! `[coap]`: the server that NB-IoT devices post to.

use std::time::Duration;

use super::listen::Listen;
use super::reader::Section;

/// `[coap]`.
#[derive(Clone, Debug)]
pub struct CoapSection {
    pub listen: Listen,
    pub allow_anonymous: bool,
    pub body_bytes_max: u64,
    pub exchanges_max: u32,
    pub in_flight_max: u32,
    pub uploads_max: u32,
    pub uploads_of_peer_max: u32,
    pub upload_bytes_max: u64,
    pub upload_timeout: Duration,
    pub flush_bytes: u64,
    pub flush_interval: Duration,
}

impl CoapSection {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        super::service_sections::refuse_listen(
            s,
            "listen_dtls",
            "CoAP over DTLS (port 5684). Not supported by this version.",
        );
        CoapSection {
            listen: s.listen("listen", Listen::loopbacks(5683), "CoAP over UDP."),
            allow_anonymous: s.flag("allow_anonymous", false, "Take messages of anybody on addresses other than loopback: plain CoAP knows no credentials."),
            body_bytes_max: s.bytes("body_bytes_max", "64KiB", "1KiB"..="16MiB", "Largest body, assembled from blocks; above it 4.13 with Size1."),
            exchanges_max: s.count("exchanges_max", 262_144, 1_024..=16_777_216, "Exchanges that one thread remembers to tell repeats by, 247 s each; of what it must forget the log's repeat window tells repeats."),
            in_flight_max: s.count("in_flight_max", 131_072, 1..=16_777_216, "Requests of one thread that wait to be durable; one more is told 5.03."),
            uploads_max: s.count("uploads_max", 4_096, 1..=1_000_000, "Uploads in blocks that one thread has open; one more is told 5.03."),
            uploads_of_peer_max: s.count("uploads_of_peer_max", 8, 1..=1_000, "The same of one peer."),
            upload_bytes_max: s.size("upload_bytes_max", "64MiB", "64KiB"..="16GiB", "Bytes of unfinished uploads that one thread holds."),
            upload_timeout: s.duration("upload_timeout", "247s", "1s"..="1h", "From one block of an upload to the next."),
            flush_bytes: s.size("flush_bytes", "256KiB", "1KiB"..="64MiB", "Payload bytes that are flushed though an earlier flush is not durable yet."),
            flush_interval: s.duration("flush_interval", "1ms", "1ms"..="1s", "Longest time from a message to its flush while an earlier one is not durable yet."),
        }
    }
}
