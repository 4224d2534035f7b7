//! Payload dialects: from bytes and where they came from to envelopes that are ready for the log.
//!
//! Pure: no runtime, socket, clock or environment. [`Decoder`] is one thread's; it keeps its buffers, so that a message costs
//! no allocation once they have grown. Adding a dialect is one file in `dialects` and one line in `dialect.rs`.
//!
//! Invariants: no bytes make it panic; what is refused names the field and the byte; nothing of a payload is dropped in
//! silence; what only we can say (received_at, retained, redelivered, source) is never taken from a payload.

mod base64_text;
mod cbor;
mod decoder;
mod dialect;
mod dialects;
mod draft;
mod encode;
mod json;
mod known_devices;
mod local_zone;
mod normalize;
mod sink;
mod sparkplug_sessions;

pub use decoder::{Child, Decoded, Decoder, DecoderConfig, DialectInfo, Outcome, UnknownDialect};
pub use dialect::Certainty;
pub use known_devices::{KnownDevices, Strangers};
pub use local_zone::LocalZone;
pub use sink::{CHILDREN_MAX, READINGS_MAX, TEXT_BYTES_MAX};
pub use sparkplug_sessions::{SPARKPLUG_METRICS_MAX, SPARKPLUG_NODES_MAX};
