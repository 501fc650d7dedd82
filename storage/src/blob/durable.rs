//! Which directories of chunks are known to be durable, with every name in them.
//!
//! A file that is there may have a name that only memory knows: its directory's sync failed, or the process that wrote it was killed
//! before it. So a chunk that is found counts as kept only where this process has synced its directory since.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::BlobError;
use crate::space::Space;

/// Makes the names in a directory durable.
pub(super) type SyncDirectory = fn(&Path) -> Result<(), BlobError>;

/// A bit for each first byte of a hash.
type Bits = [u64; 4];

/// See the module. Who asks for a directory has its chunks' turn.
#[derive(Debug)]
pub(super) struct Durable {
    sync: SyncDirectory,
    known: Mutex<BTreeMap<Space, Bits>>,
}

impl Durable {
    pub(super) fn new(sync: SyncDirectory) -> Self {
        Self {
            sync,
            known: Mutex::default(),
        }
    }

    /// Whether all names in the directory of a space and a first byte are durable, and its own too.
    pub(super) fn is_known(&self, space: Space, first: u8) -> bool {
        let (at, bit) = place(first);
        self.lock().get(&space).is_some_and(|bits| bits[at] & bit != 0)
    }

    /// Whether the names of some directory of a space are durable.
    fn knows(&self, space: Space) -> bool {
        self.lock().get(&space).is_some_and(|bits| *bits != Bits::default())
    }

    /// Makes them durable. Those of the directories above, up to the one that the root lies in, only where that is not known: as long as
    /// one directory of a space is known, so is the space's.
    pub(super) fn confirm(&self, space: Space, first: u8, directory: &Path) -> Result<(), BlobError> {
        let known = self.is_known(space, first);
        // Until it is synced again, nothing is known of it.
        self.set(space, first, false);
        (self.sync)(directory)?;
        if !known {
            // The space's; and the root, and what that lies in.
            let above = if self.knows(space) { 1 } else { 3 };
            let above = directory.ancestors().skip(1).take(above);
            for above in above.filter(|path| !path.as_os_str().is_empty()) {
                (self.sync)(above)?;
            }
        }
        self.set(space, first, true);
        Ok(())
    }

    /// A directory is gone.
    pub(super) fn forget(&self, space: Space, first: u8) {
        self.set(space, first, false);
        self.lock().retain(|_, bits| *bits != Bits::default());
    }

    fn set(&self, space: Space, first: u8, known: bool) {
        let (at, bit) = place(first);
        let mut all = self.lock();
        let bits = &mut all.entry(space).or_default()[at];
        *bits = if known { *bits | bit } else { *bits & !bit };
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Space, Bits>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(first: u8) -> (usize, u64) {
    (usize::from(first / 64), 1_u64 << (first % 64))
}
