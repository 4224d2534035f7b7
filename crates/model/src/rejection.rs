//! Why a payload was refused: a value, since refusing a bad reading is normal work.

use std::fmt;

/// Stable reason codes. They stand in dead letters, metrics and answers; none is ever renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// No dialect is known for this topic or path.
    UnknownDialect,
    EmptyPayload,
    /// Larger than the dialect or the log record allows.
    PayloadTooLarge,
    InvalidUtf8,
    MalformedJson,
    MalformedCbor,
    MalformedProtobuf,
    MalformedSenml,
    /// A field frame whose marks or lengths do not fit.
    MalformedFrame,
    /// A field frame that was damaged on its way.
    WrongChecksum,
    /// Nested deeper than the limit.
    TooDeep,
    /// More readings or children than the limit.
    TooMany,
    InvalidDeviceId,
    MissingDeviceId,
    /// The registry does not know the device, and strangers are set aside.
    UnregisteredDevice,
    InvalidMetric,
    /// A value of a type that a reading cannot carry.
    InvalidValue,
    /// A number that no f64 and no i64 holds.
    NumberOutOfRange,
    InvalidTime,
    /// A message must have at least one reading.
    NoReadings,
    DuplicateField,
    UnsupportedVersion,
    /// A record of the log that does not parse.
    UndecodableRecord,
    /// A command on an alert that is no command.
    MalformedCommand,
    /// A command on an alert that does not fire.
    AlertNotFiring,
}

impl Reason {
    pub const ALL: [Reason; 25] = [
        Reason::UnknownDialect,
        Reason::EmptyPayload,
        Reason::PayloadTooLarge,
        Reason::InvalidUtf8,
        Reason::MalformedJson,
        Reason::MalformedCbor,
        Reason::MalformedProtobuf,
        Reason::MalformedSenml,
        Reason::MalformedFrame,
        Reason::WrongChecksum,
        Reason::TooDeep,
        Reason::TooMany,
        Reason::InvalidDeviceId,
        Reason::MissingDeviceId,
        Reason::UnregisteredDevice,
        Reason::InvalidMetric,
        Reason::InvalidValue,
        Reason::NumberOutOfRange,
        Reason::InvalidTime,
        Reason::NoReadings,
        Reason::DuplicateField,
        Reason::UnsupportedVersion,
        Reason::UndecodableRecord,
        Reason::MalformedCommand,
        Reason::AlertNotFiring,
    ];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Reason::UnknownDialect => "unknown_dialect",
            Reason::EmptyPayload => "empty_payload",
            Reason::PayloadTooLarge => "payload_too_large",
            Reason::InvalidUtf8 => "invalid_utf8",
            Reason::MalformedJson => "malformed_json",
            Reason::MalformedCbor => "malformed_cbor",
            Reason::MalformedProtobuf => "malformed_protobuf",
            Reason::MalformedSenml => "malformed_senml",
            Reason::MalformedFrame => "malformed_frame",
            Reason::WrongChecksum => "wrong_checksum",
            Reason::TooDeep => "too_deep",
            Reason::TooMany => "too_many",
            Reason::InvalidDeviceId => "invalid_device_id",
            Reason::MissingDeviceId => "missing_device_id",
            Reason::UnregisteredDevice => "unregistered_device",
            Reason::InvalidMetric => "invalid_metric",
            Reason::InvalidValue => "invalid_value",
            Reason::NumberOutOfRange => "number_out_of_range",
            Reason::InvalidTime => "invalid_time",
            Reason::NoReadings => "no_readings",
            Reason::DuplicateField => "duplicate_field",
            Reason::UnsupportedVersion => "unsupported_version",
            Reason::UndecodableRecord => "undecodable_record",
            Reason::MalformedCommand => "malformed_command",
            Reason::AlertNotFiring => "alert_not_firing",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A refusal: the stable code and a text that names the field and the byte or line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: Reason,
    pub detail: String,
}

impl Rejection {
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Rejection { reason, detail: detail.into() }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}
