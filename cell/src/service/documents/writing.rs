//! Turns to write large documents, one at a time: each update is tried on what the one before it has left.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use api::service::{DocumentAt, RequestContext};
use tokio::sync::OwnedMutexGuard;

type Turn = tokio::sync::Mutex<()>;

/// See the module.
#[derive(Default)]
pub(crate) struct Writing(Mutex<HashMap<(u64, DocumentAt), Weak<Turn>>>);

impl Writing {
    /// The turn to write a document, until it is dropped.
    pub(super) async fn turn(&self, ctx: &RequestContext, at: &DocumentAt) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let known = turns.entry((ctx.placement.uid, at.clone())).or_default();
            known.upgrade().unwrap_or_else(|| {
                let turn = Arc::<Turn>::default();
                *known = Arc::downgrade(&turn);
                turn
            })
        };
        turn.lock_owned().await
    }
}
