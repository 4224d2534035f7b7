//! A CBOR reader (RFC 8949) for what SenML needs: one item after the other, borrowed, bounded in depth; integers, floats of all
//! three widths, decimal fractions (tag 4), definite and indefinite arrays and maps.

use model::{Reason, Rejection};

use crate::draft::DraftValue;

/// Levels of arrays, maps and tags that are passed over.
const DEPTH_MAX: usize = 32;

/// Reads one CBOR text from the front.
#[derive(Clone, Debug)]
pub(crate) struct CborReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// One item; of an array or map only its head: how many items follow, nothing when a break ends it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum CborToken<'a> {
    /// From -2^63 to 2^63 - 1.
    Integer(i64),
    /// An integer beyond that.
    HugeInteger(f64),
    Float(f64),
    Bytes(&'a [u8]),
    Text(&'a str),
    Array(Option<u64>),
    /// Pairs.
    Map(Option<u64>),
    Tag(u64),
    Boolean(bool),
    /// Null, undefined and other simple values.
    Simple,
    Break,
}

/// A number as it was sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum CborNumber {
    Integer(i64),
    Huge(f64),
    Float(f64),
}

impl CborNumber {
    pub(crate) fn as_f64(self) -> f64 {
        match self {
            CborNumber::Integer(integer) => integer as f64,
            CborNumber::Huge(number) | CborNumber::Float(number) => number,
        }
    }

    pub(crate) fn into_draft(self) -> DraftValue<'static> {
        match self {
            CborNumber::Integer(integer) => DraftValue::Integer(integer),
            CborNumber::Huge(nearest) => DraftValue::Unrepresentable(nearest),
            CborNumber::Float(number) => DraftValue::Number(number),
        }
    }
}

impl<'a> CborReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        CborReader { bytes, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn rejection(&self, reason: Reason, what: impl std::fmt::Display) -> Rejection {
        self.rejection_at(self.at, reason, what)
    }

    pub(crate) fn rejection_at(&self, at: usize, reason: Reason, what: impl std::fmt::Display) -> Rejection {
        Rejection::new(reason, format!("{what} at byte {at}"))
    }

    fn malformed(&self, what: &str) -> Rejection {
        self.rejection(Reason::MalformedCbor, what)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], Rejection> {
        let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len));
        let taken = end
            .and_then(|end| self.bytes.get(self.at..end))
            .ok_or_else(|| self.malformed("the payload ends"))?;
        self.at += taken.len();
        Ok(taken)
    }

    /// The next item.
    pub(crate) fn item(&mut self) -> Result<CborToken<'a>, Rejection> {
        let start = self.at;
        let head = self.take(1)?[0];
        let (major, info) = (head >> 5, head & 0x1f);
        let argument = match info {
            0..=23 => Some(u64::from(info)),
            24..=27 => {
                let digits = self.take(1 << (info - 24))?;
                Some(digits.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
            }
            31 if matches!(major, 4 | 5 | 7) => None,
            _ => return Err(self.rejection_at(start, Reason::MalformedCbor, "an item of no known length")),
        };
        Ok(match (major, argument) {
            (0, Some(number)) => {
                i64::try_from(number).map_or(CborToken::HugeInteger(number as f64), CborToken::Integer)
            }
            (1, Some(number)) => match i64::try_from(number) {
                Ok(number) => CborToken::Integer(-1 - number),
                Err(_) => CborToken::HugeInteger(-1.0 - number as f64),
            },
            (2, Some(len)) => CborToken::Bytes(self.take(len)?),
            (3, Some(len)) => {
                let text = std::str::from_utf8(self.take(len)?);
                CborToken::Text(
                    text.map_err(|_| self.rejection_at(start, Reason::InvalidUtf8, "a text is not UTF-8"))?,
                )
            }
            (4, len) => CborToken::Array(len),
            (5, len) => CborToken::Map(len),
            (6, Some(tag)) => CborToken::Tag(tag),
            (7, None) => CborToken::Break,
            (7, Some(argument)) => simple(info, argument),
            _ => return Err(self.rejection_at(start, Reason::MalformedCbor, "an item of no known length")),
        })
    }

    /// Whether an array or map has a next item or pair; `left` is its head's count.
    pub(crate) fn has_next(&mut self, left: &mut Option<u64>) -> Result<bool, Rejection> {
        match left {
            Some(0) => Ok(false),
            Some(count) => {
                *count -= 1;
                Ok(true)
            }
            None if self.bytes.get(self.at) == Some(&0xff) => {
                self.at += 1;
                Ok(false)
            }
            None if self.at >= self.bytes.len() => Err(self.malformed("the payload ends")),
            None => Ok(true),
        }
    }

    /// The number that an item is or, for a decimal fraction (tag 4: exponent and mantissa), begins.
    pub(crate) fn number(&mut self, item: &CborToken<'a>) -> Result<Option<CborNumber>, Rejection> {
        Ok(match *item {
            CborToken::Integer(integer) => Some(CborNumber::Integer(integer)),
            CborToken::HugeInteger(number) => Some(CborNumber::Huge(number)),
            CborToken::Float(number) => Some(CborNumber::Float(number)),
            CborToken::Tag(4) => {
                let (CborToken::Array(Some(2)), CborToken::Integer(exponent), CborToken::Integer(mantissa)) =
                    (self.item()?, self.item()?, self.item()?)
                else {
                    return Err(self.malformed(
                        "a decimal fraction is an exponent and a mantissa, found another item before",
                    ));
                };
                if exponent == 0 {
                    return Ok(Some(CborNumber::Integer(mantissa)));
                }
                // Through its decimal text, so that it is rounded once.
                let number = format!("{mantissa}e{exponent}").parse().unwrap_or(f64::NAN);
                Some(CborNumber::Float(number))
            }
            _ => None,
        })
    }

    /// Passes the rest of an item whose head was read.
    pub(crate) fn skip(&mut self, item: &CborToken<'a>) -> Result<(), Rejection> {
        self.skip_below(item, DEPTH_MAX)
    }

    fn skip_below(&mut self, item: &CborToken<'a>, depth: usize) -> Result<(), Rejection> {
        let (mut left, items_each) = match *item {
            CborToken::Array(len) => (len, 1),
            CborToken::Map(len) => (len, 2),
            CborToken::Tag(_) => (Some(1), 1),
            CborToken::Break => return Err(self.malformed("a break outside of an array or map")),
            _ => return Ok(()),
        };
        if depth == 0 {
            return Err(self.rejection(Reason::TooDeep, "nested too deep"));
        }
        while self.has_next(&mut left)? {
            for _ in 0..items_each {
                let item = self.item()?;
                self.skip_below(&item, depth - 1)?;
            }
        }
        Ok(())
    }

    /// Nothing may follow.
    pub(crate) fn end(&mut self) -> Result<(), Rejection> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.malformed("more bytes follow the pack")) }
    }
}

fn simple(info: u8, argument: u64) -> CborToken<'static> {
    match info {
        20 => CborToken::Boolean(false),
        21 => CborToken::Boolean(true),
        25 => CborToken::Float(half(argument as u16)),
        26 => CborToken::Float(f64::from(f32::from_bits(argument as u32))),
        27 => CborToken::Float(f64::from_bits(argument)),
        _ => CborToken::Simple,
    }
}

/// RFC 8949 appendix D.
fn half(bits: u16) -> f64 {
    let (exponent, mantissa) = (bits >> 10 & 0x1f, f64::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => mantissa * (-24f64).exp2(),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * (f64::from(exponent) - 25.0).exp2(),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}
