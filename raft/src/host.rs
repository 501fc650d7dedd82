//! One node's end of every group.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{Error, Group, GroupId, Identity, NodeId, PeerStream, StateMachine, StreamOffer};

/// How the log on disk is laid out.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Size of a segment file, bytes.
    pub segment_bytes: u64,
    /// Used segments that are kept, prewritten, for reuse.
    pub recycle: usize,
    /// Whether to fsync. False only for measurements: it gives up durability.
    pub sync: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions { segment_bytes: 64 << 20, recycle: 2, sync: true }
    }
}

/// Heartbeat and election times, milliseconds. Failover after a crash takes `election_max_ms` plus a random part of
/// `election_min_ms..election_max_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often a leader says that it lives.
    pub heartbeat_ms: u64,
    /// Shortest random wait before a candidacy.
    pub election_min_ms: u64,
    /// Longest random wait, and the length of the leader's lease.
    pub election_max_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Timing { heartbeat_ms: 50, election_min_ms: 150, election_max_ms: 300 }
    }
}

/// What [`Host::start`] needs.
pub struct HostConfig {
    /// This node.
    pub node: NodeId,
    /// The cluster's name; peers of another cluster are refused.
    pub cluster: String,
    /// The log's directory; made if absent.
    pub dir: PathBuf,
    /// Where peers connect to, already bound.
    pub listener: std::net::TcpListener,
    /// All other nodes, `host:port`. Entries for this node are ignored.
    pub peers: BTreeMap<NodeId, String>,
    /// This node's certificate and the cluster's authority.
    pub identity: Identity,
    /// Heartbeats and elections.
    pub timing: Timing,
    /// Called on the raft thread for each byte stream that another node opens; must not block.
    pub on_stream: Option<Arc<dyn Fn(StreamOffer) + Send + Sync>>,
    /// The log on disk.
    pub log: LogOptions,
}

/// One node's end of every group: the log, the peers and the thread that consensus runs on. Cheap to clone.
#[derive(Clone)]
pub struct Host {
    _shared: Arc<()>,
}

impl Host {
    /// Opens the log, recovers it, and starts the raft thread.
    pub fn start(_config: HostConfig) -> Result<Host, Error> {
        unimplemented!()
    }

    /// Opens a group on this node. Blocks until the machine's state is read; may be called from any thread outside a runtime's core.
    pub fn open_group(&self, _id: GroupId, _machine: Arc<dyn StateMachine>) -> Result<Group, Error> {
        unimplemented!()
    }

    /// Opens an authenticated byte stream to another node's `on_stream`, on the runtime of the caller.
    pub async fn dial(&self, _node: NodeId) -> io::Result<PeerStream> {
        unimplemented!()
    }

    /// Whether the node was heard from within the last 2 s.
    pub fn reachable(&self, _node: NodeId) -> bool {
        unimplemented!()
    }

    /// Stops all groups, then the log. What was acknowledged stays.
    pub async fn shutdown(self) -> Result<(), Error> {
        unimplemented!()
    }
}
