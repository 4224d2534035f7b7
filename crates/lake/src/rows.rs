//! The rows of one table partition that wait to be encoded: what is equal in many rows stands once.
//!
//! A row is a reading and points to its message and its line; a message points to its origin. An *origin* is all that
//! the messages of a device usually share, a *line* is all that the readings of one metric of a device usually share.
//! Knows nothing of files.

use hashbrown::HashMap;
use model::envelope::ReadingTimeView;
use model::proto::{ClockVerdict, Kind, Quality, TimeSource};
use model::{EventId, ReadingView, TelemetryView, ValueView};

use crate::names::{NO_NAME, NameId, Names};

/// What the messages of a device have in common.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) device: NameId,
    pub(crate) asset: NameId,
    pub(crate) protocol: NameId,
    pub(crate) gateway: NameId,
    pub(crate) kind: Kind,
    pub(crate) flags: u32,
    /// The bytes of the double.
    pub(crate) latitude: NameId,
    pub(crate) longitude: NameId,
}

/// What the readings of one metric of a device have in common.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Line {
    pub(crate) device: NameId,
    pub(crate) metric: NameId,
    pub(crate) unit: NameId,
    pub(crate) raw_unit: NameId,
    pub(crate) quality: Quality,
    pub(crate) observed_at_source: TimeSource,
    pub(crate) clock_verdict: ClockVerdict,
}

/// One message with readings in this table partition.
pub(crate) struct Message {
    pub(crate) event_id: EventId,
    pub(crate) received_at_us: i64,
    pub(crate) log_time_us: i64,
    pub(crate) log_offset: i64,
    pub(crate) sequence: Option<i64>,
    pub(crate) origin: u32,
}

/// One row.
pub(crate) struct Reading {
    pub(crate) observed_at_us: i64,
    /// NaN: no number.
    pub(crate) value: f64,
    pub(crate) line: u32,
    pub(crate) message: u32,
    pub(crate) text: NameId,
    pub(crate) index: u32,
}

/// No origin or line is remembered.
const NOTHING: u32 = u32::MAX;

/// What the last message of a device was: mostly its next one is like that.
struct DeviceMemory {
    origin: u32,
    /// The source that the origin was made from.
    source: NameId,
    first_line: u32,
}

/// A line, and the one that followed it in the last message.
pub(crate) struct KnownLine {
    pub(crate) line: Line,
    next: u32,
}

/// The rows of one table partition. Messages and readings stand in log order.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) names: Names,
    pub(crate) devices: Names,
    pub(crate) origins: Vec<Origin>,
    pub(crate) lines: Vec<KnownLine>,
    pub(crate) messages: Vec<Message>,
    pub(crate) readings: Vec<Reading>,
    /// Row and time of the rows whose device claimed another time, rising.
    pub(crate) device_times: Vec<(u32, i64)>,
    origin_ids: HashMap<Origin, u32>,
    line_ids: HashMap<Line, u32>,
    memories: Vec<DeviceMemory>,
    /// The device of the last message.
    device: NameId,
    /// The line of the last reading of that message.
    last_line: u32,
}

impl Rows {
    /// Adds one reading of `view`, a message that stands at `log_offset`. Readings of a message come one after the other.
    pub(crate) fn push(
        &mut self,
        log_offset: i64,
        log_time_us: i64,
        view: &TelemetryView<'_>,
        index: u32,
        reading: &ReadingView<'_>,
    ) {
        if self.messages.last().is_none_or(|message| message.log_offset != log_offset) {
            self.push_message(log_offset, log_time_us, view);
        }
        let time = view.time_of(reading);
        let line = self.line_of(reading, time);
        let (value, text) = self.value_of(reading.value);
        if let Some(device_time_us) = time.device_time_us {
            self.device_times.push((self.readings.len() as u32, device_time_us));
        }
        let message = self.messages.len() as u32 - 1;
        self.readings.push(Reading {
            observed_at_us: time.observed_at_us,
            value,
            line,
            message,
            text,
            index,
        });
    }

    fn push_message(&mut self, log_offset: i64, log_time_us: i64, view: &TelemetryView<'_>) {
        self.device = self.devices.intern(view.device_id.as_bytes());
        if self.device as usize == self.memories.len() {
            self.memories.push(DeviceMemory { origin: NOTHING, source: NO_NAME, first_line: NOTHING });
        }
        self.last_line = NOTHING;
        let origin = self.origin_of(view);
        self.messages.push(Message {
            event_id: view.event_id,
            received_at_us: view.received_at_us,
            log_time_us,
            log_offset,
            sequence: view.sequence,
            origin,
        });
    }

