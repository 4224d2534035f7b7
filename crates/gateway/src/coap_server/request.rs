//! What a request asks for: its options read, its path found, or the code that refuses it.

use crate::coap::{Block, Code, Message, Options, number};

/// Content formats that are taken, and what an intake knows them by.
const CONTENT_TYPES: [(u32, &str); 4] =
    [(0, ""), (50, "application/json"), (110, "application/senml+json"), (112, "application/senml+cbor")];

/// Segments of the longest path there is.
const SEGMENTS_MAX: usize = 5;

/// A request whose options make sense.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) code: Code,
    path: [&'a str; SEGMENTS_MAX],
    segments: usize,
    pub(super) content_format: Option<u32>,
    pub(super) block1: Option<Block>,
    /// Bytes of the whole body.
    pub(super) size1: Option<u32>,
    /// Which classes of responses the client does not want (RFC 7967).
    no_response: u8,
}

impl<'a> Request<'a> {
    /// Reads the options.
    ///
    /// # Errors
    /// 4.02 for a critical option that is unknown, stands there twice, or has a value that it cannot have; 5.05 for what a
    /// proxy would do. Elective ones that make no sense are passed over (RFC 7252 section 5.4).
    pub(super) fn read(message: &Message<'a>) -> Result<Self, Code> {
        let mut request = Request {
            code: message.code,
            path: [""; SEGMENTS_MAX],
            segments: 0,
            content_format: None,
            block1: None,
            size1: None,
            no_response: 0,
        };
        let mut last_number = None;
        for (number, value) in message.options {
            let is_again = last_number.replace(number) == Some(number);
            match number {
                number::URI_PATH => request.segment(value)?,
                number::URI_QUERY if value.len() <= 255 => {}
                number::URI_HOST if !is_again && (1..=255).contains(&value.len()) => {}
                number::URI_PORT | number::ACCEPT if !is_again && value.len() <= 2 => {}
                number::BLOCK2 if !is_again && value.len() <= 3 => {}
                number::BLOCK1 if !is_again => {
                    request.block1 = Some(Block::parse(value).ok_or(Code::BAD_OPTION)?);
                }
                number::PROXY_URI | number::PROXY_SCHEME => return Err(Code::PROXYING_NOT_SUPPORTED),
                number::CONTENT_FORMAT if !is_again && value.len() <= 2 => {
                    request.content_format = Options::uint(value);
                }
                number::SIZE1 if !is_again => request.size1 = Options::uint(value),
                number::NO_RESPONSE if !is_again && value.len() <= 1 => {
                    request.no_response = value.first().copied().unwrap_or(0);
                }
                _ if Options::is_critical(number) => return Err(Code::BAD_OPTION),
                _ => {}
            }
        }
        Ok(request)
    }

    fn segment(&mut self, value: &'a [u8]) -> Result<(), Code> {
        let text = std::str::from_utf8(value).ok().filter(|_| value.len() <= 255).ok_or(Code::BAD_OPTION)?;
        if let Some(place) = self.path.get_mut(self.segments) {
            *place = text;
        }
        // A path that is too long is none that is known.
        self.segments += 1;
        Ok(())
    }

