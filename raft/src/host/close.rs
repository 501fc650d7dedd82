//! Closing one group while the others go on, so that it can be opened again over another machine.
//!
//! Its log and its vote stay where they are. What this replica was asked to write before is durable when the group is closed: who
//! opens it again takes all that the log shows for durable, and acknowledges it.
//!
//! A group that this node leaves for good is another matter: entries that nobody purges any more would stay in the log for ever, and be
//! copied forward until it is full of them.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::{Host, lock};
use crate::codec::{LogIdV1, decode, encode};
use crate::log_store::{durable, settle};
use crate::replica::Replica;
use crate::wal::GroupLog;
use crate::{Error, Group, GroupId};

/// Why a group stopped that was closed.
const CLOSED: &str = "the group was closed";

impl Host {
    /// Ends a group on this node, and waits until nothing of it runs. Its handles answer that it stopped. Fails with `Log` when the
    /// log can no longer be written, and with `Closed` when the host stops meanwhile.
    pub async fn close_group(&self, group: &Group) -> Result<(), Error> {
        self.close(group.replica()).await
    }

    /// Closes a group, if it is open, and removes what is committed of it from the log: for a node that the group has let go. Its vote
    /// stays. Who opens it again needs the state of another replica. May be called again after it failed. Fails like `close_group`.
    pub async fn leave_group(&self, id: GroupId) -> Result<(), Error> {
        if let Some(replica) = self.0.net.inbox.find(id.0) {
            self.close(&replica).await?;
        }
        let left = discard(&self.0.wal.group(id.0)).await;
        left.map_err(|error| Error::Log(error.to_string()))
    }

    async fn close(&self, replica: &Arc<Replica>) -> Result<(), Error> {
        replica.queue.end(CLOSED);
        let _ = replica.raft.shutdown().await;
        self.0.net.inbox.remove(replica);
        let threads = {
            let mut all = lock(&self.0.apply_threads);
            let (own, others) = std::mem::take(&mut *all).into_iter().partition(|(id, _)| *id == replica.id.0);
            *all = others;
            own
        };
        let joined = tokio::task::spawn_blocking(move || {
            let threads: Vec<(u64, std::thread::JoinHandle<()>)> = threads;
            // What it panicked of is the reason why the group stopped.
            threads.into_iter().for_each(|(_, thread)| drop(thread.join()));
        });
        joined.await.map_err(|_| Error::Closed)?;
        let log = self.0.wal.group(replica.id.0);
        let settled = settle(&log).await;
        settled.map_err(|error| Error::Log(error.to_string()))
    }
}

/// Removes the entries of a group that is not open and that are known to be committed, and waits until that is durable: they count as
/// purged, so that the group opens only over a state that reaches there. The vote stays, for whoever takes part again may not vote twice
/// in a term, and so do the few entries behind. This node may have acknowledged them, and who has been let go does not know what became of
/// them: one that comes back without them could vote for who lacks what a quorum has.
async fn discard(log: &GroupLog) -> io::Result<()> {
    let committed = log.state().committed;
    let committed = committed.map(|bytes| decode::<LogIdV1>("committed position", &bytes));
    let committed = committed.transpose()?;
    if let Some(id) = committed {
        let purged: Bytes = encode(&id);
        durable(|done| log.purge(id.index, purged, done)).await?;
    }
    Ok(())
}
