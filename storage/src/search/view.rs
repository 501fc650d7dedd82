//! One state of an index, as everybody sees it who asks before the next commit.
//!
//! What depends on no question is looked up once, when somebody needs it: the columns of a segment, which of its documents are deleted, how many records
//! a space has. What a commit left as it was is taken over from the state before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tantivy::columnar::ColumnValues;
use tantivy::index::SegmentId;
use tantivy::{Opstamp, Searcher, SegmentReader};

use super::SearchError;
use super::shape::{COLLECTION, HIGH, LOW, SPACE};
use crate::space::Space;

/// See the module.
pub(super) struct View {
    searcher: Searcher,
    /// In the order of the segments.
    opened: Vec<Arc<Opened>>,
    /// How many records each space has, of those that somebody asked for.
    records: Mutex<BTreeMap<Space, u64>>,
}

/// What was looked up of a segment.
struct Opened {
    /// The segment, and what is deleted in it: both never change.
    of: (SegmentId, Option<Opstamp>),
    columns: OnceLock<Columns>,
    deleted: OnceLock<Vec<u32>>,
}

/// What every document says of itself.
pub(super) struct Columns {
    pub(super) space: Column,
    pub(super) collection: Column,
    pub(super) high: Column,
    pub(super) low: Column,
}

/// A value of each document.
pub(super) type Column = Arc<dyn ColumnValues<u64>>;

/// A segment of a state.
#[derive(Clone, Copy)]
pub(super) struct Segment<'v> {
    pub(super) reader: &'v SegmentReader,
    opened: &'v Opened,
}

impl View {
    /// What a searcher sees, which opened its segments after `before` did.
    pub(super) fn of(searcher: Searcher, before: Option<&View>) -> View {
        let opened = searcher.segment_readers().iter().map(|reader| {
            let of = (reader.segment_id(), reader.delete_opstamp());
            let known = before.and_then(|before| before.opened.iter().find(|opened| opened.of == of));
            known.cloned().unwrap_or_else(|| {
                Arc::new(Opened {
                    of,
                    columns: OnceLock::new(),
                    deleted: OnceLock::new(),
                })
            })
        });
        View {
            opened: opened.collect(),
            searcher,
            records: Mutex::default(),
        }
    }

    /// What it was made of.
    pub(super) fn searcher(&self) -> &Searcher {
        &self.searcher
    }

    /// Its segments.
    pub(super) fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        let readers = self.searcher.segment_readers().iter();
        readers.zip(&self.opened).map(|(reader, opened)| Segment { reader, opened })
    }

    /// How many records a space has; `count` says it where that is not known yet.
    pub(super) fn records(&self, space: Space, count: impl FnOnce() -> Result<u64, SearchError>) -> Result<u64, SearchError> {
        // What is locked is whole after every statement, whatever panicked.
        let lock = || self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(&space).copied();
        if let Some(records) = known {
            return Ok(records);
        }
        let records = count()?;
        lock().insert(space, records);
        Ok(records)
    }
}

impl<'v> Segment<'v> {
    /// What its documents say of themselves.
    pub(super) fn columns(self) -> Result<&'v Columns, SearchError> {
        if let Some(columns) = self.opened.columns.get() {
            return Ok(columns);
        }
        let columns = self.reader.fast_fields();
        let column = |name| columns.column_first_or_default::<u64>(name);
        let columns = Columns {
            space: column(SPACE)?,
            collection: column(COLLECTION)?,
            high: column(HIGH)?,
            low: column(LOW)?,
        };
        Ok(self.opened.columns.get_or_init(|| columns))
    }

    /// Which of its documents are deleted, ascending.
    pub(super) fn deleted(self) -> &'v [u32] {
        self.opened.deleted.get_or_init(|| {
            let Some(alive) = self.reader.alive_bitset() else {
                return Vec::new();
            };
            let (mut deleted, mut next) = (Vec::new(), 0);
            for document in alive.iter_alive() {
                deleted.extend(next..document);
                next = document + 1;
            }
            deleted.extend(next..self.reader.max_doc());
            deleted
        })
    }
}
