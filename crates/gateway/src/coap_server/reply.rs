//! An answer as it is remembered: small, and the same bytes whenever it is written.

use model::Reason;

use crate::coap::{Block, Code, Encoder, MessageType, Token, number};

/// One response, or with [`Code::EMPTY`] an empty acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) code: Code,
    pub(super) token: Token,
    pub(super) extra: Extra,
    /// Bytes of the request: an answer is never larger, since who asked may not be who it says.
    pub(super) request_bytes: u16,
}

/// What a response says beside its code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Extra {
    None,
    /// Of which block it speaks.
    Block1(Block),
    /// When to try again, seconds.
    MaxAge(u32),
    /// The largest body, bytes.
    Size1(u32),
    /// Why the payload was refused, as diagnostic payload.
    Diagnostic(Reason),
}

impl Reply {
    /// An acknowledgement that says no more than that.
    pub(super) fn empty() -> Reply {
        Reply { code: Code::EMPTY, token: Token::default(), extra: Extra::None, request_bytes: 4 }
    }

    /// Appends the message; what it says beside its code is left out where it would be larger than the request.
    pub(super) fn write(&self, message_type: MessageType, message_id: u16, out: &mut Vec<u8>) {
        let start = out.len();
        let mut encoder = Encoder::new(out, message_type, self.code, message_id, &self.token);
        match self.extra {
            Extra::None => {}
            Extra::Block1(block) => {
                encoder.uint(number::BLOCK1, block.bits());
            }
            Extra::MaxAge(seconds) => {
                encoder.uint(number::MAX_AGE, seconds);
            }
            Extra::Size1(bytes) => {
                encoder.uint(number::SIZE1, bytes);
            }
            Extra::Diagnostic(reason) => encoder.payload(reason.code().as_bytes()),
        }
        if out.len() - start > usize::from(self.request_bytes) && self.extra != Extra::None {
            out.truncate(start);
            Encoder::new(out, message_type, self.code, message_id, &self.token);
        }
    }
}
