//! The built binary against real clients: one file a promise.

#![allow(clippy::unwrap_used, clippy::panic)]

mod binary;
mod crash;
mod drain;
mod honest_client;
mod lake_rows;
mod oracle;
