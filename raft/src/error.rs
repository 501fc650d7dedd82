//! The errors that a caller tells apart.

use crate::{GroupId, NodeId};

/// A failure of an operation on the host or on a group's membership.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot work; nothing was started.
    #[error("check raft configuration: {0}")]
    Config(String),
    /// The data directory belongs to another node, cluster or incarnation, or cannot be trusted.
    #[error("identify data directory: {0}")]
    Identity(String),
    /// A certificate could not be made or used.
    #[error("use certificate: {0}")]
    Certificate(String),
    /// The log could not be opened or trusted.
    #[error("open log: {0}")]
    Log(String),
    /// A file or socket operation failed.
    #[error("{verb}: {source}")]
    Io {
        /// What was attempted, as verb and object.
        verb: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The group is open on this host already.
    #[error("open group {0}: it is open already")]
    AlreadyOpen(GroupId),
    /// The group has no replica on this node that could do it.
    #[error("group {group} stopped: {why}")]
    Stopped {
        /// Which group.
        group: GroupId,
        /// Why it stopped.
        why: String,
    },
    /// Only the leader can do it; the leader, if known.
    #[error("not the leader; the leader is {0:?}")]
    NotLeader(Option<NodeId>),
    /// The machine is older than what the log was purged to: what lies between is gone, and only another replica has it.
    #[error("open group {group}: the machine has applied {applied}, but the log is purged up to {purged}")]
    Behind {
        /// Which group.
        group: GroupId,
        /// What the machine has applied.
        applied: u64,
        /// What the log was purged to.
        purged: u64,
    },
    /// It did not finish in time; it may yet.
    #[error("{0}: timed out")]
    Timeout(&'static str),
    /// Raft refused it.
    #[error("{0}")]
    Refused(String),
    /// The host was shut down.
    #[error("the host is shut down")]
    Closed,
}

/// Why a proposal was not answered with a reply. Exact about the outcome: everything but `Unknown` was not, and never will be,
/// applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Not applied: another node leads, if known.
    #[error("not the leader; the leader is {0:?}")]
    NotLeader(Option<NodeId>),
    /// Not applied: too much is in flight, or the machine is over its limit.
    #[error("too many proposals are in flight")]
    Overloaded,
    /// Not applied: the disk of the node's log has no room.
    #[error("the log is full")]
    Full,
    /// Not applied, for the given reason.
    #[error("not applied: {0}")]
    NotApplied(String),
    /// It may have been committed, or may yet be.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// Not applied: this replica stopped.
    #[error("group stopped: {0}")]
    Stopped(String),
}

/// Why a read could not be made linearizable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader is known, or it cannot be reached.
    #[error("no leader")]
    NoLeader,
    /// The leader did not confirm, or this replica did not catch up, in time.
    #[error("read barrier timed out")]
    Timeout,
    /// This replica stopped.
    #[error("group stopped: {0}")]
    Stopped(String),
}
