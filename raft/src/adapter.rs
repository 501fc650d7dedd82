//! openraft's state machine over ours.
//!
//! Applying happens on a thread of the group's own (`apply`): openraft's worker only passes entries on, through a bounded queue, and
//! goes back to the runtime. So openraft's "applied" means "given to the machine", and runs ahead of what the machine has done;
//! whoever must know what is applied (reads, replies, snapshots, status) asks this crate's own progress, never openraft's. While the
//! group opens, the adapter waits for the machine instead, because openraft then asks for the applied state.
//!
//! Snapshots cost nothing to make: the machine can show its state at any time. "Building" one only tells openraft how far the
//! machine is durable, which is how far the log may be purged.

use std::io;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use openraft::RaftSnapshotBuilder;
use openraft::storage::{EntryResponder, RaftStateMachine};

use crate::apply::{ApplyQueue, Work};
use crate::codec::{mark_of, read_mark};
use crate::incoming::Incoming;
use crate::mutant::Mutant;
use crate::typ::{LogId, Snapshot, SnapshotMeta, StoredMembership, Types};
use crate::{SnapshotSource, StateMachine};

/// What comes with a snapshot's meta data.
pub(crate) enum SnapshotData {
    /// Nothing: it only says how far the machine is durable.
    Mark,
    /// The machine's state, to be sent.
    Source(Box<dyn SnapshotSource>),
    /// Another machine's state, received and to be installed.
    Sink(Incoming),
}

impl std::fmt::Debug for SnapshotData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SnapshotData::Mark => "Mark",
            SnapshotData::Source(_) => "Source",
            SnapshotData::Sink(_) => "Sink",
        })
    }
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Adapter {
    machine: Arc<dyn StateMachine>,
    queue: Arc<ApplyQueue>,
}

impl Adapter {
    pub(crate) fn new(machine: Arc<dyn StateMachine>, queue: Arc<ApplyQueue>) -> Adapter {
        Adapter { machine, queue }
    }

    fn durable(&self) -> io::Result<SnapshotMeta> {
        // Mutant, purging: this is how far the log may go.
        if Mutant::PurgePastDurable.active() && !self.queue.is_opening() {
            let (applied, membership) = self.queue.applied_state();
            return read_mark(&mark_of(applied.as_ref(), &membership));
        }
        read_mark(&self.machine.durable())
    }
}

impl RaftStateMachine<Types> for Adapter {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Adapter;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        self.queue.drained().await?;
        let (applied, membership) = self.queue.applied_state();
        Ok((applied, membership))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + Send,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            self.queue.push(Work::Entry(entry, responder)).await?;
        }
        self.queue.flush();
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<Adapter> {
        Some(self.clone())
    }

    async fn get_snapshot_builder(&mut self) -> Adapter {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotData) -> io::Result<()> {
        match snapshot {
            SnapshotData::Sink(sink) => self.queue.install(meta.clone(), sink).await,
            other => Err(io::Error::other(format!(
                "install snapshot: {other:?} holds nothing to install"
            ))),
        }
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        if self.queue.is_opening() {
            let meta = self.durable()?;
            return Ok(meta.last_log_id.is_some().then_some(Snapshot {
                meta,
                snapshot: SnapshotData::Mark,
            }));
        }
        let source = self.machine.snapshot()?;
        let meta = read_mark(source.mark())?;
        Ok(meta.last_log_id.is_some().then_some(Snapshot {
            meta,
            snapshot: SnapshotData::Source(source),
        }))
    }
}

impl RaftSnapshotBuilder<Types> for Adapter {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        Ok(Snapshot {
            meta: self.durable()?,
            snapshot: SnapshotData::Mark,
        })
    }
}
