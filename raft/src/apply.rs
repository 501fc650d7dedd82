//! A group's apply thread and the queue in front of it.
//!
//! The thread takes all that waits (up to a batch's bounds), gives the machine its normal entries together with the mark of the last
//! entry, and then answers. It is the only thread that calls `apply` and `install`, so the machine sees one change at a time. An
//! error or a panic of the machine stops the group here: the reason is kept, everything that waits is dropped, which its proposers
//! see as an unknown outcome, and nothing more is applied.
//!
//! A leader bounds what its machine gets where proposals are admitted. A follower, and a replica that replays its log at open, cannot
//! refuse what is committed: there the thread pauses before a batch while the machine says that it is overloaded, for a bounded time.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::storage::ApplyResponder;
use tokio::sync::{Notify, Semaphore, oneshot, watch};

use crate::codec::{mark_of, read_mark};
use crate::limits::{
    APPLY_BATCH_BYTES_MAX, APPLY_BATCH_ENTRIES_MAX, APPLY_PAUSE_MS, APPLY_QUEUE_BYTES_MAX, APPLY_QUEUE_ENTRIES_MAX,
};
use crate::stage::Stages;
use crate::typ::{Applied, LogId, RaftEntry, SnapshotMeta, StoredMembership, Types, index_of};
use crate::{Entry, Error, GroupId, SnapshotSink, StateMachine};

/// Between two looks at whether the machine has got over what it was given.
const APPLY_PAUSE_STEP: Duration = Duration::from_millis(2);

/// One thing for the apply thread to do.
pub(crate) enum Work {
    /// A committed entry, and where its reply goes, if someone here waits for it.
    Entry(RaftEntry, Option<ApplyResponder<Types>>),
    /// A received snapshot.
    Install(SnapshotMeta, Box<dyn SnapshotSink>, oneshot::Sender<io::Result<()>>),
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
    pub(crate) async fn install(&self, meta: SnapshotMeta, sink: Box<dyn SnapshotSink>) -> io::Result<()> {
        let (done, result) = oneshot::channel();
        self.push(Work::Install(meta, sink, done)).await?;
        self.flush();
        result.await.map_err(|_| self.why_closed())?
    }

    fn run(&self) {
        while let Some(batch) = self.next_batch() {
            let given = self.stages.now();
            let outcome = catch_unwind(AssertUnwindSafe(|| self.do_batch(batch, given)));
            match outcome {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.fail(format!("apply: {error}")),
                Err(panic) => self.fail(format!("apply panicked: {}", panic_text(&*panic))),
            }
        }
    }

