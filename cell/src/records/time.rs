//! Times at the edge: RFC 3339 outside, microseconds since the epoch inside.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::fmt::temporal::DateTimePrinter;

/// Days from year 1 to 1970 are not needed: dates are stored as days since 1970-01-01.
const EPOCH: Date = jiff::civil::date(1970, 1, 1);
/// Writes what `Display` writes in half of its time: a list has two stamps a record.
static PRINTER: DateTimePrinter = DateTimePrinter::new();

/// Longest text of a time, in bytes: the years of ours have up to six digits and a sign.
const TIME_BYTES: usize = 40;

/// A time as RFC 3339 in UTC, with microseconds where there are any; without an allocation.
pub(crate) struct TimeText {
    bytes: [u8; TIME_BYTES],
    length: usize,
}

impl TimeText {
    /// Microseconds since the epoch.
    pub(crate) fn micros(micros: i64) -> Self {
        let mut text = Self {
            bytes: [0; TIME_BYTES],
            length: 0,
        };
        let time = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX);
        if PRINTER.print_timestamp(&time, &mut text).is_err() {
            // No time is as long as that: the years end with 9999.
            unreachable!("a time of more than {TIME_BYTES} bytes: {micros}");
        }
        text
    }

    /// A stamp.
    pub(crate) fn stamp(stamp: u64) -> Self {
        Self::micros(i64::try_from(stamp).unwrap_or(i64::MAX))
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl jiff::fmt::Write for TimeText {
    fn write_str(&mut self, more: &str) -> Result<(), jiff::Error> {
        let end = self.length + more.len();
        let Some(place) = self.bytes.get_mut(self.length..end) else {
            return Err(jiff::Error::from_args(format_args!(
                "a time is longer than {TIME_BYTES} bytes"
            )));
        };
        place.copy_from_slice(more.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// A stamp as RFC 3339 in UTC, with microseconds where there are any.
pub(crate) fn format_stamp(stamp: u64) -> String {
    TimeText::stamp(stamp).as_str().to_owned()
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
            assert_eq!(TimeText::micros(parse_timestamp(text).expect(text)).as_str(), text);
        }
        let last = TimeText::micros(Timestamp::MAX.as_microsecond());
        for none in [i64::MIN, i64::MAX] {
            assert_eq!(
                TimeText::micros(none).as_str(),
                last.as_str(),
                "what no calendar has is shown as its last moment"
            );
        }
        assert_eq!(parse_date("2026-02-30"), None);
        assert_eq!(parse_date("2026-1-1"), None);
        assert_eq!(parse_timestamp("yesterday"), None);
    }
}
