//! Numbers written as text or as binary-coded decimals.

use super::flat_json;
use crate::draft::DraftValue;

/// A number by its form, else the text.
pub(super) fn number_or_text(text: &str) -> DraftValue<'_> {
    let is_number = !text.is_empty()
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    if is_number && text.parse::<f64>().is_ok() {
        flat_json::number(text)
    } else {
        DraftValue::Text(text.into())
    }
}

/// The number of decimal digits, two a byte, the highest first; nothing where a half byte is none.
pub(super) fn bcd(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0i64, |number, byte| {
        let (tens, ones) = (byte >> 4, byte & 0x0f);
        (tens < 10 && ones < 10).then_some(())?;
        number.checked_mul(100)?.checked_add(i64::from(tens * 10 + ones))
    })
}

/// The same, the lowest byte first.
pub(super) fn bcd_reversed(bytes: &[u8]) -> Option<i64> {
    bytes.iter().rev().try_fold(0i64, |number, byte| number.checked_mul(100)?.checked_add(bcd(&[*byte])?))
}

/// Bytes as hex digits, as frames write addresses.
pub(super) fn hex_text(bytes: impl IntoIterator<Item = u8>) -> String {
    let mut text = String::with_capacity(16);
    for byte in bytes {
        for digit in [byte >> 4, byte & 0x0f] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text
}

/// The double that is written as the float is: 0.1 rather than 0.10000000149011612.
pub(super) fn shortest(value: f32) -> f64 {
    // What is exact in eighths is written alike in both widths, as far as a float is exact at all.
    let wide = f64::from(value);
    if wide.abs() < 65_536.0 && (wide * 8.0).fract() == 0.0 {
        wide
    } else {
        value.to_string().parse().unwrap_or(wide)
    }
}

/// `number / 10^decimals`, one rounding.
pub(super) fn scaled(number: i64, decimals: u32) -> DraftValue<'static> {
    match decimals {
        0 => DraftValue::Integer(number),
        _ => DraftValue::Number(number as f64 / 10f64.powi(decimals as i32)),
    }
}
