//! Ranges of keys.

use std::ops::Bound;

use bytes::Bytes;

use crate::element::TEXT_END;
use crate::key::{END_OF_ALL, Key, head};
use crate::space::Space;

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

    /// One key alone.
    pub fn only(key: &Key) -> KeyRange {
        let mut end = Vec::with_capacity(key.as_bytes().len() + 1);
        end.extend_from_slice(key.as_bytes());
        end.push(0);
        KeyRange {
            start: key.to_bytes(),
            end: Bytes::from(end),
        }
    }

    /// Of the range of a prefix that ends in a text: the keys whose text begins with that one.
    pub fn starting_with(&self) -> KeyRange {
        let text = self.start.strip_suffix(&TEXT_END).unwrap_or(&self.start);
        KeyRange::prefix(text.to_vec())
    }

    /// The part of the range that comes after `key`: how a cursor continues.
    pub fn after(self, key: &Key) -> KeyRange {
        let mut next = Vec::with_capacity(key.as_bytes().len() + 1);
        next.extend_from_slice(key.as_bytes());
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
        let end = if key.as_bytes() < self.end.as_ref() {
            key.to_bytes()
        } else {
            self.end
        };
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
