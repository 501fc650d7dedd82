//! Blocks: `kind u8 | length u32 LE | stored length u32 LE | crc32c u32 LE | stored bytes`.
//!
//! The checksum is over the block's number in the file (u64 LE), the head before it and the stored bytes: a block in the wrong place is
//! found where it is. What is stored is deflated (RFC 1951), whether that makes it smaller or not.

use std::io::{self, Read, Write};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use storage::{MAX_KEY_BYTES, MAX_VALUE_BYTES};

use super::error::ReadError;
use super::rows::ROW_HEAD_BYTES;

/// Bytes before what is stored.
const HEAD_BYTES: usize = 13;
/// Those of them before the checksum.
const SUMMED_BYTES: usize = 9;
/// The longest content: a row alone.
pub(super) const MAX_BYTES: usize = ROW_HEAD_BYTES + MAX_KEY_BYTES + MAX_VALUE_BYTES;
/// The longest stored content: what does not get smaller gets a little longer.
const MAX_STORED: usize = MAX_BYTES + MAX_BYTES / 64;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Head = 1,
    Rows = 2,
    Trailer = 3,
    /// A chunk of a file: its bytes.
    Chunk = 4,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        [Kind::Head, Kind::Rows, Kind::Trailer, Kind::Chunk]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Writes blocks, and hashes what it writes.
pub(super) struct Blocks<W> {
    out: W,
    pub(super) hasher: blake3::Hasher,
    pub(super) bytes: u64,
    number: u64,
    stored: Vec<u8>,
}

impl<W: Write> Blocks<W> {
    /// After some first bytes.
    pub(super) fn after(mut out: W, first: &[u8]) -> io::Result<Self> {
        out.write_all(first)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(first);
        Ok(Self {
            out,
            hasher,
            bytes: first.len() as u64,
            number: 0,
            stored: Vec::new(),
        })
    }

