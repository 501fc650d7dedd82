//! What was applied and is not yet in the file: an ordered map in memory.
//!
//! The map is persistent in the other sense of the word: a clone costs nothing and shares all that did not change, so publishing a
//! view after every batch is a clone, and a reader keeps the one that it has. One delta is active; up to two more are frozen, and
//! are on their way to the file. A deletion is remembered as `None` until a flush has carried it out below.
//!
//! An entry is one counted reference to key and change. Publishing after every batch means that the next batch copies the nodes that
//! it touches, and copying a node counts up each of its entries: with key and value apart it took twice as long.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use imbl::OrdSet;

use crate::ground::{Ground, GroundView};
use crate::health::Health;
use crate::key::Key;
use crate::progress::{Mark, Reach};

/// What an entry costs besides its key and its value: handles, allocations, and its share of the tree's nodes.
const ENTRY_BYTES: usize = 80;

/// A key and its new value; `None` deletes. Compares by the key alone.
#[derive(Clone, Debug)]
pub(crate) struct Entry(Arc<(Key, Option<Bytes>)>);

impl Entry {
    pub(crate) fn new(key: Key, change: Option<Bytes>) -> Entry {
        Entry(Arc::new((key, change)))
    }

    pub(crate) fn key(&self) -> &Key {
        &self.0.0
    }

    pub(crate) fn change(&self) -> Option<&Bytes> {
        self.0.1.as_ref()
    }

    /// About what it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.key().as_bytes().len() + self.change().map_or(0, Bytes::len) + ENTRY_BYTES
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> Ordering {
        self.key().cmp(other.key())
    }
}

impl Borrow<[u8]> for Entry {
    fn borrow(&self) -> &[u8] {
        self.key().as_bytes()
    }
}

/// Changes in the order of their keys.
pub(crate) type Changes = OrdSet<Entry>;

/// An ordered map of changes that knows its size.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delta {
    pub(crate) changes: Changes,
    /// About what it takes in memory.
    pub(crate) bytes: usize,
}

impl Delta {
    /// Puts an entry in the place of any other of its key.
    pub(crate) fn put(&mut self, entry: Entry) {
        self.bytes += entry.bytes();
        if let Some(old) = self.changes.insert(entry) {
            self.bytes -= old.bytes();
        }
    }
}

/// A delta that no longer changes.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) delta: Delta,
    /// Where the log stood when it froze: what the file will say once it is flushed.
    pub(crate) mark: Mark,
    /// The number of the last batch in it.
    pub(crate) sequence: u64,
    /// How long it took to fill.
    pub(crate) filled_in: Duration,
}

/// One consistent state of the store. Never changed, only replaced.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) mark: Mark,
    pub(crate) active: Delta,
    /// The older one first.
    pub(crate) frozen: Vec<Arc<Frozen>>,
    pub(crate) ground: Arc<GroundView>,
    /// What the file had beyond its base when it was opened or installed.
    pub(crate) reaches: Arc<[Reach]>,
    /// What survives a loss of power.
    pub(crate) durable: Mark,
    pub(crate) health: Arc<Health>,
}

impl View {
    /// The change that the deltas below the active one, or the file, have for a key.
    pub(crate) fn get_below(&self, key: &[u8]) -> Result<Option<Bytes>, crate::Error> {
        self.health.readable()?;
        for frozen in self.frozen.iter().rev() {
            if let Some(entry) = frozen.delta.changes.get(key) {
                return Ok(entry.change().cloned());
            }
        }
        self.health.watch(self.ground.get(key))
    }

    /// The position up to which some space is ahead of the mark, while a replay after a crash has not passed it.
    pub(crate) fn replaying_until(&self) -> Option<u64> {
        self.reaches
            .first()
            .map(|step| step.index)
            .filter(|index| *index > self.mark.index)
    }

    pub(crate) fn delta_bytes(&self) -> usize {
        self.active.bytes + self.frozen.iter().map(|frozen| frozen.delta.bytes).sum::<usize>()
    }

    pub(crate) fn file(&self) -> &Arc<Ground> {
        self.ground.ground()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Space, Table};

    #[test]
    fn a_later_change_takes_the_place_and_the_bytes_of_an_earlier_one() {
        let mut delta = Delta::default();
        let key = |position| {
            Event {
                space: Space(1),
                position,
            }
            .key()
        };
        for position in 0..1000 {
            delta.put(Entry::new(key(position), Some(Bytes::from_static(b"first"))));
        }
        let before = delta.clone();
        for position in (0..1000).rev() {
            delta.put(Entry::new(
                key(position),
                (position % 2 == 0).then(|| Bytes::from_static(b"the second")),
            ));
        }
        assert_eq!(delta.changes.len(), 1000);
        assert_eq!(delta.bytes, delta.changes.iter().map(Entry::bytes).sum::<usize>());
        assert_eq!(delta.changes.get(key(4).as_bytes()).unwrap().change().unwrap(), "the second");
        assert!(delta.changes.get(key(5).as_bytes()).unwrap().change().is_none());
        assert!(
            before.changes.iter().all(|entry| entry.change().unwrap() == "first"),
            "a clone keeps what it had"
        );
    }
}
