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
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::space::Space;
use crate::table;

/// Where the tag stands: after the space.
pub(crate) const TAG_AT: usize = 8;
/// The shortest key: a space and a tag.
pub(crate) const HEAD_BYTES: usize = 9;
/// Sorts after every key, because tag `FF` is never given.
const END_OF_ALL: &[u8] = &[0xFF; HEAD_BYTES];

/// An encoded key. Clones share the bytes; keys order by their bytes; `Display` prints any key as text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<[u8]>);

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
        &self.0
    }

    /// The encoded bytes, as what can be sent.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }

    /// The space in which the key lies.
    pub fn space(&self) -> Space {
        space_of(&self.0).unwrap_or_default()
    }

    /// The tag of the key's table.
    pub fn tag(&self) -> u8 {
        self.0.get(TAG_AT).copied().unwrap_or_default()
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&table::print(&self.0))
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

/// A half-open range of keys: `start` belongs to it, `end` does not. Empty when `start >= end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key that may belong to the range.
    pub start: Bytes,
    /// The first key after the range.
    pub end: Bytes,
}

impl KeyRange {
    /// Every key of the store.
    pub fn all() -> KeyRange {
        KeyRange {
            start: Bytes::new(),
            end: Bytes::from_static(END_OF_ALL),
        }
    }

    /// Every key of one space.
    pub fn space(space: Space) -> KeyRange {
        KeyRange::prefix(space.0.to_be_bytes().to_vec())
    }

    /// Every key of the table with this tag in one space.
    pub fn table(space: Space, tag: u8) -> KeyRange {
        KeyRange::prefix(head(space, tag))
    }

    /// Every key that begins with these bytes.
    pub(crate) fn prefix(prefix: Vec<u8>) -> KeyRange {
        let mut end = prefix.clone();
        while end.last() == Some(&0xFF) {
            end.pop();
        }
        let end = match end.last_mut() {
            Some(last) => {
                *last += 1;
                Bytes::from(end)
            }
            None => Bytes::from_static(END_OF_ALL),
        };
        KeyRange {
            start: Bytes::from(prefix),
            end,
        }
    }

    /// Of the range of a prefix that ends in a text: the keys whose text begins with that one.
    pub fn starting_with(&self) -> KeyRange {
        let text = self.start.strip_suffix(&TEXT_END).unwrap_or(&self.start);
        KeyRange::prefix(text.to_vec())
    }

    /// The part of the range that comes after `key`: how a cursor continues.
    pub fn after(self, key: &Key) -> KeyRange {
        let mut next = Vec::with_capacity(key.0.len() + 1);
        next.extend_from_slice(&key.0);
        next.push(0);
        let start = if next.as_slice() > self.start.as_ref() {
            Bytes::from(next)
        } else {
            self.start
        };
        KeyRange { start, end: self.end }
    }

    /// The part of the range that comes before `key`.
    pub fn before(self, key: &Key) -> KeyRange {
        let end = if *key.0 < *self.end { key.to_bytes() } else { self.end };
        KeyRange { start: self.start, end }
    }

    /// Whether the key lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_ref() <= key && key < self.end.as_ref()
    }

    /// Whether no key can lie in the range.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// The range as bounds, for maps and tables.
    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (Bound::Included(self.start.as_ref()), Bound::Excluded(self.end.as_ref()))
    }

    /// Whether the whole range lies in one space.
    pub(crate) fn is_within(&self, space: Space) -> bool {
        let whole = KeyRange::space(space);
        self.is_empty() || (whole.start <= self.start && self.end <= whole.end)
    }
}

/// A value inside an index key; see the head of this module for how it is written and ordered.
#[derive(Clone, Debug, PartialEq)]
pub enum Element {
    /// No value; sorts first.
    Null,
    /// False sorts before true.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number; -0.0 equals 0.0 and every NaN sorts last.
    Number(f64),
    /// Text, ordered by its UTF-8 bytes.
    Text(String),
    /// An id, ordered by its bytes.
    Uuid([u8; 16]),
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
        /// Where keys are put together, so that each costs one allocation of its own length.
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
    Key(Arc::from(bytes))
}

/// One field of a key: how it is written, read and printed.
pub(crate) trait Field: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(from: &mut &[u8]) -> Result<Self, KeyError>;
    fn show(&self, out: &mut String);
}

fn take_array<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], KeyError> {
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

pub(crate) fn put_element(element: &Element, out: &mut Vec<u8>) {
    match element {
        Element::Null => out.push(1),
        Element::Bool(value) => out.extend_from_slice(&[2, u8::from(*value)]),
        Element::Integer(value) => {
            out.push(3);
            out.extend_from_slice(&(value.cast_unsigned() ^ (1 << 63)).to_be_bytes());
        }
        Element::Number(value) => {
            out.push(4);
            out.extend_from_slice(&number_to_bits(*value).to_be_bytes());
        }
        Element::Text(value) => {
            out.push(5);
            put_text(value, out);
        }
        Element::Uuid(value) => {
            out.push(6);
            out.extend_from_slice(value);
        }
    }
}

fn take_element(kind: u8, from: &mut &[u8]) -> Result<Element, KeyError> {
    match kind {
        1 => Ok(Element::Null),
        2 => match take_array(from)? {
            [0] => Ok(Element::Bool(false)),
            [1] => Ok(Element::Bool(true)),
            _ => Err(KeyError::Malformed),
        },
        3 => take_array(from).map(|bytes| Element::Integer((u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed())),
        4 => take_array(from).map(|bytes| Element::Number(number_from_bits(u64::from_be_bytes(bytes)))),
        5 => take_text(from).map(Element::Text),
        6 => take_array(from).map(Element::Uuid),
        _ => Err(KeyError::Malformed),
    }
}

fn show_element(element: &Element, out: &mut String) {
    match element {
        Element::Null => out.push_str("null"),
        Element::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Element::Integer(value) => out.push_str(&value.to_string()),
        Element::Number(value) => out.push_str(&format!("{value:?}")),
        Element::Text(value) => out.push_str(&format!("{value:?}")),
        Element::Uuid(value) => push_hex(value, out),
    }
}

/// What a text ends with.
const TEXT_END: [u8; 2] = [0, 0];

const SIGN: u64 = 1 << 63;

fn number_to_bits(value: f64) -> u64 {
    let canonical = if value == 0.0 {
        0.0
    } else if value.is_nan() {
        f64::NAN.abs()
    } else {
        value
    };
    let bits = canonical.to_bits();
    if bits & SIGN == 0 { bits ^ SIGN } else { !bits }
}

fn number_from_bits(bits: u64) -> f64 {
    f64::from_bits(if bits & SIGN == 0 { !bits } else { bits ^ SIGN })
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        out.push(byte);
        if byte == 0 {
            out.push(0xFF);
        }
    }
    out.extend_from_slice(&TEXT_END);
}

fn take_text(from: &mut &[u8]) -> Result<String, KeyError> {
    let mut text = Vec::new();
    loop {
        let [byte] = take_array(from)?;
        if byte != 0 {
            text.push(byte);
            continue;
        }
        match take_array(from)? {
            [0xFF] => text.push(0),
            [0] => return String::from_utf8(text).map_err(|_| KeyError::Malformed),
            _ => return Err(KeyError::Malformed),
        }
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
