//! A group's apply thread and the queue in front of it.
//!
//! The queue is bounded in entries and in bytes: whoever brings more than there is room for waits. It is drained by one thread
//! (`worker`), which gives the machine what was committed, in order. An error or a panic of the machine stops the group here: the
//! reason is kept, everything that waits is dropped, which its proposers see as an unknown outcome, and nothing more is applied.

mod worker;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use openraft::EntryPayload;
use openraft::storage::ApplyResponder;
use tokio::sync::{Notify, Semaphore, oneshot, watch};

use crate::codec::read_mark;
use crate::incoming::Incoming;
use crate::limits::{APPLY_QUEUE_BYTES_MAX, APPLY_QUEUE_ENTRIES_MAX};
use crate::stage::Stages;
use crate::typ::{LogId, RaftEntry, SnapshotMeta, StoredMembership, Types, index_of};
use crate::{Error, GroupId, StateMachine};

/// One thing for the apply thread to do.
pub(crate) enum Work {
    /// A committed entry, and where its reply goes, if someone here waits for it.
    Entry(RaftEntry, Option<ApplyResponder<Types>>),
    /// A received snapshot.
    Install(SnapshotMeta, Incoming, oneshot::Sender<io::Result<()>>),
    /// Answer when all before it is done.
    Drained(oneshot::Sender<()>),
}

impl Work {
    /// Its share of the queue's bytes; never 0.
    fn bytes(&self) -> u32 {
        match self {
            Work::Entry(
                RaftEntry {
                    payload: EntryPayload::Normal(payload),
                    ..
                },
                _,
            ) => u32::try_from(payload.0.len())
                .unwrap_or(APPLY_QUEUE_BYTES_MAX)
                .clamp(1, APPLY_QUEUE_BYTES_MAX),
            _ => 1,
        }
    }
}