    /// The device whose telemetry this is.
    pub(super) fn device(&self) -> Option<&'a str> {
        match self.path.get(..self.segments)? {
            ["t", device] | ["urban-neuron", "v1", "devices", device, "telemetry"] => Some(device),
            _ => None,
        }
    }

    /// What the intake knows the content format by; `None` for one that is not taken.
    pub(super) fn content_type(&self) -> Option<&'static str> {
        let format = self.content_format.unwrap_or(0);
        CONTENT_TYPES.iter().find(|(number, _)| *number == format).map(|(_, content_type)| *content_type)
    }

    /// Whether the client does not want to hear this (RFC 7967 section 2.1).
    pub(super) fn is_unwanted(&self, code: Code) -> bool {
        code.class() > 0 && self.no_response & 1 << (code.class() - 1) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::{Encoder, MessageType, Token};

    fn check(options: &[(u16, &[u8])], expected: Result<Option<&str>, Code>) {
        let mut datagram = Vec::new();
        let mut encoder =
            Encoder::new(&mut datagram, MessageType::Confirmable, Code::POST, 1, &Token::default());
        for (number, value) in options {
            encoder.option(*number, value);
        }
        let message = Message::parse(&datagram).unwrap();
        let found = Request::read(&message).map(|request| request.device().map(str::to_owned));
        assert_eq!(found, expected.map(|device| device.map(str::to_owned)), "{options:?}");
    }

    #[test]
    fn paths_and_options() {
        const PATH: u16 = number::URI_PATH;
        check(&[(PATH, b"t"), (PATH, b"d")], Ok(Some("d")));
        let long: Vec<_> = ["urban-neuron", "v1", "devices", "d/e", "telemetry"]
            .iter()
            .map(|segment| (PATH, segment.as_bytes()))
            .collect();
        check(&long, Ok(Some("d/e")));
        for path in [&["t"][..], &[], &["t", "d", "e"], &["T", "d"], &["t", "d", "", "", "", "", ""]] {
            let options: Vec<_> = path.iter().map(|segment| (PATH, segment.as_bytes())).collect();
            check(&options, Ok(None));
        }
        check(&[(PATH, b"\xff")], Err(Code::BAD_OPTION));
        check(&[(PATH, &[b'a'; 256])], Err(Code::BAD_OPTION));
        // Critical: unknown, twice, too long. Elective: passed over.
        check(&[(9, b"")], Err(Code::BAD_OPTION));
        check(&[(65_001, b"")], Err(Code::BAD_OPTION));
        check(&[(number::URI_PORT, b""), (number::URI_PORT, b"")], Err(Code::BAD_OPTION));
        check(&[(number::URI_HOST, b"")], Err(Code::BAD_OPTION));
        check(&[(number::BLOCK1, &[0; 4])], Err(Code::BAD_OPTION));
        check(&[(number::ACCEPT, b"\0\0\0")], Err(Code::BAD_OPTION));
        check(&[(number::PROXY_URI, b"coap://a")], Err(Code::PROXYING_NOT_SUPPORTED));
        check(&[(number::PROXY_SCHEME, b"coap")], Err(Code::PROXYING_NOT_SUPPORTED));
        check(&[(PATH, b"t"), (PATH, b"d"), (65_000, b"x"), (65_000, b"y")], Ok(Some("d")));
        check(&[(PATH, b"t"), (PATH, b"d"), (number::CONTENT_FORMAT, b"\0\0\x32")], Ok(Some("d")));
    }

    #[test]
    fn content_formats_and_no_response() {
        let request = |format: Option<u32>, no_response: u8| Request {
            code: Code::POST,
            path: [""; SEGMENTS_MAX],
            segments: 0,
            content_format: format,
            block1: None,
            size1: None,
            no_response,
        };
        let types = [None, Some(0), Some(50), Some(110), Some(112), Some(60), Some(42)]
            .map(|format| request(format, 0).content_type());
        let json = Some("application/json");
        let (senml_json, senml_cbor) = (Some("application/senml+json"), Some("application/senml+cbor"));
        assert_eq!(types, [Some(""), Some(""), json, senml_json, senml_cbor, None, None]);
        let unwanted = |mask| {
            [Code::CHANGED, Code::NOT_FOUND, Code::SERVICE_UNAVAILABLE, Code::EMPTY]
                .map(|code| request(None, mask).is_unwanted(code))
        };
        assert_eq!(unwanted(0), [false; 4]);
        assert_eq!(unwanted(2), [true, false, false, false]);
        assert_eq!(unwanted(8), [false, true, false, false]);
        assert_eq!(unwanted(16), [false, false, true, false]);
        assert_eq!(unwanted(26), [true, true, true, false]);
    }
}
