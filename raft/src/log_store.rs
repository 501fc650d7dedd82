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

use crate::codec::{LogIdV1, VoteV1, decode, decode_entry, encode, encode_entry, read_mark};
use crate::limits::APPEND_BYTES_MAX;
use crate::log_size::LogSize;
use crate::mutant::Mutant;
use crate::stage::Stages;
use crate::typ::{LogId, RaftEntry, Types, Vote, index_of};
use crate::wal::{Done, GroupLog, LogEntry, Synced, WalError};
use crate::{Error, GroupId, StateMachine};

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
    pub(crate) async fn read(&self, from: u64, to: u64, bytes: usize) -> io::Result<Vec<RaftEntry>> {
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

    /// Before the group opens: brings the log and what the machine has applied into agreement. The machine may come from another
    /// replica, so it may be ahead of this log, and this log may have a tail that a later leader has written over elsewhere.
    ///
    /// - What is applied may not lie before what is purged, or entries would be missing (`Behind`).
    /// - Where the log has the very entry that was applied last, all of it is right up to there, and what follows stays.
    /// - Where it has another one there, or ends before, its tail was never committed or is not needed: all of it goes, as when a
    ///   leader sends a snapshot.
    /// - The vote is raised to the leader whose entry was applied: a replica never holds entries of a term that it has not seen.
    pub(crate) async fn align(&self, group: GroupId, applied: &Option<LogId>) -> Result<(), Error> {
        let broken = |error: io::Error| Error::Log(error.to_string());
        let purged = self.log.state().purged.map_or(0, |(index, _)| index);
        if index_of(applied.as_ref()) < purged {
            let applied = index_of(applied.as_ref());
            return Err(Error::Behind { group, applied, purged });
        }
        let Some(applied) = applied else { return Ok(()) };
        let found = self.read(applied.index, applied.index + 1, 1).await.map_err(broken)?;
        let found = found.first().map(|entry| entry.log_id);
        if found != Some(*applied) && applied.index > purged {
            let committed = self.clone().read_committed().await.map_err(broken)?;
            if index_of(committed.as_ref()) >= applied.index {
                return Err(Error::Log(format!(
                    "entry {} of group {group} was committed here as {found:?}, and in the machine as {applied}",
                    applied.index
                )));
            }
            tracing::info!(
                group = group.0,
                at = applied.index,
                ?found,
                "the log begins anew behind what the machine has applied"
            );
            let before = applied.index.saturating_sub(1);
            durable(|done| self.log.truncate_after(Some(before), done))
                .await
                .map_err(broken)?;
            let id: Bytes = encode(&LogIdV1::from(*applied));
            durable(|done| self.log.purge(applied.index, id, done))
                .await
                .map_err(broken)?;
            self.size.opened(applied.index);
        }
        self.raise_vote(applied).await.map_err(broken)
    }

    async fn raise_vote(&self, applied: &LogId) -> io::Result<()> {
        let mut log = self.clone();
        let leader = VoteV1 {
            term: applied.leader_id.term,
            node: applied.leader_id.node_id,
            committed: true,
        };
        let known = log.read_vote().await?.map(|vote| VoteV1::from(&vote));
        if known.is_some_and(|vote| (vote.term, vote.node) >= (leader.term, leader.node)) {
            return Ok(());
        }
        log.save_vote(&Vote::from(leader)).await
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

/// Waits until all that this group was asked to write so far is durable.
pub(crate) async fn settle(log: &GroupLog) -> io::Result<()> {
    // Nothing lies after it, so nothing is removed; but it is answered in its turn.
    durable(|done| log.truncate_after(Some(u64::MAX - 1), done)).await
}

/// Starts a write and waits until it is durable.
pub(crate) async fn durable<F: Future<Output = Result<(), WalError>>>(start: impl FnOnce(Done) -> F) -> io::Result<()> {
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

    /// Opens a log with entries 1..=10 of term 1, hands it out, and closes it.
    async fn with_ten_entries(check: impl AsyncFnOnce(&LogStore, Arc<LogSize>)) {
        let dir = tempfile::tempdir().unwrap();
        let options = crate::wal::LogOptions::default();
        let (wal, _) = crate::wal::Wal::open(dir.path(), options, Arc::new(crate::wal::RealDisk)).unwrap();
        let (group, size) = (wal.group(1), LogSize::new());
        let entries = (1..=10).map(|index| LogEntry {
            index,
            bytes: encode_entry(&RaftEntry {
                log_id: id(1, index),
                payload: openraft::EntryPayload::Blank,
            }),
        });
        let entries: Vec<LogEntry> = entries.collect();
        durable(|done| group.append(entries, done)).await.unwrap();
        let store = LogStore::new(group, Arc::new(Stages::new()), Arc::clone(&size), None);
        check(&store, size).await;
        drop(store);
        wal.close().unwrap();
    }

    fn id(term: u64, index: u64) -> LogId {
        LogIdV1 { term, node: 2, index }.into()
    }

    fn kept(store: &LogStore) -> (u64, Option<u64>) {
        let state = store.log.state();
        (state.purged.map_or(0, |(index, _)| index), state.last)
    }

    #[tokio::test]
    async fn a_log_that_agrees_with_the_machine_keeps_what_follows() {
        with_ten_entries(async |store, _| {
            store.align(GroupId(1), &None).await.unwrap();
            store.align(GroupId(1), &Some(id(1, 6))).await.unwrap();
            assert_eq!(kept(store), (0, Some(10)));
            let vote = store.clone().read_vote().await.unwrap().map(|vote| VoteV1::from(&vote));
            assert_eq!(vote.map(|vote| (vote.term, vote.node, vote.committed)), Some((1, 2, true)));
        })
        .await;
    }

    #[tokio::test]
    async fn a_tail_that_contradicts_the_machine_goes_and_the_log_begins_anew() {
        for applied in [id(3, 6), id(3, 10), id(3, 40)] {
            with_ten_entries(async |store, size| {
                store.align(GroupId(1), &Some(applied)).await.unwrap();
                assert_eq!(kept(store), (applied.index, None));
                assert_eq!(size.last(), applied.index);
                let purged = store.clone().get_log_state().await.unwrap();
                assert_eq!(purged.last_log_id, Some(applied));
            })
            .await;
        }
    }

    #[tokio::test]
    async fn what_was_committed_here_is_never_thrown_away() {
        with_ten_entries(async |store, _| {
            store.clone().save_committed(Some(id(1, 7))).await.unwrap();
            assert!(matches!(store.align(GroupId(1), &Some(id(3, 6))).await, Err(Error::Log(_))));
            assert_eq!(kept(store), (0, Some(10)));
        })
        .await;
    }

    #[tokio::test]
    async fn a_machine_older_than_the_log_is_refused() {
        with_ten_entries(async |store, _| {
            store.clone().purge(id(1, 5)).await.unwrap();
            for applied in [None, Some(id(1, 4))] {
                let refused = store.align(GroupId(1), &applied).await;
                assert!(matches!(refused, Err(Error::Behind { purged: 5, .. })), "{refused:?}");
            }
            store.align(GroupId(1), &Some(id(1, 5))).await.unwrap();
            assert_eq!(kept(store), (5, Some(10)));
        })
        .await;
    }
}