    fn origin_of(&mut self, view: &TelemetryView<'_>) -> u32 {
        let latitude =
            view.location.map(|at| at.latitude).filter(|degrees| degrees.is_finite()).map(f64::to_le_bytes);
        let longitude =
            view.location.map(|at| at.longitude).filter(|degrees| degrees.is_finite()).map(f64::to_le_bytes);
        let latitude: &[u8] = latitude.as_ref().map_or(&[], |bytes| bytes);
        let longitude: &[u8] = longitude.as_ref().map_or(&[], |bytes| bytes);
        let DeviceMemory { origin: id, source, .. } = self.memories[self.device as usize];
        if let Some(last) = self.origins.get(id as usize) {
            let is_like_last = last.kind == view.kind
                && last.flags == view.flags
                && self.names.get(last.asset) == view.asset_id.as_bytes()
                && self.names.get(last.latitude) == latitude
                && self.names.get(last.longitude) == longitude
                && self.names.get(source) == view.source_bytes();
            if is_like_last {
                return id;
            }
        }
        let source = view.source();
        let origin = Origin {
            device: self.device,
            asset: self.names.intern_some(view.asset_id.as_bytes()),
            protocol: self.names.intern_some(source.protocol.as_bytes()),
            gateway: self.names.intern_some(source.gateway_id.as_bytes()),
            kind: view.kind,
            flags: view.flags,
            latitude: self.names.intern_some(latitude),
            longitude: self.names.intern_some(longitude),
        };
        let origins = &mut self.origins;
        let id = *self.origin_ids.entry(origin).or_insert_with(|| {
            origins.push(origin);
            origins.len() as u32 - 1
        });
        let source = self.names.intern_some(view.source_bytes());
        let memory = &mut self.memories[self.device as usize];
        (memory.origin, memory.source) = (id, source);
        id
    }

    fn line_of(&mut self, reading: &ReadingView<'_>, time: ReadingTimeView) -> u32 {
        let expected = match self.lines.get(self.last_line as usize) {
            Some(last) => last.next,
            None => self.memories[self.device as usize].first_line,
        };
        let id = match self.lines.get(expected as usize) {
            Some(known) if self.is_line(&known.line, reading, time) => expected,
            _ => self.find_line(reading, time),
        };
        self.last_line = id;
        id
    }

    fn is_line(&self, line: &Line, reading: &ReadingView<'_>, time: ReadingTimeView) -> bool {
        line.quality == reading.quality
            && line.observed_at_source == time.observed_at_source
            && line.clock_verdict == time.clock_verdict
            && self.names.get(line.metric) == reading.metric.as_bytes()
            && self.names.get(line.unit) == reading.unit.as_bytes()
            && self.names.get(line.raw_unit) == reading.raw_unit.as_bytes()
    }

    /// Looks a line up by its content, or adds it, and remembers where it came in its message.
    fn find_line(&mut self, reading: &ReadingView<'_>, time: ReadingTimeView) -> u32 {
        let line = Line {
            device: self.device,
            metric: self.names.intern(reading.metric.as_bytes()),
            unit: self.names.intern_some(reading.unit.as_bytes()),
            raw_unit: self.names.intern_some(reading.raw_unit.as_bytes()),
            quality: reading.quality,
            observed_at_source: time.observed_at_source,
            clock_verdict: time.clock_verdict,
        };
        let lines = &mut self.lines;
        let id = *self.line_ids.entry(line).or_insert_with(|| {
            lines.push(KnownLine { line, next: NOTHING });
            lines.len() as u32 - 1
        });
        match self.lines.get_mut(self.last_line as usize) {
            Some(last) => last.next = id,
            None => self.memories[self.device as usize].first_line = id,
        }
        id
    }

