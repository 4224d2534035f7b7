//! Where dialects put the children of a message: each is checked, normalized, named and encoded at once, in buffers that live as
//! long as the decoder.

use std::sync::Arc;

use model::catalog::{self, Catalog};
use model::event_id::{EventIds, Identity};
use model::proto::{Flag, Kind, LocationOrigin};
use model::{EventId, Position, RawMessage, Reason, Rejection};

use crate::dialect::Dialect;
use crate::draft::{Draft, DraftReading, DraftTime, DraftValue, recycle};
use crate::encode::{self, Head, SourceHead};
use crate::known_devices::{KnownDevices, Strangers};
use crate::local_zone::LocalZone;
use crate::normalize::{Times, normalize};
use crate::sparkplug_sessions::SparkplugSessions;

/// Readings of one message at most.
pub const READINGS_MAX: usize = 4_096;

/// Children of one payload at most.
pub const CHILDREN_MAX: u32 = 4_096;

/// What one decoder keeps between messages.
#[derive(Debug)]
pub(crate) struct Buffers {
    pub catalog: Arc<Catalog>,
    pub event_ids: EventIds,
    /// The encoded records, one behind the other.
    pub records: Vec<u8>,
    /// The device ids of the children, one behind the other.
    pub device_ids: String,
    pub children: Vec<ChildSpan>,
    pub rejected: Vec<(u32, Rejection)>,
    pub readings: Vec<DraftReading<'static>>,
    pub devices: Arc<KnownDevices>,
    pub time_zone: LocalZone,
    pub sparkplug: SparkplugSessions,
}

/// Where one child stands in the buffers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChildSpan {
    pub index: u32,
    pub record_end: usize,
    pub device_id_end: usize,
}

/// A second try of a dead letter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Redrive<'r> {
    pub dead_letter: Position,
    /// The children to try; all when not given.
    pub only: Option<&'r [u32]>,
}

/// Takes the children of one message.
pub(crate) struct Sink<'s> {
    buffers: &'s mut Buffers,
    dialect: &'static Dialect,
    redrive: Option<Redrive<'s>>,
    index: u32,
}

impl<'s> Sink<'s> {
    pub(crate) fn new(
        buffers: &'s mut Buffers,
        dialect: &'static Dialect,
        redrive: Option<Redrive<'s>>,
    ) -> Self {
        buffers.records.clear();
        buffers.device_ids.clear();
        buffers.children.clear();
        buffers.rejected.clear();
        Sink { buffers, dialect, redrive, index: 0 }
    }

    /// An empty list for the readings of the next child; [`Sink::accept`] takes its allocation back.
    pub(crate) fn readings<'a>(&mut self) -> Vec<DraftReading<'a>> {
        recycle(std::mem::take(&mut self.buffers.readings))
    }

    /// The next child, as the dialect found it.
    pub(crate) fn accept(&mut self, message: &RawMessage<'_>, draft: Draft<'_>) -> Result<(), Rejection> {
        let index = self.next_index()?;
        if self.is_wanted(index) {
            match check(&draft).and_then(|()| self.encode(message, &draft, index)) {
                Ok(()) => {}
                Err(rejection) => self.buffers.rejected.push((index, rejection)),
            }
        }
        self.buffers.readings = recycle(draft.readings);
        Ok(())
    }

    /// The next child is refused.
    pub(crate) fn reject(&mut self, rejection: Rejection) -> Result<(), Rejection> {
        let index = self.next_index()?;
        if self.is_wanted(index) {
            self.buffers.rejected.push((index, rejection));
        }
        Ok(())
    }

    pub(crate) fn sparkplug(&mut self) -> &mut SparkplugSessions {
        &mut self.buffers.sparkplug
    }

    /// The names for which the model of a device says what they mean.
    pub(crate) fn model_names(&self, device_id: &str) -> impl Iterator<Item = &str> {
        self.buffers.devices.find(device_id).into_iter().flat_map(|known| known.names())
    }

    /// Not even a refused child has come.
    pub(crate) fn is_untouched(&self) -> bool {
        self.index == 0
    }

    fn next_index(&mut self) -> Result<u32, Rejection> {
        if self.index >= CHILDREN_MAX {
            return Err(Rejection::new(
                Reason::TooMany,
                format!("more than {CHILDREN_MAX} messages in one payload"),
            ));
        }
        self.index += 1;
        Ok(self.index - 1)
    }

    fn is_wanted(&self, index: u32) -> bool {
        self.redrive.and_then(|redrive| redrive.only).is_none_or(|only| only.contains(&index))
    }

