//! The decoder of one thread: recognizes the dialect, decodes, and hands out records that are ready for the log.

use std::sync::Arc;

use model::catalog::Catalog;
use model::event_id::EventIds;
use model::proto::Kind;
use model::{Position, RawMessage, Reason, Rejection};

use crate::dialect::{self, Certainty, DIALECTS, Dialect};
use crate::draft::{Draft, DraftReading, DraftValue};
use crate::known_devices::KnownDevices;
use crate::local_zone::LocalZone;
use crate::sink::{Buffers, Redrive, Sink};
use crate::sparkplug_sessions::SparkplugSessions;

/// What a decoder is made of.
#[derive(Clone, Debug)]
pub struct DecoderConfig {
    pub catalog: Arc<Catalog>,
    /// Random for each process and thread: tells the ids of messages without identity apart.
    pub process: u64,
    /// That of devices whose dialect's times have none, unless the registry knows it.
    pub time_zone: LocalZone,
}

/// Decodes messages one after the other; keeps its buffers.
#[derive(Debug)]
pub struct Decoder {
    buffers: Buffers,
}

/// What became of a message.
#[derive(Debug)]
pub enum Outcome<'d> {
    /// Nothing of it could be used.
    Rejected(Rejection),
    Decoded(Decoded<'d>),
}

/// The children of a message. Valid until the next one is decoded.
#[derive(Clone, Copy, Debug)]
pub struct Decoded<'d> {
    buffers: &'d Buffers,
}

/// One message of one device, encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child<'d> {
    /// Its place among the children, the rejected ones included.
    pub index: u32,
    pub device_id: &'d str,
    /// A `LogRecord`.
    pub record: &'d [u8],
}

/// A dialect as it is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialectInfo {
    pub name: &'static str,
    pub version: u32,
    /// Those that it is known by, the commonest first; parts in braces stand for any name.
    pub topics: &'static str,
    /// Where it is written down.
    pub standard: &'static str,
    pub certainty: Certainty,
}

impl DialectInfo {
    /// The commonest of its topics, `name` in place of each part in braces.
    pub fn example_topic(&self, name: &str) -> String {
        let first = self.topics.split(", ").next().unwrap_or_default();
        let mut parts = first.split('{');
        let mut topic = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            topic.push_str(name);
            topic.push_str(part.split_once('}').map_or("", |(_, rest)| rest));
        }
        topic
    }
}

/// There is no dialect of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no dialect {0:?}")]
pub struct UnknownDialect(pub String);

impl<'d> Decoded<'d> {
    /// The children that became telemetry, in their order.
    pub fn telemetry(&self) -> impl Iterator<Item = Child<'d>> + use<'d> {
        let buffers = self.buffers;
        let (mut record_start, mut id_start) = (0, 0);
        buffers.children.iter().map(move |span| {
            let child = Child {
                index: span.index,
                device_id: &buffers.device_ids[id_start..span.device_id_end],
                record: &buffers.records[record_start..span.record_end],
            };
            (record_start, id_start) = (span.record_end, span.device_id_end);
            child
        })
    }

    /// The children that were refused, by their index.
    pub fn rejected(&self) -> &'d [(u32, Rejection)] {
        &self.buffers.rejected
    }
}

impl Decoder {
    pub fn new(config: DecoderConfig) -> Self {
        Decoder {
            buffers: Buffers {
                catalog: config.catalog,
                event_ids: EventIds::new(config.process),
                records: Vec::with_capacity(1024),
                device_ids: String::with_capacity(128),
                children: Vec::new(),
                rejected: Vec::new(),
                readings: Vec::new(),
                devices: Arc::default(),
                time_zone: config.time_zone,
                sparkplug: SparkplugSessions::default(),
            },
        }
    }

    /// From the next message on, these are the devices that the registry knows; none at first.
    pub fn set_devices(&mut self, devices: Arc<KnownDevices>) {
        self.buffers.devices = devices;
    }

