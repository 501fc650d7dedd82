//! How much is written where: commands by space, counted as they are applied. No part of applying: nothing that is stored depends on it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use storage::Space;

/// Counts of one replica, since they were taken last.
#[derive(Debug, Default)]
pub(crate) struct Loads(Mutex<BTreeMap<Space, u64>>);

impl Loads {
    /// Commands were applied to these spaces.
    pub(super) fn applied(&self, spaces: impl Iterator<Item = Space>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for space in spaces {
            *counts.entry(space).or_default() += 1;
        }
    }

    /// What was counted since this was asked last.
    pub(crate) fn take(&self) -> BTreeMap<Space, u64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
