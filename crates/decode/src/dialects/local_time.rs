//! Wall clocks: times without a zone, microseconds as if they were UTC.

use model::time::days_from_civil;

/// The parts of a wall clock; nothing where they are no date and time of day.
pub(crate) fn civil_us(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let is_time = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    ((1..=days).contains(&day) && is_time).then(|| {
        (days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second) * 1_000_000
    })
}

/// `yyyyMMddHHmmss` and, where there are more digits, milliseconds.
pub(crate) fn parse_digits(text: &str) -> Option<i64> {
    let digits = text.as_bytes();
    if !matches!(digits.len(), 14 | 17) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |from: usize, to: usize| {
        digits[from..to].iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
    };
    let ms = if digits.len() == 17 { number(14, 17) } else { 0 };
    let us =
        civil_us(number(0, 4), number(4, 6), number(6, 8), number(8, 10), number(10, 12), number(12, 14))?;
    Some(us + ms * 1_000)
}

/// `yyyy-MM-ddTHH:mm:ss`; where it has a zone all the same, that is left to who reads times with zones.
pub(crate) fn parse_iso(text: &str) -> Option<i64> {
    let mut with_zone = [0; 33];
    let len = text.len();
    if len > 32 {
        return None;
    }
    with_zone[..len].copy_from_slice(text.as_bytes());
    with_zone[len] = b'Z';
    model::time::parse_rfc3339(std::str::from_utf8(&with_zone[..=len]).ok()?).ok()
}

/// Six bytes of two decimal digits each: yyMMddHHmmss, of this century.
pub(crate) fn parse_bcd(bytes: [u8; 6]) -> Option<i64> {
    let mut parts = [0; 6];
    for (part, byte) in parts.iter_mut().zip(bytes) {
        let (tens, ones) = (byte >> 4, byte & 0x0f);
        if tens > 9 || ones > 9 {
            return None;
        }
        *part = i64::from(tens * 10 + ones);
    }
    civil_us(2_000 + parts[0], parts[1], parts[2], parts[3], parts[4], parts[5])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clocks_are_read() {
        const US: i64 = 1_772_409_600_000_000;
        assert_eq!(parse_digits("20260302000000"), Some(US));
        assert_eq!(parse_digits("20260302000000123"), Some(US + 123_000));
        assert_eq!(parse_iso("2026-03-02T00:00:00"), Some(US));
        assert_eq!(parse_iso("2026-03-02T00:00:00.5"), Some(US + 500_000));
        assert_eq!(parse_bcd([0x26, 0x03, 0x02, 0, 0, 0]), Some(US));
        for wrong in ["", "2026", "20260230000000", "20261302000000", "2026030224000x", "２０２６"] {
            assert_eq!(parse_digits(wrong), None, "{wrong}");
            assert_eq!(parse_iso(wrong), None, "{wrong}");
        }
        for wrong in [[0x26, 0x13, 0x02, 0, 0, 0], [0x2a, 1, 1, 0, 0, 0], [0; 6], [0xff; 6]] {
            assert_eq!(parse_bcd(wrong), None, "{wrong:?}");
        }
    }
}
