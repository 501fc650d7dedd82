//! What stands around the content of every object, so that no other bytes are ever taken for it.
//!
//! ```text
//! "CNOB"  4 bytes    format  1 byte    3 zeros    length of the content  8 bytes, little-endian
//! BLAKE3  32 bytes: over the length of the name (8 bytes, little-endian), the name, and the content
//! the content
//! ```

use bytes::Bytes;

/// The only format so far.
pub(super) const FORMAT: u8 = 1;
/// Length of the head.
pub(super) const HEAD_BYTES: usize = 48;
const MAGIC: &[u8; 4] = b"CNOB";

/// Why bytes are not an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It has a format that this version does not know.
    Newer(u8),
    /// What is wrong with it.
    Damaged(&'static str),
}

/// The bytes of an object.
pub(super) fn seal(name: &str, content: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(HEAD_BYTES + content.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[FORMAT, 0, 0, 0]);
    out.extend_from_slice(&(content.len() as u64).to_le_bytes());
    out.extend_from_slice(&digest(name, content));
    out.extend_from_slice(content);
    out.into()
}

/// The content of an object that lies under a name.
pub(super) fn open(name: &str, bytes: Bytes) -> Result<Bytes, Wrong> {
    let Some((head, _)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Err(Wrong::Damaged("it is shorter than the head of an object"));
    };
    let (magic, rest) = head.split_at(MAGIC.len());
    let (format, length, sum) = (&rest[..4], &rest[4..12], &rest[12..]);
    if magic != MAGIC {
        return Err(Wrong::Damaged("it is not an object of cloudnest"));
    }
    if format[0] > FORMAT && format[1..] == [0; 3] {
        return Err(Wrong::Newer(format[0]));
    }
    let content = bytes.slice(HEAD_BYTES..);
    if format != [FORMAT, 0, 0, 0] {
        return Err(Wrong::Damaged("its head is not the one that was written"));
    }
    if length != (content.len() as u64).to_le_bytes() {
        return Err(Wrong::Damaged("it is not as long as it was written"));
    }
    if sum != digest(name, &content) {
        return Err(Wrong::Damaged("its checksum is not that of its name and content"));
    }
    Ok(content)
}

fn digest(name: &str, content: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(name.len() as u64).to_le_bytes());
    hasher.update(name.as_bytes());
    hasher.update(content);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_an_object_never_change() {
        let sealed = seal("log/1", b"seven");
        assert_eq!(sealed[..16], [67, 78, 79, 66, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        let sum: String = sealed[16..48].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sum, "6151e4a907ba6b4d997671928c4ec3cebac7680e675166206e1243bae1983bae");
        assert_eq!(open("log/1", sealed).unwrap(), b"seven"[..]);
    }

    #[test]
    fn a_cut_a_flip_an_added_byte_and_another_name_are_all_found() {
        let sealed = seal("log/1", b"seven");
        for length in 0..sealed.len() {
            assert!(open("log/1", sealed.slice(..length)).is_err(), "cut at {length}");
        }
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open("log/1", flipped.into()).is_err(), "bit {bit}");
        }
        assert!(open("log/1", [&sealed[..], b"x"].concat().into()).is_err());
        assert!(open("log/2", sealed.clone()).is_err());
        let mut newer = sealed.to_vec();
        newer[4] = 2;
        assert_eq!(open("log/1", newer.into()), Err(Wrong::Newer(2)));
    }
}
