//! Sizes as the config writes them: a whole number and a unit, `512B`, `64KiB`, `128MiB`, `8GiB`.

use super::duration::{join, split};

pub const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;
pub const TIB: u64 = 1 << 40;

const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", KIB),
    ("MiB", MIB),
    ("GiB", GIB),
    ("TiB", TIB),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// The text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no size: write a whole number and B, KiB, MiB, GiB or TiB, as in \"128MiB\"")]
pub struct ByteSizeError(pub String);

/// Reads a size in bytes.
///
/// # Errors
/// Not a whole number followed by a unit, or over 64 bits.
pub fn parse(text: &str) -> Result<u64, ByteSizeError> {
    let error = || ByteSizeError(text.to_owned());
    let (number, unit) = split(text, &UNITS).ok_or_else(error)?;
    number.checked_mul(unit).ok_or_else(error)
}

/// The shortest text that [`parse`] reads back.
pub fn format(bytes: u64) -> String {
    if bytes == 0 { "0B".to_owned() } else { join(bytes, &UNITS[..5]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in [
            ("512B", 512),
            ("64KiB", 65_536),
            ("128MiB", 134_217_728),
            ("8GiB", 8 << 30),
            ("2MB", 2_000_000),
            ("0B", 0),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for (bytes, text) in
            [(512, "512B"), (65_536, "64KiB"), (1_500, "1500B"), (1 << 40, "1TiB"), (0, "0B")]
        {
            assert_eq!(format(bytes), text);
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "128", "MiB", "-1MiB", "1.5GiB", "128mib", "99999999TiB"] {
            assert_eq!(parse(text), Err(ByteSizeError(text.to_owned())));
        }
    }
}
