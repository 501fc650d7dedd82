//! A consistent reading of the store at one position: the file's read transaction, the frozen deltas and the active one, taken
//! together. Taking one costs a counted reference; it never waits, and it holds what it needs for as long as it lives.
//!
//! CAVEAT: a snapshot that lives long keeps redb from using freed pages again, and the file grows: the server reads from one for
//! milliseconds, a transfer for minutes.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::delta::View;
use crate::error::Error;
use crate::key::Key;
use crate::progress::Mark;
use crate::range::KeyRange;
use crate::scan::{Direction, Scan};
use crate::space::Space;
use crate::table::Table;

/// The store at one position.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) view: Arc<View>,
}

impl Snapshot {
    /// The last log position whose effect every space shows.
    pub fn mark(&self) -> &Mark {
        &self.view.mark
    }

    /// While the log is replayed after a crash: the position from which on all spaces stand at the mark again. Until then each space
    /// is consistent in itself, but some are ahead of the mark.
    pub fn replaying_until(&self) -> Option<u64> {
        self.view.replaying_until()
    }

    /// Reads one key.
    pub fn get<T: Table>(&self, key: &T) -> Result<Option<Bytes>, Error> {
        self.get_raw(key.key().as_bytes())
    }

    /// Reads one encoded key.
    pub fn get_raw(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        match self.view.active.changes.get(key) {
            Some(entry) => Ok(entry.change().cloned()),
            None => self.view.get_below(key),
        }
    }

    /// Walks over a range. The walk holds the snapshot.
    pub fn scan(&self, range: KeyRange, direction: Direction) -> Scan {
        Scan::new(&self.view, &self.view.active.changes, Default::default(), &range, direction)
    }

    /// The spaces that hold any key, ascending. Found by seeking: as many seeks as spaces, however many keys they hold.
    pub fn spaces(&self) -> Spaces {
        Spaces {
            snapshot: self.clone(),
            rest: KeyRange::all(),
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Snapshot")
            .field("index", &self.view.mark.index)
            .finish_non_exhaustive()
    }
}

/// Walks over the spaces of a snapshot.
#[derive(Debug)]
pub struct Spaces {
    snapshot: Snapshot,
    rest: KeyRange,
}

impl Iterator for Spaces {
    type Item = Result<Space, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let first: Option<Result<(Key, Bytes), Error>> = self.snapshot.scan(self.rest.clone(), Direction::Forward).next();
        match first? {
            Ok((key, _)) => {
                self.rest.start = KeyRange::space(key.space()).end;
                Some(Ok(key.space()))
            }
            Err(error) => {
                self.rest.start = self.rest.end.clone();
                Some(Err(error))
            }
        }
    }
}
