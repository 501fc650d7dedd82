//! A replica of one group, as its user sees it.
//!
//! Proposing is in `propose`, making the group and changing who is in it in `members`, what a replica knows of itself in `status`, what its
//! log holds in `entries`.
//! Here is the handle, and what is asked all the time: who leads, how far this replica is, whether it still runs.

mod entries;
mod members;
mod propose;
mod status;

use std::sync::Arc;
use std::time::Duration;

use openraft::errors::ForwardToLeader;
use tokio::time::timeout;

pub use self::entries::{Entries, EntriesError};
pub use self::propose::{Proposed, Submitted};
pub use self::status::{Role, Status};
use crate::host::HostInner;
use crate::replica::Replica;
use crate::typ::Types;
use crate::{Error, GroupId, NodeId, ReadError, barrier};

/// A replica of one group on this node. Cheap to clone; usable from any tokio runtime that has its timer enabled.
#[derive(Clone)]
pub struct Group {
    replica: Arc<Replica>,
    /// Keeps the raft thread running.
    _host: Arc<HostInner>,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group")
            .field("id", &self.replica.id)
            .field("node", &self.replica.node)
            .finish_non_exhaustive()
    }
}

impl Group {
    pub(crate) fn new(replica: Arc<Replica>, host: Arc<HostInner>) -> Group {
        Group { replica, _host: host }
    }

    pub(crate) fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    /// Which group.
    pub fn id(&self) -> GroupId {
        self.replica.id
    }

    /// Returns once everything that was acknowledged before it was called is applied on this replica, with the index that it waited
    /// for. On any replica; takes at most 2 s.
    pub async fn read_barrier(&self) -> Result<u64, ReadError> {
        barrier::pass(&self.replica).await
    }

    /// Who leads, as far as this replica knows; a leader whose quorum does not answer knows of none. Cheap.
    pub fn leader(&self) -> Option<NodeId> {
        self.replica.lead.leader()
    }

    /// Whether this replica leads. Cheap; may be out of date by the time it returns.
    pub fn is_leader(&self) -> bool {
        self.replica.lead.leads()
    }

    /// Resolves at the first change of `leader()` after the call.
    pub fn leader_changed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut changes = self.replica.lead.changes();
        async move {
            // It never ends before the replica does, because that holds the sender.
            let _ = changes.changed().await;
        }
    }

    /// Index of the last entry that is applied here.
    pub fn applied(&self) -> u64 {
        *self.replica.queue.applied().borrow()
    }

    /// Waits until `index` is applied here; false when it is not within `deadline`.
    pub async fn wait_applied(&self, index: u64, deadline: Duration) -> bool {
        let mut applied = self.replica.queue.applied().subscribe();
        let reached = applied.wait_for(|at| *at >= index || self.replica.stopped().is_some());
        timeout(deadline, reached)
            .await
            .is_ok_and(|reached| reached.is_ok_and(|at| *at >= index))
    }

    /// Why this replica stopped, if it did.
    pub fn stopped(&self) -> Option<String> {
        self.replica.stopped()
    }

    fn stopped_error(&self, why: &dyn std::fmt::Display) -> Error {
        Error::Stopped {
            group: self.id(),
            why: self.stopped().unwrap_or_else(|| why.to_string()),
        }
    }
}

fn leader_of(forward: &ForwardToLeader<Types>) -> Option<NodeId> {
    forward.leader_id.map(NodeId)
}
