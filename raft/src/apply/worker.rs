//! What the apply thread does.
//!
//! The thread takes all that waits (up to a batch's bounds), gives the machine its normal entries together with the mark of the last
//! entry, and then answers. It is the only thread that calls `apply` and `install`, so the machine sees one change at a time.
//!
//! A leader bounds what its machine gets where proposals are admitted. A follower, and a replica that replays its log at open, cannot
//! refuse what is committed: there the thread pauses before a batch while the machine says that it is overloaded, for a bounded time.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::storage::ApplyResponder;

use super::{ApplyQueue, Work, lock};
use crate::Entry;
use crate::codec::{mark_of, read_mark};
use crate::incoming::Incoming;
use crate::limits::{APPLY_BATCH_BYTES_MAX, APPLY_BATCH_ENTRIES_MAX, APPLY_PAUSE_MS};
use crate::typ::{Applied, LogId, SnapshotMeta, StoredMembership, Types, index_of};

/// Between two looks at whether the machine has got over what it was given.
const APPLY_PAUSE_STEP: Duration = Duration::from_millis(2);

impl ApplyQueue {
    /// Works until the queue is closed.
    pub(super) fn run(&self) {
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

    fn do_install(&self, meta: &SnapshotMeta, sink: Incoming) -> io::Result<()> {
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
