//! What was applied and is not yet in the file: an ordered map in memory.
//!
//! The map is persistent in the other sense of the word: a clone costs nothing and shares all that did not change, so publishing a
//! view after every batch is a clone, and a reader keeps the one that it has. One delta is active; up to two more are frozen, and
//! are on their way to the file. A deletion is remembered as `None` until a flush has carried it out below.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use imbl::OrdMap;

use crate::ground::{Ground, GroundView};
use crate::health::Health;
use crate::key::Key;
use crate::progress::{Mark, Reach};

/// What an entry costs besides its key and its value: handles, allocations, and its share of the tree's nodes.
const ENTRY_BYTES: usize = 64;

/// Changes by key; `None` deletes.
pub(crate) type Changes = OrdMap<Key, Option<Bytes>>;

/// An ordered map of changes that knows its size.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delta {
    pub(crate) changes: Changes,
    /// About what it takes in memory.
    pub(crate) bytes: usize,
}

impl Delta {
    pub(crate) fn put(&mut self, key: Key, change: Option<Bytes>) {
        let bytes = Delta::entry_bytes(&key, &change);
        let value_bytes = change.as_ref().map_or(0, Bytes::len);
        match self.changes.insert(key, change) {
            None => self.bytes += bytes,
            Some(old) => self.bytes = self.bytes + value_bytes - old.as_ref().map_or(0, Bytes::len),
        }
    }

    /// About what an entry takes in memory.
    pub(crate) fn entry_bytes(key: &Key, change: &Option<Bytes>) -> usize {
        key.as_bytes().len() + change.as_ref().map_or(0, Bytes::len) + ENTRY_BYTES
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
        for frozen in self.frozen.iter().rev() {
            if let Some(change) = frozen.delta.changes.get(key) {
                return Ok(change.clone());
            }
        }
        self.health.watch(self.ground.get(key))
    }

    /// The position up to which some space is ahead of the mark, while a replay after a crash has not passed it.
    pub(crate) fn replaying_until(&self) -> Option<u64> {
        self.reaches.first().map(|step| step.index).filter(|index| *index > self.mark.index)
    }

    pub(crate) fn delta_bytes(&self) -> usize {
        self.active.bytes + self.frozen.iter().map(|frozen| frozen.delta.bytes).sum::<usize>()
    }

    pub(crate) fn file(&self) -> &Arc<Ground> {
        self.ground.ground()
    }
}
