//! The one ordered queue of the log: votes, entries, truncations and purges of all groups, bounded by bytes.
//!
//! Invariant: `done` of everything that was pushed is called exactly once: by the sync thread after the fdatasync, or with
//! the reason once the log has stopped. Nothing is pushed after a stop.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use super::error::WalError;
use super::group::GroupCell;
use super::options::{BATCH_BYTES, Done, LAZY_FLUSH, LogEntry};
use super::runs::Place;

/// What is to be written for a group.
pub(crate) enum Op {
    Append(Vec<LogEntry>),
    Vote(Bytes),
    /// Entries from here on go.
    Truncate(u64),
    Purge(u64, Bytes),
    /// Nothing: it only waits for its turn.
    Nothing,
}

/// An operation in the queue.
pub(crate) struct Queued {
    /// Its number in the order of all operations.
    pub number: u64,
    pub cell: Arc<GroupCell>,
    pub op: Op,
    pub done: Done,
    /// What it counts for in the queue's bound.
    pub bytes: u64,
}

/// A live entry of an old segment, on its way to the tail.
pub(crate) struct CopyForward {
    pub cell: Arc<GroupCell>,
    pub index: u64,
    pub segment: u64,
    pub place: Place,
    pub bytes: Bytes,
}

/// What the sync thread takes at once.
#[derive(Default)]
pub(crate) struct Batch {
    /// Come first: they were looked up in what is written, and nothing may be written in between.
    pub copies: Vec<CopyForward>,
    pub ops: Vec<Queued>,
    pub committed: BTreeMap<u64, Bytes>,
    /// The log is being closed and this is all there was.
    pub last: bool,
}

/// Why there is no next segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Full {
    pub reason: String,
    /// The disk is full, so that only what is prewritten can be used; otherwise the log's own bound is reached.
    pub disk: bool,
}

/// How much of the active segment is left, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Room {
    pub prewritten: u64,
    pub capacity: u64,
}

#[derive(Default)]
struct Inner {
    ops: VecDeque<Queued>,
    committed: BTreeMap<u64, Bytes>,
    committed_since: Option<Instant>,
    copies: Vec<CopyForward>,
    copying: bool,
    next_number: u64,
    /// Reserved, waiting or being written.
    bytes: u64,
    room: Room,
    full: Option<Full>,
    closing: bool,
    stopped: Option<WalError>,
}

/// See the module.
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    work: Condvar,
    space: Condvar,
    limit_bytes: u64,
}

impl Queue {
    pub(crate) fn new(limit_bytes: u64) -> Queue {
        Queue { inner: Mutex::default(), work: Condvar::new(), space: Condvar::new(), limit_bytes }
    }

