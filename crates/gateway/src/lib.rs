//! Adapters: they take messages from transports, hand them to the intake, and acknowledge them once they are durable.
//!
//! Nothing here knows a dialect or the log. Invariants: no acknowledgement leaves before its ticket is durable (I1);
//! acknowledgements leave in the order of arrival; when the intake has no room, sockets are not read (I5).

pub mod alert_board;
pub mod alert_publisher;
pub mod coap;
pub mod coap_server;
pub mod intake;
pub mod mqtt;
pub mod mqtt_endpoint;
pub mod mqtt_subscriber;

pub use alert_board::{AlertBoard, AlertBoardLimits};
pub use intake::{Intake, IntakeError, IntakeSource, Ticket, Wake};
