//! The built binary against real clients: one file a promise.

#![allow(clippy::unwrap_used, clippy::panic)]

mod binary;
mod city;
mod coap;
mod crash;
mod disk_full;
mod drain;
mod honest_client;
#[path = "../../../log/tests/support/kafka_broker.rs"]
mod kafka_broker;
mod lake_rows;
mod oracle;
mod people;
mod readers;
mod registry;
mod shadow;
mod suppression;
