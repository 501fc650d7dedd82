//! openraft's log store over a group's part of the node's log.
//!
//! Votes, appends, truncations and purges of a group go through the one ordered queue of the node's log, so what openraft asks for
//! first is durable first. Appending returns as soon as the entries can be read; the log's sync thread reports durability.
//! A purge never passes what the machine has made durable, whatever openraft believes: after a power loss the machine needs the
//! entries after its durable mark again.
//!
//! Reads that come from the tail in memory are done in place; older ones, which may touch the disk, on a blocking thread.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use bytes::Bytes;
use openraft::LogState;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use tokio::sync::oneshot;

use crate::StateMachine;
use crate::codec::{LogIdV1, VoteV1, decode, decode_entry, encode, encode_entry, read_mark};
use crate::limits::APPEND_BYTES_MAX;
use crate::log_size::LogSize;
use crate::mutant::Mutant;
use crate::stage::Stages;
use crate::typ::{LogId, RaftEntry, Types, Vote, index_of};
use crate::wal::{Done, GroupLog, LogEntry, Synced, WalError};

/// Entries that `try_get_log_entries` reads in one go from the log.
const READ_BYTES: usize = 4 << 20;

/// One group's log for openraft. Clones are readers of the same log.
#[derive(Clone)]
pub(crate) struct LogStore {
    log: GroupLog,
    stages: Arc<Stages>,
    size: Arc<LogSize>,
    /// Whose durable mark bounds purging; none in openraft's own test suite, which purges without a machine.
    machine: Option<Arc<dyn StateMachine>>,
}

impl LogStore {
    pub(crate) fn new(
        log: GroupLog,
        stages: Arc<Stages>,
        size: Arc<LogSize>,
        machine: Option<Arc<dyn StateMachine>>,
    ) -> LogStore {
        size.opened(log.state().last.unwrap_or(0));
        LogStore {
            log,
            stages,
            size,
            machine,
        }
    }

    /// The entries of `from..to` that fit into `bytes`; at least one when there is one.
    async fn read(&self, from: u64, to: u64, bytes: usize) -> io::Result<Vec<RaftEntry>> {
        // An entry may leave memory before it is read; then this one read touches the disk here.
        let found = if self.log.in_memory(from) {
            self.log.read(from, to, bytes)?
        } else {
            let log = self.log.clone();
            tokio::task::spawn_blocking(move || log.read(from, to, bytes))
                .await
                .map_err(io::Error::other)??
        };
        found.iter().map(|entry| decode_entry(&entry.bytes)).collect()
    }

    /// What may really be purged when openraft asks for `wanted`.
    fn purge_bound(&self, wanted: LogId) -> io::Result<Option<LogId>> {
        let Some(machine) = &self.machine else {
            return Ok(Some(wanted));
        };
        let durable = read_mark(&machine.durable())?.last_log_id;
        // Mutant, purging.
        if index_of(durable.as_ref()) >= wanted.index || Mutant::PurgePastDurable.active() {
            return Ok(Some(wanted));
        }
        if wanted.index > self.size.last() {
            return Err(io::Error::other("purge log: an installed snapshot is not durable"));
        }
        Ok(durable)
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + Send>(&mut self, range: R) -> io::Result<Vec<RaftEntry>> {
        let mut from = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(end) => end.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        let mut all = Vec::new();
        while from < to {
            let more = self.read(from, to, READ_BYTES).await?;
            let Some(last) = more.last() else { break };
            from = last.log_id.index + 1;
            if all.is_empty() { all = more } else { all.extend(more) }
        }
        Ok(all)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        self.log
            .state()
            .vote
            .map(|bytes| decode::<VoteV1>("vote", &bytes).map(Vote::from))
            .transpose()
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<RaftEntry>> {
        self.read(start, end, APPEND_BYTES_MAX).await
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let state = self.log.state();
        let purged = state
            .purged
            .map(|(_, bytes)| decode::<LogIdV1>("purged position", &bytes))
            .transpose()?
            .map(LogId::from);
        let last = state
            .last_bytes
            .map(|bytes| decode_entry(&bytes))
            .transpose()?
            .map(|entry| entry.log_id);
        Ok(LogState {
            last_purged_log_id: purged,
            last_log_id: last.or(purged),
        })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let vote = encode(&VoteV1::from(vote));
        durable(|done| self.log.save_vote(vote, done)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        if let Some(id) = committed {
            self.log.save_committed(encode(&LogIdV1::from(id)))?;
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        self.log
            .state()
            .committed
            .map(|bytes| decode::<LogIdV1>("committed position", &bytes).map(LogId::from))
            .transpose()
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = RaftEntry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<LogEntry> = entries
            .into_iter()
            .map(|entry| LogEntry {
                index: entry.log_id.index,
                bytes: encode_entry(&entry),
            })
            .collect();
        let (Some(first), Some(last)) = (entries.first().map(|e| e.index), entries.last().map(|e| e.index)) else {
            callback.io_completed(Ok(()));
            return Ok(());
        };
        self.stages.appended(first, last);
        self.size.appended(&entries);
        let stages = Arc::clone(&self.stages);
        let done: Done = Box::new(move |result| {
            if let Ok(Synced { at }) = &result {
                stages.synced(first, last, *at);
            }
            callback.io_completed(result.map(drop));
        });
        Ok(self.log.append(entries, done).await?)
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let last = last.map(|id| id.index);
        durable(|done| self.log.truncate_after(last, done)).await?;
        self.size.truncated(last.unwrap_or(0));
        Ok(())
    }

    async fn purge(&mut self, wanted: LogId) -> io::Result<()> {
        let Some(upto) = self.purge_bound(wanted)? else {
            return Ok(());
        };
        if self.log.state().purged.is_some_and(|(index, _)| index >= upto.index) {
            return Ok(());
        }
        let id: Bytes = encode(&LogIdV1::from(upto));
        durable(|done| self.log.purge(upto.index, id, done)).await?;
        self.size.purged(upto.index);
        Ok(())
    }
}

/// Starts a write and waits until it is durable.
async fn durable<F: Future<Output = Result<(), WalError>>>(start: impl FnOnce(Done) -> F) -> io::Result<()> {
    let (done, result) = oneshot::channel();
    start(Box::new(move |synced| {
        let _ = done.send(synced);
    }))
    .await?;
    match result.await {
        Ok(synced) => synced.map(drop),
        Err(_) => Err(io::Error::other("write log: it was stopped")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_read_back_at_the_start_is_not_taken_to_be_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let open =
            || crate::wal::Wal::open(dir.path(), crate::wal::LogOptions::default(), Arc::new(crate::wal::RealDisk)).unwrap();
        let (wal, _) = open();
        let log = wal.group(1);
        let entries = (1..=10).map(|index| LogEntry {
            index,
            bytes: vec![0; 100].into(),
        });
        let entries = entries.collect();
        let (done, durable) = std::sync::mpsc::sync_channel(1);
        log.append(entries, Box::new(move |result| done.send(result.map(drop)).unwrap()))
            .await
            .unwrap();
        durable.recv().unwrap().unwrap();
        assert!(log.in_memory(1));
        drop(log);
        wal.close().unwrap();
        let (wal, _) = open();
        let log = wal.group(1);
        assert!(!log.in_memory(1) && !log.in_memory(10) && log.in_memory(11));
        drop(log);
        wal.close().unwrap();
    }
}
