//! The log: opaque bytes replicated by many Raft groups in one process.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod adapter;
mod admission;
mod apply;
mod barrier;
mod codec;
mod error;
mod group;
mod host;
mod id;
mod inbox;
mod keeper;
mod limits;
mod log_store;
mod peer;
mod replica;
mod stage;
mod state_machine;
mod tls;
mod typ;
mod wal;

pub use error::{Error, ProposeError, ReadError};
pub use group::{Group, Proposed, Role, Status};
pub use host::{Host, HostConfig, Timing};
pub use id::{GroupId, NodeId};
pub use limits::{PAYLOAD_BYTES_MAX, SNAPSHOT_CHUNK_BYTES_MAX};
pub use peer::{PeerStream, StreamOffer};
pub use state_machine::{Entry, Mark, SnapshotSink, SnapshotSource, StateMachine};
pub use tls::{Authority, Identity, make_authority};
pub use wal::{LogOptions, LogStats};

#[cfg(test)]
mod suite;
