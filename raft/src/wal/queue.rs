//! The one ordered queue of the log: votes, entries, truncations and purges of all groups, bounded by bytes.
//!
//! Entries are only accepted when all that is accepted fits into what is prewritten: into the rest of the active segment,
//! or all of it into the next one. So a disk that fills up, and the log's bound, show here and not after a promise.
//!
//! Invariant: `done` of everything that was pushed is called exactly once: by the sync thread after the fdatasync, or with
//! the reason once the log has stopped. Nothing is pushed after a stop.

mod committed;
mod room;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use committed::Waiting;
pub(crate) use room::Room;

use super::error::WalError;
use super::frame::frame_bytes;
use super::group::GroupCell;
use super::options::{Done, LAZY_FLUSH, LogEntry, LogOptions};
use super::runs::Place;
use super::segment::Segment;

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

/// How far the sync thread is.
pub(crate) struct Position {
    pub active: Arc<Segment>,
    pub tail: u64,
    /// What the next checkpoint takes.
    pub checkpoint_bytes: u64,
}

#[derive(Default)]
struct Inner {
    ops: VecDeque<Queued>,
    committed: Waiting,
    copies: Vec<CopyForward>,
    copying: bool,
    next_number: u64,
    /// Reserved, waiting or being written.
    bytes: u64,
    position: Option<Position>,
    next: Option<Arc<Segment>>,
    /// More segments than the bound allows: the last one is for copying only.
    crowded: bool,
    /// Entries that wait for the keeper, in bytes.
    want: u64,
    full: Option<String>,
    closing: bool,
    stopped: Option<WalError>,
}

/// See the module.
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    work: Condvar,
    changed: Notify,
    limit_bytes: u64,
    /// Kept free at the end of a segment: for votes and the like while the log is full, and for the seal.
    headroom_bytes: u64,
    /// What may be asked to be prewritten at once. One append that is larger goes ahead when so much fits.
    chunk_bytes: u64,
    batch_bytes: u64,
}

impl Queue {
    pub(crate) fn new(options: &LogOptions, next: Option<Arc<Segment>>) -> Queue {
        Queue {
            inner: Mutex::new(Inner {
                next,
                ..Inner::default()
            }),
            work: Condvar::new(),
            changed: Notify::new(),
            limit_bytes: options.queue_bytes,
            headroom_bytes: options.headroom_bytes() + frame_bytes(0),
            chunk_bytes: options.segment_bytes / 4,
            batch_bytes: options.batch_bytes(),
        }
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
        inner.ops.push_back(Queued {
            number,
            cell,
            op,
            done,
            bytes,
        });
        drop(inner);
        self.work.notify_one();
        Ok(number)
    }

    /// Leaves a committed position to be taken along by the next batch that has all that was pushed before; see `committed`.
    pub(crate) fn push_committed(&self, group: u64, committed: Bytes) -> Result<(), WalError> {
        let mut inner = self.lock();
        inner.check_open()?;
        let after = inner.next_number;
        if inner.committed.push(group, after, committed) {
            // The sync thread may be waiting without a limit; now it must not.
            self.work.notify_one();
        }
        Ok(())
    }

    /// Hands entries to be copied to the sync thread, if they fit; only while `may_copy`. `false`: nothing has changed.
    pub(crate) fn push_copies(&self, copies: Vec<CopyForward>) -> bool {
        let bytes = copies.iter().map(|copy| u64::from(copy.place.bytes)).sum();
        let mut inner = self.lock();
        // The segment beyond the bound is there for them.
        let crowded = std::mem::take(&mut inner.crowded);
        let fits = self.fits(&inner, bytes);
        inner.crowded = crowded;
        if !fits {
            // `true` once: the keeper is to look again, with this in mind.
            let news = inner.want < bytes;
            inner.want = inner.want.max(bytes);
            return news;
        }
        inner.bytes += bytes;
        inner.copies = copies;
        inner.copying = true;
        drop(inner);
        self.work.notify_one();
        true
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
            let lazy = inner.committed.patience(LAZY_FLUSH);
            let lazy_due = lazy.is_some_and(|wait| wait.is_zero());
            if !inner.ops.is_empty() || !inner.copies.is_empty() || lazy_due || inner.closing {
                return Some(inner.take_batch(self.batch_bytes));
            }
            inner = match lazy {
                Some(wait) => self.work.wait_timeout(inner, wait).unwrap_or_else(PoisonError::into_inner).0,
                None => self.work.wait(inner).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// A batch is done with.
    pub(crate) fn finished(&self, bytes: u64, copied: bool, position: Position) {
        let mut inner = self.lock();
        inner.bytes -= bytes;
        if inner
            .next
            .as_ref()
            .is_some_and(|next| next.sequence() <= position.active.sequence())
        {
            inner.next = None;
        }
        inner.position = Some(position);
        if copied {
            inner.copying = false;
        }
        drop(inner);
        self.announce();
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// Refuses all that comes, and lets the sync thread finish what is there.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_all();
        self.announce();
    }

    /// Stops for good, with the first reason that is given. The sync thread tells what waits, so that callbacks keep
    /// their order.
    pub(crate) fn stop(&self, error: WalError) {
        self.lock().stopped.get_or_insert(error);
        self.work.notify_all();
        self.announce();
    }

    /// At the end of the sync thread: after a stop, tells these operations, and then what waits.
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

    fn take_batch(&mut self, batch_bytes: u64) -> Batch {
        let mut batch = Batch {
            copies: std::mem::take(&mut self.copies),
            ..Batch::default()
        };
        let mut bytes = 0;
        while let Some(next) = self.ops.front() {
            bytes += next.bytes;
            if bytes > batch_bytes && !batch.ops.is_empty() {
                break;
            }
            batch.ops.extend(self.ops.pop_front());
        }
        batch.committed = self.committed.take(self.ops.front().map(|queued| queued.number));
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
