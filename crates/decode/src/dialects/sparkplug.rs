//! Sparkplug B 3.0: births, data and deaths of edge nodes and of the devices behind them, protobuf. A birth gives metrics their
//! numbers (aliases), which data may then use in place of their names: the table of them is [`SparkplugSessions`].
//!
//! [`SparkplugSessions`]: crate::sparkplug_sessions::SparkplugSessions

use std::borrow::Cow;

use model::event_id::Identity;
use model::proto::Kind;
use model::wire::{Fields, Malformed};
use model::{RawMessage, Reason, Rejection};

use super::json_fields::{self, members, skip};
use super::sparkplug_metric::{self, Metric};
use crate::dialect::{Certainty, Dialect};
use crate::draft::{Draft, DraftReading, DraftTime, DraftValue};
use crate::json::JsonToken;
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "sparkplug",
    version: 1,
    topics: "spBv1.0/{group_id}/NBIRTH/{edge_node_id}, spBv1.0/{group_id}/NDATA/{edge_node_id}, spBv1.0/{group_id}/NDEATH/{edge_node_id}, \
             spBv1.0/{group_id}/DBIRTH/{edge_node_id}/{device_id}, spBv1.0/{group_id}/DDATA/{edge_node_id}/{device_id}, \
             spBv1.0/{group_id}/DDEATH/{edge_node_id}/{device_id}, spBv1.0/STATE/{host_id}",
    standard: "Eclipse Sparkplug 3.0.0, chapters 4 to 6",
    certainty: Certainty::Verified,
    recognizes: |message| Topic::parse(message.topic).is_some(),
    // A will is a death certificate, which can be read.
    device: |_| None,
    decode,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Birth,
    Data,
    Death,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topic<'a> {
    Message {
        group: &'a str,
        verb: Verb,
        node: &'a str,
        device: Option<&'a str>,
    },
    /// Of a host application: whether it is online.
    State {
        host: &'a str,
    },
}

impl<'a> Topic<'a> {
    fn parse(topic: &'a str) -> Option<Self> {
        let mut levels = topic.strip_prefix("spBv1.0/")?.split('/');
        let (group, second, node, device) = (levels.next()?, levels.next()?, levels.next(), levels.next());
        if group == "STATE" && node.is_none() {
            return Some(Topic::State { host: second });
        }
        let verb = match (second, device.is_some()) {
            ("NBIRTH", false) | ("DBIRTH", true) => Verb::Birth,
            ("NDATA", false) | ("DDATA", true) => Verb::Data,
            ("NDEATH", false) | ("DDEATH", true) => Verb::Death,
            _ => return None,
        };
        levels.next().is_none().then_some(Topic::Message { group, verb, node: node?, device })
    }
}

/// A payload without its metrics, which stay where they are.
#[derive(Clone, Copy, Debug, Default)]
struct Payload<'a> {
    timestamp_ms: Option<u64>,
    sequence: Option<u64>,
    bytes: &'a [u8],
}

impl<'a> Payload<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        use model::wire::WireType::Varint;
        let mut payload = Payload { bytes, ..Payload::default() };
        let mut fields = Fields::new(bytes);
        while let Some(key) = fields.next_key()? {
            match key {
                (1, Varint) => payload.timestamp_ms = Some(fields.varint()?),
                (3, Varint) => payload.sequence = Some(fields.varint()?),
                (_, wire) => fields.skip(wire)?,
            }
        }
        Ok(payload)
    }

    fn each_metric(
        &self,
        mut each: impl FnMut(Metric<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let mut fields = Fields::new(self.bytes);
        while let Some((number, wire)) = fields.next_key()? {
            match (number, wire) {
                (2, model::wire::WireType::Bytes) => each(Metric::parse(fields.bytes()?)?)?,
                (_, wire) => fields.skip(wire)?,
            }
        }
        Ok(())
    }
}

fn malformed(_: Malformed) -> Rejection {
    Rejection::new(Reason::MalformedProtobuf, "the payload is no Sparkplug B payload")
}

fn decode(message: &RawMessage<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let (group, verb, node, device) = match Topic::parse(message.topic) {
        Some(Topic::State { host }) => return state(message, host, sink),
        Some(Topic::Message { group, verb, node, device }) => (group, verb, node, device),
        None => {
            return Err(Rejection::new(Reason::MissingDeviceId, "the topic names no edge node of Sparkplug"));
        }
    };
    let payload = Payload::parse(message.payload).map_err(malformed)?;
    let key = format!("{group}/{node}");
    let node = format!("{group}:{node}");
    let id = device.map_or(node.clone(), |device| format!("{node}:{device}"));
    let sender = Sender { message, key, device, id, node, payload };
    match verb {
        Verb::Birth => sender.birth(sink),
        Verb::Data => sender.data(sink),
        Verb::Death => sender.death(sink),
    }
}

struct Sender<'m, 'a> {
    message: &'m RawMessage<'a>,
    /// Of its session.
    key: String,
    node: String,
    /// Where it is a device behind the node.
    device: Option<&'a str>,
    /// Of the device or the node.
    id: String,
    payload: Payload<'a>,
}

