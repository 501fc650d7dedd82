//! One group's part of the log as its owner sees it: what was submitted, with the newest entries in memory.
//!
//! `view` is ahead of the disk: it shows each operation as soon as it is in the queue. `runs` is what fdatasync has covered.
//! An entry is in `tail` from its submission until it is durable and the tail's budget asks for its memory; so an index
//! below the tail is always found in `runs`, and what `runs` says of indexes within the tail does not matter.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::checkpoint::Checkpoint;
use super::options::LogEntry;
use super::runs::Runs;

/// A group in memory.
pub(crate) struct GroupCell {
    pub id: u64,
    inner: Mutex<GroupInner>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct GroupInner {
    /// As submitted.
    pub view: Checkpoint,
    /// The newest entries: those of the last `tail.len()` indexes before `view.next`.
    pub(super) tail: VecDeque<Slot>,
    tail_bytes: u64,
    /// The last entry's bytes, which may be no longer or not yet in the tail.
    pub(super) last: Option<Bytes>,
    /// As durable.
    pub runs: Runs,
}

pub(super) struct Slot {
    pub(super) bytes: Bytes,
    /// Number of the operation that brought it: durable once the sync thread is past it.
    op: u64,
}

impl GroupCell {
    pub(crate) fn new(id: u64) -> GroupCell {
        GroupCell {
            id,
            inner: Mutex::default(),
        }
    }

    /// A group that was read back from the disk.
    pub(crate) fn recovered(id: u64, view: Checkpoint, runs: Runs, last: Option<Bytes>) -> GroupCell {
        GroupCell {
            id,
            inner: Mutex::new(GroupInner {
                view,
                runs,
                last,
                ..GroupInner::default()
            }),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, GroupInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GroupInner {
    pub(super) fn tail_first(&self) -> u64 {
        self.view.next - self.tail.len() as u64
    }

    pub(super) fn push(&mut self, entries: Vec<LogEntry>, op: u64) {
        for LogEntry { index, bytes } in entries {
            // Checked before it was queued.
            let continues = self.view.entry(index);
            debug_assert!(continues.is_ok());
            self.tail_bytes += bytes.len() as u64;
            self.last = Some(bytes.clone());
            self.tail.push_back(Slot { bytes, op });
        }
    }

    /// `last` is the entry that will be the last one.
    pub(super) fn truncate(&mut self, from: u64, last: Option<Bytes>) {
        let keep = from.saturating_sub(self.tail_first()) as usize;
        for slot in self.tail.drain(keep.min(self.tail.len())..) {
            self.tail_bytes -= slot.bytes.len() as u64;
        }
        self.view.truncate(from);
        self.last = last;
    }

    pub(super) fn purge(&mut self, upto: u64, purged: Bytes) {
        let gone = (upto + 1).saturating_sub(self.tail_first()) as usize;
        for slot in self.tail.drain(..gone.min(self.tail.len())) {
            self.tail_bytes -= slot.bytes.len() as u64;
        }
        self.view.purge(upto, purged);
        if self.view.last().is_none() {
            self.last = None;
        }
    }

    /// Lets go of durable entries that are over the budget, the oldest first.
    pub(crate) fn evict(&mut self, budget_bytes: u64, durable_op: u64) {
        while self.tail_bytes > budget_bytes {
            match self.tail.front() {
                Some(slot) if slot.op <= durable_op => {
                    self.tail_bytes -= slot.bytes.len() as u64;
                    self.tail.pop_front();
                }
                _ => return,
            }
        }
    }
}
