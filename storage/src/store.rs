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
//! CAVEATS: it does not replicate, and it does not repair: damage halts it, and the replica is rebuilt from its peers.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::batch::Batch;
use crate::delta::{Delta, Frozen, View};
use crate::disk::{Disk, RealDisk};
use crate::error::Error;
use crate::flush::{self, Work};
use crate::ground::{Ground, GroundView};
use crate::health::{Health, OnFlush};
use crate::pace::{Pace, Stopwatch};
use crate::progress::{Mark, Progress};
use crate::snapshot::Snapshot;
use crate::transfer::{ReceivedSnapshot, SnapshotReader, SnapshotWriter};

/// The store's file in its directory.
const STORE_FILE: &str = "store.redb";
/// What a file that is not yet a store begins with; leftovers are removed at opening.
const INCOMING: &str = "incoming-";
/// More frozen deltas would only take memory: one is being flushed, one waits, and the active one grows meanwhile.
const MAX_FROZEN: usize = 2;

/// How a store behaves.
#[derive(Clone)]
pub struct Options {
    /// redb's page cache, in bytes. Less costs reads from disk; more costs memory for every group of the node.
    pub cache_bytes: usize,
    /// The active delta is frozen at this size, in bytes of memory. Larger flushes write less a record (MEASUREMENTS.md); smaller
    /// ones make replay after a crash shorter.
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

/// What the store has in memory and has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Keys in the active and the frozen deltas.
    pub delta_keys: usize,
    /// Bytes that they take, about.
    pub delta_bytes: usize,
    /// Frozen deltas that wait or are being flushed, at most two.
    pub frozen: usize,
    /// Finished flushes.
    pub flushes: u64,
    /// The time that they took in all, their rests included.
    pub flush_time: Duration,
    /// The length of the store's file; 0 when it cannot be told.
    pub file_bytes: u64,
}

