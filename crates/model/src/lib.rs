//! The words that every part of urban-neuron shares: the envelope on the wire, identity and repeats, log
//! positions, the metric catalog with its units, the clock verdict, alerts and rejection codes.
//!
//! Pure: no runtime, no socket, no clock, no environment. What needs the time is given it.

pub mod alert;
pub mod catalog;
pub mod clock_verdict;
pub mod coordinate_system;
pub mod device_id;
pub mod device_rights;
pub mod envelope;
pub mod event_id;
pub mod log_partition;
pub mod position;
pub mod raw_message;
pub mod record;
pub mod registry;
pub mod rejection;
pub mod repeat;
pub mod time;
pub mod unit;
pub mod wire;

/// The types generated from `proto/`, for what is not on the hot path.
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/urban_neuron.v1.rs"));
}

pub use alert::{Alert, AlertEvent, AlertState, AlertValue, Evidence, PersonEvent, Severity};
pub use coordinate_system::CoordinateSystem;
pub use device_id::DeviceIdError;
pub use device_rights::{DeviceRights, NotItsDevice, SomeDevices};
pub use envelope::{LogRecordView, ReadingView, TelemetryView, ValueView};
pub use position::{LogId, Position};
pub use raw_message::{Adapter, RawMessage};
pub use record::{Record, RecordBatch, RecordBatchBuilder};
pub use rejection::{Reason, Rejection};

/// 16 bytes that name one event; see `event_id`.
pub type EventId = [u8; 16];
