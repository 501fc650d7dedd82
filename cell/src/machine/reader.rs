//! What decide and apply have in common: reading typed rows, from a snapshot or from a command's own view.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use storage::table::SpaceHeader;
use storage::{Direction, Key, KeyRange, Snapshot, Space, Table};

use super::envelope::open;
use super::refusal::Fault;
use super::rows::{Header, HeaderRow, Place};

/// Keys and values in order.
pub(crate) type Rows<'a> = Box<dyn Iterator<Item = Result<(Key, Bytes), storage::Error>> + 'a>;

/// Something that rows are read from.
pub(crate) trait Reader {
    /// The value of a key.
    fn get<T: Table>(&self, key: &T) -> Result<Option<Bytes>, storage::Error>;
    /// Keys and values of a range.
    fn scan(&self, range: KeyRange, direction: Direction) -> Rows<'_>;

    /// The decoded value of a key.
    fn row<T: Table, R: DeserializeOwned>(&self, key: &T) -> Result<Option<R>, Fault> {
        self.get(key)?.map(|bytes| decode(key, &bytes)).transpose()
    }

    /// The header of a space.
    fn header(&self, space: Space) -> Result<Option<Header>, Fault> {
        Ok(self.placed(space)?.map(|(header, _)| header))
    }

    /// The header of a space, and where the space stands in a move.
    fn placed(&self, space: Space) -> Result<Option<(Header, Place)>, Fault> {
        Ok(self.row(&SpaceHeader { space })?.map(HeaderRow::open))
    }
}

/// Decodes the value of a key; a failure names the key.
pub(crate) fn decode<'a, T: Table, R: Deserialize<'a>>(key: &T, bytes: &'a [u8]) -> Result<R, Fault> {
    open(bytes).map_err(|error| Fault::Row(key.key().to_string(), error))
}

impl Reader for Snapshot {
    fn get<T: Table>(&self, key: &T) -> Result<Option<Bytes>, storage::Error> {
        Snapshot::get(self, key)
    }

    fn scan(&self, range: KeyRange, direction: Direction) -> Rows<'_> {
        Box::new(Snapshot::scan(self, range, direction))
    }
}

impl Reader for storage::Command<'_> {
    fn get<T: Table>(&self, key: &T) -> Result<Option<Bytes>, storage::Error> {
        storage::Command::get(self, key)
    }

    fn scan(&self, range: KeyRange, direction: Direction) -> Rows<'_> {
        Box::new(storage::Command::scan(self, range, direction))
    }
}
