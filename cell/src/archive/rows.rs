//! What is in the blocks: the head, rows and the trailer.
//!
//! A row is `key length u16 LE | value length u32 LE | key | value`; its key begins with the table's tag. Head and trailer are sealed
//! (`machine::envelope`), and changed as every row is: by a new variant.

use serde::{Deserialize, Serialize};
use storage::table::{self, Kind, SpaceHeader, TABLES, TableInfo};
use storage::{MAX_KEY_BYTES, MAX_VALUE_BYTES, Table};

/// Bytes of a row before its key.
pub(super) const ROW_HEAD_BYTES: usize = 6;

/// Versions of the head.
#[derive(Serialize, Deserialize)]
pub(super) enum HeadRow {
    /// The first.
    V1(Head),
}

/// What the header of a space says of its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The tenant's display name.
    pub(crate) name: String,
    /// The number of the last event.
    pub(crate) position: u64,
    /// The stamp of the last change, in microseconds since the epoch.
    pub(crate) stamp: u64,
    /// The version of its schemas.
    pub(crate) schema: u64,
    /// The version of its tokens.
    pub(crate) access: u64,
    /// The number for the next collection.
    pub(crate) next: u64,
}

/// Versions of the trailer.
#[derive(Serialize, Deserialize)]
pub(super) enum TrailerRow {
    /// The first.
    V1(Trailer),
}

/// That an archive is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trailer {
    /// Rows of each table that has any, in the order of the tables in the archive.
    pub(super) rows: Vec<(u8, u64)>,
    /// BLAKE3 of everything before the trailer's block.
    pub(super) hash: [u8; 32],
}

/// Tables that others are derived with: they come first.
const DEFINING: [u8; 4] = [
    table::CollectionSchema::TAG,
    table::CollectionPolicy::TAG,
    table::CollectionPending::TAG,
    table::Operation::TAG,
];

/// Whether a table is one that others are derived with.
pub(super) fn is_defining(tag: u8) -> bool {
    DEFINING.contains(&tag)
}

/// The tables of an archive, in their order. The header is not among them: it is the head.
pub(super) fn tables() -> impl Iterator<Item = &'static TableInfo> {
    let carried = |first: bool| {
        let tables = TABLES.iter().filter(|table| table.kind == Kind::Carried);
        tables.filter(move |table| table.tag != SpaceHeader::TAG && is_defining(table.tag) == first)
    };
    carried(true).chain(carried(false))
}

/// Counts one more row of a table.
pub(super) fn count(rows: &mut Vec<(u8, u64)>, tag: u8) {
    match rows.last_mut() {
        Some((last, count)) if *last == tag => *count += 1,
        _ => rows.push((tag, 1)),
    }
}

/// Appends a row. `key`: without its space. False: it is longer than any row.
pub(super) fn put(key: &[u8], value: &[u8], out: &mut Vec<u8>) -> bool {
    let (Ok(key_bytes), Ok(value_bytes)) = (u16::try_from(key.len()), u32::try_from(value.len())) else {
        return false;
    };
    out.extend_from_slice(&key_bytes.to_le_bytes());
    out.extend_from_slice(&value_bytes.to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(value);
    key.len() <= MAX_KEY_BYTES && value.len() <= MAX_VALUE_BYTES
}

/// The first of some rows: its key without a space, its value, and what comes after it. None: they are none.
pub(super) fn take(rows: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key_bytes, rest) = rows.split_first_chunk::<2>()?;
    let (value_bytes, rest) = rest.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*key_bytes)))?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*value_bytes) as usize)?;
    let fits = !key.is_empty() && key.len() <= MAX_KEY_BYTES && value.len() <= MAX_VALUE_BYTES;
    fits.then_some((key, value, rest))
}
