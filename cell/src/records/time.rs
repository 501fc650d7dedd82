//! Times at the edge: RFC 3339 outside, microseconds since the epoch inside.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::fmt::temporal::DateTimePrinter;

/// Days from year 1 to 1970 are not needed: dates are stored as days since 1970-01-01.
const EPOCH: Date = jiff::civil::date(1970, 1, 1);
/// Writes what `Display` writes in half of its time: a list has two stamps a record.
static PRINTER: DateTimePrinter = DateTimePrinter::new();

/// RFC 3339 in UTC, with microseconds where there are any.
pub(crate) fn format_micros(micros: i64) -> String {
    PRINTER.timestamp_to_string(&Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX))
}

/// The same for a stamp.
pub(crate) fn format_stamp(stamp: u64) -> String {
    format_micros(i64::try_from(stamp).unwrap_or(i64::MAX))
}

/// Reads RFC 3339.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_microsecond)
}

/// `2026-11-22` for days since the epoch.
pub(crate) fn format_date(days: i32) -> String {
    EPOCH
        .checked_add(jiff::Span::new().try_days(i64::from(days)).unwrap_or_default())
        .unwrap_or(EPOCH)
        .to_string()
}

/// Reads `2026-11-22`: exactly ten characters.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let date: Date = (text.len() == 10).then(|| text.parse().ok()).flatten()?;
    Some(date.since(EPOCH).ok()?.get_days())
}

/// The clock, in microseconds since the epoch. Only above the log.
pub(crate) fn now_micros() -> u64 {
    u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_come_back_as_they_went() {
        for text in ["1970-01-01", "1969-12-31", "2026-11-22", "0001-01-01", "9999-12-31"] {
            assert_eq!(format_date(parse_date(text).expect(text)), text);
        }
        for text in ["1970-01-01T00:00:00Z", "2026-11-22T21:17:00.000001Z"] {
            assert_eq!(format_micros(parse_timestamp(text).expect(text)), text);
        }
        assert_eq!(parse_date("2026-02-30"), None);
        assert_eq!(parse_date("2026-1-1"), None);
        assert_eq!(parse_timestamp("yesterday"), None);
    }
}
