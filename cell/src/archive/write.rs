//! Writes the archive of a tenant.

use std::io::{self, Write};

use bytes::Bytes;
use storage::blob::ChunkHash;
use storage::table::ChunkUse;
use storage::{Direction, KeyRange, Snapshot, Space, Table};

use super::block::{Blocks, Kind, MAX_BYTES};
use super::error::WriteError;
use super::rows::{Head, HeadRow, ROW_HEAD_BYTES, Trailer, TrailerRow, count, put, tables};
use super::{FORMAT, MAGIC, PLAIN};
use crate::files::rows::UseRow;
use crate::machine::envelope::seal;
use crate::machine::idempotency::bad_key;
use crate::machine::reader::{Reader, decode};
use crate::machine::refusal::Fault;
use crate::machine::rows::SpaceStatus;

/// How much is gathered for a block, in bytes, unless one row is longer. Raised: archives are smaller, and readers need more memory.
const BLOCK_BYTES: usize = 256 * 1024;
/// A key's space, in bytes: it is not in an archive.
pub(super) const SPACE_BYTES: usize = 8;

const _: () = assert!(BLOCK_BYTES < MAX_BYTES);

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// The tenant's position.
    pub(crate) position: u64,
    /// The stamp of its last change.
    pub(crate) stamp: u64,
    /// Rows.
    pub(crate) rows: u64,
    /// The length of the archive.
    pub(crate) bytes: u64,
    /// BLAKE3 of all of it.
    pub(crate) hash: [u8; 32],
}

/// Gives chunks of files by their names.
pub(crate) type Chunks<'c> = &'c mut dyn FnMut(&ChunkHash) -> io::Result<Bytes>;

/// Writes the tenant of a space as it is in a snapshot, without the bytes of its files.
pub(crate) fn write(snapshot: &Snapshot, space: Space, out: impl Write) -> Result<Summary, WriteError> {
    write_with(snapshot, space, None, out)
}

/// The same with the bytes of its files.
pub(crate) fn write_with(
    snapshot: &Snapshot,
    space: Space,
    chunks: Option<Chunks<'_>>,
    out: impl Write,
) -> Result<Summary, WriteError> {
    let header = snapshot.header(space)?;
    let header = header
        .filter(|header| header.status == SpaceStatus::Live)
        .ok_or(WriteError::NoSpace)?;
    let (position, stamp) = (header.position, header.stamp);
    let head = Head {
        name: header.name,
        position,
        stamp,
        schema: header.schema,
        access: header.access,
        next: header.next,
    };
    let has_chunks = chunks.is_some() && named(snapshot, space).next().is_some();
    let format = if has_chunks { FORMAT } else { PLAIN };
    let mut blocks = Blocks::after(out, &[&MAGIC[..], &[format]].concat())?;
    blocks.write(Kind::Head, &seal(&HeadRow::V1(head)))?;
    let (mut rows, mut gathered) = (Vec::new(), Vec::with_capacity(BLOCK_BYTES));
    for table in tables() {
        for row in snapshot.scan(KeyRange::table(space, table.tag), Direction::Forward) {
            let (key, value) = row?;
            let key = &key.as_bytes()[SPACE_BYTES..];
            if !gathered.is_empty() && gathered.len() + ROW_HEAD_BYTES + key.len() + value.len() > BLOCK_BYTES {
                blocks.write(Kind::Rows, &gathered)?;
                gathered.clear();
            }
            if !put(key, &value, &mut gathered) {
                return Err(std::io::Error::other("a row is too long").into());
            }
            count(&mut rows, table.tag);
        }
    }
    if !gathered.is_empty() {
        blocks.write(Kind::Rows, &gathered)?;
    }
    if let Some(give) = chunks {
        for hash in named(snapshot, space) {
            blocks.write(Kind::Chunk, &give(&hash?)?)?;
        }
    }
    let hash = *blocks.hasher.finalize().as_bytes();
    let trailer = Trailer { rows, hash };
    let total = trailer.rows.iter().map(|(_, count)| count).sum();
    blocks.write(Kind::Trailer, &seal(&TrailerRow::V1(trailer)))?;
    blocks.flush()?;
    Ok(Summary {
        position,
        stamp,
        rows: total,
        bytes: blocks.bytes,
        hash: *blocks.hasher.finalize().as_bytes(),
    })
}

/// The chunks that a space names, in the order of their names.
pub(crate) fn named(snapshot: &Snapshot, space: Space) -> impl Iterator<Item = Result<ChunkHash, Fault>> {
    snapshot.scan(ChunkUse::range(space), Direction::Forward).filter_map(|row| {
        let found = || -> Result<Option<ChunkHash>, Fault> {
            let (raw, bytes) = row?;
            let key = ChunkUse::parse(raw.as_bytes()).map_err(|error| bad_key(&raw, &error))?;
            let UseRow::V1(used) = decode(&key, &bytes)?;
            Ok((used.count > 0).then_some(key.hash))
        };
        found().transpose()
    })
}
