//! The store of one group replica: how the parts play together.
//!
//! ```text
//!  apply thread      begin_batch → command → accept → … → commit(mark)
//!                        │ publishes a View: mark, active delta, frozen deltas, read transaction
//!  readers           begin_read: the latest View, one counted reference, no lock
//!                        │ when the active delta is full it is frozen; at most two are
//!  flush thread      oldest frozen delta → durable commits by space → a View without it
//! ```
//!
//! The log in front of the store is its write-ahead log: a commit of a batch writes nothing. `durable` says which part of the log is
//! no longer needed. After a crash the store opens at its durable mark, and the log is replayed from there; `progress` explains why
//! that is exact although the file may stand at mixed points.
//!
//! Invariants:
//! - One writer: at most one batch is open. Only who holds the state's lock replaces the view, and a replacement never loses a batch.
//! - The active delta changes only by a batch's commit; it is frozen only while no batch is open, or by the commit itself.
//! - What is in the view's read transaction and what is in its deltas together are everything up to the view's mark.
//! - The progress kept in memory is the one in the file, after every commit.
//!
//! CAVEATS: it does not replicate, and it does not repair itself: damage halts it, and the replica is rebuilt from its peers (`rebuild`).

use std::fmt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::batch::Batch;
use crate::disk::{Disk, RealDisk};
use crate::error::Error;
use crate::flush;
use crate::health::OnFlush;
use crate::inner::{Inner, STORE_FILE};
use crate::mutant::{self, Mutant};
use crate::progress::Mark;
use crate::rebuild;
use crate::received::ReceivedSnapshot;
use crate::snapshot::Snapshot;
use crate::stats::Stats;
use crate::transfer::{SnapshotReader, SnapshotWriter};

/// How a store behaves.
#[derive(Clone)]
pub struct Options {
    /// redb's page cache, in bytes. Less costs reads from disk; more costs memory for every group of the node.
    pub cache_bytes: usize,
    /// The active delta is frozen at this size, in bytes of memory. Larger flushes write less a record (MEASUREMENTS.md); smaller
    /// ones make replay after a crash shorter. At most half of `delta_limit_bytes` counts.
    pub freeze_bytes: usize,
    /// A flush makes at most 16 commits, and none that has less than this many bytes of delta: it would not be worth its two syncs.
    pub commit_bytes: usize,
    /// At this size of all deltas together, in bytes, `over_limit` tells proposals to wait.
    pub delta_limit_bytes: usize,
    /// A delta that did not change for this long is flushed however small it is, so that the log can be purged.
    pub idle_flush: Duration,
    /// Flushes rest between their writes and their thread has the lowest priority. Off, they are as quick as they can: for tests.
    pub pace: bool,
    /// Called after each finished flush, and once when the store halts; from any thread, must be quick, must not drop the store.
    pub on_flush: Option<OnFlush>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            cache_bytes: 64 << 20,
            freeze_bytes: 20 << 20,
            commit_bytes: 256 << 10,
            delta_limit_bytes: 64 << 20,
            idle_flush: Duration::from_secs(5),
            pace: true,
            on_flush: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("cache_bytes", &self.cache_bytes)
            .field("freeze_bytes", &self.freeze_bytes)
            .field("commit_bytes", &self.commit_bytes)
            .field("delta_limit_bytes", &self.delta_limit_bytes)
            .field("idle_flush", &self.idle_flush)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

/// A handle of the store; clones are the same store. The last one stops the flush thread and persists nothing: see `close`.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
    _flusher: Arc<Flusher>,
}

impl Store {
    /// Opens the store of one group replica, creating it when the directory has none. The directory stays locked as long as the
    /// store or any snapshot of it lives.
    ///
    /// Fails with `Locked`, `NewerFormat`, `Damaged` or `Io`, each of which names the file.
    pub fn open(dir: &Path, options: Options) -> Result<Store, Error> {
        Store::open_on(Arc::new(RealDisk::open(dir)?), options)
    }

    pub(crate) fn open_on(disk: Arc<dyn Disk>, options: Options) -> Result<Store, Error> {
        let inner = Arc::new(Inner::open(disk, options)?);
        let flusher = Flusher::start(&inner)?;
        Ok(Store {
            inner,
            _flusher: Arc::new(flusher),
        })
    }

    /// The latest published state. Never waits.
    pub fn begin_read(&self) -> Snapshot {
        Snapshot {
            view: self.inner.view.load_full(),
        }
    }

    /// Begins the batch of the one writer. Fails with `BatchOpen` while another is open or a snapshot is being installed.
    pub fn begin_batch(&self) -> Result<Batch, Error> {
        self.inner.health.check()?;
        let mut state = self.inner.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        if state.writing {
            return Err(Error::BatchOpen);
        }
        state.writing = true;
        Ok(Batch::new(self.inner.clone(), self.inner.view.load_full()))
    }