impl<'a> Sender<'_, 'a> {
    fn birth(&self, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let mut session = None;
        self.payload
            .each_metric(|metric| {
                if metric.name == "bdSeq" {
                    session = metric.integer();
                }
                Ok(())
            })
            .map_err(malformed)?;
        if self.device.is_none() {
            sink.sparkplug().node_birth(&self.key, session);
        }
        let sessions = sink.sparkplug();
        self.payload
            .each_metric(|metric| {
                if !metric.name.is_empty() {
                    sessions.learn(&self.key, self.device.unwrap_or_default(), metric.alias, metric.named()?);
                }
                Ok(())
            })
            .map_err(malformed)?;
        self.count(sink);
        self.accept(Some("online"), sink)
    }

    fn data(&self, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        self.count(sink);
        self.accept(None, sink)
    }

    /// A will that a broker sends after its node was born again says nothing of the new session.
    fn death(&self, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let mut session = None;
        self.payload
            .each_metric(|metric| {
                if metric.name == "bdSeq" {
                    session = metric.integer();
                }
                Ok(())
            })
            .map_err(malformed)?;
        if self.device.is_none() && !sink.sparkplug().node_death(&self.key, session) {
            let what = "bdSeq: the death certificate of an earlier session than the node's present one";
            return Err(Rejection::new(Reason::InvalidValue, what));
        }
        let mut readings = sink.readings();
        readings.push(DraftReading::new("status", DraftValue::Text("offline".into())));
        let mut draft = Draft::new(self.id.as_str(), readings);
        draft.kind = Kind::Status;
        draft.gateway_id = self.gateway_id();
        draft.time = self.time();
        if draft.time.is_some() {
            draft.identity = Identity::Content(self.message.payload);
        }
        sink.accept(self.message, draft)
    }

    fn count(&self, sink: &mut Sink<'_>) {
        if let Some(sequence) = self.payload.sequence {
            sink.sparkplug().count(&self.key, sequence as u8);
        }
    }

    fn gateway_id(&self) -> Cow<'_, str> {
        Cow::Borrowed(if self.device.is_some() { &self.node } else { "" })
    }

    fn time(&self) -> Option<DraftTime> {
        self.payload.timestamp_ms.map(sparkplug_metric::time)
    }

    /// The metrics as one message, and those of a store as a second, historical one.
    fn accept(&self, status: Option<&'static str>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let mut live = sink.readings();
        let mut stored = Vec::new();
        let mut unnamed = None;
        {
            let sessions = sink.sparkplug();
            self.payload
                .each_metric(|metric| {
                    let known =
                        sessions.find(&self.key, self.device.unwrap_or_default(), metric.alias, metric.name);
                    match metric.reading(known)? {
                        Some(reading) if metric.is_historical => stored.push(reading),
                        Some(reading) => live.push(reading),
                        None if metric.name.is_empty() && known.is_none() => {
                            unnamed = unnamed.or(metric.alias.or(Some(0)));
                        }
                        None => {}
                    }
                    Ok(())
                })
                .map_err(malformed)?;
            if unnamed.is_some() {
                sessions.want_rebirth(&self.key);
            }
        }
        if let Some(alias) = unnamed {
            let what = format!("alias {alias}: no birth of {} that gives it a name has been seen", self.node);
            return Err(Rejection::new(Reason::InvalidMetric, what));
        }
        if let Some(status) = status {
            live.push(DraftReading::new("status", DraftValue::Text(status.into())));
        }
        let is_empty = stored.is_empty();
        if !live.is_empty() || is_empty {
            self.child(live, false, sink)?;
        }
        if is_empty { Ok(()) } else { self.child(stored, true, sink) }
    }

    fn child(
        &self,
        readings: Vec<DraftReading<'_>>,
        is_historical: bool,
        sink: &mut Sink<'_>,
    ) -> Result<(), Rejection> {
        let mut draft = Draft::new(self.id.as_str(), readings);
        draft.gateway_id = self.gateway_id();
        draft.is_historical = is_historical;
        draft.time = self.time();
        draft.sequence = self.payload.sequence.and_then(|sequence| i64::try_from(sequence).ok());
        if draft.time.is_some() {
            draft.identity = Identity::Content(self.message.payload);
        }
        sink.accept(self.message, draft)
    }
}

/// `{"online": true, "timestamp": ms}` of a host application.
fn state(message: &RawMessage<'_>, host: &str, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let mut reader = json_fields::open_object(message.payload)?;
    let (mut is_online, mut time_us) = (None, None);
    members(&mut reader, |reader, key, token| {
        match (&*key, &token) {
            ("online", JsonToken::Boolean(online)) => is_online = Some(*online),
            ("timestamp", token) => time_us = json_fields::milliseconds(token),
            _ => {}
        }
        skip(reader, &token)
    })?;
    reader.end()?;
    let is_online =
        is_online.ok_or_else(|| Rejection::new(Reason::InvalidValue, "online: true or false is wanted"))?;
    let mut readings = sink.readings();
    let status = if is_online { "online" } else { "offline" };
    readings.push(DraftReading::new("status", DraftValue::Text(status.into())));
    let mut draft = Draft::new(host, readings);
    draft.kind = Kind::Status;
    draft.time = time_us.map(DraftTime::of_device);
    if draft.time.is_some() {
        draft.identity = Identity::Content(message.payload);
    }
    sink.accept(message, draft)
}
