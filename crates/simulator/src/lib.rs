//! A city of sensors that speaks the real protocols.
//!
//! [`City`] says what its devices measure: a pure function of its config, without clock or socket. [`publish`] sends a
//! city through rumqttc and knows, message by message, what was acknowledged. [`flood`] sends as many messages as a
//! benchmark can take, at next to no cost of its own.
//!
//! Invariant: a message counts as acknowledged only when its PUBACK came, and until then it is sent again.

mod broker_address;
pub mod city;
mod error;
pub mod flood;
mod latencies;
mod outcome;
pub mod publisher;

pub use broker_address::BrokerAddress;
pub use city::{City, CityConfig, Message, MessageKind};
pub use error::Error;
pub use flood::{FloodConfig, flood};
pub use latencies::Latencies;
pub use outcome::{Progress, Summary};
pub use publisher::{PublisherConfig, publish};
