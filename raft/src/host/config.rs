//! What a host is started with, and what openraft is told of it.
//!
//! Only what differs between nodes or deployments can be set. How entries are batched, and when the log is purged, is decided in
//! `limits` and by the keeper, because other parts rely on it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::typ::SharedConfig;
use crate::wal::LogOptions;
use crate::{Error, Identity, NodeId, StreamOffer, limits};

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
        Timing {
            heartbeat_ms: 50,
            election_min_ms: 150,
            election_max_ms: 300,
        }
    }
}

/// Another node, as this node's configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it listens to peers, `host:port`.
    pub address: String,
    /// Its region, which its certificate must name. Compared with others, and otherwise of no meaning here.
    pub region: String,
    /// Whether connections are held to it all the time: needed for every node that shares a group with this one, and for
    /// [`Host::reachable`](crate::Host::reachable). Byte streams can be opened to the others too.
    pub linked: bool,
}

/// How a group is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupOptions {
    /// The only region whose nodes may have a replica: nothing of the group is sent to a node of another one or taken from it. None:
    /// all regions.
    pub region: Option<String>,
    /// Heartbeats and elections, for a group whose members are far from each other; none: those of the host.
    pub timing: Option<Timing>,
}

/// What [`Host::start`](crate::Host::start) needs.
pub struct HostConfig {
    /// This node.
    pub node: NodeId,
    /// The cluster's name; peers of another cluster are refused.
    pub cluster: String,
    /// This node's region, which its certificate must name.
    pub region: String,
    /// The directory of the log and of this node's identity; made if absent.
    pub dir: PathBuf,
    /// Where peers connect to, already bound.
    pub listener: std::net::TcpListener,
    /// The other nodes that are known at the start; one that is not among them is refused. An entry for this node is ignored.
    pub peers: BTreeMap<NodeId, Peer>,
    /// This node's certificate and the cluster's authority.
    pub identity: Identity,
    /// Heartbeats and elections of groups that have none of their own.
    pub timing: Timing,
    /// Called on the raft thread for each byte stream that another node opens; must not block.
    pub on_stream: Option<Arc<dyn Fn(StreamOffer) + Send + Sync>>,
    /// The log on disk.
    pub log: LogOptions,
}

impl std::fmt::Debug for HostConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostConfig")
            .field("node", &self.node)
            .field("cluster", &self.cluster)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// An entry that a node's log cannot take would stop its replica, so every node must be able to take the largest.
pub(super) fn check_log(log: &LogOptions) -> Result<(), Error> {
    let smallest = 4 * (limits::PAYLOAD_BYTES_MAX as u64 + 4_096);
    if log.segment_bytes < smallest {
        return Err(Error::Config(format!(
            "log segments of {} bytes are too small, {smallest} are needed",
            log.segment_bytes
        )));
    }
    Ok(())
}

/// Checks a group's timing, and makes openraft's own configuration of it.
pub(super) fn raft_config(cluster: &str, timing: Timing) -> Result<SharedConfig, Error> {
    let raft = openraft::Config {
        cluster_name: cluster.to_owned(),
        heartbeat_interval: timing.heartbeat_ms,
        election_timeout_min: timing.election_min_ms,
        election_timeout_max: timing.election_max_ms,
        install_snapshot_timeout: limits::SNAPSHOT_TTL_MS,
        max_payload_entries: limits::APPEND_ENTRIES_MAX,
        replication_lag_threshold: limits::KEEP.0,
        // Both are decided by the keeper, which knows what is durable and how many bytes there are.
        snapshot_policy: openraft::SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        backoff: "20ms 50ms 100ms ...300ms".to_owned(),
        enable_pre_vote: Some(true),
        // A restarted leader asks for votes like everyone else: its machine may be behind what it had acknowledged.
        enable_leader_restore: Some(false),
        // A replica that lacks what it had acknowledged has a disk that lied to it about a sync; a wiped one does not get this far, its
        // identity is refused. Without this openraft ends the leader's group over it, or, in a release build, never sends it anything
        // again. What it had acknowledged still counts for what is committed, so nothing is taken back; it gets the rest again.
        allow_log_reversion: Some(true),
        ..openraft::Config::default()
    };
    raft.validate()
        .map(Arc::new)
        .map_err(|error| Error::Config(error.to_string()))
}
