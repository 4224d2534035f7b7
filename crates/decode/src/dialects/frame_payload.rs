//! Field frames as they come: as they are, or wrapped in hex or base64, or as a member of a platform's JSON that is one of
//! these. Their topic names the transmitter or gateway; most frames name their device themselves.

use std::borrow::Cow;

use model::{RawMessage, Reason, Rejection};

use super::own_topic;
use crate::base64_text;
use crate::draft::Draft;
use crate::json::{JsonReader, JsonToken};
use crate::sink::Sink;

/// Levels of a platform's JSON in which a frame is looked for.
const DEPTH_MAX: usize = 8;

/// How a frame of a dialect is found in bytes that begin with it.
pub(super) trait Frames {
    /// Frames have marks. Without them what a line makes between frames may begin like one, and is passed over beside one.
    const IS_MARKED: bool = true;

    /// Whether bytes begin like a frame.
    fn begins(bytes: &[u8]) -> bool;
    /// The length of the frame with which the bytes begin, or why it is none.
    fn length(bytes: &[u8]) -> Result<usize, Rejection>;
    /// Hands the children of one whole frame to the sink.
    fn decode(frame: &[u8], context: &Context<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection>;
}

/// What a frame does not say itself.
pub(super) struct Context<'a> {
    pub message: &'a RawMessage<'a>,
    /// The transmitter that the topic names; empty when it names none.
    pub transmitter: &'a str,
}

impl Context<'_> {
    /// A message of a device that stands behind the transmitter, unless it is that itself.
    pub(super) fn accept<'d>(&'d self, mut draft: Draft<'d>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        if draft.gateway_id.is_empty() && draft.device_id != self.transmitter {
            draft.gateway_id = Cow::Borrowed(self.transmitter);
        }
        sink.accept(self.message, draft)
    }
}

/// The transmitter of `urban-neuron/v1/devices/{device_id}/frames/{dialect}`.
pub(super) fn transmitter<'a>(topic: &'a str, dialect: &str) -> Option<&'a str> {
    own_topic::device(topic, dialect)?.strip_suffix("/frames").filter(|device| !device.contains('/'))
}

/// All frames of a payload: each is refused or taken for itself, what is no frame between them is passed over.
pub(super) fn decode<F: Frames>(
    message: &RawMessage<'_>,
    dialect: &str,
    sink: &mut Sink<'_>,
) -> Result<(), Rejection> {
    if message.payload.is_empty() {
        return Err(Rejection::new(Reason::EmptyPayload, "the payload is empty"));
    }
    let context = Context { message, transmitter: transmitter(message.topic, dialect).unwrap_or_default() };
    let bytes = unwrap::<F>(message.payload);
    let (mut at, mut refused) = (0, None);
    while at < bytes.len() {
        if !F::begins(&bytes[at..]) {
            at += 1;
            continue;
        }
        match F::length(&bytes[at..]) {
            Ok(length) => {
                if let Some(earlier) = refused.take().filter(|_| F::IS_MARKED) {
                    sink.reject(earlier)?;
                }
                let frame = &bytes[at..at + length];
                if let Err(rejection) = F::decode(frame, &context, sink) {
                    sink.reject(located(rejection, at))?;
                }
                at += length;
            }
            Err(rejection) => {
                // A later byte may begin a whole frame; up to there the first that does not says what is wrong.
                refused = refused.or(Some(located(rejection, at)));
                at += 1;
            }
        }
    }
    match refused {
        Some(rejection) if F::IS_MARKED || sink.is_untouched() => sink.reject(rejection),
        None if sink.is_untouched() => {
            Err(Rejection::new(Reason::MalformedFrame, "no frame begins anywhere in the payload"))
        }
        _ => Ok(()),
    }
}

fn located(rejection: Rejection, at: usize) -> Rejection {
    if at == 0 {
        rejection
    } else {
        Rejection { detail: format!("frame at byte {at}: {}", rejection.detail), ..rejection }
    }
}

fn unwrap<F: Frames>(payload: &[u8]) -> Cow<'_, [u8]> {
    if F::begins(payload) {
        return Cow::Borrowed(payload);
    }
    if payload.trim_ascii_start().first() == Some(&b'{')
        && let Ok(text) = std::str::from_utf8(payload)
        && let Some(found) = in_json::<F>(text)
    {
        return Cow::Owned(found);
    }
    from_text::<F>(payload).map_or(Cow::Borrowed(payload), Cow::Owned)
}

/// Hex or base64 of a frame.
fn from_text<F: Frames>(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    let begins = |bytes: &Vec<u8>| (0..bytes.len()).any(|at| F::begins(&bytes[at..]));
    hex(text).filter(begins).or_else(|| base64_text::decode(text).filter(begins))
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_prefix(b"0x").unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    for digit in text.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        let digit = char::from(*digit).to_digit(16)? as u8;
        match high.take() {
            None => high = Some(digit),
            Some(high) => bytes.push(high << 4 | digit),
        }
    }
    (high.is_none() && !bytes.is_empty()).then_some(bytes)
}

/// The first text in the JSON that is a frame or wraps one.
fn in_json<F: Frames>(text: &str) -> Option<Vec<u8>> {
    let mut reader = JsonReader::new(text);
    let mut open = Vec::with_capacity(DEPTH_MAX);
    let mut token = reader.value().ok()?;
    let mut is_first = true;
    loop {
        match token {
            JsonToken::Object if open.len() < DEPTH_MAX => {
                open.push(true);
                is_first = true;
            }
            JsonToken::Array if open.len() < DEPTH_MAX => {
                open.push(false);
                is_first = true;
            }
            JsonToken::Object | JsonToken::Array => return None,
            JsonToken::Text(text) if F::begins(text.as_bytes()) => return Some(text.as_bytes().to_vec()),
            JsonToken::Text(text) => {
                if let Some(bytes) = from_text::<F>(text.as_bytes()) {
                    return Some(bytes);
                }
            }
            _ => {}
        }
        loop {
            let has_next = match open.last()? {
                true => reader.key(is_first).ok()?.is_some(),
                false => reader.element(is_first).ok()?,
            };
            is_first = false;
            if has_next {
                break;
            }
            open.pop();
        }
        token = reader.value().ok()?;
    }
}

pub(super) fn malformed(what: impl Into<String>) -> Rejection {
    Rejection::new(Reason::MalformedFrame, what)
}

pub(super) fn wrong_checksum(wanted: impl std::fmt::LowerHex, found: impl std::fmt::LowerHex) -> Rejection {
    Rejection::new(
        Reason::WrongChecksum,
        format!("the frame's checksum is {found:02x}, its bytes make {wanted:02x}"),
    )
}
