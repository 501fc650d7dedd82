//! What a replica knows of its group, at one moment.
//!
//! It is put together from what openraft last published and from what the apply thread has done since, so its numbers may be out of
//! date by the time they are read, and those of two replicas are never of the same moment.

use std::collections::BTreeMap;

use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;

use super::Group;
use crate::NodeId;
use crate::typ::index_of;

/// What this replica is at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads.
    Leader,
    /// It follows a leader, or waits for one.
    Follower,
    /// It asks to lead.
    Candidate,
    /// It receives the log without a vote.
    Learner,
    /// It stopped, for the given reason.
    Stopped(String),
}

/// A replica's view of its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The current term.
    pub term: u64,
    /// Who leads, if known.
    pub leader: Option<NodeId>,
    /// What this replica is.
    pub role: Role,
    /// Index of the last entry in this log.
    pub last_log: u64,
    /// Index of the last entry known to be committed.
    pub committed: u64,
    /// Index of the last applied entry.
    pub applied: u64,
    /// Index that the machine has made durable and the log may be purged to.
    pub snapshot: u64,
    /// Index of the last purged entry.
    pub purged: u64,
    /// Bytes of log behind that, to within 256 KiB; of what this process wrote itself.
    pub log_bytes: u64,
    /// Replicas that vote.
    pub voters: Vec<NodeId>,
    /// Replicas that only receive.
    pub learners: Vec<NodeId>,
    /// On the leader: how far each replica's log is known to match.
    pub matched: BTreeMap<NodeId, u64>,
}

impl Group {
    /// What this replica knows of the group.
    pub fn status(&self) -> Status {
        let metrics = self.replica.raft.metrics().borrow_watched().clone();
        let role = match (self.stopped(), metrics.state) {
            (Some(why), _) => Role::Stopped(why),
            (None, ServerState::Leader) => Role::Leader,
            (None, ServerState::Candidate) => Role::Candidate,
            (None, ServerState::Learner) => Role::Learner,
            (None, ServerState::Shutdown) => Role::Stopped("shut down".to_owned()),
            (None, ServerState::Follower) => Role::Follower,
        };
        let membership = metrics.membership_config.membership();
        let matched = metrics
            .replication
            .iter()
            .flatten()
            .map(|(node, at)| (NodeId(*node), index_of(at.as_ref())));
        Status {
            term: metrics.current_term,
            leader: self.leader(),
            role,
            last_log: metrics.last_log_index.unwrap_or(0),
            committed: index_of(metrics.local_committed.as_ref()),
            applied: self.applied(),
            snapshot: index_of(metrics.snapshot.as_ref()),
            purged: index_of(metrics.purged.as_ref()),
            log_bytes: self.replica.size.bytes_after(index_of(metrics.purged.as_ref())),
            voters: membership.voter_ids().map(NodeId).collect(),
            learners: membership.learner_ids().map(NodeId).collect(),
            matched: matched.collect(),
        }
    }
}
