//! One message, borrowed from its datagram.

use super::options::{self, Options, PAYLOAD_MARKER};
use super::{Code, HEADER_BYTES, Token, VERSION};

/// What a message asks of the message layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageType {
    Confirmable,
    NonConfirmable,
    Acknowledgement,
    Reset,
}

/// A well-formed message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub message_type: MessageType,
    pub code: Code,
    pub message_id: u16,
    pub token: Token,
    pub options: Options<'a>,
    /// Empty where there is none.
    pub payload: &'a [u8],
}

/// Why bytes are no message. Who sent a confirmable one is told RST where type and id could be read; all else is silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error("shorter than a header")]
    TooShort,
    #[error("of another version than 1")]
    Version,
    #[error("a token longer than 8 bytes, or than the message")]
    TokenLength,
    #[error("an option whose nibble is 15")]
    OptionNibble,
    #[error("an option beyond the end of the message")]
    OptionPastEnd,
    #[error("an option number above 65,535")]
    OptionNumber,
    #[error("a payload marker without payload")]
    EmptyPayload,
    #[error("an empty message with something in it")]
    NotEmpty,
    #[error("a code of a reserved class")]
    ReservedCode,
}

impl MessageType {
    const fn of_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => MessageType::Confirmable,
            1 => MessageType::NonConfirmable,
            2 => MessageType::Acknowledgement,
            _ => MessageType::Reset,
        }
    }

    pub(super) const fn bits(self) -> u8 {
        match self {
            MessageType::Confirmable => 0,
            MessageType::NonConfirmable => 1,
            MessageType::Acknowledgement => 2,
            MessageType::Reset => 3,
        }
    }
}

impl<'a> Message<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// Whatever RFC 7252 calls a message format error; [`FormatError::TooShort`] and [`FormatError::Version`] are to be
    /// ignored in silence.
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Result<Self, FormatError> {
        let (message_type, message_id) = Self::header(datagram)?;
        let (code, token_len) = (Code(datagram[1]), usize::from(datagram[0] & 0x0f));
        let body = &datagram[HEADER_BYTES..];
        if code == Code::EMPTY {
            // Section 4.1: nothing follows the header, not even a token.
            return if token_len == 0 && body.is_empty() {
                Ok(Message {
                    message_type,
                    code,
                    message_id,
                    token: Token::default(),
                    options: Options::new(&[]),
                    payload: &[],
                })
            } else {
                Err(FormatError::NotEmpty)
            };
        }
        if !code.is_request() && !code.is_response() {
            return Err(FormatError::ReservedCode);
        }
        let (token, body) = body.split_at_checked(token_len).ok_or(FormatError::TokenLength)?;
        let token = Token::new(token).ok_or(FormatError::TokenLength)?;
        let (options, payload) = split_payload(body)?;
        Ok(Message { message_type, code, message_id, token, options: Options::new(options), payload })
    }

    /// Type and message id alone: what an RST needs when the rest is not well formed.
    ///
    /// # Errors
    /// Too short, or of another version.
    pub fn header(datagram: &[u8]) -> Result<(MessageType, u16), FormatError> {
        let &[first, _, high, low, ..] = datagram else { return Err(FormatError::TooShort) };
        if first >> 6 != VERSION {
            return Err(FormatError::Version);
        }
        Ok((MessageType::of_bits(first >> 4), u16::from_be_bytes([high, low])))
    }
}

/// Checks the options, and cuts the payload off behind them.
#[inline]
fn split_payload(body: &[u8]) -> Result<(&[u8], &[u8]), FormatError> {
    let (mut rest, mut number) = (body, 0);
    while let Some((next, _, behind)) = options::split(rest, number)? {
        (number, rest) = (next, behind);
    }
    let options = &body[..body.len() - rest.len()];
    match rest {
        [] => Ok((options, &[])),
        [PAYLOAD_MARKER] => Err(FormatError::EmptyPayload),
        [_, payload @ ..] => Ok((options, payload)),
    }
}
