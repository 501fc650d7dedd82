//! What this replica holds at the position of a scrub, and what came out when it was hashed. In memory only, one scrub at a time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use storage::{Snapshot, Store};
use uuid::Uuid;

/// What came out of a scrub at one replica. Sent between nodes: variants are appended, never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Found {
    /// The replica has not come to it, or has forgotten it.
    Nothing,
    /// It is at work.
    Running,
    /// It is done.
    Done(Held),
    /// What it holds is wrong in itself.
    Damaged(String),
    /// It could not tell.
    Failed(String),
}

/// What a replica holds at a position.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Held {
    /// The log position.
    pub(crate) index: u64,
    /// The hash of keys and values.
    pub(crate) hash: [u8; 32],
    /// How many keys there are.
    pub(crate) keys: u64,
    /// How many blocks of the file were read and are right.
    pub(crate) blocks: u64,
}

/// The scrubs of one replica.
#[derive(Default)]
pub(crate) struct Pins {
    current: Mutex<Option<(Uuid, Found)>>,
    /// Scrubs in what is replayed while the group opens are of the past.
    open: AtomicBool,
    finished: AtomicU64,
}

impl Pins {
    /// From now on scrubs are begun.
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    /// Begins to hash a snapshot, in the background. A scrub that is still at work ends without a result.
    pub(crate) fn begin(self: &Arc<Self>, store: &Store, id: Uuid, index: u64, snapshot: Snapshot) {
        if !self.open.load(Ordering::Acquire) {
            return;
        }
        *self.lock() = Some((id, Found::Running));
        let (pins, store) = (Arc::clone(self), store.clone());
        let work = move || {
            let superseded = || pins.lock().as_ref().is_none_or(|(current, _)| *current != id);
            let found = match store.scrub(&snapshot, superseded) {
                Ok(scrubbed) => Found::Done(Held {
                    index,
                    hash: scrubbed.hash.hash,
                    keys: scrubbed.hash.keys,
                    blocks: scrubbed.blocks,
                }),
                Err(storage::Error::Damaged { what }) => Found::Damaged(what),
                Err(error) => Found::Failed(error.to_string()),
            };
            drop(snapshot);
            pins.end(id, found);
        };
        if let Err(error) = std::thread::Builder::new().name("scrub".to_owned()).spawn(work) {
            self.end(id, Found::Failed(format!("start a thread: {error}")));
        }
    }

    fn end(&self, id: Uuid, found: Found) {
        let mut current = self.lock();
        if let Some((known, outcome)) = current.as_mut().filter(|(known, _)| *known == id) {
            tracing::info!(scrub = %known, ?found, "a scrub of this replica ended");
            self.finished.fetch_add(1, Ordering::Relaxed);
            *outcome = found;
        }
    }

    /// What came out of a scrub here.
    pub(crate) fn found(&self, id: Uuid) -> Found {
        match &*self.lock() {
            Some((known, found)) if *known == id => found.clone(),
            _ => Found::Nothing,
        }
    }

    /// The last scrub that the replica came to.
    pub(crate) fn last(&self) -> Option<Uuid> {
        self.lock().as_ref().map(|(id, _)| *id)
    }

    /// How many ended since the replica was opened.
    pub(crate) fn finished(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Uuid, Found)>> {
        // It is replaced whole.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
