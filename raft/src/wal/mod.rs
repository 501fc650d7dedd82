//! The node's write-ahead log: one for all its groups, so that one fdatasync serves many of them.
//!
//! It knows nothing of Raft beyond its shape: a group has a vote, a committed position, entries by index, and a position
//! up to which entries are purged; all of them are opaque bytes.
//!
//! ```text
//!  callers ──► queue ──► sync thread (writer) ──► segment files        keeper: prewrites, recycles, copies forward
//!     │   one order,     lays out frames,          zeros, then frames
//!     ▼   bounded        one fdatasync,               │
//!  group: what was       callbacks in order           ▼
//!  submitted, tail    ◄── places of what is durable   recover: reads all of it back at the start
//! ```
//!
//! # Files
//!
//! `LOCK` (one process), `FORMAT` (what this is, see `identity`), `<sequence>.segment` (see `frame` for the bytes),
//! `spare-<n>` (prewritten, waiting). Sequence numbers have no gaps and never come again.
//!
//! # Invariants
//!
//! 1. `done(Ok)` is called after the fdatasync that covers the operation, once, in the order of submission over all groups.
//! 2. What was acknowledged is there after any power loss, or opening refuses with file and offset. Of what was not, any
//!    prefix in the order of submission may be there, in whole frames; an append may survive in part, entry by entry.
//! 3. A frame lies below what is prewritten and durable, so its fdatasync changes no file size.
//! 4. A segment is sealed and durable before its successor gets a frame; the successor begins with every group's state; so
//!    the oldest segments can go as soon as no live entry is in them.
//! 5. Nothing is released before what made it superfluous is durable.
//! 6. A failed write or fdatasync stops the log for good (`LogStats::stopped`). It is never tried again.
//!
//! # CAVEATS
//!
//! - A 512-byte sector is assumed to be old or new after a power loss, also when its first part was durable before.
//! - A file system that copies on write (btrfs, zfs) needs space to overwrite: a full disk can then stop the log.
//! - An append waits, without its thread, while `queue_bytes` wait for the disk or nothing is prewritten for it.
//! - Payloads are stored as they are given: encryption, if any, is the caller's.

pub mod bench;
mod blocking;
mod checkpoint;
mod disk;
mod error;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod group;
mod group_log;
mod identity;
mod keeper;
mod options;
mod queue;
mod recover;
mod runs;
mod scan;
mod segment;
mod shared;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

#[cfg(test)]
pub(crate) use disk::DiskFile;
pub(crate) use disk::{Disk, RealDisk};
pub(crate) use error::WalError;
pub(crate) use group_log::GroupLog;
pub(crate) use options::{Done, LogEntry, Recovery, Synced};
pub use options::{LogOptions, LogStats};

use group::GroupCell;
use keeper::Keeper;
use queue::Queue;
use shared::{Counters, Shared, Yard};
use writer::Writer;

/// The log of a node: a handle, cheap to clone. When the last handle and the last `GroupLog` are gone, the log is closed.
#[derive(Clone)]
pub(crate) struct Wal {
    owner: Arc<Owner>,
}

/// Ends the threads when the last handle goes.
pub(crate) struct Owner {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Wal {
    /// Opens or creates the log in this directory: takes its lock, reads and checks every segment, cuts a torn tail.
    pub(crate) fn open(dir: &Path, options: LogOptions, disk: Arc<dyn Disk>) -> Result<(Wal, Recovery), WalError> {
        let start = Instant::now();
        let options = options.checked();
        disk.create_dir(dir).map_err(|error| segment::failed("create", dir, error))?;
        let lock_path = dir.join(identity::LOCK_NAME);
        let lock = disk.lock(&lock_path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => WalError::Locked { dir: dir.to_path_buf() },
            _ => segment::failed("lock", &lock_path, error),
        })?;
        let found = recover::recover(&*disk, dir, &options)?;
        let mut report = found.report.clone();
        report.took = start.elapsed();
        if let Some(cut) = &report.cut {
            let file = cut.file.display();
            tracing::warn!(%file, offset = cut.offset, bytes = cut.bytes, "cut a torn tail, which was never acknowledged");
        }
        let owner = start_threads(dir, options, disk, lock, found)?;
        Ok((Wal { owner: Arc::new(owner) }, report))
    }

