//! openraft's types, as this crate uses them. Nothing of this leaves the crate, and nothing of it is written to disk or sent: see
//! `codec` for the forms that are.

use std::fmt;

use bytes::Bytes;
use openraft::impls::{EmptyNode, leader_id_adv};
use tokio::sync::oneshot;

use crate::adapter::Adapter;
use crate::admission::Permit;

/// The largest node id; used where "no node" has to fit into an atomic.
pub(crate) const NO_NODE: u64 = u64::MAX;

/// openraft's configuration of types: ids are plain numbers, payloads are bytes, several leaders may follow each other in a term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Types;

impl openraft::RaftTypeConfig for Types {
    type D = Payload;
    type R = Applied;
    type NodeId = u64;
    type Node = EmptyNode;
    type Term = u64;
    type LeaderId = leader_id_adv::LeaderId<u64, u64>;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = openraft::EntryPayload<Payload, u64, EmptyNode>;
    type Entry = openraft::impls::Entry<Self::LeaderId, Self::Payload>;
    #[allow(deprecated)] // The alias of the runtime's own crate, which would be one more pinned dependency.
    type AsyncRuntime = openraft::impls::TokioRuntime;
    type Responder<T>
        = Slot<T>
    where
        T: Send + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: Send + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

pub(crate) type LeaderId = leader_id_adv::LeaderId<u64, u64>;
pub(crate) type LogId = openraft::LogId<LeaderId>;
pub(crate) type Vote = openraft::impls::Vote<LeaderId>;
pub(crate) type RaftEntry = openraft::impls::Entry<LeaderId, openraft::EntryPayload<Payload, u64, EmptyNode>>;
pub(crate) type Membership = openraft::Membership<u64, EmptyNode>;
pub(crate) type StoredMembership = openraft::StoredMembership<LeaderId, u64, EmptyNode>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<LeaderId, u64, EmptyNode>;
pub(crate) type Snapshot = openraft::Snapshot<LeaderId, u64, EmptyNode, crate::adapter::SnapshotData>;
pub(crate) type Raft = openraft::Raft<Types, Adapter>;
pub(crate) type WriteResult = openraft::raft::ClientWriteResult<Types>;

/// What is proposed: bytes that nobody here looks into.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Payload(pub(crate) Bytes);

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What applying an entry returns, with the moments that it passed, as nanoseconds of the node's stage clock; 0 is "not seen".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) reply: Bytes,
    pub(crate) appended: u64,
    pub(crate) synced: u64,
    pub(crate) given: u64,
    pub(crate) done: u64,
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.reply.len())
    }
}

/// Where the outcome of a proposal goes. It holds the proposal's share of the limits for as long as raft holds the proposal, even
/// when the proposer has gone away.
pub(crate) struct Slot<T> {
    answer: oneshot::Sender<T>,
    _permit: Permit,
}

impl<T> Slot<T> {
    pub(crate) fn new(permit: Permit) -> (Slot<T>, oneshot::Receiver<T>) {
        let (answer, outcome) = oneshot::channel();
        (Slot { answer, _permit: permit }, outcome)
    }
}

impl<T: Send + 'static> openraft::raft::responder::Responder<Types, T> for Slot<T> {
    fn on_complete(self, result: T) {
        // The proposer may have given up; then nobody is there to be told.
        let _ = self.answer.send(result);
    }
}

/// The index of a log id, where none counts as 0.
pub(crate) fn index_of(id: Option<&LogId>) -> u64 {
    id.map_or(0, |id| id.index)
}
pub(crate) type SharedConfig = std::sync::Arc<openraft::Config>;
