//! Whether a device's claim of time can be used.

use crate::proto::ClockVerdict;

/// A device may be ahead of us by this much, microseconds.
pub const AHEAD_US_MAX: i64 = 5 * 60 * 1_000_000;

/// 2015-01-01T00:00:00Z: clocks that were never set stand before it. Microseconds.
pub const EPOCH_FLOOR_US: i64 = 1_420_070_400_000_000;

/// A reading that is not historical is at most this old, microseconds.
pub const AGE_US_MAX: i64 = 90 * 86_400 * 1_000_000;

/// The verdict on a device's time, if it gave one, against when the message was received. Times are microseconds since
/// 1970-01-01T00:00:00Z.
pub fn clock_verdict(device_time_us: Option<i64>, received_at_us: i64, is_historical: bool) -> ClockVerdict {
    match device_time_us {
        None => ClockVerdict::None,
        Some(at) if at < EPOCH_FLOOR_US => ClockVerdict::BeforeEpochFloor,
        Some(at) if at.saturating_sub(received_at_us) > AHEAD_US_MAX => ClockVerdict::Future,
        Some(at) if !is_historical && received_at_us.saturating_sub(at) > AGE_US_MAX => {
            ClockVerdict::Implausible
        }
        Some(_) => ClockVerdict::Ok,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_at_its_edge() {
        const NOW: i64 = 1_772_409_600_000_000;
        let cases = [
            (None, false, ClockVerdict::None),
            (Some(NOW), false, ClockVerdict::Ok),
            (Some(NOW + AHEAD_US_MAX), false, ClockVerdict::Ok),
            (Some(NOW + AHEAD_US_MAX + 1), false, ClockVerdict::Future),
            (Some(NOW + AHEAD_US_MAX + 1), true, ClockVerdict::Future),
            (Some(NOW - AGE_US_MAX), false, ClockVerdict::Ok),
            (Some(NOW - AGE_US_MAX - 1), false, ClockVerdict::Implausible),
            (Some(NOW - AGE_US_MAX - 1), true, ClockVerdict::Ok),
            (Some(EPOCH_FLOOR_US), true, ClockVerdict::Ok),
            (Some(EPOCH_FLOOR_US - 1), true, ClockVerdict::BeforeEpochFloor),
            (Some(0), false, ClockVerdict::BeforeEpochFloor),
            (Some(i64::MIN), false, ClockVerdict::BeforeEpochFloor),
            (Some(i64::MAX), false, ClockVerdict::Future),
        ];
        for (device_time_us, is_historical, verdict) in cases {
            assert_eq!(clock_verdict(device_time_us, NOW, is_historical), verdict, "{device_time_us:?}");
        }
    }
}
