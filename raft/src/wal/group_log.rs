//! The handle through which a group's owner writes and reads its part of the log.

use std::sync::Arc;

use bytes::Bytes;

use super::checkpoint::Checkpoint;
use super::error::WalError;
use super::frame::frame_bytes;
use super::group::{GroupCell, GroupInner};
use super::options::{Done, LogEntry, LogState};
use super::queue::{Op, call};
use super::shared::Shared;
use crate::mutant::Mutant;

/// One group's part of the log: a handle, cheap to clone.
///
/// Everything that it is asked to write goes through the node's one queue in the order of the calls. When a call returns an
/// error, its `done` has been called with it and nothing has changed.
#[derive(Clone)]
pub(crate) struct GroupLog {
    pub(super) cell: Arc<GroupCell>,
    pub(super) shared: Arc<super::Owner>,
}

impl GroupLog {
    /// Appends entries that continue the log (any index may begin an empty one, not below `first`). They are readable on
    /// return; `done` is called once they are durable. Waits for room, and changes nothing if it is dropped while it waits.
    pub(crate) async fn append(&self, entries: Vec<LogEntry>, done: Done) -> Result<(), WalError> {
        let shared = &self.shared.shared;
        let limit = shared.options.entry_max_bytes();
        if let Some(large) = entries
            .iter()
            .map(|entry| entry.bytes.len() as u64)
            .find(|bytes| *bytes > limit)
        {
            return refuse(done, WalError::TooLarge { bytes: large, limit });
        }
        let bytes = entries.iter().map(|entry| frame_bytes(entry.bytes.len())).sum();
        self.submit(bytes, true, done, |inner| {
            let mut view = Checkpoint {
                first: inner.view.first,
                next: inner.view.next,
                ..Checkpoint::default()
            };
            for entry in &entries {
                view.entry(entry.index).map_err(|expected| WalError::OutOfOrder {
                    group: self.cell.id,
                    expected,
                    found: entry.index,
                })?;
            }
            let kept = entries.clone();
            Ok((Op::Append(entries), move |inner: &mut GroupInner, op| inner.push(kept, op)))
        })
        .await
    }

    /// Saves the vote; `state()` shows it on return, `done` says that it is durable.
    pub(crate) async fn save_vote(&self, vote: Bytes, done: Done) -> Result<(), WalError> {
        if let Err(error) = self.check_small(&vote) {
            return refuse(done, error);
        }
        self.submit(frame_bytes(vote.len()), false, done, |_| {
            let op = match Mutant::VoteNotPersisted.active() {
                true => Op::Nothing, // Mutant, B2.
                false => Op::Vote(vote.clone()),
            };
            Ok((op, move |inner: &mut GroupInner, _| inner.view.vote = Some(vote)))
        })
        .await
    }

    /// Saves the committed position, some time soon: no one waits for it and it costs no fsync of its own.
    pub(crate) fn save_committed(&self, committed: Bytes) -> Result<(), WalError> {
        self.check_small(&committed)?;
        let mut inner = self.cell.lock();
        self.shared.shared.queue.push_committed(self.cell.id, committed.clone())?;
        inner.view.committed = Some(committed);
        Ok(())
    }

    /// Removes all entries after this index, or all entries.
    pub(crate) async fn truncate_after(&self, index: Option<u64>, done: Done) -> Result<(), WalError> {
        let from = index.map_or(0, |index| index.saturating_add(1));
        self.submit(frame_bytes(0), false, done, |inner| {
            let from = from.max(inner.view.first);
            if from >= inner.view.next {
                return Ok((
                    Op::Nothing,
                    Box::new(|_: &mut GroupInner, _| {}) as Box<dyn FnOnce(&mut GroupInner, u64)>,
                ));
            }
            let last = match from.checked_sub(1).filter(|last| *last >= inner.view.first) {
                Some(last) => Some(self.read_one(inner, last)?),
                None => None,
            };
            Ok((
                Op::Truncate(from),
                Box::new(move |inner: &mut GroupInner, _| inner.truncate(from, last)),
            ))
        })
        .await
    }

    /// Removes the entries up to and including this index, and remembers the opaque position that goes with it. May reach
    /// beyond the last entry (after a snapshot was installed): the next append then begins after it.
    pub(crate) async fn purge(&self, upto: u64, purged: Bytes, done: Done) -> Result<(), WalError> {
        if let Err(error) = self.check_small(&purged) {
            return refuse(done, error);
        }
        self.submit(frame_bytes(purged.len()), false, done, |inner| {
            let kept = purged.clone();
            let news = inner.view.clone().purge(upto, Bytes::new());
            let op = if news { Op::Purge(upto, purged) } else { Op::Nothing };
            Ok((op, move |inner: &mut GroupInner, _| {
                if news {
                    inner.purge(upto, kept);
                }
            }))
        })
        .await
    }

