//! A time of day as ISO 8601 has it: when a challenge was made, or a registration.

use std::time::Duration;

/// `2014-06-22T16:36:25.448Z`, of a time since 1970-01-01T00:00:00Z.
///
/// The calendar is counted in eras of 400 years that begin with a March, so that a leap day is the last
/// of its year.
pub(in crate::wamp) fn iso_8601(since_1970: Duration) -> String {
    const DAYS_OF_ERA: u64 = 146_097;
    let seconds = since_1970.as_secs();
    // From 0000-03-01 on.
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let millis = since_1970.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_with_their_leap_days() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_403_454_985, "2014-06-22T16:36:25.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (1_798_761_599, "2026-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(iso_8601(Duration::from_secs(seconds)), text);
        }
        assert_eq!(iso_8601(Duration::from_millis(448)), "1970-01-01T00:00:00.448Z");
    }
}
