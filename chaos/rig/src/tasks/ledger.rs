//! What was acknowledged, to be looked for afterwards.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The keys of the creates that were acknowledged, over all connections of a load.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Vec<String>>>);

impl Ledger {
    pub(super) fn note(&self, key: &str) {
        self.lock().push(key.to_owned());
    }

    /// All of them so far.
    pub fn keys(&self) -> Vec<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        // A list of whole keys, whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
