//! The UTC date of a time, for the column in the path.

const DAY_US: i64 = 86_400_000_000;

/// Days since 1970-01-01 of a time that the path can say: years 0001 to 9999.
pub(crate) fn day_of(time_us: i64) -> Option<i32> {
    const FIRST: i64 = -719_162;
    const LAST: i64 = 2_932_896;
    let day = time_us.div_euclid(DAY_US);
    (FIRST..=LAST).contains(&day).then_some(day as i32)
}

/// `YYYY-MM-DD` of a day since 1970-01-01.
pub(crate) fn date_text(day: i32) -> String {
    // Eras of 400 years that begin on 1 March, so that a leap day is the last of its year.
    let days = i64::from(day) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day_of_month:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_dates() {
        let cases = [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_781, "2026-11-24"),
            (-719_162, "0001-01-01"),
            (2_932_896, "9999-12-31"),
        ];
        for (day, text) in cases {
            assert_eq!(date_text(day), text);
        }
    }

    #[test]
    fn consecutive_days_are_consecutive_dates() {
        // A slow calendar beside the formula, over both kinds of century.
        let (mut year, mut month, mut day) = (1896, 1, 1);
        for since in -27_028..80_000 {
            assert_eq!(date_text(since), format!("{year:04}-{month:02}-{day:02}"));
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length =
                [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1];
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    #[test]
    fn a_time_belongs_to_the_day_that_it_is_in() {
        assert_eq!(day_of(0), Some(0));
        assert_eq!(day_of(-1), Some(-1));
        assert_eq!(day_of(DAY_US - 1), Some(0));
        assert_eq!(day_of(i64::MAX), None);
        assert_eq!(day_of(i64::MIN), None);
    }
}
