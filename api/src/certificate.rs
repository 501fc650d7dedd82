//! What a certificate says: whose it is, who issued it, and from when until when it is valid. Nothing is proved here; that is rustls's
//! business. It is for those who look after certificates.
//!
//! A certificate is a tree of tagged, sized values (DER). The way to the fields is always the same (RFC 5280, 4.1): into the certificate,
//! into what is signed, past version, serial number and algorithm to issuer, validity and subject, past the key to the extensions.
//!
//! CAVEATS. Of names of subjects and issuers only the common ones are shown, and of alternative names only those of DNS.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Tags of DER that are met on the way.
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const OBJECT: u8 = 0x06;
const OCTETS: u8 = 0x04;
const DNS_NAME: u8 = 0x82;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The number of the extension with alternative names: 2.5.29.17.
const ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1d, 0x11];
/// Parts of a name, 2.5.4.x, with their usual short forms.
const PARTS: [(u8, &str); 5] = [(3, "CN"), (6, "C"), (7, "L"), (10, "O"), (11, "OU")];

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is, such as `CN=node 3`.
    pub subject: String,
    /// Who issued it, in the same form.
    pub issuer: String,
    /// The DNS names that it is made out to.
    pub names: Vec<String>,
    /// From when it is valid, in seconds since the epoch.
    pub not_before: i64,
    /// Until when it is valid, in seconds since the epoch.
    pub not_after: i64,
}

impl Certificate {
    /// Reads one in DER; none: it is not a certificate.
    pub fn of_der(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = value(certificate, SEQUENCE)?;
        let (signed, _) = value(certificate, SEQUENCE)?;
        let rest = if signed.first() == Some(&VERSION) {
            skip(signed)?
        } else {
            signed
        };
        let rest = skip(skip(rest)?)?;
        let (issuer, rest) = value(rest, SEQUENCE)?;
        let (validity, rest) = value(rest, SEQUENCE)?;
        let (subject, rest) = value(rest, SEQUENCE)?;
        Some(Self {
            subject: name(subject),
            issuer: name(issuer),
            names: alternative_names(skip(rest)?).unwrap_or_default(),
            not_before: time(validity)?,
            not_after: time(skip(validity)?)?,
        })
    }

    /// Reads all of a PEM text, in its order. An error says in words what is wrong with it; an empty text is one.
    pub fn of_pem(pem: &[u8]) -> Result<Vec<Self>, String> {
        let all = CertificateDer::pem_slice_iter(pem)
            .map(|der| {
                Self::of_der(&der.map_err(|error| error.to_string())?).ok_or_else(|| "an entry is not a certificate".to_owned())
            })
            .collect::<Result<Vec<_>, _>>()?;
        match all.is_empty() {
            true => Err("there is no certificate in it".to_owned()),
            false => Ok(all),
        }
    }
}

/// The first value, a time, in seconds since the epoch.
fn time(bytes: &[u8]) -> Option<i64> {
    let tag = *bytes.first()?;
    let (text, _) = value(bytes, tag)?;
    seconds(tag, std::str::from_utf8(text).ok()?)
}

/// The known parts of a name, in its order: a sequence of sets of pairs of a number and a text.
fn name(bytes: &[u8]) -> String {
    let parts = each(bytes, SET).flat_map(|set| each(set, SEQUENCE)).filter_map(|pair| {
        let (number, text) = value(pair, OBJECT)?;
        let [0x55, 0x04, part] = number else { return None };
        let (_, short) = PARTS.iter().find(|(known, _)| known == part)?;
        let (text, _) = value(text, *text.first()?)?;
        Some(format!("{short}={}", String::from_utf8_lossy(text)))
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// The DNS names among the extensions, which follow the key and two numbers that nobody uses.
fn alternative_names(mut rest: &[u8]) -> Option<Vec<String>> {
    while *rest.first()? != EXTENSIONS {
        rest = skip(rest)?;
    }
    let (extensions, _) = value(rest, EXTENSIONS)?;
    let (extensions, _) = value(extensions, SEQUENCE)?;
    let content = each(extensions, SEQUENCE).find_map(|extension| {
        let (number, rest) = value(extension, OBJECT)?;
        if number != ALTERNATIVE_NAMES {
            return None;
        }
        // It may be marked as critical.
        let rest = if rest.first() == Some(&OCTETS) { rest } else { skip(rest)? };
        Some(value(rest, OCTETS)?.0)
    })?;
    let (names, _) = value(content, SEQUENCE)?;
    Some(
        each(names, DNS_NAME)
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect(),
    )
}

/// The contents of all values with this tag in a row of values, as far as it can be read.
fn each(mut rest: &[u8], tag: u8) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let first = *rest.first()?;
            let (content, after) = value(rest, first)?;
            rest = after;
            if first == tag {
                return Some(content);
            }
        }
    })
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
    fn a_certificate_is_read_whole_or_not_at_all() {
        let pem = include_bytes!("../tests/http/tls/first.pem");
        let read = Certificate::of_pem(pem).expect("read");
        let first = &read[0];
        assert!(first.not_before < first.not_after && !first.names.is_empty(), "{first:?}");
        assert!(first.subject.contains("CN=") && first.issuer.contains("CN="), "{first:?}");
        let der = CertificateDer::from_pem_slice(pem).expect("PEM");
        for length in 0..der.len() {
            assert_eq!(Certificate::of_der(&der[..length]), None);
        }
        assert!(Certificate::of_pem(b"nothing").is_err_and(|why| why.contains("no certificate")));
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let bytes: Vec<u8> = (0..=255).collect();
        for start in 0..bytes.len() {
            assert_eq!(Certificate::of_der(&bytes[start..]), None);
        }
        let deep = [SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff, SEQUENCE, 0x80];
        for length in 0..=deep.len() {
            assert_eq!(Certificate::of_der(&deep[..length]), None);
        }
    }
}
