//! The operations that the sync thread has taken from the queue and not yet called back.

use std::sync::Arc;

use super::super::error::WalError;
use super::super::queue::Queued;
use super::super::shared::Shared;

/// However the sync thread ends: if the log has stopped, and it has if the thread panicked, whoever still waits is told the reason,
/// in the order of submission. Only the sync thread does so, so that no failure is told beside a success.
pub(super) struct InHand {
    shared: Arc<Shared>,
    ops: std::vec::IntoIter<Queued>,
}

impl InHand {
    pub(super) fn new(shared: Arc<Shared>) -> InHand {
        InHand {
            shared,
            ops: Vec::new().into_iter(),
        }
    }

    /// The next batch.
    pub(super) fn take(&mut self, ops: Vec<Queued>) -> &[Queued] {
        debug_assert!(self.ops.as_slice().is_empty(), "all of the batch before was called back");
        self.ops = ops.into_iter();
        self.ops.as_slice()
    }
}

impl Iterator for InHand {
    type Item = Queued;

    fn next(&mut self) -> Option<Queued> {
        self.ops.next()
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.stop(WalError::Stopped("its sync thread panicked".into()));
        }
        self.shared.queue.fail(self.ops.by_ref().collect());
    }
}
