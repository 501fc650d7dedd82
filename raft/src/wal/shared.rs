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

    /// Waits for room in the queue and, for entries, in what is prewritten.
    pub(crate) fn reserve(&self, bytes: u64, entries: bool) -> Result<(), WalError> {
        let mut asked = false;
        while let Room::Short = self.queue.reserve(bytes, entries, asked)? {
            if asked {
                // The keeper has looked, and it is not full: room is on its way, as soon as something becomes durable.
                self.queue.wait_for_space();
            }
            self.ask_keeper();
            asked = true;
        }
        Ok(())
    }

    /// Waits until the keeper has looked and found no more to do.
    pub(super) fn ask_keeper(&self) {
        let mut yard = self.yard();
        yard.news += 1;
        let asked = yard.news;
        self.yard_changed.notify_all();
        while yard.answered < asked && !yard.stop {
            yard = self.wait_yard(yard);
        }
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
