//! What the callers, the sync thread and the keeper have in common.
//!
//! Locks are taken in this order, and none is held during I/O except a group's while one entry is read for a truncation:
//! `groups`, a group's own, then one of `queue`, `table`, `yard`; the last three are never held together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::disk::Disk;
use super::error::WalError;
use super::group::GroupCell;
use super::options::{LogOptions, LogStats};
use super::queue::{Queue, Room};
use super::segment::Segment;

/// See the module.
pub(crate) struct Shared {
    pub dir: PathBuf,
    pub disk: Arc<dyn Disk>,
    /// Identity of this log, in every segment's header.
    pub log: u64,
    pub options: LogOptions,
    pub queue: Queue,
    /// Segments that hold frames, by sequence number; the last one is being written. Without gaps.
    pub table: Mutex<BTreeMap<u64, Arc<Segment>>>,
    pub groups: Mutex<BTreeMap<u64, Arc<GroupCell>>>,
    pub yard: Mutex<Yard>,
    pub yard_changed: Condvar,
    /// The newest segment whose checkpoint is durable: those before it may be released.
    pub checkpointed: AtomicU64,
    pub counters: Counters,
    /// Held as long as any thread could still write.
    pub _lock: Box<dyn Send + Sync>,
}

/// Where the sync thread and the keeper meet: the segment being written and the one after it.
pub(crate) struct Yard {
    pub active: Arc<Segment>,
    /// How far the active one is written.
    pub tail: u64,
    /// A segment with header and name, and without frames.
    pub next: Option<Arc<Segment>>,
    /// Prewritten files under spare names.
    pub spares: Vec<PathBuf>,
    /// The sync thread needs the active segment prewritten up to here.
    pub wanted: u64,
    /// The sync thread needs the next segment.
    pub need_next: bool,
    /// Raised whenever the keeper has something to look at.
    pub news: u64,
    /// The `news` that the keeper's last fruitless look had seen: what was asked for since before it cannot be had.
    pub answered: u64,
    pub full: Option<String>,
    pub stop: bool,
}

/// Counted since the start.
#[derive(Default)]
pub(crate) struct Counters {
    pub fsyncs: AtomicU64,
    pub frames: AtomicU64,
    pub bytes: AtomicU64,
    pub appends: AtomicU64,
    pub copied: AtomicU64,
    pub last_fsync_us: AtomicU64,
    pub max_fsync_us: AtomicU64,
}

impl Shared {
    pub(crate) fn table(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Segment>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn yard(&self) -> MutexGuard<'_, Yard> {
        self.yard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait_yard<'a>(&self, yard: MutexGuard<'a, Yard>) -> MutexGuard<'a, Yard> {
        self.yard_changed.wait(yard).unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn segment(&self, sequence: u64) -> Option<Arc<Segment>> {
        self.table().get(&sequence).cloned()
    }

    pub(crate) fn cells(&self) -> Vec<Arc<GroupCell>> {
        self.groups
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    pub(crate) fn cell(&self, id: u64) -> Arc<GroupCell> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.entry(id).or_insert_with(|| Arc::new(GroupCell::new(id))).clone()
    }

    /// A segment has so many bytes of live entries less.
    pub(crate) fn lose(&self, sequence: u64, bytes: u64) {
        if let Some(segment) = self.table().get(&sequence) {
            segment.live.fetch_sub(bytes, Ordering::AcqRel);
        }
    }

    /// Waits for room in the queue and, for entries, in what is prewritten. It takes what there is as soon as it is enough, and
    /// never holds up the thread: appends are asked for on a runtime's.
    pub(crate) async fn reserve(&self, bytes: u64, entries: bool) -> Result<(), WalError> {
        let mut asked = None;
        loop {
            // Before looking, so that no change is missed.
            let changed = self.queue.changed();
            let fresh = asked.is_some_and(|asked| self.has_answered(asked));
            match self.queue.try_reserve(bytes, entries, fresh)? {
                Room::Reserved => return Ok(()),
                Room::Short { news } if news || asked.is_none() => asked = Some(self.ask_keeper()),
                Room::Short { .. } | Room::Busy => {}
            }
            changed.await;
        }
    }

    /// Gives the keeper something to look at; returns the number to wait for.
    pub(super) fn ask_keeper(&self) -> u64 {
        let mut yard = self.yard();
        yard.news += 1;
        self.yard_changed.notify_all();
        yard.news
    }

    /// Has the keeper looked since it was asked, and at all that has happened since, and found no more to do?
    pub(super) fn has_answered(&self, asked: u64) -> bool {
        let yard = self.yard();
        yard.answered >= asked && yard.answered == yard.news
    }

    /// Stops the log for good; whatever waits gets the reason.
    pub(crate) fn stop(&self, error: WalError) {
        tracing::error!(directory = %self.dir.display(), %error, "the log stops");
        self.queue.stop(error);
        self.end_keeper();
    }

    /// Tells the keeper to end, and the sync thread to wait for it no longer.
    pub(crate) fn end_keeper(&self) {
        self.yard().stop = true;
        self.yard_changed.notify_all();
    }

    pub(crate) fn stats(&self) -> LogStats {
        let (segments, live_bytes) = {
            let table = self.table();
            (
                table.len() as u64,
                table.values().map(|segment| segment.live.load(Ordering::Acquire)).sum(),
            )
        };
        let (next, spares) = {
            let yard = self.yard();
            (u64::from(yard.next.is_some()), yard.spares.len() as u64)
        };
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LogStats {
            fsyncs: read(&self.counters.fsyncs),
            frames: read(&self.counters.frames),
            bytes: read(&self.counters.bytes),
            appends: read(&self.counters.appends),
            copied: read(&self.counters.copied),
            segments: segments + next,
            spares,
            live_bytes,
            queued_bytes: self.queue.bytes(),
            last_fsync_us: read(&self.counters.last_fsync_us),
            max_fsync_us: read(&self.counters.max_fsync_us),
            full: self.queue.full(),
            stopped: self.queue.stopped().map(|error| error.to_string()),
        }
    }
}
