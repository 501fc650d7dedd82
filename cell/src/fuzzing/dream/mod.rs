//! Values of any type out of bytes: a deserializer that takes bytes for choices instead of for an encoding.
//!
//! Bytes that are decoded as bincode are nearly always refused: a length is too long, a text is not UTF-8. Here every byte means
//! something, so that a fuzzer which changes one changes one part of a value: which variant, whether an option is there, how many
//! items, which of the texts and numbers that are worth trying. Bytes that have run out are zeros, and lists end there. A type needs
//! nothing but to be `Deserialize`, so that a new command is dreamt of on the day that it is written.

mod deserializer;

use std::fmt;

/// How deep values may be.
const DEPTH: u32 = 24;
/// Most items of a list.
const ITEMS: u8 = 6;
/// Texts that mean something to the workspace template, or are odd.
#[rustfmt::skip]
const TEXTS: [&str; 24] = [
    "", "tasks", "projects", "comments", "notes", "title", "status", "todo", "done", "backlog", "number", "project", "acme", "a",
    "\0", "\u{feff}x", "e\u{301}", "\u{10ffff}", "{\"a\":[1,null]}", "[1", "record.created_by == auth.id", "status == \"todo\"",
    "1e999", "-9223372036854775808",
];
/// Numbers at which something may turn over.
#[rustfmt::skip]
const NUMBERS: [u64; 12] =
    [0, 1, 2, 3, 4, 7, 255, 65_535, 4_294_967_295, 9_007_199_254_740_992, i64::MAX as u64, u64::MAX];
#[rustfmt::skip]
const DOUBLES: [f64; 10] = [
    0.0, -0.0, 1.0, -1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 9_007_199_254_740_993.0,
];

/// The source of choices.
pub(in crate::fuzzing) struct Dream<'a> {
    rest: &'a [u8],
    depth: u32,
}

/// A type asked for what cannot be dreamt of, or went too deep.
#[derive(Debug)]
pub(in crate::fuzzing) struct Woken(String);

impl<'a> Dream<'a> {
    pub(in crate::fuzzing) fn new(rest: &'a [u8]) -> Self {
        Self { rest, depth: 0 }
    }

    pub(in crate::fuzzing) fn is_over(&self) -> bool {
        self.rest.is_empty()
    }

    pub(in crate::fuzzing) fn byte(&mut self) -> u8 {
        match self.rest.split_first() {
            Some((first, rest)) => {
                self.rest = rest;
                *first
            }
            None => 0,
        }
    }

    /// So many bytes, or what is left of them.
    pub(in crate::fuzzing) fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(most.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// A number: one that is worth trying, a small one, or any.
    pub(in crate::fuzzing) fn number(&mut self) -> u64 {
        match self.byte() {
            255 => {
                let mut bytes = [0; 8];
                let taken = self.take(8);
                bytes[..taken.len()].copy_from_slice(taken);
                u64::from_le_bytes(bytes)
            }
            byte @ 128.. => NUMBERS[usize::from(byte) % NUMBERS.len()],
            byte => u64::from(byte),
        }
    }

    fn double(&mut self) -> f64 {
        match self.byte() {
            byte @ 128.. => DOUBLES[usize::from(byte) % DOUBLES.len()],
            _ => f64::from_bits(self.number()),
        }
    }

    fn text(&mut self) -> String {
        match self.byte() {
            // Longer than an index takes.
            255 => "x".repeat(usize::from(self.byte()) * 64),
            byte @ 192.. => String::from_utf8_lossy(self.take(usize::from(byte - 192))).into_owned(),
            byte => TEXTS[usize::from(byte) % TEXTS.len()].to_owned(),
        }
    }

    /// Of the few ids that there are, so that records find each other; else any.
    fn id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        match self.byte() {
            255 => {
                let taken = self.take(16);
                id[..taken.len()].copy_from_slice(taken);
            }
            byte => id[15] = byte % 5,
        }
        id
    }

    fn items(&mut self) -> usize {
        if self.is_over() { 0 } else { usize::from(self.byte() % ITEMS) }
    }

    fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Woken>) -> Result<T, Woken> {
        if self.depth == DEPTH {
            return Err(Woken("too deep".to_owned()));
        }
        self.depth += 1;
        let done = work(self);
        self.depth -= 1;
        done
    }
}

impl fmt::Display for Woken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Woken {}

impl serde::de::Error for Woken {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}