/// A handle of the store; clones are the same store. The last one stops the flush thread and persists nothing: see `close`.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
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

    /// A snapshot of the latest state, to be read as chunks. Costs nothing until it is read, and does not hold up applies.
    pub fn send_snapshot(&self) -> SnapshotReader {
        SnapshotReader::new(self.inner.view.load_full())
    }

    /// A new file beside the live one, to be filled with chunks.
    pub fn receive_snapshot(&self) -> Result<SnapshotWriter, Error> {
        let inner = &self.inner;
        inner.health.check()?;
        let name = format!("{INCOMING}{}.redb", inner.next_incoming.fetch_add(1, Ordering::Relaxed));
        let ground = Ground::open_file(inner.disk.as_ref(), &name, inner.options.cache_bytes, &inner.pace)?;
        Ok(SnapshotWriter::new(inner.disk.clone(), name, ground))
    }

    /// Puts a received snapshot in the place of everything that the store holds: after a crash at any point there is the old state
    /// or the new one. Who reads an older state keeps it. Fails with `BatchOpen` while a batch is open; when it fails, the old state
    /// goes on, unless the store halted.
    pub fn install(&self, received: ReceivedSnapshot) -> Result<(), Error> {
        self.inner.install(received)
    }

    /// What the store holds and has done.
    pub fn stats(&self) -> Stats {
        let view = self.inner.view.load();
        let frozen = view.frozen.iter().map(|frozen| frozen.delta.changes.len());
        Stats {
            delta_keys: view.active.changes.len() + frozen.sum::<usize>(),
            delta_bytes: view.delta_bytes(),
            frozen: view.frozen.len(),
            flushes: self.inner.flushes.load(Ordering::Relaxed),
            flush_time: Duration::from_micros(self.inner.flush_us.load(Ordering::Relaxed)),
            file_bytes: view.file().bytes().unwrap_or_default(),
        }
    }

    /// Makes everything durable and stops the flush thread. Other handles can still read, but begin no batch any more.
    pub fn close(self) -> Result<(), Error> {
        self.inner.lock().closed = true;
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

/// What the handles, the batch and the flush thread share.
pub(crate) struct Inner {
    pub(crate) options: Options,
    disk: Arc<dyn Disk>,
    view: ArcSwap<View>,
    state: Mutex<State>,
    /// Something changed that somebody may wait for: a delta froze, a flush ended, a wish was made.
    changed: Condvar,
    pub(crate) health: Arc<Health>,
    pub(crate) pace: Arc<Pace>,
    delta_bytes: AtomicUsize,
    flushes: AtomicU64,
    flush_us: AtomicU64,
    next_incoming: AtomicU64,
}

/// What only one thread may look at at a time. Whoever replaces the view holds its lock.
struct State {
    /// A batch is open, or a snapshot is being installed.
    writing: bool,
    /// Somebody has claimed the oldest frozen delta.
    flushing: bool,
    /// A snapshot waits for the flush to let go.
    installing: bool,
    /// No batch may be begun any more.
    closed: bool,
    /// The flush thread is to end, and has ended.
    stopping: bool,
    stopped: bool,
    /// What the file says.
    progress: Progress,
    /// The number of the last batch that changed anything, of the last one that is frozen, and of the last that is durable.
    sequence: u64,
    frozen_sequence: u64,
    durable_sequence: u64,
    /// Somebody waits until this batch is durable.
    wanted_sequence: u64,
    /// Since when the active delta fills.
    filling: Stopwatch,
}

impl Inner {
    fn open(disk: Arc<dyn Disk>, options: Options) -> Result<Inner, Error> {
        let pace = Arc::new(Pace::default());
        let names = disk
            .list()
            .map_err(|source| Error::io("list directory", disk.path(""), source))?;
        for name in names.iter().filter(|name| name.starts_with(INCOMING)) {
            disk.remove(name)
                .map_err(|source| Error::io("remove file", disk.path(name), source))?;
        }
        if !names.iter().any(|name| name == STORE_FILE) {
            create(disk.as_ref(), options.cache_bytes, &pace)?;
        }
        let (ground, progress) = Ground::open(disk.as_ref(), STORE_FILE, options.cache_bytes, &pace)?;
        let health = Arc::new(Health::new(options.on_flush.clone()));
        let view = new_view(ground.view()?, &progress, &health);
        Ok(Inner {
            options,
            disk,
            view: ArcSwap::from_pointee(view),
            state: Mutex::new(State::new(progress)),
            changed: Condvar::new(),
            health,
            pace,
            delta_bytes: AtomicUsize::new(0),
            flushes: AtomicU64::new(0),
            flush_us: AtomicU64::new(0),
            next_incoming: AtomicU64::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the view; the returned old one is to be dropped without the lock, since that can free a whole delta.
    fn publish(&self, _state: &State, view: View) -> Arc<View> {
        self.delta_bytes.store(view.delta_bytes(), Ordering::Relaxed);
        self.view.swap(Arc::new(view))
    }

    /// Publishes what a batch made of the active delta, and ends the batch.
    pub(crate) fn publish_batch(&self, active: Delta, mark: Mark, changed: bool) -> Result<(), Error> {
        let mut state = self.lock();
        state.writing = false;
        if let Err(error) = self.health.check() {
            drop(state);
            self.changed.notify_all();
            return Err(error);
        }
        let mut old = None;
        if changed {
            state.sequence += 1;
            let mut view = View::clone(&self.view.load());
            view.active = active;
            view.mark = mark;
            let due = view.active.bytes >= self.options.freeze_bytes || state.wanted_sequence > state.frozen_sequence;
            if due && freeze(&mut state, &mut view) {
                self.woken(&state, &view);
            }
            old = Some(self.publish(&state, view));
        }
        drop(state);
        drop(old);
        Ok(())
    }

    /// Ends a batch of which nothing is kept.
    pub(crate) fn discard_batch(&self) {
        let mut state = self.lock();
        state.writing = false;
        let old = if state.wanted_sequence > state.frozen_sequence {
            self.freeze_now(&mut state)
        } else {
            None
        };
        drop(state);
        drop(old);
    }

    /// Freezes the active delta when no batch is open and there is room; returns the old view.
    fn freeze_now(&self, state: &mut State) -> Option<Arc<View>> {
        let mut view = View::clone(&self.view.load());
        if state.writing || !freeze(state, &mut view) {
            return None;
        }
        self.woken(state, &view);
        Some(self.publish(state, view))
    }

    /// A delta was frozen: the flush thread has work, and no time to rest when there is no more room or somebody waits.
    fn woken(&self, state: &State, view: &View) {
        if view.frozen.len() >= MAX_FROZEN || state.wanted_sequence > state.durable_sequence {
            self.pace.hurry(true);
        }
        self.changed.notify_all();
    }

    /// Claims the oldest frozen delta, unless somebody has.
    fn claim(&self, state: &mut State) -> Option<Work> {
        if state.flushing || state.installing || self.health.reason().is_some() {
            return None;
        }
        let view = self.view.load();
        let frozen = view.frozen.first()?.clone();
        state.flushing = true;
        let calm = view.frozen.len() < MAX_FROZEN && state.wanted_sequence <= state.durable_sequence && !state.stopping;
        self.pace.hurry(!calm);
        Some(Work {
            frozen,
            ground: view.file().clone(),
            progress: state.progress.clone(),
            calm,
        })
    }

    /// The flush thread's wait for work; `None` ends it. Deltas that it flushed are freed here, once no reader has them.
    pub(crate) fn next_work(&self, retired: &mut Vec<Arc<Frozen>>) -> Option<Work> {
        let mut seen = self.lock().sequence;
        loop {
            retired.retain(|frozen| Arc::strong_count(frozen) > 1);
            let mut state = self.lock();
            if state.stopping || self.health.reason().is_some() {
                return None;
            }
            if let Some(work) = self.claim(&mut state) {
                return Some(work);
            }
            let waited = self.changed.wait_timeout(state, self.options.idle_flush);
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if timeout.timed_out() {
                let idle = std::mem::replace(&mut seen, state.sequence) == state.sequence;
                let old = if idle { self.freeze_now(&mut state) } else { None };
                drop(state);
                drop(old);
            }
        }
    }

    /// Whether a flush should let go of its delta before it is done.
    pub(crate) fn interrupted(&self) -> bool {
        let state = self.lock();
        state.installing || self.health.reason().is_some() || (state.stopping && state.wanted_sequence <= state.durable_sequence)
    }

    /// Remembers what the file says now.
    pub(crate) fn note_progress(&self, progress: &Progress) {
        self.lock().progress = progress.clone();
    }

    /// Ends a flush: the new read transaction comes into the view and the frozen delta goes out of it, together. Without one the
    /// flush was interrupted or failed, and the delta stays.
    pub(crate) fn end_flush(&self, frozen: &Arc<Frozen>, finished: Option<Arc<GroundView>>, took: Duration) {
        let mut state = self.lock();
        state.flushing = false;
        let mut old = None;
        let done = finished.is_some();
        if let Some(ground) = finished {
            let mut view = View::clone(&self.view.load());
            view.frozen.retain(|other| !Arc::ptr_eq(other, frozen));
            view.ground = ground;
            view.durable = frozen.mark.clone();
            state.durable_sequence = frozen.sequence;
            let due = view.active.bytes >= self.options.freeze_bytes || state.wanted_sequence > state.frozen_sequence;
            if due && !state.writing && freeze(&mut state, &mut view) {
                self.woken(&state, &view);
            }
            old = Some(self.publish(&state, view));
            self.flushes.fetch_add(1, Ordering::Relaxed);
            self.flush_us
                .fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        drop(state);
        self.changed.notify_all();
        drop(old);
        if done {
            self.health.tell();
        }
    }

    pub(crate) fn flusher_stopped(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    fn persist(&self) -> Result<Mark, Error> {
        let mut state = self.lock();
        let target = state.sequence;
        loop {
            if state.durable_sequence >= target {
                return Ok(self.view.load().durable.clone());
            }
            self.health.check()?;
            if state.stopped {
                return Err(Error::Closed);
            }
            state.wanted_sequence = state.wanted_sequence.max(target);
            let old = if state.frozen_sequence < target {
                self.freeze_now(&mut state)
            } else {
                None
            };
            self.pace.hurry(true);
            if let Some(work) = self.claim(&mut state) {
                drop(state);
                drop(old);
                flush::flush(self, work);
                state = self.lock();
            } else if old.is_some() {
                drop(state);
                drop(old);
                state = self.lock();
            } else {
                self.changed.notify_all();
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn install(&self, mut received: ReceivedSnapshot) -> Result<(), Error> {
        self.health.check()?;
        let ground = received.ground.view()?;
        let mut state = self.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        if state.writing {
            return Err(Error::BatchOpen);
        }
        state.writing = true;
        state.installing = true;
        self.pace.hurry(true);
        while state.flushing {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.writing = false;
        state.installing = false;
        let replaced = self.replace_file(&mut received);
        let mut old = None;
        if replaced.is_ok() {
            state.progress = received.progress.clone();
            state.sequence += 1;
            state.frozen_sequence = state.sequence;
            state.durable_sequence = state.sequence;
            state.filling = Stopwatch::start();
            old = Some(self.publish(&state, new_view(ground, &received.progress, &self.health)));
        }
        drop(state);
        self.changed.notify_all();
        drop(old);
        match replaced {
            Ok(()) => self.health.tell(),
            Err(error) if received.kept() => return self.health.watch(Err(error)),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Puts the received file in the place of the store's. A failed rename has changed nothing; after a failed sync nobody knows.
    fn replace_file(&self, received: &mut ReceivedSnapshot) -> Result<(), Error> {
        self.health.check()?;
        let renamed = self.disk.rename(received.name(), STORE_FILE);
        renamed.map_err(|source| Error::io("rename file", self.disk.path(received.name()), source))?;
        received.keep();
        self.disk
            .sync_dir()
            .map_err(|source| Error::io("sync directory", self.disk.path(""), source))
    }
}

impl State {
    fn new(progress: Progress) -> State {
        State {
            writing: false,
            flushing: false,
            installing: false,
            closed: false,
            stopping: false,
            stopped: false,
            progress,
            sequence: 0,
            frozen_sequence: 0,
            durable_sequence: 0,
            wanted_sequence: 0,
            filling: Stopwatch::start(),
        }
    }
}

/// The view of a file that nothing has been applied to yet.
fn new_view(ground: Arc<GroundView>, progress: &Progress, health: &Arc<Health>) -> View {
    View {
        mark: progress.base.clone(),
        active: Delta::default(),
        frozen: Vec::new(),
        ground,
        reaches: progress.reaches.as_slice().into(),
        durable: progress.base.clone(),
        health: health.clone(),
    }
}

/// Makes the active delta a frozen one. Not when two are, and not when nothing happened since the last.
fn freeze(state: &mut State, view: &mut View) -> bool {
    if view.frozen.len() >= MAX_FROZEN || state.frozen_sequence == state.sequence {
        return false;
    }
    let filled_in = std::mem::replace(&mut state.filling, Stopwatch::start()).elapsed();
    let delta = std::mem::take(&mut view.active);
    view.frozen.push(Arc::new(Frozen {
        delta,
        mark: view.mark.clone(),
        sequence: state.sequence,
        filled_in,
    }));
    state.frozen_sequence = state.sequence;
    true
}

/// Makes an empty store. It gets its name only when it is whole, so that a crash leaves none or one.
fn create(disk: &dyn Disk, cache_bytes: usize, pace: &Arc<Pace>) -> Result<(), Error> {
    let name = format!("{INCOMING}new.redb");
    let ground = Ground::open_file(disk, &name, cache_bytes, pace)?;
    ground.write(std::iter::empty(), Some(&Progress::default()))?;
    drop(ground);
    disk.rename(&name, STORE_FILE)
        .map_err(|source| Error::io("rename file", disk.path(&name), source))?;
    disk.sync_dir()
        .map_err(|source| Error::io("sync directory", disk.path(""), source))
}
