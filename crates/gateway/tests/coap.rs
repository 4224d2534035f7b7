//! The CoAP server over real sockets, with a log whose durability the test controls: by hand, and by libcoap's client.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

#[path = "coap/blocks.rs"]
mod blocks;
#[path = "coap/client.rs"]
mod client;
#[allow(dead_code, reason = "shared with the endpoint's tests")]
#[path = "endpoint/fake_log.rs"]
mod fake_log;
#[path = "coap/libcoap.rs"]
mod libcoap;
#[path = "coap/messages.rs"]
mod messages;
#[path = "coap/refusals.rs"]
mod refusals;