/// How the group stands with its machine; shared by the queue, the thread and the group's handle.
pub(crate) struct ApplyQueue {
    id: GroupId,
    machine: Arc<dyn StateMachine>,
    stages: Arc<Stages>,
    waiting: Mutex<Waiting>,
    wake: Condvar,
    entries: Semaphore,
    bytes: Semaphore,
    opening: AtomicBool,
    /// This replica leads: what it applies is bounded by what it admits.
    pub(crate) leads: AtomicBool,
    /// What the machine has applied, as raft knows it.
    state: Mutex<(Option<LogId>, StoredMembership)>,
    applied: watch::Sender<u64>,
    stopped: Mutex<Option<String>>,
    is_stopped: AtomicBool,
    /// Told when the group stopped.
    pub(crate) stop: Notify,
    batches: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    work: VecDeque<Work>,
    closed: bool,
    thread_waits: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ApplyQueue {
    /// Reads the machine's applied mark and starts the thread.
    pub(crate) fn open(
        id: GroupId,
        machine: Arc<dyn StateMachine>,
        stages: Arc<Stages>,
    ) -> Result<(Arc<ApplyQueue>, JoinHandle<()>), Error> {
        let mark = machine.applied().map_err(|source| Error::Io {
            verb: "read applied mark",
            source,
        })?;
        let meta = read_mark(&mark).map_err(|source| Error::Io {
            verb: "read applied mark",
            source,
        })?;
        let queue = Arc::new(ApplyQueue {
            id,
            machine,
            stages,
            waiting: Mutex::default(),
            wake: Condvar::new(),
            entries: Semaphore::new(APPLY_QUEUE_ENTRIES_MAX),
            bytes: Semaphore::new(APPLY_QUEUE_BYTES_MAX as usize),
            opening: AtomicBool::new(true),
            leads: AtomicBool::new(false),
            state: Mutex::new((meta.last_log_id, meta.last_membership)),
            applied: watch::Sender::new(index_of(meta.last_log_id.as_ref())),
            stopped: Mutex::new(None),
            is_stopped: AtomicBool::new(false),
            stop: Notify::new(),
            batches: AtomicU64::new(0),
        });
        let worker = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name(format!("apply-{id}"))
            .spawn(move || worker.run())
            .map_err(|source| Error::Io {
                verb: "start apply thread",
                source,
            })?;
        Ok((queue, thread))
    }

    /// From now on the machine may lag behind what it was given.
    pub(crate) fn opened(&self) {
        self.opening.store(false, Ordering::Release);
    }

    pub(crate) fn is_opening(&self) -> bool {
        self.opening.load(Ordering::Acquire)
    }

    /// The applied index, as a value that can be waited for.
    pub(crate) fn applied(&self) -> &watch::Sender<u64> {
        &self.applied
    }

    pub(crate) fn applied_state(&self) -> (Option<LogId>, StoredMembership) {
        lock(&self.state).clone()
    }

    pub(crate) fn stopped(&self) -> Option<String> {
        if self.is_stopped.load(Ordering::Acquire) {
            lock(&self.stopped).clone()
        } else {
            None
        }
    }

    /// Stops the group because it can no longer go on; the first reason is kept.
    pub(crate) fn fail(&self, why: String) {
        if self.stop_for(why.clone()) {
            tracing::error!(group = self.id.0, why, "group stopped on this node");
        }
    }

    /// The same, because it was asked to.
    pub(crate) fn end(&self, why: &str) {
        if self.stop_for(why.to_owned()) {
            tracing::debug!(group = self.id.0, why, "group ended on this node");
        }
    }

    /// Stops it, unless it has stopped already.
    fn stop_for(&self, why: String) -> bool {
        {
            let mut stopped = lock(&self.stopped);
            if stopped.is_some() {
                return false;
            }
            *stopped = Some(why);
            self.is_stopped.store(true, Ordering::Release);
        }
        self.close();
        // Whoever waits for an index learns that it will not come.
        self.applied.send_modify(|_| ());
        self.stop.notify_one();
        true
    }

    /// Ends the thread after the batch that it is in. What waits is dropped.
    pub(crate) fn close(&self) {
        let dropped = {
            let mut waiting = lock(&self.waiting);
            waiting.closed = true;
            std::mem::take(&mut waiting.work)
        };
        self.entries.close();
        self.bytes.close();
        self.wake.notify_all();
        drop(dropped);
    }

    fn why_closed(&self) -> io::Error {
        io::Error::other(self.stopped().unwrap_or_else(|| "the group is closed".to_owned()))
    }

    /// Adds work; waits while the queue is full. The thread is woken by `flush`.
    pub(crate) async fn push(&self, work: Work) -> io::Result<()> {
        let bytes = work.bytes();
        let room = match (self.entries.try_acquire(), self.bytes.try_acquire_many(bytes)) {
            (Ok(one), Ok(share)) => {
                one.forget();
                share.forget();
                true
            }
            _ => false,
        };
        if !room {
            self.flush();
            let one = self.entries.acquire().await.map_err(|_| self.why_closed())?;
            let share = self.bytes.acquire_many(bytes).await.map_err(|_| self.why_closed())?;
            one.forget();
            share.forget();
        }
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            return Err(self.why_closed());
        }
        waiting.work.push_back(work);
        Ok(())
    }

    /// Wakes the thread if it sleeps and there is work.
    pub(crate) fn flush(&self) {
        let waiting = lock(&self.waiting);
        if waiting.thread_waits && !waiting.work.is_empty() {
            self.wake.notify_one();
        }
    }

    /// Waits until all that was pushed before is done.
    pub(crate) async fn drained(&self) -> io::Result<()> {
        let (done, result) = oneshot::channel();
        self.push(Work::Drained(done)).await?;
        self.flush();
        result.await.map_err(|_| self.why_closed())
    }

    /// Installs a received snapshot, after all that was pushed before it.
    pub(crate) async fn install(&self, meta: SnapshotMeta, sink: Incoming) -> io::Result<()> {
        let (done, result) = oneshot::channel();
        self.push(Work::Install(meta, sink, done)).await?;
        self.flush();
        result.await.map_err(|_| self.why_closed())?
    }
}
