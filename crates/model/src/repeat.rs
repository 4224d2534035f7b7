//! The repeat window: whether a record is a redelivery of one that stands not far before it in its log partition.
//!
//! A repeat is decided in log order, by the same code in lake and rules, as a function of a bounded stretch of the log: of
//! the records whose offset is not below its own - [`REPEAT_WINDOW_OFFSETS`], one has an equal event id; or the record is
//! marked as redelivered, has no identity of its own, and one has an equal redelivery key with an append time not over
//! [`REDELIVERY_AGE_US_MAX`] older. A worker rebuilds the window by reading that stretch before its position.

mod id_ring;

use std::collections::VecDeque;

use id_ring::IdRing;

use crate::proto::Flag;
use crate::{LogRecordView, Record, TelemetryView};

/// How many offsets back a repeat is looked for.
pub const REPEAT_WINDOW_OFFSETS: i64 = 262_144;

/// How much older, by append time, an equal redelivery key may be, microseconds.
pub const REDELIVERY_AGE_US_MAX: i64 = 600_000_000;

/// Records that [`RepeatWindow::warm`] looks ahead: call it before each so many.
pub const WARM_RECORDS: usize = 32;

/// Offsets between two notes of the append time, for [`RepeatWindow::reach_us`].
const REACH_STEP_OFFSETS: i64 = 4_096;

/// The ids of the last records of one log partition: at most 262,144 of them, 6.3 MB for the event ids, and 8.4 MB more only
/// where every message carries a redelivery key.
#[derive(Clone, Debug, Default)]
pub struct RepeatWindow {
    event_ids: IdRing<()>,
    /// With the append time of each.
    redelivery_keys: IdRing<[u8; 8]>,
    /// Offset and append time, a step apart, oldest first.
    reach: VecDeque<(i64, i64)>,
    latest_us: i64,
}

impl RepeatWindow {
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the record at `offset` is a repeat; it is in the window from now on. Offsets rise from call to call.
    pub fn check_and_insert(&mut self, offset: i64, log_time_us: i64, view: &TelemetryView<'_>) -> bool {
        self.note_reach(offset, log_time_us);
        let mut is_repeat = self.event_ids.note(&view.event_id, offset, ()).is_some();
        if let Some(key) = &view.redelivery_key {
            let earlier = self.redelivery_keys.note(key, offset, log_time_us.to_le_bytes());
            let is_near =
                earlier.is_some_and(|at| log_time_us - i64::from_le_bytes(at) <= REDELIVERY_AGE_US_MAX);
            is_repeat |= view.has_flag(Flag::Redelivered) && is_near;
        }
        is_repeat
    }

