//! How a value lies on disk: `format u8 | crc32c u32 BE | value`, the checksum taken over format, key and value.
//!
//! redb checks its pages only when it repairs, never when it reads, so a flipped bit would be served. With the key inside the
//! checksum a value that was written to the wrong place is found too. The checksum's place and coverage are the same in every
//! format, so that damage is told from a newer format: a file is newer only when its checksum is right.

use crate::error::Error;
use crate::mutant::Mutant;
use crate::table;

/// The format that this program writes, and the newest that it reads.
pub(crate) const VALUE_FORMAT: u8 = 1;
/// Bytes before the value.
pub(crate) const WRAP_BYTES: usize = 5;

/// Writes the wrapped value into `out`, which is cleared first.
pub(crate) fn wrap(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.reserve(WRAP_BYTES + value.len());
    out.push(VALUE_FORMAT);
    out.extend_from_slice(&checksum(VALUE_FORMAT, key, value).to_be_bytes());
    out.extend_from_slice(value);
}

/// Returns the value inside, or `Damaged` or `NewerFormat` with the printed key.
pub(crate) fn unwrap<'a>(key: &[u8], wrapped: &'a [u8]) -> Result<&'a [u8], Error> {
    let damaged = |reason: &str| Error::Damaged {
        what: format!("value of {}: {reason}", table::print(key)),
    };
    let (head, value) = wrapped
        .split_first_chunk::<WRAP_BYTES>()
        .ok_or_else(|| damaged("shorter than its head"))?;
    let [format, checked @ ..] = *head;
    // Mutant, B19.
    let unchecked = Mutant::ValueChecksumIgnored.active();
    if !unchecked && u32::from_be_bytes(checked) != checksum(format, key, value) {
        return Err(damaged("the checksum is wrong"));
    }
    if format != VALUE_FORMAT {
        let what = format!("value of {}", table::print(key));
        return Err(Error::NewerFormat {
            what,
            found: format.into(),
            known: VALUE_FORMAT.into(),
        });
    }
    Ok(value)
}

fn checksum(format: u8, key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&[format]), key), value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Space, Table};

    #[test]
    fn the_bytes_of_a_wrapped_value_never_change() {
        let mut out = Vec::new();
        wrap(b"key", b"value", &mut out);
        assert_eq!(out, [&[1, 0x2b, 0xf3, 0x85, 0x25][..], b"value"].concat());
        assert_eq!(unwrap(b"key", &out).unwrap(), b"value");
    }

    #[test]
    fn every_flipped_bit_is_found_and_names_the_key() {
        let key = Event {
            space: Space(7),
            position: 3,
        }
        .key();
        let mut out = Vec::new();
        wrap(key.as_bytes(), b"some value", &mut out);
        for bit in 0..out.len() * 8 {
            let mut flipped = out.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let message = unwrap(key.as_bytes(), &flipped).unwrap_err().to_string();
            assert!(message.contains("event space=7 position=3"), "{message}");
        }
        assert!(matches!(unwrap(b"another key", &out), Err(Error::Damaged { .. })));
        assert!(matches!(unwrap(key.as_bytes(), &out[..3]), Err(Error::Damaged { .. })));
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let mut newer = vec![2];
        newer.extend_from_slice(&checksum(2, b"key", b"value").to_be_bytes());
        newer.extend_from_slice(b"value");
        assert!(matches!(
            unwrap(b"key", &newer),
            Err(Error::NewerFormat { found: 2, known: 1, .. })
        ));
    }
}
