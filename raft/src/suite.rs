//! openraft's own storage suite, against our log store and adapter, on a real directory.
//!
//! The suite expects `apply` to be finished when it returns, and installs what `get_current_snapshot` gave; [`Settled`] waits for
//! the apply thread, and turns the one end of a snapshot into the other as a transfer between nodes does.

use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::Stream;
use openraft::StorageError;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use crate::adapter::{Adapter, SnapshotData};
use crate::apply::ApplyQueue;
use crate::incoming::Incoming;
use crate::log_size::LogSize;
use crate::log_store::LogStore;
use crate::stage::Stages;
use crate::typ::{LogId, Snapshot, SnapshotMeta, StoredMembership, Types};
use crate::wal::{LogOptions, RealDisk, Wal};
use crate::{Entry, GroupId, Mark, SnapshotSink, SnapshotSource, StateMachine};

/// A machine that only remembers how far it is.
#[derive(Clone, Default)]
struct MarkOnly(Arc<Mutex<Mark>>);

impl StateMachine for MarkOnly {
    fn applied(&self) -> io::Result<Mark> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn apply(&self, entries: Vec<Entry>, mark: Mark) -> io::Result<Vec<Bytes>> {
        *self.0.lock().unwrap() = mark;
        Ok(entries.into_iter().map(|entry| entry.payload).collect())
    }

    fn durable(&self) -> Mark {
        self.0.lock().unwrap().clone()
    }

    fn persist(&self) -> io::Result<Mark> {
        Ok(self.durable())
    }

    fn snapshot(&self) -> io::Result<Box<dyn SnapshotSource>> {
        Ok(Box::new(MarkSource(self.durable(), 2)))
    }

    fn receive(&self) -> io::Result<Box<dyn SnapshotSink>> {
        Ok(Box::new(MarkSink(self.clone(), Vec::new())))
    }
}

/// Two chunks: the index, and the state.
struct MarkSource(Mark, usize);

impl SnapshotSource for MarkSource {
    fn mark(&self) -> &Mark {
        &self.0
    }

    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let chunks = [
            None,
            Some(self.0.state.clone().into()),
            Some(self.0.index.to_le_bytes().to_vec().into()),
        ];
        let chunk = chunks[self.1].clone();
        self.1 = self.1.saturating_sub(1);
        Ok(chunk)
    }
}

struct MarkSink(MarkOnly, Vec<Bytes>);

impl SnapshotSink for MarkSink {
    fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        self.1.push(chunk);
        Ok(())
    }

    fn install(self: Box<Self>) -> io::Result<Mark> {
        let index = u64::from_le_bytes(self.1[0][..].try_into().unwrap());
        let mark = Mark {
            index,
            state: self.1[1].to_vec(),
        };
        *self.0.0.lock().unwrap() = mark.clone();
        Ok(mark)
    }
}

/// See the module.
struct Settled {
    adapter: Adapter,
    queue: Arc<ApplyQueue>,
    machine: Arc<dyn StateMachine>,
}

impl RaftStateMachine<Types> for Settled {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Adapter;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        self.adapter.applied_state().await
    }

    async fn apply<S>(&mut self, entries: S) -> io::Result<()>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + Send,
    {
        self.adapter.apply(entries).await?;
        self.queue.drained().await
    }

    async fn get_snapshot_builder(&mut self) -> Adapter {
        self.adapter.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotData) -> io::Result<()> {
        let SnapshotData::Source(mut source) = snapshot else {
            return Err(io::Error::other("not a source"));
        };
        let mut sink = self.machine.receive()?;
        while let Some(chunk) = source.next_chunk()? {
            sink.write(chunk)?;
        }
        self.adapter
            .install_snapshot(meta, SnapshotData::Sink(Incoming::new(sink)))
            .await
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        self.adapter.get_current_snapshot().await
    }
}

struct Builder;

/// What is cleaned up after each of the suite's tests.
struct Guard {
    wal: Option<Wal>,
    queue: Arc<ApplyQueue>,
    thread: Option<std::thread::JoinHandle<()>>,
    _dir: TempDir,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        if let Some(wal) = self.wal.take() {
            wal.close().unwrap();
        }
    }
}

impl StoreBuilder<Types, LogStore, Settled, Guard> for Builder {
    async fn build(&self) -> Result<(Guard, LogStore, Settled), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let options = LogOptions {
            segment_bytes: 1 << 20,
            sync: false,
            ..LogOptions::default()
        };
        let (wal, _) = Wal::open(dir.path(), options, Arc::new(RealDisk)).unwrap();
        let stages = Arc::new(Stages::new());
        let machine: Arc<dyn StateMachine> = Arc::new(MarkOnly::default());
        let (queue, thread) = ApplyQueue::open(GroupId(1), Arc::clone(&machine), Arc::clone(&stages)).unwrap();
        let log = LogStore::new(wal.group(1), stages, LogSize::new(), None);
        queue.opened();
        let adapter = Adapter::new(Arc::clone(&machine), Arc::clone(&queue));
        let adapter = Settled {
            adapter,
            queue: Arc::clone(&queue),
            machine,
        };
        Ok((
            Guard {
                wal: Some(wal),
                queue,
                thread: Some(thread),
                _dir: dir,
            },
            log,
            adapter,
        ))
    }
}

#[test]
fn openrafts_storage_suite_passes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Suite::test_store(&Builder)).unwrap();
}
