//! Reading the envelope where it stands: no allocation, no copy, unknown fields skipped, any field order.
//!
//! [`LogRecordView::parse`] says what a record of `telemetry.v1` is; [`TelemetryView`] and [`ReadingView`] borrow
//! from its bytes. The owned types of the same messages are in [`crate::proto`].

use crate::EventId;
use crate::proto::{ClockVerdict, Flag, Kind, LocationOrigin, Quality, TimeSource};
use crate::wire::WireType::{Bytes, Fixed64, Varint};
use crate::wire::{Fields, Malformed, zigzag};

/// Readings that are kept as the check of a message found them; those beyond are parsed again when they are asked for. Most
/// messages have no more.
const READINGS_KEPT: usize = 2;

/// The greatest `LogRecord.major` that this build understands.
pub const LOG_RECORD_MAJOR: u32 = 1;

/// What a record of `telemetry.v1` is.
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all are telemetry, and a box would be an allocation a record"
)]
#[derive(Clone, Debug)]
pub enum LogRecordView<'a> {
    Telemetry(TelemetryView<'a>),
    Tick {
        instance: &'a str,
    },
    Heartbeat {
        instance: &'a str,
    },
    RuleSet {
        n: u64,
        digest: &'a str,
    },
    /// A member that a later version added: control, it lands and moves the clock.
    UnknownControl,
}

/// Why a record of `telemetry.v1` cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogRecordError {
    /// Copied to the dead letters with its position; the log partition goes on.
    #[error("the record does not parse")]
    Undecodable,
    /// The log partition stops: upgrade this consumer first.
    #[error(
        "the record has major version {found}, this build understands up to {LOG_RECORD_MAJOR}: upgrade consumers first"
    )]
    NewerMajor { found: u32 },
}

impl From<Malformed> for LogRecordError {
    fn from(Malformed: Malformed) -> Self {
        LogRecordError::Undecodable
    }
}

impl<'a> LogRecordView<'a> {
    /// Parses the value of a record of `telemetry.v1`.
    ///
    /// # Errors
    /// See [`LogRecordError`].
    #[inline]
    pub fn parse(value: &'a [u8]) -> Result<Self, LogRecordError> {
        let mut fields = Fields::new(value);
        let (mut member, mut major) = (None, 1);
        while let Some(key) = fields.next_key()? {
            match key {
                (15, Varint) => major = u32::try_from(fields.varint()?).unwrap_or(u32::MAX),
                (15, _) => return Err(LogRecordError::Undecodable),
                (number, Bytes) => member = Some((number, Some(fields.bytes()?))),
                (number, other) => {
                    fields.skip(other)?;
                    member = Some((number, None));
                }
            }
        }
        if major > LOG_RECORD_MAJOR {
            return Err(LogRecordError::NewerMajor { found: major });
        }
        match member {
            Some((1, Some(bytes))) => Ok(LogRecordView::Telemetry(TelemetryView::parse(bytes)?)),
            Some((2, Some(bytes))) => Ok(LogRecordView::Tick { instance: text_field(bytes, 1)? }),
            Some((3, Some(bytes))) => Ok(LogRecordView::Heartbeat { instance: text_field(bytes, 1)? }),
            Some((4, Some(bytes))) => Ok(parse_rule_set(bytes)?),
            Some((1..=4, None)) | None => Err(LogRecordError::Undecodable),
            Some(_) => Ok(LogRecordView::UnknownControl),
        }
    }

    /// The device id of a record of telemetry that is written as the decoders write it, before it is parsed: for those who may
    /// as well do without.
    #[inline]
    pub fn peek_device_id(value: &[u8]) -> Option<&[u8]> {
        let mut fields = Fields::new(value);
        fields.next_key().ok().flatten().filter(|key| *key == (1, Bytes))?;
        let mut fields = Fields::new(fields.bytes().ok()?);
        fields.next_key().ok().flatten().filter(|key| *key == (1, Bytes))?;
        fields.bytes().ok()
    }

    /// The same for the event id.
    #[inline]
    pub(crate) fn peek_event_id(value: &[u8]) -> Option<EventId> {
        let mut fields = Fields::new(value);
        fields.next_key().ok().flatten().filter(|key| *key == (1, Bytes))?;
        let mut fields = Fields::new(fields.bytes().ok()?);
        fields.next_key().ok().flatten().filter(|key| *key == (1, Bytes))?;
        fields.bytes().ok()?;
        fields.next_key().ok().flatten().filter(|key| *key == (2, Bytes))?;
        fields.bytes().ok()?.try_into().ok()
    }
}