    /// The columns `value` and `value_text`. What is not finite has no value.
    fn value_of(&mut self, value: ValueView<'_>) -> (f64, NameId) {
        match value {
            ValueView::Number(number) if number.is_finite() => (number, NO_NAME),
            ValueView::Number(_) | ValueView::None => (f64::NAN, NO_NAME),
            ValueView::Integer(integer) => {
                let number = integer as f64;
                // Through i128, since i64::MAX as a double is 2^63, which saturates back to i64::MAX.
                let is_exact = number as i128 == i128::from(integer);
                let text = if is_exact { NO_NAME } else { self.names.intern(integer.to_string().as_bytes()) };
                (number, text)
            }
            ValueView::Boolean(value) => {
                let text: &[u8] = if value { b"true" } else { b"false" };
                (f64::from(u8::from(value)), self.names.intern(text))
            }
            ValueView::Text(text) => (f64::NAN, self.names.intern(text.as_bytes())),
        }
    }

    /// The rows in the order of the file: by device id, metric and observed_at, equal ones in log order.
    pub(crate) fn sorted(&self) -> Vec<u32> {
        let (rank_of_line, ranks) = self.rank_lines();
        let mut ends = vec![0u32; ranks + 1];
        for reading in &self.readings {
            ends[rank_of_line[reading.line as usize] as usize + 1] += 1;
        }
        for rank in 0..ranks {
            ends[rank + 1] += ends[rank];
        }
        let starts = ends.clone();
        let mut order = vec![0u32; self.readings.len()];
        for (row, reading) in self.readings.iter().enumerate() {
            let place = &mut ends[rank_of_line[reading.line as usize] as usize];
            order[*place as usize] = row as u32;
            *place += 1;
        }
        for range in starts.windows(2) {
            let series = &mut order[range[0] as usize..range[1] as usize];
            let time_of = |row: &u32| self.readings[*row as usize].observed_at_us;
            // A series mostly comes in its own order.
            if !series.is_sorted_by_key(time_of) {
                series.sort_by_key(time_of);
            }
        }
        order
    }

    /// The greatest `reading_index`.
    pub(crate) fn reading_index_max(&self) -> u32 {
        self.readings.iter().map(|reading| reading.index).max().unwrap_or_default()
    }

    /// For each line the rank of its (device id, metric), and the number of ranks.
    fn rank_lines(&self) -> (Vec<u32>, usize) {
        let device_ranks = self.devices.ranks();
        let metric_ranks = self.names.ranks_of(self.lines.iter().map(|known| known.line.metric));
        let key_of = |line: &Line| {
            u64::from(device_ranks[line.device as usize]) << 32
                | u64::from(metric_ranks[line.metric as usize])
        };
        let mut keys: Vec<(u64, u32)> =
            self.lines.iter().enumerate().map(|(id, known)| (key_of(&known.line), id as u32)).collect();
        keys.sort_unstable();
        let mut rank_of_line = vec![0; keys.len()];
        let mut ranks = 0;
        let mut last = None;
        for (key, id) in keys {
            if last != Some(key) {
                ranks += 1;
                last = Some(key);
            }
            rank_of_line[id as usize] = ranks - 1;
        }
        (rank_of_line, ranks as usize)
    }

    /// Forgets the rows and keeps what is known of devices, and the room, for the next ones.
    pub(crate) fn clear(&mut self) {
        self.messages.clear();
        self.readings.clear();
        self.device_times.clear();
    }

    /// Gives up the room of rows that were cleared.
    pub(crate) fn give_up_room(&mut self) {
        self.messages = Vec::new();
        self.readings = Vec::new();
        self.device_times = Vec::new();
    }

    /// Bytes that the rows themselves take.
    pub(crate) fn row_bytes(&self) -> usize {
        size_of_val(self.messages.as_slice())
            + size_of_val(self.readings.as_slice())
            + size_of_val(self.device_times.as_slice())
    }

    /// Bytes held, the room in the vectors included.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.messages.capacity() * size_of::<Message>()
            + self.readings.capacity() * size_of::<Reading>()
            + self.device_times.capacity() * size_of::<(u32, i64)>()
            + self.dictionary_bytes()
    }

    /// Bytes that [`Rows::clear`] keeps: names, origins, lines and what is remembered of devices.
    pub(crate) fn dictionary_bytes(&self) -> usize {
        self.names.memory_bytes()
            + self.devices.memory_bytes()
            + self.origins.capacity() * size_of::<Origin>()
            + self.lines.capacity() * size_of::<KnownLine>()
            + self.origin_ids.allocation_size()
            + self.line_ids.allocation_size()
            + self.memories.capacity() * size_of::<DeviceMemory>()
    }
}