    /// Entries of `from..to_exclusive` that are present, in order: at least one if there is any, then up to `max_bytes`. From
    /// memory or from the segments, with their checksums verified.
    pub(crate) fn read(&self, from: u64, to_exclusive: u64, max_bytes: usize) -> Result<Vec<LogEntry>, WalError> {
        let mut found = Vec::new();
        let mut bytes = 0;
        let mut index = from;
        while bytes < max_bytes || found.is_empty() {
            let inner = self.cell.lock();
            index = index.max(inner.view.first);
            if index >= to_exclusive.min(inner.view.next) {
                break;
            }
            let tail_first = inner.tail_first();
            if index >= tail_first {
                for slot in inner.tail.range((index - tail_first) as usize..) {
                    if index >= to_exclusive || (bytes >= max_bytes && !found.is_empty()) {
                        break;
                    }
                    bytes += slot.bytes.len();
                    found.push(LogEntry {
                        index,
                        bytes: slot.bytes.clone(),
                    });
                    index += 1;
                }
                break;
            }
            let (segment, place) = self.find(&inner, index)?;
            drop(inner);
            let entry = segment.read_entry(place, self.cell.id, index)?;
            bytes += entry.len();
            // A purge in between may have made a gap; then what was read is no longer part of the log.
            if found.last().is_some_and(|last: &LogEntry| last.index + 1 != index) {
                found.clear();
            }
            found.push(LogEntry { index, bytes: entry });
            index += 1;
        }
        Ok(found)
    }

    /// Whether everything from this index on is in memory, so that reading it touches no disk.
    pub(crate) fn in_memory(&self, index: u64) -> bool {
        index >= self.cell.lock().tail_first()
    }

    /// What this group has, including what is not yet durable.
    pub(crate) fn state(&self) -> LogState {
        let inner = self.cell.lock();
        LogState {
            vote: inner.view.vote.clone(),
            committed: inner.view.committed.clone(),
            purged: inner.view.purged.clone(),
            first: inner.view.first,
            last: inner.view.last(),
            last_bytes: inner.last.clone(),
        }
    }

    /// Reserves room, prepares the operation under the group's lock, queues it, and only then shows it in memory.
    async fn submit<F>(
        &self,
        bytes: u64,
        entries: bool,
        done: Done,
        prepare: impl FnOnce(&GroupInner) -> Result<(Op, F), WalError>,
    ) -> Result<(), WalError>
    where
        F: FnOnce(&mut GroupInner, u64),
    {
        match self.shared.shared.reserve(bytes, entries).await {
            Ok(()) => self.enqueue(bytes, done, prepare),
            Err(error) => refuse(done, error),
        }
    }

    fn enqueue<F>(
        &self,
        bytes: u64,
        done: Done,
        prepare: impl FnOnce(&GroupInner) -> Result<(Op, F), WalError>,
    ) -> Result<(), WalError>
    where
        F: FnOnce(&mut GroupInner, u64),
    {
        let shared = &self.shared.shared;
        // Room comes before the group's lock: the sync thread needs that lock to make room.
        let mut inner = self.cell.lock();
        let (op, show) = match prepare(&inner) {
            Ok(prepared) => prepared,
            Err(error) => {
                drop(inner);
                shared.queue.give_back(bytes);
                return refuse(done, error);
            }
        };
        match shared.queue.push(self.cell.clone(), op, bytes, done) {
            Ok(number) => {
                show(&mut inner, number);
                Ok(())
            }
            Err((error, done)) => {
                drop(inner);
                refuse(done, error)
            }
        }
    }

    /// Votes and positions are repeated in every checkpoint: they must stay small.
    fn check_small(&self, bytes: &Bytes) -> Result<(), WalError> {
        const LIMIT_BYTES: u64 = 4096;
        let bytes = bytes.len() as u64;
        if bytes > LIMIT_BYTES {
            Err(WalError::TooLarge {
                bytes,
                limit: LIMIT_BYTES,
            })
        } else {
            Ok(())
        }
    }

    fn read_one(&self, inner: &GroupInner, index: u64) -> Result<Bytes, WalError> {
        if let Some(slot) = index
            .checked_sub(inner.tail_first())
            .and_then(|at| inner.tail.get(at as usize))
        {
            return Ok(slot.bytes.clone());
        }
        let (segment, place) = self.find(inner, index)?;
        segment.read_entry(place, self.cell.id, index)
    }

    fn find(&self, inner: &GroupInner, index: u64) -> Result<(Arc<super::segment::Segment>, super::runs::Place), WalError> {
        let shared: &Shared = &self.shared.shared;
        let found = inner
            .runs
            .get(index)
            .and_then(|(sequence, place)| Some((shared.segment(sequence)?, place)));
        found.ok_or_else(|| {
            WalError::damaged(
                &shared.dir,
                0,
                format!("entry {index} of group {} is in no segment", self.cell.id),
            )
        })
    }
}

fn refuse(done: Done, error: WalError) -> Result<(), WalError> {
    call(done, Err(error.clone().into()));
    Err(error)
}
