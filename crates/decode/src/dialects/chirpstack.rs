//! What the dialects of ChirpStack have in common: its topics, and how an event becomes a message of its device.

use std::borrow::Cow;

use model::event_id::Identity;
use model::proto::{Kind, LocationOrigin, TimeSource};
use model::{RawMessage, Reason, Rejection};

use crate::draft::{Draft, DraftReading, DraftTime, DraftValue, push_unless_said};
use crate::sink::Sink;

/// The parts of `application/{application}/device/{device}/event/{event}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Topic<'a> {
    pub application: &'a str,
    pub device: &'a str,
    pub event: &'a str,
}

impl<'a> Topic<'a> {
    /// The first versions of v3 left `event/` out.
    pub(super) fn parse(topic: &'a str) -> Option<Self> {
        let (application, rest) = topic.strip_prefix("application/")?.split_once("/device/")?;
        let (device, event) = rest.split_once('/')?;
        let event = event.strip_prefix("event/").unwrap_or(event);
        let is_whole = !application.is_empty() && !application.contains('/') && !device.is_empty();
        (is_whole && !event.is_empty() && !event.contains('/')).then_some(Topic {
            application,
            device,
            event,
        })
    }

    /// v3 counts its applications, v4 gives them UUIDs.
    pub(super) fn is_v3(&self) -> bool {
        self.application.bytes().all(|byte| byte.is_ascii_digit())
    }
}

pub(super) fn topic_device(topic: &str) -> Option<&str> {
    Topic::parse(topic).map(|topic| topic.device)
}

/// A gateway that heard the device.
#[derive(Clone, Debug, Default)]
pub(super) struct Receiver<'a> {
    pub gateway_id: Cow<'a, str>,
    pub rssi: Option<f64>,
    pub snr: Option<f64>,
    pub time_us: Option<i64>,
    pub place: Option<(f64, f64)>,
}

impl Receiver<'_> {
    fn strength(&self) -> f64 {
        self.rssi.unwrap_or(f64::NEG_INFINITY)
    }
}

/// One event as it is said in any of the dialects.
#[derive(Debug, Default)]
pub(super) struct Event<'a> {
    pub deduplication_id: Option<Cow<'a, str>>,
    pub device: Option<Cow<'a, str>>,
    pub time_us: Option<i64>,
    pub sequence: Option<i64>,
    pub port: Option<i64>,
    /// Bytes of the device in base64.
    pub data: Option<Cow<'a, str>>,
    /// The one that heard it best.
    pub receiver: Option<Receiver<'a>>,
    /// Where the network found the device to be.
    pub place: Option<(f64, f64)>,
    pub readings: Vec<DraftReading<'a>>,
}

impl<'a> Event<'a> {
    pub(super) fn heard_by(&mut self, receiver: Receiver<'a>) {
        if self.receiver.as_ref().is_none_or(|best| receiver.strength() > best.strength()) {
            self.receiver = Some(receiver);
        }
    }

    pub(super) fn push(&mut self, metric: &'static str, value: DraftValue<'a>) {
        self.readings.push(DraftReading::new(metric, value));
    }

    /// Hands it on as a message of its device. `name` is the event's in the topic.
    pub(super) fn finish(
        mut self,
        message: &RawMessage<'_>,
        name: &str,
        topic_device: &'a str,
        sink: &mut Sink<'_>,
    ) -> Result<(), Rejection> {
        if self.readings.is_empty()
            && let Some(data) = self.data.take()
        {
            // Nobody decoded it: the bytes are what it said.
            self.push("payload", DraftValue::Text(data));
            if let Some(port) = self.port {
                self.push("f_port", DraftValue::Integer(port));
            }
        }
        let receiver = self.receiver.take().unwrap_or_default();
        for (metric, value) in [("rssi", receiver.rssi), ("snr", receiver.snr)] {
            push_unless_said(&mut self.readings, metric, value.map(DraftValue::Number));
        }
        if name == "join" {
            self.push("status", DraftValue::Text("online".into()));
        }
        let has_content = self.time_us.is_some() || self.sequence.is_some();
        let mut draft = Draft::new(self.device.unwrap_or(topic_device.into()), self.readings);
        draft.kind = kind(name);
        draft.identity = match &self.deduplication_id {
            Some(id) if matches!(name, "up" | "rx") => Identity::Id(id.as_bytes()),
            // The network's other events about one uplink bear its id too.
            Some(id) => Identity::Content2(id.as_bytes(), name.as_bytes()),
            None if has_content => Identity::Content(message.payload),
            None => Identity::None,
        };
        draft.time = match (receiver.time_us, self.time_us) {
            (Some(at_us), _) => Some(DraftTime { at_us, source: TimeSource::Gateway }),
            (None, Some(at_us)) => Some(DraftTime { at_us, source: TimeSource::Platform }),
            (None, None) => None,
        };
        draft.sequence = self.sequence;
        draft.gateway_id = receiver.gateway_id;
        let of_device = self.place.map(|(latitude, longitude)| (latitude, longitude, LocationOrigin::Device));
        let of_gateway =
            receiver.place.map(|(latitude, longitude)| (latitude, longitude, LocationOrigin::Gateway));
        draft.location = of_device.or(of_gateway);
        sink.accept(message, draft)
    }
}

fn kind(event: &str) -> Kind {
    match event {
        "up" | "rx" | "status" => Kind::Telemetry,
        "join" => Kind::Status,
        _ => Kind::Event,
    }
}

/// What the table of a dialect does not know says nothing that a reading could carry.
pub(super) fn unknown_event(event: &str) -> Rejection {
    let event: String = event.chars().take(40).collect();
    let what =
        format!("event {event:?}: up, join, status, ack, txack, log, location or integration are wanted");
    Rejection::new(Reason::UnknownDialect, what)
}

pub(super) const EVENTS: [&str; 8] =
    ["up", "join", "status", "ack", "txack", "log", "location", "integration"];
