//! The token, which ties a response to its request whatever message carries it.

use std::fmt;

/// 0 to 8 bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Token {
    bytes: [u8; Token::BYTES_MAX],
    len: u8,
}

impl Token {
    pub const BYTES_MAX: usize = 8;

    /// `None` above 8 bytes.
    pub fn new(token: &[u8]) -> Option<Token> {
        let mut bytes = [0; Token::BYTES_MAX];
        bytes.get_mut(..token.len())?.copy_from_slice(token);
        // At most 8, or the slice above had not been there.
        Some(Token { bytes, len: token.len() as u8 })
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