    /// The mark of the last batch that was committed; after opening, the mark up to which the store survived.
    pub fn mark(&self) -> Mark {
        self.inner.view.load().mark.clone()
    }

    /// The log position up to which the log may be purged.
    pub fn durable(&self) -> u64 {
        self.inner.view.load().durable.index
    }

    /// The mark that survives a loss of power.
    pub fn durable_mark(&self) -> Mark {
        self.inner.view.load().durable.clone()
    }

    /// Waits until everything that was applied so far is durable, and returns the durable mark. Must not be called by the thread
    /// that has a batch open: it would wait for itself.
    pub fn persist(&self) -> Result<Mark, Error> {
        self.inner.persist()
    }

    /// About how many bytes the deltas take in memory.
    pub fn delta_bytes(&self) -> usize {
        self.inner.delta_bytes.load(Ordering::Relaxed)
    }

    /// Whether proposals should wait until a flush has made room. Applying what is committed is never refused for this.
    pub fn over_limit(&self) -> bool {
        self.delta_bytes() >= self.inner.options.delta_limit_bytes
    }

    /// Why the store has halted, when it has.
    pub fn halted(&self) -> Option<String> {
        self.inner.health.reason().cloned()
    }

    /// Why what the store holds is wrong, when it halted for that: it can be rebuilt from another replica (`Rebuild`). A store that
    /// halted because its disk failed is not damaged.
    pub fn damaged(&self) -> Option<String> {
        self.inner.health.damage().cloned()
    }

    /// Halts the store because something outside of it (the other replicas) shows that what it holds is wrong. Durable when it
    /// returns: the store does not open again before it is rebuilt. Fails with `Io`; it has halted all the same.
    pub fn mark_damaged(&self, reason: &str) -> Result<(), Error> {
        self.inner.health.halt(reason.to_owned(), true);
        self.inner.changed.notify_all();
        rebuild::mark(self.inner.disk.as_ref(), reason)
    }

    /// A snapshot of the latest state, to be read as chunks. Costs nothing until it is read, and does not hold up applies.
    pub fn send_snapshot(&self) -> SnapshotReader {
        SnapshotReader::new(self.inner.view.load_full())
    }

    /// A new file beside the live one, to be filled with chunks. Until it is installed it does not wait for room on the disk: it fails.
    pub fn receive_snapshot(&self) -> Result<SnapshotWriter, Error> {
        self.inner.health.check()?;
        SnapshotWriter::create(&self.inner.disk, &self.inner.options, &self.inner.pace)
    }

    /// Puts a received snapshot in the place of everything that the store holds: after a crash at any point there is the old state
    /// or the new one. Who reads an older state keeps it. Fails with `BatchOpen` while a batch is open; when it fails, the old state
    /// goes on, unless the store halted.
    pub fn install(&self, received: ReceivedSnapshot) -> Result<(), Error> {
        // Mutant, B12.
        if Mutant::SnapshotNotAtomic.active() && self.inner.disk.remove(STORE_FILE).is_ok() {
            mutant::linger();
        }
        self.inner.install(received)
    }

    /// What the store holds and has done.
    pub fn stats(&self) -> Stats {
        let view = self.inner.view.load();
        let frozen = view.frozen.iter().map(|frozen| frozen.delta.changes.len());
        let (page_hits, page_misses) = view.file().pages();
        Stats {
            delta_keys: view.active.changes.len() + frozen.sum::<usize>(),
            delta_bytes: view.delta_bytes(),
            frozen: view.frozen.len(),
            flushes: self.inner.flushes.load(Ordering::Relaxed),
            flush_time: Duration::from_micros(self.inner.flush_us.load(Ordering::Relaxed)),
            file_bytes: view.file().bytes().unwrap_or_default(),
            page_hits,
            page_misses,
        }
    }

    /// Makes everything durable and stops the flush thread. Other handles can still read, but begin no batch any more. Fails with `Io`
    /// where the disk has no room for it.
    pub fn close(self) -> Result<(), Error> {
        self.inner.lock().closed = true;
        self.inner.pace.leave();
        let persisted = self.inner.persist().map(drop);
        self._flusher.stop();
        persisted
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Store")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Stops the flush thread when the last handle goes.
struct Flusher {
    inner: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Flusher {
    fn start(inner: &Arc<Inner>) -> Result<Flusher, Error> {
        let body = inner.clone();
        let spawned = thread::Builder::new()
            .name("store-flush".to_owned())
            .spawn(move || flush::run(&body));
        let thread = spawned.map_err(|source| Error::io("start the flush thread", inner.disk.path(STORE_FILE), source))?;
        Ok(Flusher {
            inner: inner.clone(),
            thread: Mutex::new(Some(thread)),
        })
    }

    fn stop(&self) {
        self.inner.lock().stopping = true;
        self.inner.pace.hurry(true);
        self.inner.pace.leave();
        self.inner.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id()) {
            // The thread's body catches panics of its own work; there is nothing to learn from one here.
            let _ = thread.join();
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.stop();
    }
}
