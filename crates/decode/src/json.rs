//! A JSON reader that hands out what stands in the text where it stands: keys and texts borrowed unless they have escapes,
//! numbers as their digits. One pass, no tree, no recursion of its own; RFC 8259, strictly.

use std::borrow::Cow;

use model::{Reason, Rejection};

/// Reads one JSON text from the front.
#[derive(Clone, Debug)]
pub(crate) struct JsonReader<'a> {
    text: &'a str,
    at: usize,
}

/// The next value; of an object or array only its opening.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum JsonToken<'a> {
    Null,
    Boolean(bool),
    /// As written.
    Number(&'a str),
    Text(Cow<'a, str>),
    Object,
    Array,
}

impl<'a> JsonReader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        JsonReader { text, at: 0 }
    }

    /// Where the reader stands, in bytes.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// What was read between two places.
    pub(crate) fn slice(&self, from: usize, to: usize) -> &'a str {
        &self.text[from..to]
    }

    /// A refusal that names the byte and line at which the reader stands.
    pub(crate) fn rejection(&self, reason: Reason, what: impl std::fmt::Display) -> Rejection {
        self.rejection_at(self.at, reason, what)
    }

    pub(crate) fn rejection_at(&self, at: usize, reason: Reason, what: impl std::fmt::Display) -> Rejection {
        let line =
            self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|b| **b == b'\n').count() + 1;
        Rejection::new(reason, format!("{what} at byte {at}, line {line}"))
    }

    fn malformed<T>(&self, wanted: &str) -> Result<T, Rejection> {
        let found = match self.text[self.at..].chars().next() {
            Some(found) => format!("{wanted} is wanted, found {found:?}"),
            None => format!("{wanted} is wanted, the text ends"),
        };
        Err(self.rejection(Reason::MalformedJson, found))
    }

    #[inline]
    pub(crate) fn skip_space(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next value, or the opening of the next object or array.
    #[inline]
    pub(crate) fn value(&mut self) -> Result<JsonToken<'a>, Rejection> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => Ok(JsonToken::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => Ok(JsonToken::Number(self.number()?)),
            Some(b'{') => self.open(JsonToken::Object),
            Some(b'[') => self.open(JsonToken::Array),
            Some(b't') => self.word("true", JsonToken::Boolean(true)),
            Some(b'f') => self.word("false", JsonToken::Boolean(false)),
            Some(b'n') => self.word("null", JsonToken::Null),
            _ => self.malformed("a value"),
        }
    }

    fn open(&mut self, token: JsonToken<'a>) -> Result<JsonToken<'a>, Rejection> {
        self.at += 1;
        Ok(token)
    }

    fn word(&mut self, word: &str, token: JsonToken<'a>) -> Result<JsonToken<'a>, Rejection> {
        if !self.text[self.at..].starts_with(word) {
            return self.malformed("a value");
        }
        self.at += word.len();
        Ok(token)
    }

    /// The next key of an open object, its colon passed; `None` when the object ends. `is_first` before the first key.
    #[inline]
    pub(crate) fn key(&mut self, is_first: bool) -> Result<Option<Cow<'a, str>>, Rejection> {
        self.skip_space();
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !is_first => {
                self.at += 1;
                self.skip_space();
            }
            _ if is_first => {}
            _ => return self.malformed("`,` or `}`"),
        }
        if self.peek() != Some(b'"') {
            return self.malformed("a key in quotes");
        }
        let key = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return self.malformed("`:`");
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Whether an open array has a next value; when it has none it has ended. `is_first` before the first value.
    pub(crate) fn element(&mut self, is_first: bool) -> Result<bool, Rejection> {
        self.skip_space();
        match self.peek() {
            Some(b']') => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !is_first => {
                self.at += 1;
                Ok(true)
            }
            _ if is_first => Ok(true),
            _ => self.malformed("`,` or `]`"),
        }
    }

    /// Nothing may follow.
    pub(crate) fn end(&mut self) -> Result<(), Rejection> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { self.malformed("the end") }
    }

    #[inline]
    fn string(&mut self) -> Result<Cow<'a, str>, Rejection> {
        let start = self.at + 1;
        let at = start + plain_len(&self.text.as_bytes()[start..]);
        match self.text.as_bytes().get(at) {
            Some(b'"') => {
                self.at = at + 1;
                Ok(Cow::Borrowed(&self.text[start..at]))
            }
            Some(b'\\') => self.escaped_string(start, at),
            _ => {
                self.at = at;
                self.malformed("the closing quote")
            }
        }
    }

    /// A text with escapes, from the first of them on.
    fn escaped_string(&mut self, start: usize, first_escape: usize) -> Result<Cow<'a, str>, Rejection> {
        let mut text = String::from(&self.text[start..first_escape]);
        self.at = first_escape;
        loop {
            let plain = self.text[self.at..].find(['"', '\\']).unwrap_or(self.text.len() - self.at);
            let run = &self.text[self.at..self.at + plain];
            if let Some(control) = run.bytes().position(|byte| byte < 0x20) {
                self.at += control;
                return self.malformed("the closing quote");
            }
            text.push_str(run);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(_) => text.push(self.escape()?),
                None => return self.malformed("the closing quote"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Rejection> {
        self.at += 1;
        let escape = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return self.malformed("an escape"),
        };
        self.at += 1;
        Ok(escape)
    }

    fn unicode_escape(&mut self) -> Result<char, Rejection> {
        let high = self.hex4()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high).map_or_else(|| self.malformed("a character"), Ok);
        }
        if !self.text[self.at..].starts_with("\\u") {
            return self.malformed("the second half of a surrogate pair");
        }
        self.at += 1;
        let low = self.hex4()?;
        if !(0xdc00..0xe000).contains(&low) {
            return self.malformed("the second half of a surrogate pair");
        }
        let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        char::from_u32(code).map_or_else(|| self.malformed("a character"), Ok)
    }

    /// Four hex digits after the `u` at which the reader stands.
    fn hex4(&mut self) -> Result<u32, Rejection> {
        let digits =
            self.text.get(self.at + 1..self.at + 5).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(code) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
            return self.malformed("four hex digits");
        };
        self.at += 5;
        Ok(code)
    }

    #[inline]
    fn number(&mut self) -> Result<&'a str, Rejection> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let digits_end = |mut at: usize| {
            while let Some(b'0'..=b'9') = bytes.get(at) {
                at += 1;
            }
            at
        };
        let mut at = start + usize::from(bytes[start] == b'-');
        let whole = at;
        at = digits_end(at);
        let mut is_whole = at > whole && !(bytes[whole] == b'0' && at > whole + 1);
        if bytes.get(at) == Some(&b'.') {
            let fraction = at + 1;
            at = digits_end(fraction);
            is_whole &= at > fraction;
        }
        if let Some(b'e' | b'E') = bytes.get(at) {
            let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            let exponent = at + 1 + sign;
            at = digits_end(exponent);
            is_whole &= at > exponent;
        }
        if !is_whole {
            return self.malformed("a number");
        }
        self.at = at;
        Ok(&self.text[start..at])
    }

    /// Passes the rest of a value whose opening was read, at most `depth_max` levels below it.
    pub(crate) fn skip(&mut self, opening: &JsonToken<'a>, depth_max: usize) -> Result<(), Rejection> {
        let mut open = Vec::with_capacity(4);
        let mut is_first = true;
        match opening {
            JsonToken::Object => open.push(true),
            JsonToken::Array => open.push(false),
            _ => return Ok(()),
        }
        while let Some(is_object) = open.last().copied() {
            let has_next = if is_object { self.key(is_first)?.is_some() } else { self.element(is_first)? };
            is_first = false;
            if !has_next {
                open.pop();
                continue;
            }
            if let token @ (JsonToken::Object | JsonToken::Array) = self.value()? {
                if open.len() >= depth_max {
                    return Err(self.rejection(Reason::TooDeep, "nested too deep"));
                }
                open.push(token == JsonToken::Object);
                is_first = true;
            }
        }
        Ok(())
    }
}

