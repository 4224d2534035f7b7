//! Reading the envelope where it stands: no allocation, no copy, unknown fields skipped, any field order.
//!
//! [`LogRecordView::parse`] says what a record of `telemetry.v1` is; [`TelemetryView`] and [`ReadingView`] borrow
//! from its bytes. The owned types of the same messages are in [`crate::proto`].

use crate::EventId;
use crate::proto::{ClockVerdict, Flag, Kind, LocationOrigin, Quality, TimeSource};
use crate::wire::{Field, Fields, Malformed, zigzag};

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
        let mut member = None;
        let mut major = 1;
        while let Some((number, field)) = fields.next_field()? {
            match (number, field) {
                (15, Field::Varint(found)) => major = u32::try_from(found).unwrap_or(u32::MAX),
                (15, _) => return Err(LogRecordError::Undecodable),
                (number, field) => member = Some((number, field)),
            }
        }
        if major > LOG_RECORD_MAJOR {
            return Err(LogRecordError::NewerMajor { found: major });
        }
        match member {
            Some((1, Field::Bytes(bytes))) => Ok(LogRecordView::Telemetry(TelemetryView::parse(bytes)?)),
            Some((2, Field::Bytes(bytes))) => Ok(LogRecordView::Tick { instance: text_field(bytes, 1)? }),
            Some((3, Field::Bytes(bytes))) => {
                Ok(LogRecordView::Heartbeat { instance: text_field(bytes, 1)? })
            }
            Some((4, Field::Bytes(bytes))) => Ok(parse_rule_set(bytes)?),
            Some((1..=4, _)) | None => Err(LogRecordError::Undecodable),
            Some(_) => Ok(LogRecordView::UnknownControl),
        }
    }
}

fn text_field(message: &[u8], wanted: u32) -> Result<&str, Malformed> {
    let mut fields = Fields::new(message);
    let mut text = "";
    while let Some((number, field)) = fields.next_field()? {
        if number == wanted {
            text = as_text(field)?;
        }
    }
    Ok(text)
}

fn parse_rule_set(message: &[u8]) -> Result<LogRecordView<'_>, Malformed> {
    let mut fields = Fields::new(message);
    let (mut n, mut digest) = (0, "");
    while let Some((number, field)) = fields.next_field()? {
        match number {
            1 => n = as_varint(field)?,
            2 => digest = as_text(field)?,
            _ => {}
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
            source: &[],
            first_readings: [ReadingView::NOTHING; READINGS_KEPT],
            first_readings_len: 0,
            more_readings: &[],
        };
        let mut fields = Fields::new(message);
        let (mut has_event_id, mut kept_end, mut readings_end) = (false, 0, 0);
        while let Some((number, field)) = fields.next_field()? {
            match number {
                1 => view.device_id = as_text(field)?,
                2 => {
                    view.event_id = as_id(field)?;
                    has_event_id = true;
                }
                3 => view.observed_at_us = as_fixed(field)?,
                4 => {
                    let reading = ReadingView::parse(as_bytes(field)?)?;
                    readings_end = message.len() - fields.rest().len();
                    if let Some(place) = view.first_readings.get_mut(view.first_readings_len) {
                        *place = reading;
                        view.first_readings_len += 1;
                        kept_end = readings_end;
                    }
                }
                5 => view.received_at_us = as_fixed(field)?,
                6 => view.kind = as_enum(field)?,
                7 => view.clock_verdict = as_enum(field)?,
                8 => view.observed_at_source = as_enum(field)?,
                9 => view.source = as_bytes(field)?,
                10 => view.domain = as_text(field)?,
                11 => view.asset_id = as_text(field)?,
                12 => view.location = Some(parse_location(as_bytes(field)?)?),
                13 => view.sequence = Some(zigzag(as_varint(field)?)),
                14 => view.flags = as_varint(field)? as u32,
                15 => view.device_time_us = Some(as_fixed(field)?),
                16 => view.redelivery_key = Some(as_id(field)?),
                _ => {}
            }
        }
        let is_whole = has_event_id && view.first_readings_len > 0 && !view.device_id.is_empty();
        check_source(view.source)?;
        view.more_readings = &message[kept_end..readings_end];
        if is_whole { Ok(view) } else { Err(Malformed) }
    }

    /// The readings in order; the position in this iterator is `reading_index`.
    #[inline]
    pub fn readings(&self) -> impl Iterator<Item = ReadingView<'a>> + use<'a> {
        let mut fields = Fields::new(self.more_readings);
        let more = std::iter::from_fn(move || {
            loop {
                match fields.next_field().ok()?? {
                    (4, Field::Bytes(bytes)) => return ReadingView::parse(bytes).ok(),
                    _ => continue,
                }
            }
        });
        self.first_readings.into_iter().take(self.first_readings_len).chain(more)
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

    #[inline]
    fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut view = Self::NOTHING;
        let mut fields = Fields::new(message);
        while let Some((number, field)) = fields.next_field()? {
            match number {
                1 => view.metric = as_text(field)?,
                2 => view.value = ValueView::Number(f64::from_bits(as_fixed(field)? as u64)),
                3 => view.value = ValueView::Integer(zigzag(as_varint(field)?)),
                4 => view.value = ValueView::Boolean(as_varint(field)? != 0),
                5 => view.value = ValueView::Text(as_text(field)?),
                6 => view.unit = as_text(field)?,
                7 => view.quality = as_enum(field)?,
                8 => view.raw_unit = as_text(field)?,
                9 => view.time = Some(parse_reading_time(as_bytes(field)?)?),
                _ => {}
            }
        }
        if view.metric.is_empty() { Err(Malformed) } else { Ok(view) }
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
    while let Some((number, field)) = fields.next_field()? {
        match number {
            1 => time.observed_at_us = as_fixed(field)?,
            2 => time.observed_at_source = as_enum(field)?,
            3 => time.clock_verdict = as_enum(field)?,
            4 => time.device_time_us = Some(as_fixed(field)?),
            _ => {}
        }
    }
    Ok(time)
}

