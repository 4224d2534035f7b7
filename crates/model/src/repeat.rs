//! The repeat window: whether a record is a redelivery of one that stands not far before it in its log partition.
//!
//! A repeat is decided in log order, by the same code in lake and rules, as a function of a bounded stretch of the log: of
//! the records whose offset is not below its own - [`REPEAT_WINDOW_OFFSETS`], one has an equal event id; or the record is
//! marked as redelivered, has no identity of its own, and one has an equal redelivery key with an append time not over
//! [`REDELIVERY_AGE_US_MAX`] older. A worker rebuilds the window by reading that stretch before its position.

use std::collections::VecDeque;

use crate::proto::Flag;
use crate::{EventId, TelemetryView};

/// How many offsets back a repeat is looked for.
pub const REPEAT_WINDOW_OFFSETS: i64 = 262_144;

/// How much older, by append time, an equal redelivery key may be, microseconds.
pub const REDELIVERY_AGE_US_MAX: i64 = 600_000_000;

/// Offsets between two notes of the append time, for [`RepeatWindow::reach_us`].
const REACH_STEP_OFFSETS: i64 = 4_096;

/// The ids of the last records of one log partition: at most 262,144 of them, 7.3 MB for the event ids, and 9.4 MB more only
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

/// One remembered id.
#[derive(Clone, Copy, Debug)]
struct Seen<T> {
    id: EventId,
    /// Low half of the offset: differences inside the window need no more.
    offset_low: u32,
    with: T,
}

/// Ids in offset order in a circular buffer, the oldest forgotten as the window moves, and an open-addressing table that
/// finds the newest of equal ids.
#[derive(Clone, Debug, Default)]
struct IdRing<T> {
    /// A power of two long, or empty.
    buffer: Vec<Seen<T>>,
    oldest: usize,
    len: usize,
    /// Twice as long as the buffer, so at most half full.
    slots: Vec<Slot>,
}

/// Place in the buffer + 1 in the low bits, above them bits of the id: an id that is not there is mostly told without a look
/// into the buffer, which is a cache miss. 0 is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot(u32);

/// Enough for the place + 1 of a buffer of [`REPEAT_WINDOW_OFFSETS`].
const PLACE_BITS: u32 = REPEAT_WINDOW_OFFSETS.ilog2() + 1;

impl Slot {
    const FREE: Slot = Slot(0);

    #[inline]
    fn new(place: usize, id: &EventId) -> Self {
        Slot(Self::tag(id) | (place as u32 + 1))
    }

    /// Not the bits that choose the home.
    #[inline]
    fn tag(id: &EventId) -> u32 {
        let [.., a, b, c, d] = *id;
        u32::from_le_bytes([a, b, c, d]) << PLACE_BITS
    }

    #[inline]
    fn place(self) -> Option<usize> {
        (self.0 & ((1 << PLACE_BITS) - 1)).checked_sub(1).map(|place| place as usize)
    }

    #[inline]
    fn may_be(self, tag: u32) -> bool {
        self.0 >> PLACE_BITS == tag >> PLACE_BITS
    }
}

const BUFFER_LEN_MIN: usize = 256;

impl<T: Copy + Default> IdRing<T> {
    /// What came with the newest equal id in the window; the id stands in the ring from now on.
    fn note(&mut self, id: &EventId, offset: i64, with: T) -> Option<T> {
        let offset_low = offset as u32;
        self.forget_older_than(REPEAT_WINDOW_OFFSETS as u32, offset_low);
        let earlier = if self.len == 0 { None } else { self.get(self.find(id)) };
        // Out of reach for every later record: with it gone the ring never holds more than the window.
        self.forget_older_than(REPEAT_WINDOW_OFFSETS as u32 - 1, offset_low);
        if self.len == self.buffer.len() {
            self.grow();
        }
        let slot = self.find(id);
        let place = (self.oldest + self.len) & (self.buffer.len() - 1);
        self.buffer[place] = Seen { id: *id, offset_low, with };
        self.slots[slot] = Slot::new(place, id);
        self.len += 1;
        earlier
    }

    fn get(&self, slot: usize) -> Option<T> {
        self.slots[slot].place().map(|place| self.buffer[place].with)
    }

    fn forget_older_than(&mut self, age_max: u32, offset_low: u32) {
        while self.len > 0 && self.age(offset_low) > age_max {
            self.forget_oldest();
        }
    }

    fn age(&self, offset_low: u32) -> u32 {
        offset_low.wrapping_sub(self.buffer[self.oldest].offset_low)
    }

    /// The slot of the newest equal id, else the free slot where it belongs.
    fn find(&self, id: &EventId) -> usize {
        let mask = self.slots.len() - 1;
        let (mut slot, tag) = (self.home(id), Slot::tag(id));
        loop {
            let found = self.slots[slot];
            match found.place() {
                Some(place) if !found.may_be(tag) || self.buffer[place].id != *id => {
                    slot = (slot + 1) & mask;
                }
                _ => return slot,
            }
        }
    }

    /// Ids are hashes themselves: their low bits serve.
    fn home(&self, id: &EventId) -> usize {
        let [a, b, c, d, ..] = *id;
        u32::from_le_bytes([a, b, c, d]) as usize & (self.slots.len() - 1)
    }

    fn forget_oldest(&mut self) {
        let place = self.oldest;
        let id = self.buffer[place].id;
        let slot = self.find(&id);
        // A newer equal id has taken the slot over: then there is nothing to free.
        if self.slots[slot] == Slot::new(place, &id) {
            self.free(slot);
        }
        self.oldest = (self.oldest + 1) & (self.buffer.len() - 1);
        self.len -= 1;
    }

    /// Frees a slot and moves those behind it that would no longer be found.
    fn free(&mut self, slot: usize) {
        let mask = self.slots.len() - 1;
        let (mut hole, mut at) = (slot, slot);
        loop {
            at = (at + 1) & mask;
            let Some(place) = self.slots[at].place() else { break };
            let home = self.home(&self.buffer[place].id);
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
        }
        self.slots[hole] = Slot::FREE;
    }

    fn grow(&mut self) {
        let buffer_len = (self.buffer.len() * 2).max(BUFFER_LEN_MIN);
        let mut buffer = Vec::with_capacity(buffer_len);
        buffer.extend_from_slice(&self.buffer[self.oldest..]);
        buffer.extend_from_slice(&self.buffer[..self.oldest]);
        buffer.resize(buffer_len, Seen { id: [0; 16], offset_low: 0, with: T::default() });
        self.buffer = buffer;
        self.oldest = 0;
        self.slots = vec![Slot::FREE; buffer_len * 2];
        for place in 0..self.len {
            let slot = self.find(&self.buffer[place].id);
            self.slots[slot] = Slot::new(place, &self.buffer[place].id);
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
                (1..90_000i64, 0..300_000_000i64, any::<u8>(), proptest::option::of(0..20u8), any::<bool>()),
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
        let held = window.event_ids.buffer.len() * size_of::<Seen<()>>() + window.event_ids.slots.len() * 4;
        assert_eq!(window.event_ids.len as i64, REPEAT_WINDOW_OFFSETS);
        assert!(held <= 7_400_000, "{held} bytes");
        assert!(window.reach_us() > (REPEAT_WINDOW_OFFSETS - 2 * REACH_STEP_OFFSETS) * 10);
    }
}
