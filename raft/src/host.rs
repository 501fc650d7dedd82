//! One node's end of every group: the log, the peers, and the thread that consensus runs on.
//!
//! Consensus and the peers' connections run on one current-thread runtime on a thread named `raft`: measured, one thread beats two
//! everywhere, and nothing on it blocks. Disk writes are on the log's own thread, applying is on a thread for each group, and
//! everything else that may block goes to the runtime's blocking threads. Handles may be used from any runtime.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::admission::Admission;
use crate::apply::ApplyQueue;
use crate::barrier::Barrier;
use crate::log_room::LogRoom;
use crate::log_store::{LogSize, LogStore};
use crate::peer::{Book, LinkTask, Net, OnStream, PeerFactory, accept_loop, commit_identity, log_dir};
use crate::replica::{Lead, Replica};
use crate::stage::Stages;
use crate::tls::Tls;
use crate::typ::{Raft, SharedConfig};
use crate::wal::{LogOptions, LogStats, RealDisk, Wal};
use crate::{
    Error, Group, GroupId, Identity, NodeId, PeerStream, StateMachine, StreamOffer, adapter, barrier, keeper, limits, log_room,
    peer,
};

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

/// What [`Host::start`] needs.
pub struct HostConfig {
    /// This node.
    pub node: NodeId,
    /// The cluster's name; peers of another cluster are refused.
    pub cluster: String,
    /// The directory of the log and of this node's identity; made if absent.
    pub dir: PathBuf,
    /// Where peers connect to, already bound.
    pub listener: std::net::TcpListener,
    /// All other nodes, `host:port`. An entry for this node is ignored.
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

impl std::fmt::Debug for HostConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostConfig")
            .field("node", &self.node)
            .field("cluster", &self.cluster)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// One node's end of every group. Cheap to clone. When the last clone and the last [`Group`] are gone, it stops without waiting;
/// [`Host::shutdown`] waits.
#[derive(Clone)]
pub struct Host(pub(crate) Arc<HostInner>);

pub(crate) struct HostInner {
    pub(crate) net: Arc<Net>,
    runtime: Handle,
    wal: Wal,
    config: SharedConfig,
    timing: Timing,
    room: Arc<LogRoom>,
    stop: Mutex<Option<oneshot::Sender<Stop>>>,
    apply_threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// Told to the raft thread: stop, and answer here when all is stopped.
type Stop = oneshot::Sender<Result<(), Error>>;

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("node", &self.0.net.node).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Host {
    /// Opens the log, recovers it, and starts the raft thread.
    pub fn start(config: HostConfig) -> Result<Host, Error> {
        let raft_config = raft_config(&config)?;
        let tls = Tls::new(&config.cluster, config.node, &config.identity)?;
        let book = Book::open(&config.dir, &config.cluster, config.node)?;
        let (log_options, room) = (config.log.clone().checked(), Arc::new(LogRoom::default()));
        let (wal, recovery) =
            Wal::open(&log_dir(&config.dir), config.log, Arc::new(RealDisk)).map_err(|error| Error::Log(error.to_string()))?;
        commit_identity(&config.dir)?;
        tracing::info!(node = config.node.0, ?recovery, "opened the log");
        let addresses = config.peers.into_iter().map(|(node, address)| (node.0, address)).collect();
        let (net, links) = Net::new(config.node.0, config.cluster, tls, book, addresses);
        let (stop, stopped) = oneshot::channel();
        let apply_threads = Arc::new(Mutex::new(Vec::new()));
        let thread = RaftThread {
            net: Arc::clone(&net),
            wal: wal.clone(),
            room: Arc::clone(&room),
            log_options,
            log_dir: log_dir(&config.dir),
            links,
            listener: config.listener,
            on_stream: config.on_stream,
            stopped,
            apply_threads: Arc::clone(&apply_threads),
        };
        let runtime = thread.start()?;
        let inner = HostInner {
            net,
            runtime,
            wal,
            config: raft_config,
            timing: config.timing,
            room,
            stop: Mutex::new(Some(stop)),
            apply_threads,
        };
        Ok(Host(Arc::new(inner)))
    }

    /// Opens a group on this node. Blocks until the machine has caught up with what is known to be committed; may be called from any
    /// thread but raft's own.
    pub fn open_group(&self, id: GroupId, machine: Arc<dyn StateMachine>) -> Result<Group, Error> {
        if self.0.net.inbox.find(id.0).is_some() {
            return Err(Error::AlreadyOpen(id));
        }
        let stages = Arc::new(Stages::new());
        let (queue, thread) = ApplyQueue::open(id, Arc::clone(&machine), Arc::clone(&stages))?;
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        let (host, own_queue) = (Arc::clone(&self.0), Arc::clone(&queue));
        self.0.runtime.spawn(async move {
            let opened = host.open_replica(id, machine, own_queue, stages).await;
            // The host is let go before the answer, so that the caller is the one to hold it.
            drop(host);
            let _ = send.send(opened);
        });
        let opened = receive.recv().map_err(|_| Error::Closed).and_then(|opened| opened);
        match opened {
            Ok(replica) => {
                lock(&self.0.apply_threads).push(thread);
                Ok(Group::new(replica, Arc::clone(&self.0)))
            }
            Err(error) => {
                queue.close();
                let _ = thread.join();
                Err(error)
            }
        }
    }

    /// Opens an authenticated byte stream to another node's `on_stream`, on the runtime of the caller.
    pub async fn dial(&self, node: NodeId) -> io::Result<PeerStream> {
        peer::open_stream(&self.0.net, node).await
    }

    /// Whether the node was heard from within the last 2 s. This node always is.
    pub fn reachable(&self, node: NodeId) -> bool {
        self.0.net.reachable(node.0)
    }

    /// The groups that have anything in this node's log: those that it was a replica of when it was last up.
    pub fn logged_groups(&self) -> Vec<GroupId> {
        self.0.wal.groups().into_iter().map(GroupId).collect()
    }

    /// What the log did and how it stands.
    pub fn log_stats(&self) -> LogStats {
        self.0.wal.stats()
    }

    /// Stops all groups, then the log, and waits for it. What was acknowledged stays. Handles of groups that are still there answer
    /// that they stopped.
    pub async fn shutdown(self) -> Result<(), Error> {
        let stop = lock(&self.0.stop).take();
        let Some(stop) = stop else { return Err(Error::Closed) };
        let (done, result) = oneshot::channel();
        stop.send(done).map_err(|_| Error::Closed)?;
        result.await.map_err(|_| Error::Closed)?
    }
}

impl HostInner {
    /// On the raft runtime.
    async fn open_replica(
        &self,
        id: GroupId,
        machine: Arc<dyn StateMachine>,
        queue: Arc<ApplyQueue>,
        stages: Arc<Stages>,
    ) -> Result<Arc<Replica>, Error> {
        let size = LogSize::new();
        let log = LogStore::new(
            self.wal.group(id.0),
            Arc::clone(&stages),
            Arc::clone(&size),
            Some(Arc::clone(&machine)),
        );
        let adapter = adapter::Adapter::new(Arc::clone(&machine), Arc::clone(&queue));
        let factory = PeerFactory {
            net: Arc::clone(&self.net),
            group: id.0,
        };
        let raft = Raft::new(self.net.node, Arc::clone(&self.config), factory, log, adapter).await;
        let raft = raft.map_err(|fatal| match queue.stopped() {
            Some(why) => Error::Stopped { group: id, why },
            None => Error::Log(fatal.to_string()),
        })?;
        queue.opened();
        let (barrier, waiting) = Barrier::new();
        let (shortest, longest) = limits::BARRIER_WAIT_MS;
        let replica = Arc::new(Replica {
            id,
            node: self.net.node,
            raft,
            machine,
            queue,
            stages,
            size,
            admission: Admission::new(),
            barrier,
            net: Arc::clone(&self.net),
            barrier_wait_ms: (4 * self.timing.election_max_ms).clamp(shortest, longest),
            lead: Lead::new(),
            room: Arc::clone(&self.room),
        });
        if !self.net.inbox.add(Arc::clone(&replica)) {
            let _ = replica.raft.shutdown().await;
            return Err(Error::AlreadyOpen(id));
        }
        let lease = Duration::from_millis(self.timing.election_max_ms);
        tokio::spawn(keeper::run(Arc::clone(&replica), lease));
        tokio::spawn(barrier::run(Arc::clone(&replica), waiting));
        Ok(replica)
    }
}

fn raft_config(config: &HostConfig) -> Result<SharedConfig, Error> {
    let timing = config.timing;
    // An entry that a node's log cannot take would stop its replica, so every node must be able to take the largest.
    let smallest = 4 * (limits::PAYLOAD_BYTES_MAX as u64 + 4_096);
    if config.log.segment_bytes < smallest {
        return Err(Error::Config(format!(
            "log segments of {} bytes are too small, {smallest} are needed",
            config.log.segment_bytes
        )));
    }
    let raft = openraft::Config {
        cluster_name: config.cluster.clone(),
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
        ..openraft::Config::default()
    };
    raft.validate()
        .map(Arc::new)
        .map_err(|error| Error::Config(error.to_string()))
}

/// What the raft thread is started with.
struct RaftThread {
    net: Arc<Net>,
    wal: Wal,
    room: Arc<LogRoom>,
    log_options: LogOptions,
    log_dir: PathBuf,
    links: Vec<LinkTask>,
    listener: std::net::TcpListener,
    on_stream: OnStream,
    stopped: oneshot::Receiver<Stop>,
    apply_threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl RaftThread {
    fn start(self) -> Result<Handle, Error> {
        let failed = |source| Error::Io {
            verb: "start raft thread",
            source,
        };
        self.listener.set_nonblocking(true).map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("raft-blocking")
            .max_blocking_threads(16)
            .build()
            .map_err(failed)?;
        let handle = runtime.handle().clone();
        let listener = {
            let _in_runtime = runtime.enter();
            tokio::net::TcpListener::from_std(self.listener.try_clone().map_err(failed)?).map_err(failed)?
        };
        std::thread::Builder::new()
            .name("raft".to_owned())
            .spawn(move || self.run(runtime, listener))
            .map_err(failed)?;
        Ok(handle)
    }

    fn run(mut self, runtime: tokio::runtime::Runtime, listener: tokio::net::TcpListener) {
        let stopped = &mut self.stopped;
        let (net, links, on_stream) = (&self.net, std::mem::take(&mut self.links), self.on_stream.take());
        let answer = runtime.block_on(async {
            for link in links {
                tokio::spawn(link.run(Arc::clone(net)));
            }
            let (room, dir) = (Arc::clone(&self.room), self.log_dir.clone());
            tokio::spawn(log_room::run(
                room,
                self.wal.clone(),
                self.log_options.clone(),
                dir,
                Arc::clone(net),
            ));
            tokio::spawn(accept_loop(Arc::clone(net), listener, on_stream));
            let answer = stopped.await.ok();
            for replica in net.inbox.take_all() {
                let _ = replica.raft.shutdown().await;
                replica.queue.end("the host was shut down");
            }
            answer
        });
        runtime.shutdown_timeout(Duration::from_secs(5));
        let threads = std::mem::take(&mut *lock(&self.apply_threads));
        for thread in threads {
            let _ = thread.join();
        }
        let closed = self.wal.close().map_err(|error| Error::Log(error.to_string()));
        if let Some(answer) = answer {
            let _ = answer.send(closed);
        }
    }
}
