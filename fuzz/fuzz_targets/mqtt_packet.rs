//! What a client of the MQTT endpoint may send, in both versions of the protocol.

#![no_main]

use gateway::mqtt::{Connect, Packet, Version, frame};
use libfuzzer_sys::fuzz_target;

const BYTES_MAX: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    for version in [Version::V311, Version::V5] {
        walk(version, bytes);
    }
});

/// Reads all packets of a buffer as the endpoint does, up to the first that it would close the connection for.
fn walk(version: Version, mut buffer: &[u8]) {
    while let Ok(Some((frame, rest))) = frame::split(buffer, BYTES_MAX) {
        assert!(rest.len() < buffer.len(), "a frame takes bytes");
        buffer = rest;
        // The first packet and the later ones are read by different code: both see everything.
        if let Err(error) = Connect::parse(frame) {
            assert!(error.error.reason.0 >= 0x80, "a refusal has the reason code of one");
        }
        if Packet::parse(version, frame).is_err() {
            return;
        }
    }
}