    fn encode(&mut self, message: &RawMessage<'_>, draft: &Draft<'_>, index: u32) -> Result<(), Rejection> {
        let is_historical = draft.is_historical || self.redrive.is_some();
        let identity = if message.is_retained {
            Identity::Content2(message.topic.as_bytes(), message.payload)
        } else {
            draft.identity
        };
        // By the id as sent: a redelivery is one also when the registry changed meanwhile.
        let names = self.names(message, &draft.device_id, identity, index);
        let Buffers { catalog, records, device_ids, children, devices, time_zone, .. } = &mut *self.buffers;
        let known = devices.find(&draft.device_id);
        if known.is_none() && devices.strangers() == Strangers::Quarantine {
            let what = format!("device_id: the registry does not know {:?}", draft.device_id);
            return Err(Rejection::new(Reason::UnregisteredDevice, what));
        }
        let claim = draft.time.or_else(|| draft.readings.first().and_then(|reading| reading.time));
        let zone = draft.has_local_times.then(|| known.and_then(|known| known.zone).unwrap_or(time_zone));
        let decide = |claim: Option<DraftTime>| {
            let in_utc = |claim: DraftTime| match zone {
                Some(zone) => DraftTime { at_us: zone.to_utc_us(claim.at_us), ..claim },
                None => claim,
            };
            Times::decide(claim.map(in_utc), message.received_at_us, is_historical)
        };
        let times = decide(claim);
        let head = Head {
            device_id: known.map_or(&draft.device_id, |known| known.id),
            event_id: names.event_id,
            times,
            received_at_us: message.received_at_us,
            kind: if message.is_will { Kind::Status } else { draft.kind },
            domain: first_filled([known.map_or("", |known| &known.device.domain), draft.domain, "unknown"]),
            asset_id: first_filled([known.map_or("", |known| &known.device.asset_id), &draft.asset_id, ""]),
            location: draft.location.or_else(|| {
                let (latitude, longitude) = known?.position?;
                Some((latitude, longitude, LocationOrigin::Registry))
            }),
            sequence: draft.sequence,
            flags: flags(message, draft, is_historical),
            redelivery_key: names.redelivery_key,
            source: SourceHead {
                adapter: message.adapter.name(),
                protocol: message.adapter.protocol(),
                topic: message.topic,
                gateway_id: first_filled([
                    &draft.gateway_id,
                    known.map_or("", |known| &known.device.gateway_id),
                    "",
                ]),
                codec: self.dialect.name,
                codec_version: self.dialect.version,
                is_time_zone_assumed: claim.and(zone).is_some_and(|zone| std::ptr::eq(zone, time_zone)),
            },
        };
        let readings = draft.readings.iter().map(|reading| {
            let times = match reading.time.or(draft.time) {
                same if same == claim => times,
                own => decide(own),
            };
            normalize(reading, catalog, known.and_then(|known| known.mapping(&reading.metric)), times)
        });
        encode::telemetry(records, &head, readings);
        device_ids.push_str(head.device_id);
        children.push(ChildSpan { index, record_end: records.len(), device_id_end: device_ids.len() });
        Ok(())
    }

    fn names(
        &mut self,
        message: &RawMessage<'_>,
        device_id: &str,
        identity: Identity<'_>,
        index: u32,
    ) -> Names {
        let event_ids = &mut self.buffers.event_ids;
        let (publisher, dialect) = (message.publisher, self.dialect.name);
        let is_named = !matches!(identity, Identity::None);
        // A second redrive of the same dead letter gives the same events.
        let position = self.redrive.filter(|_| !is_named).map(|redrive| redrive.dead_letter.to_string());
        let redelivery_key = match message.packet_id {
            Some(packet_id) if !is_named && position.is_none() => {
                Some(event_ids.redelivery_key(publisher, packet_id, message.topic, message.payload, index))
            }
            _ => None,
        };
        let identity = position.as_ref().map_or(identity, |position| Identity::Id(position.as_bytes()));
        Names { event_id: event_ids.event_id(publisher, device_id, dialect, identity, index), redelivery_key }
    }
}

/// What a child is known by.
struct Names {
    event_id: EventId,
    redelivery_key: Option<EventId>,
}

/// The last one also when it is empty.
fn first_filled(texts: [&str; 3]) -> &str {
    texts.into_iter().find(|text| !text.is_empty()).unwrap_or(texts[2])
}

fn flags(message: &RawMessage<'_>, draft: &Draft<'_>, is_historical: bool) -> u32 {
    let flag = |is_set: bool, flag: Flag| if is_set { flag as u32 } else { 0 };
    flag(message.is_retained, Flag::Retained)
        | flag(is_historical, Flag::Historical)
        | flag(draft.is_simulated, Flag::Simulated)
        | flag(message.is_redelivered, Flag::Redelivered)
}

fn check(draft: &Draft<'_>) -> Result<(), Rejection> {
    model::device_id::check(&draft.device_id)
        .map_err(|error| Rejection::new(Reason::InvalidDeviceId, format!("device_id: {error}")))?;
    if draft.readings.is_empty() {
        return Err(Rejection::new(Reason::NoReadings, "the message has no reading"));
    }
    if draft.readings.len() > READINGS_MAX {
        return Err(Rejection::new(
            Reason::TooMany,
            format!("more than {READINGS_MAX} readings in one message"),
        ));
    }
    for reading in &draft.readings {
        catalog::check_name(&reading.metric).map_err(|error| {
            Rejection::new(Reason::InvalidMetric, format!("{:?}: {error}", shorten(&reading.metric)))
        })?;
        if let DraftValue::Text(text) = &reading.value
            && text.len() > TEXT_BYTES_MAX
        {
            let what = format!(
                "{}: a text has at most {TEXT_BYTES_MAX} bytes, found {}",
                reading.metric,
                text.len()
            );
            return Err(Rejection::new(Reason::InvalidValue, what));
        }
    }
    Ok(())
}

/// Longest text value, bytes of UTF-8.
pub const TEXT_BYTES_MAX: usize = 65_536;

fn shorten(name: &str) -> String {
    name.chars().take(40).collect()
}
