//! The CoAP message format (RFC 7252 section 3): bytes to messages and back. Pure.
//!
//! Invariants: no bytes make it panic; what parses is written back byte for byte as it was, if its lengths were in their
//! shortest form; nothing is copied out of the datagram.

mod block;
mod code;
mod encode;
mod message;
mod options;
mod token;

pub use block::Block;
pub use code::Code;
pub use encode::Encoder;
pub use message::{FormatError, Message, MessageType};
pub use options::{Options, number};
pub use token::Token;

/// Version of every message that is understood.
const VERSION: u8 = 1;

/// Bytes of the fixed header.
pub const HEADER_BYTES: usize = 4;
