//! Method and response codes.

use std::fmt;

/// `c.dd`: class in the upper 3 bits, detail in the lower 5 (RFC 7252 section 12.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(pub u8);

impl Code {
    pub const EMPTY: Code = Code(0);
    pub const GET: Code = Code::of(0, 1);
    pub const POST: Code = Code::of(0, 2);
    pub const PUT: Code = Code::of(0, 3);
    pub const DELETE: Code = Code::of(0, 4);

    pub const CREATED: Code = Code::of(2, 1);
    pub const DELETED: Code = Code::of(2, 2);
    pub const CHANGED: Code = Code::of(2, 4);
    pub const CONTENT: Code = Code::of(2, 5);
    pub const CONTINUE: Code = Code::of(2, 31);

    pub const BAD_REQUEST: Code = Code::of(4, 0);
    pub const BAD_OPTION: Code = Code::of(4, 2);
    pub const FORBIDDEN: Code = Code::of(4, 3);
    pub const NOT_FOUND: Code = Code::of(4, 4);
    pub const METHOD_NOT_ALLOWED: Code = Code::of(4, 5);
    pub const REQUEST_ENTITY_INCOMPLETE: Code = Code::of(4, 8);
    pub const REQUEST_ENTITY_TOO_LARGE: Code = Code::of(4, 13);
    pub const UNSUPPORTED_CONTENT_FORMAT: Code = Code::of(4, 15);
    pub const SERVICE_UNAVAILABLE: Code = Code::of(5, 3);
    pub const PROXYING_NOT_SUPPORTED: Code = Code::of(5, 5);

    /// `class.detail`.
    pub const fn of(class: u8, detail: u8) -> Code {
        Code(class << 5 | detail)
    }

    pub const fn class(self) -> u8 {
        self.0 >> 5
    }

    pub const fn detail(self) -> u8 {
        self.0 & 0x1f
    }

    pub const fn is_request(self) -> bool {
        self.class() == 0 && self.detail() != 0
    }

    pub const fn is_response(self) -> bool {
        matches!(self.class(), 2 | 4 | 5)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.class(), self.detail())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