    /// Touches what [`RepeatWindow::check_and_insert`] of the next [`WARM_RECORDS`] records will touch, so that their cache
    /// misses overlap instead of each being waited for. Changes nothing.
    pub fn warm<'r>(&self, next: impl Iterator<Item = Record<'r>>) {
        let ids = next.take(WARM_RECORDS).filter_map(|record| LogRecordView::peek_event_id(record.value));
        self.event_ids.warm(ids);
    }

    /// Bytes held.
    pub fn memory_bytes(&self) -> usize {
        self.event_ids.memory_bytes() + self.redelivery_keys.memory_bytes()
    }

    /// How far the window reaches back by append time, microseconds.
    pub fn reach_us(&self) -> i64 {
        self.reach.front().map_or(0, |(_, oldest_us)| self.latest_us - oldest_us)
    }

    fn note_reach(&mut self, offset: i64, log_time_us: i64) {
        self.latest_us = self.latest_us.max(log_time_us);
        if self.reach.back().is_none_or(|(last, _)| offset >= last + REACH_STEP_OFFSETS) {
            self.reach.push_back((offset, log_time_us));
        }
        // The second note must be in the window too, or what lies between is claimed and not remembered.
        while self.reach.front().is_some_and(|(oldest, _)| *oldest < offset - REPEAT_WINDOW_OFFSETS) {
            self.reach.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::proto;

    fn telemetry(id: u8, key: Option<u8>, is_redelivered: bool) -> Vec<u8> {
        // Equal low bytes make every id collide in the table.
        let spread = |byte: u8| [vec![0; 15], vec![byte]].concat();
        proto::Telemetry {
            device_id: "a".to_owned(),
            event_id: spread(id),
            readings: vec![proto::Reading { metric: "x".to_owned(), ..proto::Reading::default() }],
            redelivery_key: key.map(spread).unwrap_or_default(),
            flags: if is_redelivered { Flag::Redelivered as u32 } else { 0 },
            ..proto::Telemetry::default()
        }
        .encode_to_vec()
    }

    /// Written straight from the definition.
    #[derive(Default)]
    struct Naive {
        records: Vec<(i64, i64, u8, Option<u8>)>,
    }

    impl Naive {
        fn check(&mut self, record: (i64, i64, u8, Option<u8>), is_redelivered: bool) -> bool {
            let (offset, log_time_us, id, key) = record;
            let in_window = self.records.iter().filter(|earlier| earlier.0 >= offset - REPEAT_WINDOW_OFFSETS);
            let is_repeat = in_window.clone().any(|earlier| earlier.2 == id)
                || is_redelivered
                    && key.is_some()
                    && in_window
                        .clone()
                        .any(|earlier| earlier.3 == key && log_time_us - earlier.1 <= REDELIVERY_AGE_US_MAX);
            self.records.push(record);
            is_repeat
        }
    }

    proptest! {
        #[test]
        fn the_window_is_its_definition(
            records in proptest::collection::vec(
                (prop_oneof![9 => 1..4i64, 1 => 1..90_000i64], 0..300_000_000i64, any::<u8>(), proptest::option::of(0..20u8), any::<bool>()),
                1..600,
            ),
            first in prop_oneof![Just(0i64), Just(u32::MAX as i64 - 100_000)],
        ) {
            let (mut window, mut naive) = (RepeatWindow::new(), Naive::default());
            let (mut offset, mut log_time_us) = (first, 0);
            for (step, elapsed_us, id, key, is_redelivered) in records {
                offset += step;
                log_time_us += elapsed_us;
                let bytes = telemetry(id, key, is_redelivered);
                let view = TelemetryView::parse(&bytes).unwrap();
                let expected = naive.check((offset, log_time_us, id, key), is_redelivered);
                prop_assert_eq!(window.check_and_insert(offset, log_time_us, &view), expected);
            }
        }
    }

    #[test]
    fn the_last_offset_of_the_window_counts_and_the_one_before_does_not() {
        let bytes = telemetry(1, None, false);
        let view = TelemetryView::parse(&bytes).unwrap();
        for (distance, is_repeat) in [(REPEAT_WINDOW_OFFSETS, true), (REPEAT_WINDOW_OFFSETS + 1, false)] {
            let mut window = RepeatWindow::new();
            assert!(!window.check_and_insert(7, 0, &view));
            assert_eq!(window.check_and_insert(7 + distance, 1, &view), is_repeat);
        }
    }

    #[test]
    fn a_full_window_stays_within_its_size() {
        let mut window = RepeatWindow::new();
        let mut bytes = telemetry(1, None, false);
        for offset in 0..REPEAT_WINDOW_OFFSETS * 2 {
            let at = bytes.windows(2).position(|pair| pair == [0x12, 16]).unwrap() + 2;
            bytes[at..at + 8]
                .copy_from_slice(&offset.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64).to_le_bytes());
            let view = TelemetryView::parse(&bytes).unwrap();
            assert!(!window.check_and_insert(offset, offset * 10, &view));
        }
        let held = window.memory_bytes();
        assert!((6_200_000..6_300_000).contains(&held), "{held} bytes");
        assert!(window.reach_us() > (REPEAT_WINDOW_OFFSETS - 2 * REACH_STEP_OFFSETS) * 10);
    }
}
