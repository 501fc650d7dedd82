//! What the handles, the batch and the flush thread share: the published view, and the rules by which it is replaced.
//!
//! Who replaces the view holds the lock of `State`, and holds it for a moment only: it computes a new view out of the latest one,
//! swaps it in, and lets go. The old view is dropped after the lock, because dropping the last reference to a delta frees some
//! hundred thousand allocations. Files are written without the lock, except for the rename and the directory's sync of an install.
//!
//! A frozen delta is claimed before it is flushed, by the flush thread or by whoever waits in `persist`; while one is claimed no
//! other is, so deltas reach the file in their order.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::delta::{Delta, Frozen, View};
use crate::disk::Disk;
use crate::error::Error;
use crate::flush::{self, Work};
use crate::ground::{self, Ground, GroundView};
use crate::health::Health;
use crate::mutant;
use crate::pace::{Pace, Stopwatch};
use crate::progress::{Mark, Progress};
use crate::rebuild;
use crate::received::ReceivedSnapshot;
use crate::store::Options;

/// The store's file in its directory.
pub(crate) const STORE_FILE: &str = "store.redb";
/// What a file that is not yet a store begins with; leftovers are removed at opening.
pub(crate) const INCOMING: &str = "incoming-";
/// The file that says that the store beside it is damaged, and why: see `rebuild`.
pub(crate) const DAMAGED: &str = "damaged";
/// More frozen deltas would only take memory: one is being flushed, one waits, and the active one grows meanwhile.
const MAX_FROZEN: usize = 2;

/// What the handles, the batch and the flush thread share.
pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) view: ArcSwap<View>,
    state: Mutex<State>,
    /// Something changed that somebody may wait for: a delta froze, a flush ended, a wish was made.
    pub(crate) changed: Condvar,
    pub(crate) health: Arc<Health>,
    pub(crate) pace: Arc<Pace>,
    pub(crate) delta_bytes: AtomicUsize,
    pub(crate) flushes: AtomicU64,
    pub(crate) flush_us: AtomicU64,
}

/// What only one thread may look at at a time. Whoever replaces the view holds its lock.
pub(crate) struct State {
    /// A batch is open, or a snapshot is being installed.
    pub(crate) writing: bool,
    /// Somebody has claimed the oldest frozen delta.
    flushing: bool,
    /// A snapshot waits for the flush to let go.
    installing: bool,
    /// No batch may be begun any more.
    pub(crate) closed: bool,
    /// The flush thread is to end, and has ended.
    pub(crate) stopping: bool,
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
    pub(crate) fn open(disk: Arc<dyn Disk>, mut options: Options) -> Result<Inner, Error> {
        // Else proposals could wait for a delta to be flushed that is not yet large enough to be frozen.
        options.freeze_bytes = mutant::hurried(options.freeze_bytes).min(options.delta_limit_bytes / 2);
        let pace = Arc::new(Pace::default());
        let names = disk
            .list()
            .map_err(|source| Error::io("list directory", disk.path(""), source))?;
        if names.iter().any(|name| name == DAMAGED) {
            return Err(rebuild::marked(disk.as_ref()));
        }
        for name in names.iter().filter(|name| name.starts_with(INCOMING)) {
            disk.remove(name)
                .map_err(|source| Error::io("remove file", disk.path(name), source))?;
        }
        if !names.iter().any(|name| name == STORE_FILE) {
            ground::create(disk.as_ref(), options.cache_bytes, &pace)?;
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
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
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
        let (mut old, done) = (None, finished.is_some());
        if let Some(ground) = finished {
            let mut view = View::clone(&self.view.load());
            view.frozen.retain(|other| !Arc::ptr_eq(other, frozen));
            mutant::forget_flushed(&mut view.active, &frozen.delta);
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

    pub(crate) fn persist(&self) -> Result<Mark, Error> {
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
            let raised = state.wanted_sequence < target;
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
                // Only news are told: two that wait would else wake each other for ever.
                if raised {
                    self.changed.notify_all();
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    pub(crate) fn install(&self, mut received: ReceivedSnapshot) -> Result<(), Error> {
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
        let (replaced, mut old) = (self.replace_file(&mut received), None);
        if replaced.is_ok() {
            state.progress = received.progress.clone();
            state.sequence += 1;
            state.frozen_sequence = state.sequence;
            state.durable_sequence = state.sequence;
            state.filling = Stopwatch::start();
            received.ground.set_waits(true);
            self.view.load().file().set_waits(false);
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
        received.rename_to(STORE_FILE)?;
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
