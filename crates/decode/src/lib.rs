//! Payload dialects: bytes and source to telemetry, pure.