    /// Decodes a message by its topic or path.
    pub fn decode(&mut self, message: &RawMessage<'_>) -> Outcome<'_> {
        match dialect::recognize(message) {
            Some(dialect) => self.decode_with(dialect, message, None),
            None => Outcome::Rejected(unknown(message)),
        }
    }

    /// Decodes a message as a named dialect, whatever its topic.
    ///
    /// # Errors
    /// There is no dialect of that name.
    pub fn decode_as(&mut self, name: &str, message: &RawMessage<'_>) -> Result<Outcome<'_>, UnknownDialect> {
        let dialect = dialect::find(name).ok_or_else(|| UnknownDialect(name.to_owned()))?;
        Ok(self.decode_with(dialect, message, None))
    }

    /// Decodes the message of a dead letter again: all of its children or only some. What has no identity gets that of the dead
    /// letter's position, and all of it is historical.
    pub fn redrive(
        &mut self,
        message: &RawMessage<'_>,
        dead_letter: Position,
        only: Option<&[u32]>,
    ) -> Outcome<'_> {
        match dialect::recognize(message) {
            Some(dialect) => self.decode_with(dialect, message, Some(Redrive { dead_letter, only })),
            None => Outcome::Rejected(unknown(message)),
        }
    }

    /// The edge nodes of Sparkplug of which something was missed, as (group, node): the adapter asks each for its births by
    /// `Node Control/Rebirth`. Each is given once until it was born again.
    pub fn take_sparkplug_rebirths(&mut self) -> Vec<(String, String)> {
        let parted =
            |node: Box<str>| node.split_once('/').map(|(group, node)| (group.to_owned(), node.to_owned()));
        self.buffers.sparkplug.take_rebirths().filter_map(parted).collect()
    }

    /// All dialects.
    pub fn dialects() -> impl Iterator<Item = DialectInfo> {
        DIALECTS.iter().map(|dialect| DialectInfo {
            name: dialect.name,
            version: dialect.version,
            topics: dialect.topics,
            standard: dialect.standard,
            certainty: dialect.certainty,
        })
    }

    /// The names of the dialects that a message is of: one at most.
    pub fn recognized(message: &RawMessage<'_>) -> impl Iterator<Item = &'static str> {
        DIALECTS.iter().filter(|dialect| (dialect.recognizes)(message)).map(|dialect| dialect.name)
    }

    fn decode_with(
        &mut self,
        dialect: &'static Dialect,
        message: &RawMessage<'_>,
        redrive: Option<Redrive<'_>>,
    ) -> Outcome<'_> {
        let mut sink = Sink::new(&mut self.buffers, dialect, redrive);
        let mut decoded = (dialect.decode)(message, &mut sink);
        if decoded.is_ok() && sink.is_untouched() {
            decoded = Err(Rejection::new(Reason::NoReadings, "the message says nothing of any device"));
        }
        if message.is_will
            && (decoded.is_err() || self.buffers.children.is_empty())
            && let Some(device) = (dialect.device)(message.topic)
        {
            // A will that says nothing readable still says that its device is gone.
            let mut sink = Sink::new(&mut self.buffers, dialect, redrive);
            decoded = offline(message, device, &mut sink);
        }
        match decoded {
            Ok(()) => Outcome::Decoded(Decoded { buffers: &self.buffers }),
            Err(rejection) => Outcome::Rejected(rejection),
        }
    }
}

fn offline(message: &RawMessage<'_>, device: &str, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let mut readings = sink.readings();
    readings.push(DraftReading::new("status", DraftValue::Text("offline".into())));
    let mut draft = Draft::new(device, readings);
    draft.kind = Kind::Status;
    sink.accept(message, draft)
}

fn unknown(message: &RawMessage<'_>) -> Rejection {
    let topic: String = message.topic.chars().take(200).collect();
    Rejection::new(Reason::UnknownDialect, format!("no dialect is known for the topic or path {topic:?}"))
}
