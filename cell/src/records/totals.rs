//! How much a tenant's records are: one row a space, kept by the very commands that change what it counts.
//!
//! Counted are the stored rows, keys and values: of records and of the updates of documents, which are what is stored; and, apart from
//! them, of the versions that records superseded, which go with time. What follows from them (entries of indexes) and what says what
//! happened (events, replies to idempotency keys) is not.
//!
//! A command notes by how much each of its rows grows ([`Growth`]); the length of what a row takes the place of is known to whoever
//! reads it to change it. In the end the row of totals is read and written once.
//!
//! A space of before there were totals has no row. Its records are counted while they are written ([`super::count`]): a first command puts
//! the row as [`TotalsRow::Counting`], which from then on has what commands add and take away; whoever leads walks one snapshot and
//! says in a second command what was there before the first.
//!
//! Invariants:
//! - Where the totals are known they equal what a walk of the same state counts.
//! - The row goes along with its space as it is: rows that a move or an archive brings are not counted again.

use serde::{Deserialize, Serialize};
use storage::table::{self, DocumentUpdate, History, Record};
use storage::{Key, Space, Table};

use crate::machine::reader::Reader;
use crate::machine::refusal::Fault;
use crate::machine::world::World;

/// What is counted, and how its sum has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Growth {
    /// Records.
    pub(crate) records: i64,
    /// Bytes of rows of records and of updates of documents.
    pub(crate) bytes: i64,
    /// Bytes of rows of superseded versions.
    pub(crate) versions: i64,
}

/// How much a tenant's records are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// Records.
    pub(crate) records: u64,
    /// Bytes of their rows and of updates of documents.
    pub(crate) bytes: u64,
    /// Bytes of the rows of superseded versions.
    pub(crate) versions: u64,
}

/// Versions of the row. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TotalsRow {
    /// All is counted.
    Known(Totals),
    /// It is being counted.
    Counting {
        /// The stamp of the command that began with it.
        since: u64,
        /// What has changed from then on.
        grown: Growth,
    },
}

impl Growth {
    /// Counts a row that is stored in the place of one whose value had so many bytes.
    pub(crate) fn put(&mut self, key: &Key, value: usize, before: Option<usize>) {
        match before {
            Some(before) => self.add(key, signed(value).saturating_sub(signed(before))),
            None => self.row(key, value, 1),
        }
    }

    /// Counts a row that goes.
    pub(crate) fn delete(&mut self, key: &Key, value: usize) {
        self.row(key, value, -1);
    }

    fn row(&mut self, key: &Key, value: usize, sign: i64) {
        let bytes = signed(key.as_bytes().len()).saturating_add(signed(value));
        self.add(key, sign * bytes);
        if key.tag() == Record::TAG {
            self.records = self.records.saturating_add(sign);
        }
    }

    /// Counts bytes where rows with such a key belong.
    fn add(&mut self, key: &Key, bytes: i64) {
        let sum = match key.tag() {
            History::TAG => &mut self.versions,
            _ => &mut self.bytes,
        };
        *sum = sum.saturating_add(bytes);
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            records: self.records.saturating_add(other.records),
            bytes: self.bytes.saturating_add(other.bytes),
            versions: self.versions.saturating_add(other.versions),
        }
    }

    /// What is left of it without the other.
    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            records: self.records.saturating_sub(other.records),
            bytes: self.bytes.saturating_sub(other.bytes),
            versions: self.versions.saturating_sub(other.versions),
        }
    }

    /// What has come of nothing by it.
    pub(crate) fn totals(self) -> Totals {
        Totals::default().plus(self)
    }
}

impl Totals {
    fn plus(self, grown: Growth) -> Self {
        Self {
            records: self.records.saturating_add_signed(grown.records),
            bytes: self.bytes.saturating_add_signed(grown.bytes),
            versions: self.versions.saturating_add_signed(grown.versions),
        }
    }
}

/// The level that a group must have for its spaces to be counted.
pub(crate) const LEVEL: u32 = 2;
/// The tags of the tables that are counted.
pub(crate) const COUNTED: [u8; 3] = [Record::TAG, History::TAG, DocumentUpdate::TAG];

/// Lengths of rows are far below what this bounds.
fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// The row of a space; none: nobody has begun to count.
pub(crate) fn row(reader: &impl Reader, space: Space) -> Result<Option<TotalsRow>, Fault> {
    reader.row(&table::RecordTotals { space })
}

/// How much a tenant's records are; none: they are still to be counted.
pub(crate) fn read(reader: &impl Reader, space: Space) -> Result<Option<Totals>, Fault> {
    Ok(match row(reader, space)? {
        Some(TotalsRow::Known(totals)) => Some(totals),
        Some(TotalsRow::Counting { .. }) | None => None,
    })
}

/// Stores the row.
pub(super) fn write(world: &mut World<'_>, row: TotalsRow) {
    let space = world.space;
    world.put(&table::RecordTotals { space }, &row);
}

/// A space without records begins to be counted.
pub(crate) fn begin_empty(world: &mut World<'_>) {
    write(world, TotalsRow::Known(Totals::default()));
}

/// Brings the row along with what a command has changed.
pub(crate) fn settle(world: &mut World<'_>, grown: Growth) -> Result<(), Fault> {
    if grown == Growth::default() {
        return Ok(());
    }
    let row = match row(world, world.space)? {
        None => return Ok(()),
        Some(TotalsRow::Known(totals)) => TotalsRow::Known(totals.plus(grown)),
        Some(TotalsRow::Counting { since, grown: before }) => TotalsRow::Counting {
            since,
            grown: before.plus(grown),
        },
    };
    write(world, row);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::envelope::seal;

    #[test]
    fn stored_rows_keep_their_bytes() {
        let known = TotalsRow::Known(Totals {
            records: 3,
            bytes: 300,
            versions: 7,
        });
        let grown = Growth {
            records: -1,
            bytes: 64,
            versions: -2,
        };
        let counting = TotalsRow::Counting { since: 9, grown };
        assert_eq!(seal(&known)[2..], [0, 3, 251, 44, 1, 7]);
        assert_eq!(seal(&counting)[2..], [1, 9, 1, 128, 3]);
    }

    #[test]
    fn what_grows_and_shrinks_again_is_as_it_was() {
        let space = Space(7);
        let (collection, id) = (1, [3; 16]);
        let record = Record { space, collection, id }.key();
        let version = History {
            space,
            collection,
            id,
            version: 1,
        }
        .key();
        let mut grown = Growth::default();
        grown.put(&record, 100, None);
        grown.put(&record, 40, Some(100));
        grown.put(&version, 100, None);
        let of_key = |key: &Key| key.as_bytes().len() as i64;
        assert_eq!(
            grown,
            Growth {
                records: 1,
                bytes: 40 + of_key(&record),
                versions: 100 + of_key(&version),
            }
        );
        grown.delete(&record, 40);
        grown.delete(&version, 100);
        assert_eq!(grown, Growth::default());
    }
}