    /// Writes one block, in one piece.
    pub(super) fn write(&mut self, kind: Kind, content: &[u8]) -> io::Result<()> {
        let too_long = || io::Error::other("a block is too long");
        self.stored.clear();
        self.stored.resize(HEAD_BYTES, 0);
        self.stored.reserve(MAX_STORED.min(content.len() + content.len() / 64 + 64));
        let deflated = Compress::new(Compression::fast(), false)
            .compress_vec(content, &mut self.stored, FlushCompress::Finish)
            .map_err(io::Error::other)?;
        let stored = self.stored.len() - HEAD_BYTES;
        if deflated != Status::StreamEnd || content.len() > MAX_BYTES || stored > MAX_STORED {
            return Err(too_long());
        }
        self.stored[0] = kind as u8;
        let lengths = [content.len(), stored].map(u32::try_from);
        for (at, length) in [1, 5].into_iter().zip(lengths) {
            self.stored[at..at + 4].copy_from_slice(&length.map_err(|_| too_long())?.to_le_bytes());
        }
        let sum = sum(self.number, &self.stored[..SUMMED_BYTES], &self.stored[HEAD_BYTES..]);
        self.stored[SUMMED_BYTES..HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
        self.out.write_all(&self.stored)?;
        self.hasher.update(&self.stored);
        self.bytes += self.stored.len() as u64;
        self.number += 1;
        Ok(())
    }

    /// Hands on what was written.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads blocks, and hashes what it reads.
pub(super) struct Unblocks<R> {
    input: R,
    hasher: blake3::Hasher,
    /// How far it has read.
    at: u64,
    number: u64,
    stored: Vec<u8>,
}

/// A block that is what was written.
pub(super) struct Block {
    pub(super) kind: Kind,
    pub(super) content: Vec<u8>,
    /// Where it begins.
    pub(super) at: u64,
    /// The hash of everything before it.
    pub(super) before: blake3::Hash,
}

impl<R: Read> Unblocks<R> {
    /// Reads some first bytes, too.
    pub(super) fn new<const N: usize>(input: R) -> Result<([u8; N], Self), ReadError> {
        let mut blocks = Self {
            input,
            hasher: blake3::Hasher::new(),
            at: 0,
            number: 0,
            stored: Vec::new(),
        };
        let mut first = [0; N];
        blocks.fill(&mut first)?;
        blocks.hasher.update(&first);
        Ok((first, blocks))
    }

    /// Reads the next block.
    pub(super) fn next(&mut self) -> Result<Block, ReadError> {
        let (at, before) = (self.at, self.hasher.finalize());
        let damaged = |what: &str| ReadError::Damaged {
            at,
            what: what.to_owned(),
        };
        let mut head = [0; HEAD_BYTES];
        self.fill(&mut head)?;
        let [kind, a, b, c, d, e, f, g, h, s, t, u, v] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let stored = u32::from_le_bytes([e, f, g, h]) as usize;
        if length > MAX_BYTES || stored > MAX_STORED {
            return Err(damaged("it says that it is longer than any block"));
        }
        self.stored.clear();
        self.stored.resize(stored, 0);
        let mut content = std::mem::take(&mut self.stored);
        let filled = self.fill(&mut content);
        self.stored = content;
        filled?;
        if u32::from_le_bytes([s, t, u, v]) != sum(self.number, &head[..SUMMED_BYTES], &self.stored) {
            return Err(damaged("its checksum is wrong"));
        }
        // From here on the bytes are those that somebody wrote as a block: what is wrong with them is wrong on purpose, or newer.
        let kind = Kind::of(kind).ok_or_else(|| damaged("it is of a kind that is not known"))?;
        let content = inflate(&self.stored, length).ok_or_else(|| damaged("it does not inflate to what it says"))?;
        self.hasher.update(&head).update(&self.stored);
        self.number += 1;
        Ok(Block {
            kind,
            content,
            at,
            before,
        })
    }

    /// That nothing follows.
    pub(super) fn end(&mut self) -> Result<(), ReadError> {
        let at = self.at;
        match self.fill(&mut [0]) {
            Err(ReadError::Cut { .. }) => Ok(()),
            Ok(()) => Err(ReadError::Longer { at }),
            Err(error) => Err(error),
        }
    }

    fn fill(&mut self, mut into: &mut [u8]) -> Result<(), ReadError> {
        while !into.is_empty() {
            match self.input.read(into) {
                Ok(0) => return Err(ReadError::Cut { at: self.at }),
                Ok(count) => {
                    self.at += count as u64;
                    into = into.get_mut(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadError::Io { at: self.at, error }),
            }
        }
        Ok(())
    }
}

fn sum(number: u64, head: &[u8], stored: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), head), stored)
}

/// The content, if it is as long as it says to be.
fn inflate(stored: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut content = Vec::with_capacity(length);
    let mut inflater = Decompress::new(false);
    // It never writes more than there is room for, and room is what was asked for, or little more.
    let status = inflater.decompress_vec(stored, &mut content, FlushDecompress::Finish).ok()?;
    let whole = status == Status::StreamEnd && inflater.total_in() == stored.len() as u64 && content.len() == length;
    whole.then_some(content)
}

/// An archive with a right head and a right trailer, whatever blocks between them, and right checksums.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn forge(contents: &[(u8, Vec<u8>)]) -> Vec<u8> {
    use super::rows::{Head, HeadRow, Trailer, TrailerRow, count, take};
    use crate::machine::envelope::seal;
    let mut out = Vec::new();
    let head = Head {
        name: "Acme".to_owned(),
        position: 9,
        stamp: 9,
        schema: 1,
        access: 1,
        next: 9,
    };
    let mut forged = || -> io::Result<()> {
        let mut blocks = Blocks::after(&mut out, &[&super::MAGIC[..], &[super::FORMAT]].concat())?;
        let mut rows = Vec::new();
        blocks.write(Kind::Head, &seal(&HeadRow::V1(head.clone())))?;
        for (kind, content) in contents {
            let mut rest = &content[..];
            while let Some((key, _, after)) = take(rest) {
                count(&mut rows, key[0]);
                rest = after;
            }
            blocks.write(Kind::of(*kind).unwrap_or(Kind::Rows), content)?;
        }
        let hash = *blocks.hasher.finalize().as_bytes();
        blocks.write(Kind::Trailer, &seal(&TrailerRow::V1(Trailer { rows, hash })))
    };
    forged().unwrap_or_else(|error| panic!("forge an archive: {error}"));
    out
}