    /// Waits for work; takes entries up to a batch's bounds, or one other thing. None when the queue is closed.
    fn next_batch(&self) -> Option<Vec<Work>> {
        let mut waiting = lock(&self.waiting);
        while waiting.work.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting.thread_waits = true;
            waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.thread_waits = false;
        }
        let mut batch = Vec::with_capacity(waiting.work.len().min(APPLY_BATCH_ENTRIES_MAX));
        let (mut bytes, mut entries) = (0, 0);
        while let Some(work) = waiting.work.front() {
            let (alone, size) = (!matches!(work, Work::Entry(..)), work.bytes() as usize);
            let full = entries == APPLY_BATCH_ENTRIES_MAX || (entries > 0 && bytes + size > APPLY_BATCH_BYTES_MAX);
            if full || (alone && entries > 0) {
                break;
            }
            bytes += size;
            entries += 1;
            batch.extend(waiting.work.pop_front());
            if alone {
                break;
            }
        }
        drop(waiting);
        self.entries.add_permits(entries);
        self.bytes.add_permits(bytes);
        Some(batch)
    }

    fn do_batch(&self, mut batch: Vec<Work>, given: u64) -> io::Result<()> {
        match batch.pop() {
            Some(Work::Install(meta, sink, done)) => {
                let result = self.do_install(&meta, sink);
                let failed = result.as_ref().err().map(|error| io::Error::other(error.to_string()));
                let _ = done.send(result);
                failed.map_or(Ok(()), Err)
            }
            Some(Work::Drained(done)) => {
                let _ = done.send(());
                Ok(())
            }
            Some(last) => {
                batch.push(last);
                self.wait_for_machine();
                self.do_entries(batch, given)
            }
            None => Ok(()),
        }
    }

    /// Pauses while the machine has been given too much, but only for so long: a follower that stops would hold up what waits for it
    /// there, and a machine that does not get over it must not end the group. A leader never pauses here.
    fn wait_for_machine(&self) {
        let deadline = Instant::now() + Duration::from_millis(APPLY_PAUSE_MS);
        while self.machine.overloaded()
            && (self.is_opening() || !self.leads.load(Ordering::Acquire))
            && !lock(&self.waiting).closed
            && Instant::now() < deadline
        {
            std::thread::sleep(APPLY_PAUSE_STEP);
        }
    }

    fn do_install(&self, meta: &SnapshotMeta, sink: Box<dyn SnapshotSink>) -> io::Result<()> {
        let mark = sink.install()?;
        let got = read_mark(&mark)?;
        if got.last_log_id != meta.last_log_id {
            return Err(io::Error::other(format!(
                "install snapshot: it is of {:?}, not of {:?}",
                got.last_log_id, meta.last_log_id
            )));
        }
        self.moved_to(got.last_log_id, Some(got.last_membership));
        Ok(())
    }

    fn do_entries(&self, batch: Vec<Work>, given: u64) -> io::Result<()> {
        let (mut last, mut membership) = (None, None);
        let mut normal = Vec::with_capacity(batch.len());
        let mut responders: Vec<(Option<u64>, ApplyResponder<Types>)> = Vec::with_capacity(batch.len());
        for work in batch {
            let Work::Entry(entry, responder) = work else { continue };
            let id = entry.log_id;
            last = Some(id);
            let place = match entry.payload {
                EntryPayload::Normal(payload) => {
                    normal.push(Entry {
                        index: id.index,
                        term: id.leader_id.term,
                        payload: payload.0,
                    });
                    Some(id.index)
                }
                EntryPayload::Membership(new) => {
                    membership = Some(StoredMembership::new(Some(id), new));
                    None
                }
                EntryPayload::Blank => None,
            };
            responders.extend(responder.map(|responder| (place, responder)));
        }
        let indexes: Vec<u64> = normal.iter().map(|entry| entry.index).collect();
        let mark = {
            let state = lock(&self.state);
            debug_assert!(
                index_of(last.as_ref()) >= index_of(state.0.as_ref()),
                "applied went backwards"
            );
            mark_of(last.as_ref(), membership.as_ref().unwrap_or(&state.1))
        };
        let replies = self.machine.apply(normal, mark)?;
        if replies.len() != indexes.len() {
            return Err(io::Error::other(format!(
                "{} entries were applied with {} replies",
                indexes.len(),
                replies.len()
            )));
        }
        self.moved_to(last, membership);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.answer(indexes, replies, responders, given);
        Ok(())
    }

    fn moved_to(&self, applied: Option<LogId>, membership: Option<StoredMembership>) {
        {
            let mut state = lock(&self.state);
            state.0 = applied;
            if let Some(membership) = membership {
                state.1 = membership;
            }
        }
        self.applied.send_replace(index_of(applied.as_ref()));
    }

    fn answer(&self, indexes: Vec<u64>, replies: Vec<Bytes>, responders: Vec<(Option<u64>, ApplyResponder<Types>)>, given: u64) {
        if responders.is_empty() {
            return;
        }
        let done = self.stages.now();
        let mut replies = indexes.into_iter().zip(replies);
        for (index, responder) in responders {
            let Some(index) = index else {
                responder.send(Applied::default());
                continue;
            };
            let reply = replies
                .find(|(at, _)| *at == index)
                .map(|(_, reply)| reply)
                .unwrap_or_default();
            let (appended, synced) = self.stages.of(index);
            responder.send(Applied {
                reply,
                appended,
                synced,
                given,
                done,
            });
        }
    }
}

/// What a panic said.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}
