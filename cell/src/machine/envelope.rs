//! The envelope around every command, event and value: `format u8 | key id (varint) | bytes`.
//!
//! It is there from the first byte ever written, so that encryption per tenant comes without a new format: key id 0 is
//! plain, any other names the key that the bytes are sealed with. Inside is bincode (standard configuration) of an enum
//! or a struct that is never changed in place: what must change becomes a new variant at the end.

use bincode::config::{Configuration, Limit, LittleEndian, Varint, standard};
use serde::{Deserialize, Serialize};

/// The only format so far.
const FORMAT: u8 = 1;
/// Plain bytes.
const PLAIN: u8 = 0;

/// Most that the inside of an envelope may say to hold, in bytes: more than any command, row or answer has. Without it a wrong length
/// is allocated before it is found to be wrong, and an allocation that fails ends the process.
const BODY_BYTES: usize = 64 * 1024 * 1024;

const _: () = assert!(BODY_BYTES > 4 * storage::MAX_VALUE_BYTES && BODY_BYTES > 4 * super::limits::COMMAND_BYTES);

/// Why bytes are not what they should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvelopeError {
    /// Written by a newer version, or not by us.
    #[error("unknown envelope format {0}: written by a newer version of cloudnest, or damaged")]
    Format(u8),
    /// Sealed with a key.
    #[error("sealed with key {0}, which this version cannot open")]
    Key(u8),
    /// Too short, or not what was expected.
    #[error("cannot decode {what}: {why}")]
    Body {
        /// The type that was expected.
        what: &'static str,
        /// The decoder's words.
        why: String,
    },
}

fn config() -> Configuration<LittleEndian, Varint, Limit<BODY_BYTES>> {
    standard().with_limit::<BODY_BYTES>()
}

/// Wraps a value. Panics never: our types always encode.
pub(crate) fn seal<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(&[FORMAT, PLAIN]);
    if let Err(error) = bincode::serde::encode_into_std_write(value, &mut out, config()) {
        // A Vec takes every byte and our types have no unsupported shapes, so that this is a defect of ours.
        unreachable!("a value must encode: {error}");
    }
    out
}

/// Opens an envelope; every byte must be used. What is inside may borrow from it.
pub(crate) fn open<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, EnvelopeError> {
    let what = std::any::type_name::<T>();
    let body = match bytes {
        [FORMAT, PLAIN, body @ ..] => body,
        [FORMAT, key, ..] => return Err(EnvelopeError::Key(*key)),
        [format, ..] => return Err(EnvelopeError::Format(*format)),
        [] => {
            return Err(EnvelopeError::Body {
                what,
                why: "it is empty".to_owned(),
            });
        }
    };
    let (value, used) = bincode::serde::borrow_decode_from_slice(body, config()).map_err(|error| EnvelopeError::Body {
        what,
        why: error.to_string(),
    })?;
    if used != body.len() {
        return Err(EnvelopeError::Body {
            what,
            why: format!("{} bytes are left over", body.len() - used),
        });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_and_its_bytes_never_change() {
        let sealed = seal(&(7u64, "seven".to_owned()));
        assert_eq!(sealed, [1, 0, 7, 5, b's', b'e', b'v', b'e', b'n']);
        let opened: (u64, String) = open(&sealed).expect("our own envelope");
        assert_eq!(opened, (7, "seven".to_owned()));
    }

    #[test]
    fn other_formats_keys_and_left_over_bytes_are_refused() {
        assert!(matches!(open::<u64>(&[2, 0, 7]), Err(EnvelopeError::Format(2))));
        assert!(matches!(open::<u64>(&[1, 9, 7]), Err(EnvelopeError::Key(9))));
        assert!(matches!(open::<u64>(&[1, 0, 7, 7]), Err(EnvelopeError::Body { .. })));
        assert!(matches!(open::<u64>(&[]), Err(EnvelopeError::Body { .. })));
        assert!(matches!(open::<String>(&[1, 0, 9, b'x']), Err(EnvelopeError::Body { .. })));
    }

    #[test]
    fn a_length_that_no_memory_holds_is_refused_and_not_allocated() {
        for marker in [252, 253] {
            // A length in the next 4 or 8 bytes.
            let bytes = [&[1, 0, marker][..], &[0x7f; 8]].concat();
            assert!(matches!(open::<String>(&bytes), Err(EnvelopeError::Body { .. })), "{marker}");
            assert!(matches!(open::<Vec<u8>>(&bytes), Err(EnvelopeError::Body { .. })), "{marker}");
        }
    }
}