fn text_field(message: &[u8], wanted: u32) -> Result<&str, Malformed> {
    let mut fields = Fields::new(message);
    let mut found = "";
    while let Some(key) = fields.next_key()? {
        match key {
            (number, Bytes) if number == wanted => found = text(&mut fields)?,
            (number, _) if number == wanted => return Err(Malformed),
            (_, other) => fields.skip(other)?,
        }
    }
    Ok(found)
}

fn parse_rule_set(message: &[u8]) -> Result<LogRecordView<'_>, Malformed> {
    let mut fields = Fields::new(message);
    let (mut n, mut digest) = (0, "");
    while let Some(key) = fields.next_key()? {
        match key {
            (1, Varint) => n = fields.varint()?,
            (2, Bytes) => digest = text(&mut fields)?,
            (1..=2, _) => return Err(Malformed),
            (_, other) => fields.skip(other)?,
        }
    }
    Ok(LogRecordView::RuleSet { n, digest })
}

/// One message of one device, borrowed. Field meanings and units: `proto/urban_neuron/v1/telemetry.proto`.
#[derive(Clone, Debug)]
pub struct TelemetryView<'a> {
    pub device_id: &'a str,
    pub event_id: EventId,
    pub observed_at_us: i64,
    pub received_at_us: i64,
    pub kind: Kind,
    pub clock_verdict: ClockVerdict,
    pub observed_at_source: TimeSource,
    pub domain: &'a str,
    pub asset_id: &'a str,
    pub sequence: Option<i64>,
    pub flags: u32,
    pub device_time_us: Option<i64>,
    /// Only where the dialect gives no identity and the transport has a packet or message id.
    pub redelivery_key: Option<EventId>,
    pub location: Option<LocationView>,
    /// Of the source.
    pub gateway_id: &'a str,
    source: &'a [u8],
    first_readings: [ReadingView<'a>; READINGS_KEPT],
    first_readings_len: usize,
    /// From the end of those to the end of the last reading: mostly nothing.
    more_readings: &'a [u8],
}

/// Where it was measured: WGS-84, degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocationView {
    pub latitude: f64,
    pub longitude: f64,
    pub origin: LocationOrigin,
}

/// Where the message came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceView<'a> {
    pub adapter: &'a str,
    pub protocol: &'a str,
    pub topic: &'a str,
    pub gateway_id: &'a str,
    pub codec: &'a str,
    pub codec_version: u32,
    pub is_time_zone_assumed: bool,
}

