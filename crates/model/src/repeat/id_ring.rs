//! The ids of a bounded stretch of a log, in offset order, the oldest forgotten as the stretch moves on.
//!
//! A circular buffer holds the ids and an open-addressing table finds the newest of equal ones. The table is the only thing
//! that is touched at random, and one line of it a lookup: a slot tells by itself whether it may be the id that is looked
//! for and how far from its home it stands, so neither a lookup of a new id nor the removal of an old one reads ids.

use std::collections::VecDeque;
use std::hint::black_box;

use super::REPEAT_WINDOW_OFFSETS;
use crate::EventId;

const BUFFER_LEN_MIN: usize = 256;

/// Ids, each with what came with it.
#[derive(Clone, Debug, Default)]
pub(super) struct IdRing<T> {
    /// A power of two long, or empty.
    buffer: Vec<Seen<T>>,
    oldest: usize,
    len: usize,
    /// Where the ids of the buffer stand in the log. Most follow one another, and a run costs nothing an id.
    runs: VecDeque<Run>,
    /// Twice as long as the buffer, so at most half full.
    slots: Vec<Slot>,
}

/// One remembered id.
#[derive(Clone, Copy, Debug)]
struct Seen<T> {
    id: EventId,
    with: T,
}

/// Ids at `len` offsets in a row.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: i64,
    len: i64,
}

/// Where a lookup ended.
struct Found {
    slot: usize,
    /// Of the slot from the home of the id.
    distance: usize,
    /// In the buffer; `None` when the id is not there and the slot is free.
    place: Option<usize>,
}

impl<T: Copy + Default> IdRing<T> {
    /// What came with the newest equal id of the last [`REPEAT_WINDOW_OFFSETS`] offsets; the id stands in the ring from now on.
    pub(super) fn note(&mut self, id: &EventId, offset: i64, with: T) -> Option<T> {
        self.forget_below(offset - REPEAT_WINDOW_OFFSETS);
        let at_edge = self.at_edge(id, offset - REPEAT_WINDOW_OFFSETS);
        // Out of reach for every later record: with it gone the ring never holds more than its offsets.
        self.forget_below(offset - REPEAT_WINDOW_OFFSETS + 1);
        if self.len == self.buffer.len() {
            self.grow();
        }
        let found = self.find(id);
        let earlier = found.place.map(|place| self.buffer[place].with);
        let place = (self.oldest + self.len) & (self.buffer.len() - 1);
        self.buffer[place] = Seen { id: *id, with };
        self.slots[found.slot] = Slot::new(place, found.distance, id);
        self.len += 1;
        self.note_offset(offset);
        earlier.or(at_edge)
    }

    /// Touches what [`IdRing::note`] of these ids will touch, so that the cache misses of many overlap instead of each
    /// being waited for.
    pub(super) fn warm(&self, ids: impl Iterator<Item = EventId>) {
        if self.len == 0 {
            return;
        }
        let mut touched = 0;
        for (ahead, id) in ids.enumerate() {
            let leaving = (self.oldest + ahead) & (self.buffer.len() - 1);
            touched ^= self.slots[self.home(&id)].0 ^ self.slots[self.home(&self.buffer[leaving].id)].0;
        }
        black_box(touched);
    }

