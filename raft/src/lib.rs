//! The log: opaque bytes replicated by many Raft groups in one process.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod group;
mod host;
mod id;
mod limits;
mod peer;
mod state_machine;
mod tls;
mod wal;

pub use error::{Error, ProposeError, ReadError};
pub use group::{Group, Proposed, Role, Status};
pub use host::{Host, HostConfig, LogOptions, Timing};
pub use id::{GroupId, NodeId};
pub use limits::{PAYLOAD_BYTES_MAX, SNAPSHOT_CHUNK_BYTES_MAX};
pub use peer::{PeerStream, StreamOffer};
pub use state_machine::{Entry, Mark, SnapshotSink, SnapshotSource, StateMachine};
pub use tls::{Authority, Identity, make_authority};
pub use wal::LogStats;