/// Bytes before the first quote, backslash or control character: eight at a time, since keys and texts are most of a payload.
#[inline]
fn plain_len(bytes: &[u8]) -> usize {
    const LOW: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    // The high bit of each byte that is below `limit`, and perhaps of those above the first that is.
    let below = |word: u64, limit: u8| word.wrapping_sub(LOW * u64::from(limit)) & !word & HIGH;
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk() {
        let word = u64::from_le_bytes(*chunk);
        let found = below(word, 0x20)
            | below(word ^ (LOW * u64::from(b'"')), 1)
            | below(word ^ (LOW * u64::from(b'\\')), 1);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += chunk.len();
    }
    let is_plain = |byte: &&u8| !matches!(**byte, 0..0x20 | b'"' | b'\\');
    at + bytes[at..].iter().take_while(is_plain).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether the reader takes the whole text as one JSON value.
    fn accepts(text: &str) -> bool {
        let mut reader = JsonReader::new(text);
        let read = reader.value().and_then(|token| reader.skip(&token, 1_000)).and_then(|()| reader.end());
        read.is_ok()
    }

    #[test]
    fn it_takes_json_and_nothing_else() {
        let good = [
            "{}",
            "[]",
            "null",
            "-0",
            "1.5e-3",
            "\"a\\u00e9\\n\"",
            "{\"a\":[1,{\"b\":null}]}",
            " [ 1 , 2 ] ",
            "\"\\ud83d\\ude00\"",
        ];
        let bad = [
            "",
            "{",
            "[1,]",
            "{,}",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "nul",
            "\"a",
            "\"\\x\"",
            "\"\\ud83d\"",
            "\"\\u12\"",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "[1 2]",
            "{} {}",
            "\"a\tb\"",
            "NaN",
            "--1",
            "{\"a\":1,}",
        ];
        good.iter().for_each(|text| assert!(accepts(text), "{text}"));
        bad.iter().for_each(|text| assert!(!accepts(text), "{text}"));
    }

    #[test]
    fn texts_are_borrowed_unless_they_have_escapes() {
        let read = |text| JsonReader::new(text).value().unwrap();
        assert!(matches!(read("\"井盖\""), JsonToken::Text(Cow::Borrowed("井盖"))));
        assert_eq!(read("\"a\\\"\\u4e95\\ud83d\\ude00/\\/\""), JsonToken::Text("a\"井😀//".into()));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_reference(text in "[\\[\\]{}:,\"a0-9.eE+ntrufls\\\\-]{0,24}") {
            prop_assert_eq!(accepts(&text), serde_json::from_str::<serde_json::Value>(&text).is_ok() || is_huge(&text), "{}", text);
        }

        #[test]
        fn texts_end_where_they_end(text in "[a-z\"\\\\\t\u{1f}\u{20}é井]{0,40}") {
            let is_plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
            prop_assert_eq!(plain_len(text.as_bytes()), text.bytes().take_while(is_plain).count());
        }

        #[test]
        fn no_text_panics(text in ".{0,64}") {
            accepts(&text);
        }
    }

    /// The reference refuses numbers that no double holds; whether one is held is not the reader's to say.
    fn is_huge(text: &str) -> bool {
        accepts(text)
            && serde_json::from_str::<serde_json::Value>(text)
                .is_err_and(|error| error.to_string().contains("out of range"))
    }
}
