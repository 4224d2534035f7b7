//! The thing model's messages as Alink and OneJSON have them: `{"id", "version", "params": {..}, ..}`, a property as its bare
//! value or as `{"value", "time"}`; packs and histories are one message a device and a moment.

use std::borrow::Cow;

use model::event_id::Identity;
use model::proto::{Kind, TimeSource};
use model::{RawMessage, Reason, Rejection};

use super::json_fields::{self, elements, members, milliseconds, skip};
use crate::draft::{Draft, DraftReading, DraftTime};
use crate::json::{JsonReader, JsonToken};
use crate::sink::Sink;

/// What the topic says that the message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Post<'a> {
    Properties,
    /// One event; its name where the topic has it.
    Event(Option<&'a str>),
    /// Several devices.
    Pack,
    /// Several devices, late.
    History,
}

/// A message on the topic of a device.
#[derive(Clone, Copy)]
pub(super) struct ThingMessage<'m, 'a> {
    pub message: &'m RawMessage<'a>,
    pub device: &'a str,
    pub post: Post<'a>,
}

impl<'a> ThingMessage<'_, 'a> {
    pub(super) fn decode(self, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let mut reader = json_fields::open_object(self.message.payload)?;
        let mut has_params = false;
        members(&mut reader, |reader, key, token| match (&*key, token) {
            ("params", token @ (JsonToken::Object | JsonToken::Array)) => {
                has_params = true;
                self.params(reader, token, sink)
            }
            (_, token) => skip(reader, &token),
        })?;
        reader.end()?;
        if has_params { Ok(()) } else { Err(Rejection::new(Reason::NoReadings, "params: they are missing")) }
    }

    fn params(
        self,
        reader: &mut JsonReader<'a>,
        token: JsonToken<'a>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Rejection> {
        match (self.post, token) {
            (Post::Properties | Post::Event(_), JsonToken::Object) => {
                let is_event = self.post != Post::Properties;
                self.of_device(self.device.into(), is_event, reader, sink)
            }
            (Post::Pack | Post::History, JsonToken::Object) => self.member(reader, sink),
            (Post::Pack | Post::History, JsonToken::Array) => elements(reader, |reader, token| match token {
                JsonToken::Object => self.member(reader, sink),
                other => skip(reader, &other),
            }),
            (_, token) => {
                skip(reader, &token)?;
                sink.reject(
                    reader.rejection(
                        Reason::InvalidValue,
                        "params: an object is wanted, found an array before",
                    ),
                )
            }
        }
    }

    /// `{"identity": {..}, "properties": .., "events": .., "subDevices": [..]}`: without an identity, the topic's device.
    fn member(self, reader: &mut JsonReader<'a>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let mut device: Cow<'a, str> = self.device.into();
        let mut parts: Vec<(bool, JsonToken<'a>, JsonReader<'a>)> = Vec::with_capacity(2);
        let mut children = None;
        members(reader, |reader, key, token| match (&*key, token) {
            ("identity", JsonToken::Object) => members(reader, |reader, key, token| {
                skip(reader, &token)?;
                if matches!(&*key, "deviceName" | "device_name") {
                    device = json_fields::name(token).unwrap_or_default();
                }
                Ok(())
            }),
            // The identity may stand behind.
            (part @ ("properties" | "events"), token @ (JsonToken::Object | JsonToken::Array)) => {
                parts.push((part == "events", token.clone(), reader.clone()));
                skip(reader, &token)
            }
            ("subDevices", JsonToken::Array) => {
                children = Some(reader.clone());
                skip(reader, &JsonToken::Array)
            }
            (_, token) => skip(reader, &token),
        })?;
        for (is_event, token, mut part) in parts {
            let device = device.clone();
            match token {
                JsonToken::Object => self.of_device_unless_empty(device, is_event, &mut part, sink)?,
                _ => elements(&mut part, |reader, token| match token {
                    JsonToken::Object => self.of_device_unless_empty(device.clone(), is_event, reader, sink),
                    other => skip(reader, &other),
                })?,
            }
        }
        if let Some(mut children) = children {
            elements(&mut children, |reader, token| match token {
                JsonToken::Object => self.member(reader, sink),
                other => skip(reader, &other),
            })?;
        }
        Ok(())
    }

    /// Packs say `"events": {}` of devices without any.
    fn of_device_unless_empty(
        self,
        device: Cow<'a, str>,
        is_event: bool,
        reader: &mut JsonReader<'a>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Rejection> {
        let mut ahead = reader.clone();
        match ahead.key(true)? {
            None => {
                *reader = ahead;
                Ok(())
            }
            Some(_) => self.of_device(device, is_event, reader, sink),
        }
    }

    /// Properties or events of one device, the opening brace read.
    fn of_device(
        self,
        device: Cow<'a, str>,
        is_event: bool,
        reader: &mut JsonReader<'a>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Rejection> {
        let start = reader.at() - 1;
        let mut readings = sink.readings();
        let mut time = None;
        if let Post::Event(Some(name)) = self.post {
            time = event(name.into(), reader, &mut readings)?;
        } else {
            members(reader, |reader, key, token| {
                let own = match (is_event, token) {
                    (true, JsonToken::Object) => event(key, reader, &mut readings)?,
                    (_, JsonToken::Array) => history(reader, key, &mut readings)?,
                    (_, token) => property(reader, key, token, &mut readings)?,
                };
                time = time.or(own);
                Ok(())
            })?;
        }
        if self.post != Post::History {
            json_fields::refuse_duplicate(&readings)?;
        }
        let mut draft = Draft::new(device, readings);
        draft.kind = if is_event { Kind::Event } else { Kind::Telemetry };
        draft.is_historical = self.post == Post::History;
        draft.time = time;
        if draft.gateway_id.is_empty() && draft.device_id != self.device {
            draft.gateway_id = self.device.into();
        }
        if time.is_some() {
            draft.identity = Identity::Content(reader.slice(start, reader.at()).as_bytes());
        }
        sink.accept(self.message, draft)
    }
}

