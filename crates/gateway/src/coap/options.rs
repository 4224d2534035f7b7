//! Options: a list of numbers and values, each number said as its distance from the one before it (section 3.1).

use super::message::FormatError;

/// Option numbers.
pub mod number {
    pub const URI_HOST: u16 = 3;
    pub const OBSERVE: u16 = 6;
    pub const URI_PORT: u16 = 7;
    pub const LOCATION_PATH: u16 = 8;
    pub const URI_PATH: u16 = 11;
    pub const CONTENT_FORMAT: u16 = 12;
    pub const MAX_AGE: u16 = 14;
    pub const URI_QUERY: u16 = 15;
    pub const ACCEPT: u16 = 17;
    pub const BLOCK2: u16 = 23;
    pub const BLOCK1: u16 = 27;
    pub const PROXY_URI: u16 = 35;
    pub const PROXY_SCHEME: u16 = 39;
    pub const SIZE1: u16 = 60;
    pub const NO_RESPONSE: u16 = 258;
    pub const REQUEST_TAG: u16 = 292;
}

/// Ends the options and begins the payload.
pub(super) const PAYLOAD_MARKER: u8 = 0xff;

/// The nibbles that say that the number or length goes on in one or two more bytes.
pub(super) const ONE_BYTE: u8 = 13;
pub(super) const TWO_BYTES: u8 = 14;
/// What such bytes start to count from.
pub(super) const ONE_BYTE_BASE: usize = 13;
pub(super) const TWO_BYTES_BASE: usize = 269;

/// Options that were checked when their message was parsed, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
    number: u16,
}

impl<'a> Options<'a> {
    pub(super) fn new(checked: &'a [u8]) -> Self {
        Options { rest: checked, number: 0 }
    }

    /// Whether who does not know this option must refuse the message (section 5.4.1).
    pub const fn is_critical(number: u16) -> bool {
        number & 1 == 1
    }

    /// The value of an option that is a number; `None` above four bytes.
    pub fn uint(value: &[u8]) -> Option<u32> {
        let mut bytes = [0; 4];
        let start = bytes.len().checked_sub(value.len())?;
        bytes[start..].copy_from_slice(value);
        Some(u32::from_be_bytes(bytes))
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        // Checked before: an error does not come up here, and would end the list.
        let (number, value, rest) = split(self.rest, self.number).ok()??;
        (self.number, self.rest) = (number, rest);
        Some((number, value))
    }
}

/// Number and value of an option, and the bytes behind it.
type Split<'a> = (u16, &'a [u8], &'a [u8]);

/// Cuts the first option off; `None` at the end of the options, by the marker or by the message.
#[inline]
pub(super) fn split(bytes: &[u8], last_number: u16) -> Result<Option<Split<'_>>, FormatError> {
    let Some((&head, mut rest)) = bytes.split_first().filter(|(head, _)| **head != PAYLOAD_MARKER) else {
        return Ok(None);
    };
    let delta = extended(head >> 4, &mut rest)?;
    let len = extended(head & 0x0f, &mut rest)?;
    let number = usize::from(last_number) + delta;
    let number = u16::try_from(number).map_err(|_| FormatError::OptionNumber)?;
    let (value, rest) = rest.split_at_checked(len).ok_or(FormatError::OptionPastEnd)?;
    Ok(Some((number, value, rest)))
}

#[inline]
fn extended(nibble: u8, rest: &mut &[u8]) -> Result<usize, FormatError> {
    let (value, behind) = match (nibble, *rest) {
        (0..ONE_BYTE, behind) => (usize::from(nibble), behind),
        (ONE_BYTE, [byte, behind @ ..]) => (ONE_BYTE_BASE + usize::from(*byte), behind),
        (TWO_BYTES, [high, low, behind @ ..]) => {
            (TWO_BYTES_BASE + usize::from(u16::from_be_bytes([*high, *low])), behind)
        }
        (ONE_BYTE | TWO_BYTES, _) => return Err(FormatError::OptionPastEnd),
        _ => return Err(FormatError::OptionNibble),
    };
    *rest = behind;
    Ok(value)
}
