//! Times as texts: RFC 3339 to and from microseconds since 1970-01-01T00:00:00Z, without a clock, a zone or an allocation.

/// Why a text is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error("a time is written like 2026-03-02T08:30:00.5+08:00; this ends or differs at byte {at}")]
    Form { at: usize },
    /// RFC 3339 section 5.7.
    #[error("{field} is {found}, out of its range")]
    Range { field: &'static str, found: u32 },
    /// RFC 3339 section 4.3: `-00:00` says that the zone is not known.
    #[error("the zone -00:00 says that it is not known")]
    UnknownZone,
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
pub const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March have the leap day at their end.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a day counted from 1970-01-01.
pub const fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month as u8, day as u8)
}

/// Bytes of `2026-03-02T08:30:00`.
const HEAD_LEN: usize = 19;

/// Reads an RFC 3339 time; digits beyond the microsecond are cut off, a leap second is the second after it.
///
/// # Errors
/// See [`TimeError`].
pub fn parse_rfc3339(text: &str) -> Result<i64, TimeError> {
    let bytes = text.as_bytes();
    // What is too short ends in zeros, which are neither digits nor marks.
    let mut head = [0; HEAD_LEN];
    match bytes.first_chunk() {
        Some(whole) => head = *whole,
        None => head[..bytes.len()].copy_from_slice(bytes),
    }
    let mark = |at: usize, is_mark: bool| if is_mark { Ok(()) } else { Err(TimeError::Form { at }) };
    let year = two_digits(&head, 0)? * 100 + two_digits(&head, 2)?;
    mark(4, head[4] == b'-')?;
    let month = in_range("month", two_digits(&head, 5)?, 1, 12)?;
    mark(7, head[7] == b'-')?;
    let day = in_range("day", two_digits(&head, 8)?, 1, days_in_month(year, month))?;
    mark(10, matches!(head[10], b'T' | b't' | b' '))?;
    let hour = in_range("hour", two_digits(&head, 11)?, 0, 23)?;
    mark(13, head[13] == b':')?;
    let minute = in_range("minute", two_digits(&head, 14)?, 0, 59)?;
    mark(16, head[16] == b':')?;
    let second = in_range("second", two_digits(&head, 17)?, 0, 60)?;
    let (fraction_us, zone_at) = fraction(bytes, HEAD_LEN)?;
    let offset_s = zone(bytes, zone_at)?;

    let days = days_from_civil(i64::from(year), i64::from(month), i64::from(day));
    let of_day = i64::from(hour * 3600 + minute * 60 + second);
    Ok((days * 86_400 + of_day - offset_s) * 1_000_000 + fraction_us)
}

#[inline]
fn two_digits<const N: usize>(bytes: &[u8; N], at: usize) -> Result<u32, TimeError> {
    let digit = |at: usize| match bytes[at] {
        digit @ b'0'..=b'9' => Ok(u32::from(digit - b'0')),
        _ => Err(TimeError::Form { at }),
    };
    Ok(digit(at)? * 10 + digit(at + 1)?)
}

#[inline]
fn in_range(field: &'static str, found: u32, min: u32, max: u32) -> Result<u32, TimeError> {
    if (min..=max).contains(&found) { Ok(found) } else { Err(TimeError::Range { field, found }) }
}

fn days_in_month(year: u32, month: u32) -> u32 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Microseconds of the fraction, if there is one, and where the zone begins.
fn fraction(bytes: &[u8], at: usize) -> Result<(i64, usize), TimeError> {
    if bytes.get(at) != Some(&b'.') {
        return Ok((0, at));
    }
    let (mut us, mut end) = (0, at + 1);
    let mut place_us = 100_000;
    while let Some(digit @ b'0'..=b'9') = bytes.get(end) {
        us += i64::from(digit - b'0') * place_us;
        place_us /= 10;
        end += 1;
    }
    if end == at + 1 { Err(TimeError::Form { at: end }) } else { Ok((us, end)) }
}

/// Seconds that the zone is ahead of UTC; the text ends after it.
fn zone(bytes: &[u8], at: usize) -> Result<i64, TimeError> {
    let (offset_s, end) = match bytes.get(at) {
        Some(b'Z' | b'z') => (0, at + 1),
        Some(sign @ (b'+' | b'-')) => {
            let mut offset = [0; 6];
            let given = &bytes[at..bytes.len().min(at + offset.len())];
            offset[..given.len()].copy_from_slice(given);
            let behind = |error| match error {
                TimeError::Form { at: place } => TimeError::Form { at: at + place },
                other => other,
            };
            let hours = in_range("zone hours", two_digits(&offset, 1).map_err(behind)?, 0, 23)?;
            if offset[3] != b':' {
                return Err(TimeError::Form { at: at + 3 });
            }
            let minutes = in_range("zone minutes", two_digits(&offset, 4).map_err(behind)?, 0, 59)?;
            let ahead_s = i64::from(hours * 3600 + minutes * 60);
            if *sign == b'-' && ahead_s == 0 {
                return Err(TimeError::UnknownZone);
            }
            (if *sign == b'-' { -ahead_s } else { ahead_s }, at + 6)
        }
        _ => return Err(TimeError::Form { at }),
    };
    if bytes.len() == end { Ok(offset_s) } else { Err(TimeError::Form { at: end }) }
}

/// RFC 3339 in UTC with six digits, like `2026-03-02T00:30:00.500000Z`.
pub fn format_rfc3339(us: i64) -> String {
    let (seconds, fraction_us) = (us.div_euclid(1_000_000), us.rem_euclid(1_000_000));
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction_us:06}Z")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read() {
        let cases = [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-03-02T00:00:00Z", 1_772_409_600_000_000),
            ("2026-03-02T08:30:00.5+08:00", 1_772_411_400_500_000),
            ("2026-03-02t00:00:00.123456789z", 1_772_409_600_123_456),
            ("2026-03-01 19:00:00-05:00", 1_772_409_600_000_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000_000),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000_000),
        ];
        for (text, us) in cases {
            assert_eq!(parse_rfc3339(text), Ok(us), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_its_place() {
        let cases = [
            ("", TimeError::Form { at: 0 }),
            ("2026-03-02", TimeError::Form { at: 10 }),
            ("2026-03-02T00:00:00", TimeError::Form { at: 19 }),
            ("2026-03-02T00:00:00.Z", TimeError::Form { at: 20 }),
            ("2026-03-02T00:00:00Zx", TimeError::Form { at: 20 }),
            ("2026-02-29T00:00:00Z", TimeError::Range { field: "day", found: 29 }),
            ("2026-13-02T00:00:00Z", TimeError::Range { field: "month", found: 13 }),
            ("2026-03-02T24:00:00Z", TimeError::Range { field: "hour", found: 24 }),
            ("2026-03-02T00:00:00-00:00", TimeError::UnknownZone),
            ("２０２６-03-02T00:00:00Z", TimeError::Form { at: 0 }),
        ];
        for (text, error) in cases {
            assert_eq!(parse_rfc3339(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_time_survives_its_text(us in -62_135_596_800_000_000..253_402_300_800_000_000i64) {
            prop_assert_eq!(parse_rfc3339(&format_rfc3339(us)), Ok(us));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            // The shortest time that there is: 2026-03-02T00:00:00Z.
            prop_assert!(parse_rfc3339(&text).is_err() || text.len() >= 20);
        }
    }
}