    /// Waits until so many bytes fit; whoever gets them pushes or gives them back. One that is larger than the bound fits
    /// when it is alone. Entries are refused while the log is full; the rest may use the headroom.
    pub(crate) fn reserve(&self, bytes: u64, entries: bool) -> Result<(), WalError> {
        let mut inner = self.lock();
        loop {
            inner.check_open()?;
            if entries && let Some(full) = &inner.full {
                let room = if full.disk { inner.room.prewritten } else { inner.room.capacity };
                if inner.bytes + bytes > room {
                    return Err(WalError::Full(full.reason.clone()));
                }
            }
            if inner.bytes == 0 || inner.bytes + bytes <= self.limit_bytes {
                inner.bytes += bytes;
                return Ok(());
            }
            inner = self.space.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.lock().bytes -= bytes;
        self.space.notify_all();
    }

    /// Puts an operation behind all others; returns its number, or `done` if the log has stopped.
    pub(crate) fn push(&self, cell: Arc<GroupCell>, op: Op, bytes: u64, done: Done) -> Result<u64, (WalError, Done)> {
        let mut inner = self.lock();
        if let Err(error) = inner.check_open() {
            inner.bytes -= bytes;
            return Err((error, done));
        }
        inner.next_number += 1;
        let number = inner.next_number;
        inner.ops.push_back(Queued { number, cell, op, done, bytes });
        drop(inner);
        self.work.notify_one();
        Ok(number)
    }

    /// Leaves a committed position to be taken along by the next batch; only the newest of each group is kept.
    pub(crate) fn push_committed(&self, group: u64, committed: Bytes) -> Result<(), WalError> {
        let mut inner = self.lock();
        inner.check_open()?;
        inner.committed.insert(group, committed);
        if inner.committed_since.is_none() {
            inner.committed_since = Some(Instant::now());
            // The sync thread may be waiting without a limit; now it must not.
            self.work.notify_one();
        }
        Ok(())
    }

    /// Hands entries to be copied to the sync thread; only while `may_copy`.
    pub(crate) fn push_copies(&self, copies: Vec<CopyForward>) {
        let mut inner = self.lock();
        inner.copies = copies;
        inner.copying = true;
        drop(inner);
        self.work.notify_one();
    }

    /// Are the copies that were handed over done with?
    pub(crate) fn may_copy(&self) -> bool {
        !self.lock().copying
    }

    /// Waits for work. `None` once the log has stopped.
    pub(crate) fn take(&self) -> Option<Batch> {
        let mut inner = self.lock();
        loop {
            if inner.stopped.is_some() {
                return None;
            }
            let lazy = inner.committed_since.map(|since| LAZY_FLUSH.saturating_sub(since.elapsed()));
            let lazy_due = lazy.is_some_and(|wait| wait.is_zero());
            if !inner.ops.is_empty() || !inner.copies.is_empty() || lazy_due || inner.closing {
                return Some(inner.take_batch());
            }
            inner = match lazy {
                Some(wait) => self.work.wait_timeout(inner, wait).unwrap_or_else(PoisonError::into_inner).0,
                None => self.work.wait(inner).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// A batch is done with.
    pub(crate) fn finished(&self, bytes: u64, copied: bool, room: Room) {
        let mut inner = self.lock();
        inner.bytes -= bytes;
        inner.room = room;
        if copied {
            inner.copying = false;
        }
        drop(inner);
        self.space.notify_all();
    }

    pub(crate) fn set_room(&self, room: Room) {
        self.lock().room = room;
    }

    pub(crate) fn set_full(&self, full: Option<Full>) {
        self.lock().full = full;
    }

    pub(crate) fn full(&self) -> Option<Full> {
        self.lock().full.clone()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// Refuses all that comes, and lets the sync thread finish what is there.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_all();
        self.space.notify_all();
    }

    /// Stops for good, with the first reason that is given. The sync thread tells what waits, so that callbacks keep
    /// their order.
    pub(crate) fn stop(&self, error: WalError) {
        self.lock().stopped.get_or_insert(error);
        self.work.notify_all();
        self.space.notify_all();
    }

    /// After a stop: tells these operations, and then what waits.
    pub(crate) fn fail(&self, ops: Vec<Queued>) {
        let mut inner = self.lock();
        let Some(reason) = inner.stopped.clone() else { return };
        let waiting = std::mem::take(&mut inner.ops);
        inner.copies.clear();
        inner.committed.clear();
        drop(inner);
        for queued in ops.into_iter().chain(waiting) {
            call(queued.done, Err(reason.clone().into()));
        }
    }

    pub(crate) fn stopped(&self) -> Option<WalError> {
        self.lock().stopped.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn check_open(&self) -> Result<(), WalError> {
        match &self.stopped {
            Some(error) => Err(WalError::Stopped(error.to_string())),
            None if self.closing => Err(WalError::Stopped("it was closed".into())),
            None => Ok(()),
        }
    }

    fn take_batch(&mut self) -> Batch {
        let mut batch = Batch { copies: std::mem::take(&mut self.copies), ..Batch::default() };
        let mut bytes = 0;
        while let Some(next) = self.ops.front() {
            bytes += next.bytes;
            if bytes > BATCH_BYTES && !batch.ops.is_empty() {
                break;
            }
            batch.ops.extend(self.ops.pop_front());
        }
        batch.committed = std::mem::take(&mut self.committed);
        self.committed_since = None;
        batch.last = self.closing && self.ops.is_empty();
        batch
    }
}

/// Calls back; a callback that panics is the caller's fault and must not end the sync thread.
pub(crate) fn call(done: Done, result: io::Result<super::options::Synced>) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || done(result))).is_err() {
        tracing::error!("a callback of the log panicked");
    }
}
