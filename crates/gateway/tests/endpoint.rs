//! The endpoint over real sockets, with a log whose durability the test controls.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

#[path = "endpoint/acks.rs"]
mod acks;
#[path = "endpoint/alerts.rs"]
mod alerts;
#[path = "endpoint/certificates.rs"]
mod certificates;
#[path = "endpoint/clients.rs"]
mod clients;
#[path = "endpoint/fake_log.rs"]
mod fake_log;
#[path = "endpoint/identities.rs"]
mod identities;
#[path = "endpoint/limits.rs"]
mod limits;
#[path = "endpoint/raw_client.rs"]
mod raw_client;
#[path = "endpoint/server.rs"]
mod server;
#[path = "endpoint/sessions.rs"]
mod sessions;
#[path = "endpoint/standard.rs"]
mod standard;