    /// Bytes held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.buffer.capacity() * size_of::<Seen<T>>()
            + self.slots.capacity() * size_of::<Slot>()
            + self.runs.capacity() * size_of::<Run>()
    }

    fn note_offset(&mut self, offset: i64) {
        match self.runs.back_mut() {
            Some(run) if run.first + run.len == offset => run.len += 1,
            _ => self.runs.push_back(Run { first: offset, len: 1 }),
        }
    }

    /// What came with the oldest id, if it is this one and stands at `offset`.
    fn at_edge(&self, id: &EventId, offset: i64) -> Option<T> {
        let is_edge = self.runs.front().is_some_and(|run| run.first == offset);
        is_edge.then(|| self.buffer[self.oldest]).filter(|seen| seen.id == *id).map(|seen| seen.with)
    }

    fn forget_below(&mut self, offset: i64) {
        while let Some(run) = self.runs.front_mut().filter(|run| run.first < offset) {
            run.first += 1;
            run.len -= 1;
            if run.len == 0 {
                self.runs.pop_front();
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let place = self.oldest;
        let mut slot = self.home(&self.buffer[place].id);
        // A free one first: a newer equal id has taken the slot over, and there is nothing to free.
        while let Some(found) = self.slots[slot].place() {
            if found == place {
                self.free(slot);
                break;
            }
            slot = self.after(slot);
        }
        self.oldest = (place + 1) & (self.buffer.len() - 1);
        self.len -= 1;
    }

    /// The newest equal id, else the free slot where it belongs.
    fn find(&self, id: &EventId) -> Found {
        let (mut slot, mut distance, tag) = (self.home(id), 0, Slot::tag(id));
        loop {
            let found = self.slots[slot];
            let place = found.place();
            if place.is_none_or(|place| found.may_be(tag) && self.buffer[place].id == *id) {
                return Found { slot, distance, place };
            }
            slot = self.after(slot);
            distance += 1;
        }
    }

    /// Ids are hashes themselves: their low bits serve.
    #[inline]
    fn home(&self, id: &EventId) -> usize {
        let [a, b, c, d, ..] = *id;
        u32::from_le_bytes([a, b, c, d]) as usize & (self.slots.len() - 1)
    }

    #[inline]
    fn after(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }

    /// Frees a slot and moves those behind it that would no longer be found.
    fn free(&mut self, slot: usize) {
        let mask = self.slots.len() - 1;
        let (mut hole, mut at) = (slot, self.after(slot));
        while let Some(place) = self.slots[at].place() {
            let moved = at.wrapping_sub(hole) & mask;
            let distance = self.slots[at]
                .distance()
                .unwrap_or_else(|| at.wrapping_sub(self.home(&self.buffer[place].id)) & mask);
            if distance >= moved {
                self.slots[hole] = self.slots[at].at_distance(distance - moved);
                hole = at;
            }
            at = self.after(at);
        }
        self.slots[hole] = Slot::FREE;
    }

    fn grow(&mut self) {
        let buffer_len = (self.buffer.len() * 2).max(BUFFER_LEN_MIN);
        let mut buffer = Vec::with_capacity(buffer_len);
        buffer.extend_from_slice(&self.buffer[self.oldest..]);
        buffer.extend_from_slice(&self.buffer[..self.oldest]);
        buffer.resize(buffer_len, Seen { id: [0; 16], with: T::default() });
        self.buffer = buffer;
        self.oldest = 0;
        self.slots = vec![Slot::FREE; buffer_len * 2];
        for place in 0..self.len {
            let id = self.buffer[place].id;
            let found = self.find(&id);
            self.slots[found.slot] = Slot::new(place, found.distance, &id);
        }
    }
}

/// From the low bits on: place in the buffer, distance from the home of the id + 1, bits of the id. 0 is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot(u32);

/// Enough for the places of a buffer of [`REPEAT_WINDOW_OFFSETS`].
const PLACE_BITS: u32 = REPEAT_WINDOW_OFFSETS.ilog2();
const DISTANCE_BITS: u32 = 5;
const DISTANCE_UNIT: u32 = 1 << PLACE_BITS;
const TAG_SHIFT: u32 = PLACE_BITS + DISTANCE_BITS;
/// The slot does not say its distance from here on: the id tells its home.
const DISTANCE_FAR: usize = (1 << DISTANCE_BITS) - 2;

impl Slot {
    const FREE: Slot = Slot(0);

    #[inline]
    fn new(place: usize, distance: usize, id: &EventId) -> Self {
        Slot(Self::tag(id) | place as u32).at_distance(distance)
    }

    #[inline]
    fn at_distance(self, distance: usize) -> Self {
        let rest = self.0 & !(((1 << DISTANCE_BITS) - 1) << PLACE_BITS);
        Slot(rest | (distance.min(DISTANCE_FAR) as u32 + 1) << PLACE_BITS)
    }

    /// Not the bits that choose the home.
    #[inline]
    fn tag(id: &EventId) -> u32 {
        let [.., a, b, c, d] = *id;
        u32::from_le_bytes([a, b, c, d]) << TAG_SHIFT
    }

    #[inline]
    fn place(self) -> Option<usize> {
        (self != Self::FREE).then_some((self.0 & (DISTANCE_UNIT - 1)) as usize)
    }

    /// `None` when it is too far to be told.
    #[inline]
    fn distance(self) -> Option<usize> {
        let distance = ((self.0 >> PLACE_BITS) as usize & ((1 << DISTANCE_BITS) - 1)) - 1;
        (distance < DISTANCE_FAR).then_some(distance)
    }

    #[inline]
    fn may_be(self, tag: u32) -> bool {
        self.0 >> TAG_SHIFT == tag >> TAG_SHIFT
    }
}
