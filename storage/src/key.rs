//! The one codec for keys: order of the bytes is order of the fields.
//!
//! A key is `space u64 | tag u8 | fields in order`. The rules:
//! - u32 and u64: big-endian;
//! - `[u8; N]`: raw, because its length is fixed;
//! - `String`: its bytes with `00` written as `00 FF`, ended by `00 00`, so that "a" sorts before "a\0" and before "ab";
//! - `Vec<Element>`: each element as a type byte and its value, ended by `00`; a shorter list sorts before a longer one that
//!   begins with it, and the encoding of a list without its end is a prefix of every list that begins with it.
//!
//! The elements: `01` Null; `02` Bool and 00 or 01; `03` Integer, big-endian with the sign bit flipped; `04` Number, the IEEE bits
//! with the sign bit flipped, or all of them for a negative one (-0.0 is written as 0.0, every NaN as the same one, which sorts
//! last); `05` Text like `String`; `06` Uuid, raw. Elements of different types sort by type byte: Null first.
//!
//! Invariant: a change of these rules is a change of every file on disk; the golden bytes in `table` fail first.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;

use crate::element::{Element, put_element, put_text, show_element, take_element, take_text};

use crate::space::Space;
use crate::table;

/// Where the tag stands: after the space.
pub(crate) const TAG_AT: usize = 8;
/// The shortest key: a space and a tag.
pub(crate) const HEAD_BYTES: usize = 9;
/// Sorts after every key, because tag `FF` is never given.
pub(crate) const END_OF_ALL: &[u8] = &[0xFF; HEAD_BYTES];

/// Longest key without an allocation of its own, in bytes. Keys of records, events, versions and most entries of indexes are shorter. The map in memory
/// compares keys where their entries are: one that had to be looked up elsewhere would cost another miss of the cache for each comparison.
const INLINE_BYTES: usize = 46;

/// An encoded key. Clones of long ones share the bytes; keys order by their bytes; `Display` prints any key as text.
#[derive(Clone)]
pub struct Key(Place);

/// Where the bytes of a key are.
#[derive(Clone)]
enum Place {
    Inline { length: u8, bytes: [u8; INLINE_BYTES] },
    Shared(Arc<[u8]>),
}

const _: () = assert!(size_of::<Key>() == INLINE_BYTES + 2 && INLINE_BYTES <= u8::MAX as usize);

/// Why bytes are not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes end inside a field.
    #[error("the key ends inside a field")]
    Short,
    /// Bytes are left after the last field.
    #[error("the key has bytes after its last field")]
    Long,
    /// The tag belongs to another table, or to none.
    #[error("the key has tag {0:#04x}")]
    Tag(u8),
    /// A text is not UTF-8, an escape is wrong, or an element has no known type.
    #[error("a field of the key is malformed")]
    Malformed,
}

impl Key {
    /// Takes bytes that came from outside, such as an archive: at least a space and a tag other than `FF`.
    pub fn from_bytes(bytes: Bytes) -> Result<Key, KeyError> {
        match bytes.get(TAG_AT) {
            None => Err(KeyError::Short),
            Some(0xFF) => Err(KeyError::Tag(0xFF)),
            Some(_) => Ok(trusted(&bytes)),
        }
    }

    /// The encoded bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Place::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Place::Shared(bytes) => bytes,
        }
    }

    /// The encoded bytes, as what can be sent.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.as_bytes())
    }

    /// The space in which the key lies.
    pub fn space(&self) -> Space {
        space_of(self.as_bytes()).unwrap_or_default()
    }

    /// The tag of the key's table.
    pub fn tag(&self) -> u8 {
        self.as_bytes().get(TAG_AT).copied().unwrap_or_default()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&table::print(self.as_bytes()))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key({self})")
    }
}

/// The space of encoded bytes; `None` when they are too short to be a key.
pub(crate) fn space_of(key: &[u8]) -> Option<Space> {
    key.first_chunk::<TAG_AT>().map(|bytes| Space(u64::from_be_bytes(*bytes)))
}

/// The first bytes of every key of a table in a space.
pub(crate) fn head(space: Space, tag: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    put_head(space, tag, &mut out);
    out
}

fn put_head(space: Space, tag: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&space.0.to_be_bytes());
    out.push(tag);
}

/// Builds a key of a table in a space; `fields` writes what comes after the head, and must not build another key.
pub(crate) fn build(space: Space, tag: u8, fields: impl FnOnce(&mut Vec<u8>)) -> Key {
    thread_local! {
        /// Where keys are put together, so that each costs at most one allocation, of its own length.
        static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        put_head(space, tag, scratch);
        fields(scratch);
        trusted(scratch)
    })
}

/// Takes bytes that are known to be a key.
pub(crate) fn trusted(bytes: &[u8]) -> Key {
    let mut inline = [0; INLINE_BYTES];
    match (inline.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
        (Some(place), Ok(length)) => {
            place.copy_from_slice(bytes);
            Key(Place::Inline { length, bytes: inline })
        }
        _ => Key(Place::Shared(Arc::from(bytes))),
    }
}

/// One field of a key: how it is written, read and printed.
pub(crate) trait Field: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(from: &mut &[u8]) -> Result<Self, KeyError>;
    fn show(&self, out: &mut String);
}

pub(crate) fn take_array<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], KeyError> {
    let (first, rest) = from.split_first_chunk::<N>().ok_or(KeyError::Short)?;
    *from = rest;
    Ok(*first)
}

impl Field for u32 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
    fn take(from: &mut &[u8]) -> Result<u32, KeyError> {
        take_array(from).map(u32::from_be_bytes)
    }
    fn show(&self, out: &mut String) {
        out.push_str(&self.to_string());
    }
}

impl Field for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
    fn take(from: &mut &[u8]) -> Result<u64, KeyError> {
        take_array(from).map(u64::from_be_bytes)
    }
    fn show(&self, out: &mut String) {
        out.push_str(&self.to_string());
    }
}

impl<const N: usize> Field for [u8; N] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn take(from: &mut &[u8]) -> Result<[u8; N], KeyError> {
        take_array(from)
    }
    fn show(&self, out: &mut String) {
        push_hex(self, out);
    }
}

impl Field for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_text(self, out);
    }
    fn take(from: &mut &[u8]) -> Result<String, KeyError> {
        take_text(from)
    }
    fn show(&self, out: &mut String) {
        out.push_str(&format!("{self:?}"));
    }
}

impl Field for Vec<Element> {
    fn put(&self, out: &mut Vec<u8>) {
        for element in self {
            put_element(element, out);
        }
        out.push(0);
    }
    fn take(from: &mut &[u8]) -> Result<Vec<Element>, KeyError> {
        let mut elements = Vec::new();
        loop {
            let [kind] = take_array(from)?;
            if kind == 0 {
                return Ok(elements);
            }
            elements.push(take_element(kind, from)?);
        }
    }
    fn show(&self, out: &mut String) {
        out.push('[');
        for (position, element) in self.iter().enumerate() {
            if position > 0 {
                out.push_str(", ");
            }
            show_element(element, out);
        }
        out.push(']');
    }
}

/// Writes bytes as lower-case hexadecimal.
pub(crate) fn push_hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('?'));
        }
    }
}
