//! A replica of one group, as its user sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::{Error, GroupId, NodeId, ProposeError, ReadError};

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
    /// Replicas that vote.
    pub voters: Vec<NodeId>,
    /// Replicas that only receive.
    pub learners: Vec<NodeId>,
    /// On the leader: how far each replica's log is known to match.
    pub matched: BTreeMap<NodeId, u64>,
}

/// An applied proposal. The times are those of the leader, microseconds, one after the other; 0 where one was not observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// What the machine replied.
    pub reply: Bytes,
    /// Where it is in the log.
    pub index: u64,
    /// From the call until the entry was handed to the log.
    pub propose_us: u32,
    /// From there until it was durable on this node.
    pub fsync_us: u32,
    /// From there until the machine was given it, that is until it was committed and its turn came.
    pub commit_us: u32,
    /// From there until the machine had replied.
    pub apply_us: u32,
}

/// A replica of one group on this node. Cheap to clone; usable from any runtime.
#[derive(Clone)]
pub struct Group {
    _shared: Arc<()>,
}

impl Group {
    /// Which group.
    pub fn id(&self) -> GroupId {
        unimplemented!()
    }

    /// Makes the group, with these voters; on one of them, once in its life. False: it was initialised already.
    pub async fn initialize(&self, _members: &BTreeSet<NodeId>) -> Result<bool, Error> {
        unimplemented!()
    }

    /// Replicates and applies a payload; only on the leader. At most [`PAYLOAD_BYTES_MAX`](crate::PAYLOAD_BYTES_MAX).
    pub async fn propose(&self, _payload: Bytes) -> Result<Proposed, ProposeError> {
        unimplemented!()
    }

    /// Returns once everything that was committed when it was called is applied on this replica, with the index that it waited for.
    pub async fn read_barrier(&self) -> Result<u64, ReadError> {
        unimplemented!()
    }

    /// Who leads, as far as this replica knows. Cheap.
    pub fn leader(&self) -> Option<NodeId> {
        unimplemented!()
    }

    /// Whether this replica leads. Cheap; may be out of date by the time it returns.
    pub fn is_leader(&self) -> bool {
        unimplemented!()
    }

    /// Resolves when `leader()` changes the next time.
    pub async fn leader_changed(&self) {
        unimplemented!()
    }

    /// Index of the last entry that is applied here.
    pub fn applied(&self) -> u64 {
        unimplemented!()
    }

    /// Waits until `index` is applied here; false when it is not within `deadline`.
    pub async fn wait_applied(&self, _index: u64, _deadline: Duration) -> bool {
        unimplemented!()
    }

    /// What this replica knows of the group.
    pub fn status(&self) -> Status {
        unimplemented!()
    }

    /// Hands leadership to a voter, by default the most up-to-date one; returns once it leads, and who it is.
    pub async fn hand_over(&self, _to: Option<NodeId>) -> Result<NodeId, Error> {
        unimplemented!()
    }

    /// Makes exactly these nodes the voters: adds the new ones as learners, waits until they caught up, changes.
    pub async fn change_voters(&self, _voters: &BTreeSet<NodeId>) -> Result<(), Error> {
        unimplemented!()
    }

    /// Why this replica stopped, if it did.
    pub fn stopped(&self) -> Option<String> {
        unimplemented!()
    }
}
