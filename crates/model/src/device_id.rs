//! What a device may be called: the id stands unescaped in log keys, MQTT topics and paths.

/// Longest device id, bytes of UTF-8.
pub const DEVICE_ID_BYTES_MAX: usize = 128;

/// Why a text cannot be a device id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceIdError {
    #[error("a device id is not empty")]
    Empty,
    #[error("a device id has at most 128 bytes, found {bytes}")]
    TooLong { bytes: usize },
    #[error("a device id does not contain {found:?} (byte {at})")]
    Character { found: char, at: usize },
    #[error("a device id does not start or end with a space")]
    OuterSpace,
    #[error("a device id is not `.` or `..`")]
    Dots,
}

/// Checks a device id.
///
/// # Errors
/// Empty, over 128 bytes, a control character or one of `/ \ + # %`, an outer space, a leading `$`, `.` or `..`.
pub fn check(id: &str) -> Result<(), DeviceIdError> {
    if id.is_empty() {
        return Err(DeviceIdError::Empty);
    }
    if id.len() > DEVICE_ID_BYTES_MAX {
        return Err(DeviceIdError::TooLong { bytes: id.len() });
    }
    // Plain ASCII names are nearly all of them; the rest takes the slow way, which also words the error.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'_' | b':');
    if id.bytes().fold(true, |all, byte| all & is_plain(byte)) {
        return Ok(());
    }
    check_characters(id)
}

fn check_characters(id: &str) -> Result<(), DeviceIdError> {
    if id == "." || id == ".." {
        return Err(DeviceIdError::Dots);
    }
    for (at, found) in id.char_indices() {
        let is_refused =
            found.is_control() || matches!(found, '/' | '\\' | '+' | '#' | '%') || (at == 0 && found == '$');
        if is_refused {
            return Err(DeviceIdError::Character { found, at });
        }
    }
    let is_outer = |c: Option<char>| c.is_some_and(char::is_whitespace);
    if is_outer(id.chars().next()) || is_outer(id.chars().next_back()) {
        return Err(DeviceIdError::OuterSpace);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_field_pass() {
        for id in ["a", "manhole-0017", "urn:imei:860000", "井盖-3", "a.b", "...", "a b", "x$"] {
            assert_eq!(check(id), Ok(()), "{id}");
        }
        assert_eq!(check(&"x".repeat(128)), Ok(()));
    }

    #[test]
    fn tricks_do_not() {
        for id in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a\\b",
            "a+",
            "#",
            "%2f",
            "$SYS",
            " a",
            "a ",
            "a\0b",
            "a\nb",
            "a\u{85}b",
            &"x".repeat(129),
        ] {
            assert!(check(id).is_err(), "{id:?}");
        }
    }
}