/// A bare value, a structure, or `{"value", "time"}`; its time, if it has one.
pub(super) fn property<'a>(
    reader: &mut JsonReader<'a>,
    name: Cow<'a, str>,
    token: JsonToken<'a>,
    out: &mut Vec<DraftReading<'a>>,
) -> Result<Option<DraftTime>, Rejection> {
    if token != JsonToken::Object || !is_wrapped(reader)? {
        json_fields::reading(reader, name, token, None, out)?;
        return Ok(None);
    }
    let (from, mut time) = (out.len(), None);
    members(reader, |reader, key, token| match &*key {
        "time" => {
            time = milliseconds(&token).map(|at_us| DraftTime { at_us, source: TimeSource::Device });
            skip(reader, &token)
        }
        "value" => json_fields::reading(reader, name.clone(), token, None, out),
        _ => skip(reader, &token),
    })?;
    out[from..].iter_mut().for_each(|reading| reading.time = time);
    Ok(time)
}

/// Whether the object that was just opened is the wrapping of a value rather than a structure.
fn is_wrapped(reader: &JsonReader<'_>) -> Result<bool, Rejection> {
    let (mut ahead, mut has_value, mut has_other) = (reader.clone(), false, false);
    members(&mut ahead, |reader, key, token| {
        match &*key {
            "value" => has_value = true,
            "time" => {}
            _ => has_other = true,
        }
        skip(reader, &token)
    })?;
    Ok(has_value && !has_other)
}

/// `[{"value", "time"}, ..]` of one property; the first one's time.
fn history<'a>(
    reader: &mut JsonReader<'a>,
    name: Cow<'a, str>,
    out: &mut Vec<DraftReading<'a>>,
) -> Result<Option<DraftTime>, Rejection> {
    let (mut first, mut at) = (None, 0);
    elements(reader, |reader, token| {
        if token == JsonToken::Object && is_wrapped(reader)? {
            first = first.or(property(reader, name.clone(), token, out)?);
        } else {
            json_fields::reading(reader, format!("{name}.{at}").into(), token, None, out)?;
        }
        at += 1;
        Ok(())
    })?;
    Ok(first)
}

/// `{"value": {..}, "time": ms}` of the event of this name: its outputs are readings beside `event_type`.
fn event<'a>(
    name: Cow<'a, str>,
    reader: &mut JsonReader<'a>,
    out: &mut Vec<DraftReading<'a>>,
) -> Result<Option<DraftTime>, Rejection> {
    out.push(DraftReading::new("event_type", crate::draft::DraftValue::Text(name)));
    let mut time = None;
    members(reader, |reader, key, token| match (&*key, token) {
        ("time", token) => {
            time = milliseconds(&token).map(|at_us| DraftTime { at_us, source: TimeSource::Device });
            skip(reader, &token)
        }
        ("value", JsonToken::Object) => json_fields::readings(reader, None, out),
        (_, token) => json_fields::reading(reader, key, token, None, out),
    })?;
    Ok(time)
}