impl<'a> TelemetryView<'a> {
    /// Parses a `Telemetry` message and checks its readings, so that [`TelemetryView::readings`] cannot fail.
    ///
    /// # Errors
    /// No protobuf, text that is not UTF-8, no device id, an event id that is not 16 bytes, or no reading.
    pub fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut view = TelemetryView {
            device_id: "",
            event_id: [0; 16],
            observed_at_us: 0,
            received_at_us: 0,
            kind: Kind::Unspecified,
            clock_verdict: ClockVerdict::Unspecified,
            observed_at_source: TimeSource::Unspecified,
            domain: "",
            asset_id: "",
            sequence: None,
            flags: 0,
            device_time_us: None,
            redelivery_key: None,
            location: None,
            gateway_id: "",
            source: &[],
            first_readings: [ReadingView::NOTHING; READINGS_KEPT],
            first_readings_len: 0,
            more_readings: &[],
        };
        let mut fields = Fields::new(message);
        let (mut has_event_id, mut kept_end, mut readings_end) = (false, 0, 0);
        while let Some(key) = fields.next_key()? {
            match key {
                (1, Bytes) => view.device_id = text(&mut fields)?,
                (2, Bytes) => {
                    view.event_id = id(&mut fields)?;
                    has_event_id = true;
                }
                (3, Fixed64) => view.observed_at_us = fields.fixed64()? as i64,
                (4, Bytes) => {
                    let reading = fields.bytes()?;
                    readings_end = message.len() - fields.rest().len();
                    if let Some(place) = view.first_readings.get_mut(view.first_readings_len) {
                        place.fill(reading)?;
                        view.first_readings_len += 1;
                        kept_end = readings_end;
                    } else {
                        ReadingView::parse(reading)?;
                    }
                }
                (5, Fixed64) => view.received_at_us = fields.fixed64()? as i64,
                (6, Varint) => view.kind = enumerated(&mut fields)?,
                (7, Varint) => view.clock_verdict = enumerated(&mut fields)?,
                (8, Varint) => view.observed_at_source = enumerated(&mut fields)?,
                (9, Bytes) => view.source = fields.bytes()?,
                (10, Bytes) => view.domain = text(&mut fields)?,
                (11, Bytes) => view.asset_id = text(&mut fields)?,
                (12, Bytes) => view.location = Some(parse_location(fields.bytes()?)?),
                (13, Varint) => view.sequence = Some(zigzag(fields.varint()?)),
                (14, Varint) => view.flags = fields.varint()? as u32,
                (15, Fixed64) => view.device_time_us = Some(fields.fixed64()? as i64),
                (16, Bytes) => view.redelivery_key = Some(id(&mut fields)?),
                (1..=16, _) => return Err(Malformed),
                (_, other) => fields.skip(other)?,
            }
        }
        let is_whole = has_event_id && view.first_readings_len > 0 && !view.device_id.is_empty();
        view.gateway_id = check_source(view.source)?;
        view.more_readings = &message[kept_end..readings_end];
        if is_whole { Ok(view) } else { Err(Malformed) }
    }

    /// The readings in order; the position in this iterator is `reading_index`.
    #[inline]
    pub fn readings(&self) -> impl Iterator<Item = ReadingView<'a>> {
        let mut fields = Fields::new(self.more_readings);
        let more = std::iter::from_fn(move || {
            loop {
                match fields.next_key().ok()?? {
                    (4, Bytes) => return ReadingView::parse(fields.bytes().ok()?).ok(),
                    (_, other) => fields.skip(other).ok()?,
                }
            }
        });
        self.first_readings[..self.first_readings_len].iter().copied().chain(more)
    }

    /// The readings in order, as the view holds them or, where they are many, in `room`.
    #[inline]
    pub fn readings_in<'r>(&'r self, room: &'r mut Vec<ReadingView<'a>>) -> &'r [ReadingView<'a>] {
        if self.more_readings.is_empty() {
            return &self.first_readings[..self.first_readings_len];
        }
        room.clear();
        room.extend(self.readings());
        room
    }

    /// The source as it stands in the message: equal bytes are an equal source, which is cheaper to see than to parse.
    #[inline]
    pub fn source_bytes(&self) -> &'a [u8] {
        self.source
    }

    pub fn source(&self) -> SourceView<'a> {
        parse_source(self.source).unwrap_or_default()
    }

    #[inline]
    pub fn has_flag(&self, flag: Flag) -> bool {
        self.flags & flag as u32 != 0
    }

    /// The four times of a reading: its own, else the message's.
    #[inline]
    pub fn time_of(&self, reading: &ReadingView<'a>) -> ReadingTimeView {
        reading.time.unwrap_or(ReadingTimeView {
            observed_at_us: self.observed_at_us,
            observed_at_source: self.observed_at_source,
            clock_verdict: self.clock_verdict,
            device_time_us: self.device_time_us,
        })
    }
}

/// One measurement, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadingView<'a> {
    pub metric: &'a str,
    pub value: ValueView<'a>,
    /// UCUM; empty where the metric has none.
    pub unit: &'a str,
    pub quality: Quality,
    /// The unit as sent, empty where it is `unit`.
    pub raw_unit: &'a str,
    /// Set where the reading's times are not the message's.
    pub time: Option<ReadingTimeView>,
}

/// The value of a reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueView<'a> {
    Number(f64),
    Integer(i64),
    Boolean(bool),
    Text(&'a str),
    /// The sensor gave none; quality says why.
    None,
}

/// The times of one reading, microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadingTimeView {
    pub observed_at_us: i64,
    pub observed_at_source: TimeSource,
    pub clock_verdict: ClockVerdict,
    pub device_time_us: Option<i64>,
}

impl<'a> ReadingView<'a> {
    const NOTHING: Self = ReadingView {
        metric: "",
        value: ValueView::None,
        unit: "",
        quality: Quality::Unspecified,
        raw_unit: "",
        time: None,
    };

    fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut view = Self::NOTHING;
        view.fill(message)?;
        Ok(view)
    }

    /// Parses where it is kept: `self` is [`ReadingView::NOTHING`].
    #[inline]
    fn fill(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let mut fields = Fields::new(message);
        while let Some(key) = fields.next_key()? {
            match key {
                (1, Bytes) => self.metric = text(&mut fields)?,
                (2, Fixed64) => self.value = ValueView::Number(f64::from_bits(fields.fixed64()?)),
                (3, Varint) => self.value = ValueView::Integer(zigzag(fields.varint()?)),
                (4, Varint) => self.value = ValueView::Boolean(fields.varint()? != 0),
                (5, Bytes) => self.value = ValueView::Text(text(&mut fields)?),
                (6, Bytes) => self.unit = text(&mut fields)?,
                (7, Varint) => self.quality = enumerated(&mut fields)?,
                (8, Bytes) => self.raw_unit = text(&mut fields)?,
                (9, Bytes) => self.time = Some(parse_reading_time(fields.bytes()?)?),
                (1..=9, _) => return Err(Malformed),
                (_, other) => fields.skip(other)?,
            }
        }
        if self.metric.is_empty() { Err(Malformed) } else { Ok(()) }
    }
}

fn parse_reading_time(message: &[u8]) -> Result<ReadingTimeView, Malformed> {
    let mut time = ReadingTimeView {
        observed_at_us: 0,
        observed_at_source: TimeSource::Unspecified,
        clock_verdict: ClockVerdict::Unspecified,
        device_time_us: None,
    };
    let mut fields = Fields::new(message);
    while let Some(key) = fields.next_key()? {
        match key {
            (1, Fixed64) => time.observed_at_us = fields.fixed64()? as i64,
            (2, Varint) => time.observed_at_source = enumerated(&mut fields)?,
            (3, Varint) => time.clock_verdict = enumerated(&mut fields)?,
            (4, Fixed64) => time.device_time_us = Some(fields.fixed64()? as i64),
            (1..=4, _) => return Err(Malformed),
            (_, other) => fields.skip(other)?,
        }
    }
    Ok(time)
}

fn parse_location(message: &[u8]) -> Result<LocationView, Malformed> {
    let mut location = LocationView { latitude: 0.0, longitude: 0.0, origin: LocationOrigin::Unspecified };
    let mut fields = Fields::new(message);
    while let Some(key) = fields.next_key()? {
        match key {
            (1, Fixed64) => location.latitude = f64::from_bits(fields.fixed64()?),
            (2, Fixed64) => location.longitude = f64::from_bits(fields.fixed64()?),
            (3, Varint) => location.origin = enumerated(&mut fields)?,
            (1..=3, _) => return Err(Malformed),
            (_, other) => fields.skip(other)?,
        }
    }
    Ok(location)
}

/// The gateway's id if [`parse_source`] succeeds, without looking at each text where all are ASCII, as they nearly always are.
fn check_source(message: &[u8]) -> Result<&str, Malformed> {
    if !message.is_ascii() {
        return parse_source(message).map(|source| source.gateway_id);
    }
    let mut fields = Fields::new(message);
    let mut gateway_id = "";
    while let Some(key) = fields.next_key()? {
        match key {
            (4, Bytes) => gateway_id = text(&mut fields)?,
            (1..=5, Bytes) => fields.bytes().map(drop)?,
            (6 | 7, Varint) => fields.varint().map(drop)?,
            (1..=7, _) => return Err(Malformed),
            (_, other) => fields.skip(other)?,
        }
    }
    Ok(gateway_id)
}

fn parse_source(message: &[u8]) -> Result<SourceView<'_>, Malformed> {
    let mut source = SourceView::default();
    let mut fields = Fields::new(message);
    while let Some(key) = fields.next_key()? {
        match key {
            (1, Bytes) => source.adapter = text(&mut fields)?,
            (2, Bytes) => source.protocol = text(&mut fields)?,
            (3, Bytes) => source.topic = text(&mut fields)?,
            (4, Bytes) => source.gateway_id = text(&mut fields)?,
            (5, Bytes) => source.codec = text(&mut fields)?,
            (6, Varint) => source.codec_version = fields.varint()? as u32,
            (7, Varint) => source.is_time_zone_assumed = fields.varint()? != 0,
            (1..=7, _) => return Err(Malformed),
            (_, other) => fields.skip(other)?,
        }
    }
    Ok(source)
}

#[inline]
fn text<'a>(fields: &mut Fields<'a>) -> Result<&'a str, Malformed> {
    std::str::from_utf8(fields.bytes()?).map_err(|_| Malformed)
}

#[inline]
fn id(fields: &mut Fields<'_>) -> Result<EventId, Malformed> {
    fields.bytes()?.try_into().map_err(|_| Malformed)
}

/// A number that this build does not know reads as unspecified: a later version may have added it.
#[inline]
fn enumerated<E: TryFrom<i32> + Default>(fields: &mut Fields<'_>) -> Result<E, Malformed> {
    Ok(E::try_from(fields.varint()? as i32).unwrap_or_default())
}
