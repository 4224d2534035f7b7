//! A message as a dialect found it, before it is normalized: names, values and units as sent, borrowed from the payload.

use std::borrow::Cow;

use model::event_id::Identity;
use model::proto::{Kind, LocationOrigin, Quality, TimeSource};

/// One message of one device.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub device_id: Cow<'a, str>,
    pub identity: Identity<'a>,
    pub kind: Kind,
    /// When it was measured, as the message says; readings may have their own.
    pub time: Option<DraftTime>,
    /// Its times are of the wall clock where the device stands, microseconds as if that were UTC.
    pub has_local_times: bool,
    pub sequence: Option<i64>,
    pub location: Option<(f64, f64, LocationOrigin)>,
    /// Theme, where the dialect knows it.
    pub domain: &'a str,
    pub asset_id: Cow<'a, str>,
    pub gateway_id: Cow<'a, str>,
    /// Late by nature: uploads of a store, redrives.
    pub is_historical: bool,
    pub is_simulated: bool,
    pub readings: Vec<DraftReading<'a>>,
}

/// One measurement.
#[derive(Clone, Debug)]
pub(crate) struct DraftReading<'a> {
    pub metric: Cow<'a, str>,
    pub value: DraftValue<'a>,
    /// As sent; empty when none was.
    pub unit: Cow<'a, str>,
    /// What the sensor itself says of the value.
    pub quality: Option<Quality>,
    pub time: Option<DraftTime>,
}

/// A value as sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum DraftValue<'a> {
    Number(f64),
    Integer(i64),
    Boolean(bool),
    Text(Cow<'a, str>),
    /// Said to be there without a value.
    None,
    /// A number that no double holds, or an integer of which a double would lose digits.
    Unrepresentable(f64),
}

/// A claim of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DraftTime {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub at_us: i64,
    pub source: TimeSource,
}

impl DraftTime {
    pub(crate) const fn of_device(at_us: i64) -> Self {
        DraftTime { at_us, source: TimeSource::Device }
    }
}

impl<'a> DraftReading<'a> {
    pub(crate) fn new(metric: impl Into<Cow<'a, str>>, value: DraftValue<'a>) -> Self {
        DraftReading { metric: metric.into(), value, unit: Cow::Borrowed(""), quality: None, time: None }
    }
}

impl<'a> Draft<'a> {
    pub(crate) fn new(device_id: impl Into<Cow<'a, str>>, readings: Vec<DraftReading<'a>>) -> Self {
        Draft {
            device_id: device_id.into(),
            identity: Identity::None,
            kind: Kind::Telemetry,
            time: None,
            has_local_times: false,
            sequence: None,
            location: None,
            domain: "",
            asset_id: Cow::Borrowed(""),
            gateway_id: Cow::Borrowed(""),
            is_historical: false,
            is_simulated: false,
            readings,
        }
    }
}

/// What the dialect itself knows of the link or the device, unless the device said it under the same name.
pub(crate) fn push_unless_said<'a>(
    readings: &mut Vec<DraftReading<'a>>,
    metric: &'static str,
    value: Option<DraftValue<'a>>,
) {
    if let Some(value) = value
        && readings.iter().all(|reading| reading.metric != metric)
    {
        readings.push(DraftReading::new(metric, value));
    }
}

/// Gives the allocation of an emptied list to readings of another message.
pub(crate) fn recycle<'b>(mut readings: Vec<DraftReading<'_>>) -> Vec<DraftReading<'b>> {
    readings.clear();
    // Collecting in place keeps the allocation; the closure is never called, since the list is empty.
    readings
        .into_iter()
        .map(|reading| DraftReading::new(reading.metric.into_owned(), DraftValue::None))
        .collect()
}
