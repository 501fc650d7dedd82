//! The log: opaque bytes replicated by many Raft groups in one process.
//!
//! A [`Host`] is one node: one log on disk for all its groups, one thread (`raft`) on which consensus and the peers' connections run.
//! A [`Group`] is this node's replica of one replicated log; behind it stands a [`StateMachine`], which gets every committed payload
//! in order, on a thread of the group's own. What a payload means, and where a machine keeps its state, is none of this crate's
//! business; it knows no tenants, no commands and no HTTP. The consensus itself is openraft's, pinned to one release and wrapped so
//! that none of its types is seen outside, written to disk, or sent.
//!
//! # The way of a proposal
//!
//! [`Group::propose`] passes the limits (`admission`), and openraft's core appends the entry to its log (`log_store`, `wal`) and
//! sends it to the followers (`peer`) at the same time. Once it is durable on a quorum it is committed, goes through the group's
//! queue to its apply thread (`apply`), and the machine's reply goes straight back to the proposer.
//!
//! # What holds
//!
//! - What was answered is durable on a quorum, and will be applied, in the same order, on every replica.
//! - Every failed proposal says what became of it: only [`ProposeError::Unknown`] may have been, or may yet be, applied.
//! - After [`Group::read_barrier`] this replica shows everything that was acknowledged before the call, on whatever node (`barrier`).
//! - The log keeps what a machine has not made durable ([`StateMachine::durable`]); after a power loss it is applied once more.
//! - A group whose machine or log fails stops on this node with a reason, and the others go on; it never takes the process down.
//! - A node that lost its data is refused by all that knew it (`peer::book`); so nobody votes twice.
//! - A node whose certificate is not that of the region which the configuration gives it is refused (`tls`). A group that is bound to a
//!   region sends nothing to nodes of another one, and takes nothing from them ([`GroupOptions`]).
//! - Nothing waits in an unbounded queue (`limits`), and heartbeats wait behind no data: they have their own connection.
//!
//! # What it does not do
//!
//! Leader leases are used to refuse proposals early, never to serve reads. A group costs a heartbeat round whether it is used or not
//! (some 0.3 % of a core at 50 ms), so a node has tens or hundreds of groups, not thousands. Snapshot transfers are not resumed but
//! begun again.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod adapter;
mod admission;
mod apply;
mod authority;
mod barrier;
mod codec;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod host;
mod id;
mod inbox;
mod incoming;
mod keeper;
mod limits;
mod log_room;
mod log_size;
mod log_store;
mod mutant;
mod names;
mod peer;
mod proof;
mod replica;
mod stage;
mod state_machine;
mod tls;
mod typ;
mod wal;

pub use authority::{Authority, make_authority};
pub use error::{Error, ProposeError, ReadError};
pub use group::{Entries, EntriesError, Group, Proposed, Role, Status, Submitted};
pub use host::{GroupOptions, Host, HostConfig, Peer, Timing};
pub use id::{GroupId, NodeId};
pub use limits::{PAYLOAD_BYTES_MAX, SNAPSHOT_CHUNK_BYTES_MAX};
#[doc(hidden)]
pub use mutant::MUTANTS;
pub use names::Bearer;
pub use peer::{PeerStream, StreamOffer};
pub use state_machine::{Entry, Mark, SnapshotSink, SnapshotSource, StateMachine};
pub use tls::Identity;
#[doc(hidden)]
pub use wal::bench as wal_bench;
pub use wal::{LogOptions, LogStats};

#[cfg(test)]
mod suite;