    /// The part of this group, which begins empty.
    pub(crate) fn group(&self, id: u64) -> GroupLog {
        GroupLog {
            cell: self.owner.shared.cell(id),
            shared: self.owner.clone(),
        }
    }

    /// Every group that has anything in the log.
    pub(crate) fn groups(&self) -> Vec<u64> {
        self.owner
            .shared
            .cells()
            .iter()
            .filter(|cell| !cell.lock().view.is_blank())
            .map(|cell| cell.id)
            .collect()
    }

    /// What was done and how it stands.
    pub(crate) fn stats(&self) -> LogStats {
        self.owner.shared.stats()
    }

    /// Makes all that waits durable, notes a clean end, ends the threads and releases the lock. Blocks; not to be called
    /// from a `done`. Other handles stay, and are refused from now on.
    pub(crate) fn close(self) -> Result<(), WalError> {
        self.owner.end();
        match self.owner.shared.queue.stopped() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

fn start_threads(
    dir: &Path,
    options: LogOptions,
    disk: Arc<dyn Disk>,
    lock: Box<dyn Send + Sync>,
    found: recover::Found,
) -> Result<Owner, WalError> {
    let active = found
        .table
        .values()
        .next_back()
        .cloned()
        .ok_or_else(|| WalError::Stopped("there is no segment".into()))?;
    let newest = found.next.as_ref().unwrap_or(&active).sequence();
    let states: BTreeMap<_, _> = found.groups.iter().map(|(id, group)| (*id, group.state.clone())).collect();
    let cells = found
        .groups
        .into_iter()
        .map(|(id, group)| (id, Arc::new(GroupCell::recovered(id, group.state, group.runs, group.last))))
        .collect();
    let shared = Arc::new(Shared {
        dir: dir.to_path_buf(),
        disk,
        log: found.log,
        queue: Queue::new(&options, found.next.clone()),
        options,
        table: Mutex::new(found.table),
        groups: Mutex::new(cells),
        yard: Mutex::new(Yard {
            active: active.clone(),
            tail: found.tail,
            next: found.next,
            spares: found
                .spares
                .iter()
                .map(|number| dir.join(segment::spare_name(*number)))
                .collect(),
            wanted: 0,
            need_next: false,
            news: 0,
            answered: 0,
            full: None,
            stop: false,
        }),
        yard_changed: Condvar::new(),
        checkpointed: AtomicU64::new(if found.fresh {
            active.sequence() - 1
        } else {
            active.sequence()
        }),
        counters: Counters::default(),
        _lock: lock,
    });
    let writer = Writer::new(shared.clone(), active, found.tail, found.fresh, states);
    let keeper = Keeper::new(shared.clone(), newest + 1, found.spares.iter().max().copied().unwrap_or(0));
    let threads = Mutex::new(Vec::new());
    let owner = Owner { shared, threads };
    // On an error here the owner is dropped, and ends what was started.
    owner.spawn("log-sync", move || writer.run())?;
    owner.spawn("log-keeper", move || keeper.run())?;
    Ok(owner)
}

impl Owner {
    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), WalError> {
        let shared = self.shared.clone();
        let guarded = move || {
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
                // The sync thread, as long as it lives, tells those who wait: so that callbacks keep their order.
                shared.stop(WalError::Stopped("one of its threads panicked".into()));
            }
        };
        let spawned = std::thread::Builder::new().name(name.into()).spawn(guarded);
        let thread = spawned.map_err(|error| WalError::io(format!("start the thread {name}"), error))?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Ends both threads: the sync thread once all that waits is durable, then the keeper.
    fn end(&self) {
        self.shared.queue.close();
        for thread in std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner)) {
            // The last handle may have been dropped by a callback, on the sync thread: that one ends by itself.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread of the log panicked");
            }
            self.shared.end_keeper();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.end();
    }
}