fn parse_location(message: &[u8]) -> Result<LocationView, Malformed> {
    let mut location = LocationView { latitude: 0.0, longitude: 0.0, origin: LocationOrigin::Unspecified };
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next_field()? {
        match number {
            1 => location.latitude = f64::from_bits(as_fixed(field)? as u64),
            2 => location.longitude = f64::from_bits(as_fixed(field)? as u64),
            3 => location.origin = as_enum(field)?,
            _ => {}
        }
    }
    Ok(location)
}

/// Whether [`parse_source`] succeeds, without looking at each text where all are ASCII, as they nearly always are.
fn check_source(message: &[u8]) -> Result<(), Malformed> {
    if !message.is_ascii() {
        return parse_source(message).map(drop);
    }
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next_field()? {
        match number {
            1..=5 => as_bytes(field).map(drop)?,
            6 | 7 => as_varint(field).map(drop)?,
            _ => {}
        }
    }
    Ok(())
}

fn parse_source(message: &[u8]) -> Result<SourceView<'_>, Malformed> {
    let mut source = SourceView::default();
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next_field()? {
        match number {
            1 => source.adapter = as_text(field)?,
            2 => source.protocol = as_text(field)?,
            3 => source.topic = as_text(field)?,
            4 => source.gateway_id = as_text(field)?,
            5 => source.codec = as_text(field)?,
            6 => source.codec_version = as_varint(field)? as u32,
            7 => source.is_time_zone_assumed = as_varint(field)? != 0,
            _ => {}
        }
    }
    Ok(source)
}

#[inline]
fn as_bytes(field: Field<'_>) -> Result<&[u8], Malformed> {
    if let Field::Bytes(bytes) = field { Ok(bytes) } else { Err(Malformed) }
}

#[inline]
fn as_text(field: Field<'_>) -> Result<&str, Malformed> {
    std::str::from_utf8(as_bytes(field)?).map_err(|_| Malformed)
}

#[inline]
fn as_id(field: Field<'_>) -> Result<EventId, Malformed> {
    as_bytes(field)?.try_into().map_err(|_| Malformed)
}

#[inline]
fn as_varint(field: Field<'_>) -> Result<u64, Malformed> {
    if let Field::Varint(value) = field { Ok(value) } else { Err(Malformed) }
}

#[inline]
fn as_fixed(field: Field<'_>) -> Result<i64, Malformed> {
    if let Field::Fixed64(value) = field { Ok(value as i64) } else { Err(Malformed) }
}

/// A number that this build does not know reads as unspecified: a later version may have added it.
#[inline]
fn as_enum<E: TryFrom<i32> + Default>(field: Field<'_>) -> Result<E, Malformed> {
    Ok(E::try_from(as_varint(field)? as i32).unwrap_or_default())
}
