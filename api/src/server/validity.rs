//! Until when a certificate is valid: the one field of it that is asked for, so that no parser of certificates is needed.
//!
//! A certificate is a tree of tagged, sized values (DER). The way to the date is always the same (RFC 5280, 4.1): into the
//! certificate, into what is signed, past version, serial number, algorithm and issuer, into the validity, past its beginning.

/// Tags of DER that are met on the way.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of a certificate's validity, in seconds since the epoch; none: it is not a certificate.
pub(super) fn not_after(certificate: &[u8]) -> Option<i64> {
    let (certificate, _) = value(certificate, SEQUENCE)?;
    let (signed, _) = value(certificate, SEQUENCE)?;
    let rest = if signed.first() == Some(&VERSION) {
        skip(signed)?
    } else {
        signed
    };
    let rest = skip(skip(skip(rest)?)?)?;
    let (validity, _) = value(rest, SEQUENCE)?;
    let end = skip(validity)?;
    let tag = *end.first()?;
    let (text, _) = value(end, tag)?;
    seconds(tag, std::str::from_utf8(text).ok()?)
}

/// The content of the first value, which must have this tag, and what follows it.
fn value(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&length, mut rest) = rest.split_first()?;
    let mut size = usize::from(length);
    if length >= 0x80 {
        let count = usize::from(length & 0x7f);
        if !(1..=4).contains(&count) {
            return None;
        }
        let (digits, after) = rest.split_at_checked(count)?;
        size = digits.iter().fold(0, |size, digit| size << 8 | usize::from(*digit));
        rest = after;
    }
    (first == tag).then_some(())?;
    rest.split_at_checked(size)
}

/// What follows the first value.
fn skip(bytes: &[u8]) -> Option<&[u8]> {
    value(bytes, *bytes.first()?).map(|(_, rest)| rest)
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn seconds(tag: u8, text: &str) -> Option<i64> {
    let digits = text.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year = number(year)?;
            // RFC 5280, 4.1.2.5.1.
            (if year >= 50 { 1900 + year } else { 2000 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    (rest.len() == 10 && rest.is_ascii()).then_some(())?;
    let part = |place: usize| number(&rest[2 * place..2 * place + 2]);
    let (month, day) = (part(0)?, part(1)?);
    let (hour, minute, second) = (part(2)?, part(3)?, part(4)?);
    Some(((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

fn number(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Days from the epoch to a date of the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_time_are_read() {
        assert_eq!(seconds(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(seconds(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(seconds(GENERALIZED_TIME, "20000229120000Z"), Some(951_825_600));
        assert_eq!(seconds(GENERALIZED_TIME, "21260101000000Z"), Some(4_922_899_200));
        for bad in [
            "",
            "Z",
            "700101000000",
            "70010100000Z",
            "7001010000000Z",
            "-10101000000Z",
            "70é101000000Z",
        ] {
            assert_eq!(seconds(UTC_TIME, bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let bytes: Vec<u8> = (0..=255).collect();
        for start in 0..bytes.len() {
            assert_eq!(not_after(&bytes[start..]), None);
        }
        let deep = [SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff, SEQUENCE, 0x80];
        for length in 0..=deep.len() {
            assert_eq!(not_after(&deep[..length]), None);
        }
    }
}
