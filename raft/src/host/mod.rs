//! One node's end of every group: the log, the peers, and the thread that consensus runs on.
//!
//! What a host is started with is in `config`, the thread itself in `thread`. Here the parts are put together: the log is recovered
//! before anything runs, and a group is handed out only when its machine has caught up. Handles may be used from any runtime.

mod close;
mod config;
#[cfg(test)]
mod tests;
mod thread;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

pub use self::config::{GroupOptions, HostConfig, Peer, Timing};
use self::config::{check_log, raft_config};
use self::thread::RaftThread;
use crate::admission::Admission;
use crate::apply::ApplyQueue;
use crate::barrier::Barrier;
use crate::log_room::LogRoom;
use crate::log_size::LogSize;
use crate::log_store::LogStore;
use crate::peer::{Book, Net, PeerFactory, commit_identity, log_dir};
use crate::replica::{Lead, Replica};
use crate::stage::Stages;
use crate::tls::Tls;
use crate::typ::Raft;
use crate::wal::{Disk, LogStats, RealDisk, Wal};
use crate::{Error, Group, GroupId, Identity, NodeId, PeerStream, StateMachine, adapter, barrier, keeper, limits, peer};

/// One node's end of every group. Cheap to clone. When the last clone and the last [`Group`] are gone, it stops without waiting;
/// [`Host::shutdown`] waits.
#[derive(Clone)]
pub struct Host(pub(crate) Arc<HostInner>);

pub(crate) struct HostInner {
    pub(crate) net: Arc<Net>,
    runtime: Handle,
    wal: Wal,
    timing: Timing,
    room: Arc<LogRoom>,
    stop: Mutex<Option<oneshot::Sender<Stop>>>,
    apply_threads: ApplyThreads,
}

/// The apply threads of all groups, each with its group.
type ApplyThreads = Arc<Mutex<Vec<(u64, JoinHandle<()>)>>>;

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
        Host::start_over(config, Arc::new(RealDisk))
    }

    /// The same, with the log on another disk.
    fn start_over(config: HostConfig, disk: Arc<dyn Disk>) -> Result<Host, Error> {
        check_log(&config.log)?;
        raft_config(&config.cluster, config.timing)?;
        let tls = Tls::new(&config.cluster, config.node, &config.region, &config.identity)?;
        let book = Book::open(&config.dir, &config.cluster, config.node)?;
        let (log_options, room) = (config.log.clone().checked(), Arc::new(LogRoom::default()));
        let (wal, recovery) =
            Wal::open(&log_dir(&config.dir), config.log, disk).map_err(|error| Error::Log(error.to_string()))?;
        commit_identity(&config.dir)?;
        tracing::info!(node = config.node.0, ?recovery, "opened the log");
        let net = Net::new(config.node.0, config.cluster, tls, book);
        let links = net.set_peers(config.peers);
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
            timing: config.timing,
            room,
            stop: Mutex::new(Some(stop)),
            apply_threads,
        };
        Ok(Host(Arc::new(inner)))
    }

    /// Opens a group on this node. Blocks until the machine has caught up with what is known to be committed; may be called from any
    /// thread but raft's own.
    ///
    /// The machine may hold the state of another replica, if that is not older than what this log was purged to (else `Behind`). A
    /// tail of the log that contradicts it was never committed, and goes.
    ///
    /// Fails with `Log` once the log has stopped: it shows entries that are not durable, and the group would acknowledge them. Only
    /// another start of the node helps then.
    pub fn open_group(&self, id: GroupId, machine: Arc<dyn StateMachine>, options: GroupOptions) -> Result<Group, Error> {
        if self.0.net.inbox.find(id.0).is_some() {
            return Err(Error::AlreadyOpen(id));
        }
        if let Some(why) = self.0.wal.stats().stopped {
            return Err(Error::Log(format!(
                "group {id} is not opened over a log that has stopped: {why}"
            )));
        }
        if let Some(why) = self.0.net.stranger(self.0.net.node, options.region.as_deref()) {
            return Err(Error::Config(why));
        }
        let stages = Arc::new(Stages::new());
        let (queue, thread) = ApplyQueue::open(id, Arc::clone(&machine), Arc::clone(&stages))?;
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        let (host, own_queue) = (Arc::clone(&self.0), Arc::clone(&queue));
        self.0.runtime.spawn(async move {
            let opened = host.open_replica(id, machine, options, own_queue, stages).await;
            // The host is let go before the answer, so that the caller is the one to hold it.
            drop(host);
            let _ = send.send(opened);
        });
        let opened = receive.recv().map_err(|_| Error::Closed).and_then(|opened| opened);
        match opened {
            Ok(replica) => {
                lock(&self.0.apply_threads).push((id.0, thread));
                Ok(Group::new(replica, Arc::clone(&self.0)))
            }
            Err(error) => {
                queue.close();
                let _ = thread.join();
                Err(error)
            }
        }
    }

    /// Makes exactly these the other nodes. Connections to those that stay as they are go on; what is under way to the others breaks.
    pub fn set_peers(&self, peers: BTreeMap<NodeId, Peer>) {
        for task in self.0.net.set_peers(peers) {
            self.0.runtime.spawn(task.run(Arc::clone(&self.0.net)));
        }
    }

    /// Opens an authenticated byte stream to another node's `on_stream`, on the runtime of the caller.
    pub async fn dial(&self, node: NodeId) -> io::Result<PeerStream> {
        peer::open_stream(&self.0.net, node).await
    }

    /// Whether the node was heard from within the last 2 s. This node always is; one without links never is.
    pub fn reachable(&self, node: NodeId) -> bool {
        self.0.net.reachable(node.0)
    }

    /// Another identity for connections that open from now on; those that are open go on. Fails with `Certificate`, and changes nothing,
    /// unless it is this node's own, valid, and from one of its authorities. May be called from any thread; takes some milliseconds.
    pub fn replace_identity(&self, identity: &Identity) -> Result<(), Error> {
        self.0.net.tls.replace(identity)
    }

    /// The certificate, DER, that this node proves itself with, or that another one proved itself with when it last connected; none: it
    /// has not, since this node started.
    pub fn certificate(&self, node: NodeId) -> Option<Vec<u8>> {
        self.0.net.certificate(node.0)
    }

    /// The groups that have anything in this node's log: those that it was a replica of when it was last up.
    pub fn logged_groups(&self) -> Vec<GroupId> {
        self.0.wal.groups().into_iter().map(GroupId).collect()
    }

    /// Index up to which a group's log is purged; what its machine holds may not be older. 0 when nothing is.
    pub fn purged(&self, id: GroupId) -> u64 {
        self.0.wal.group(id.0).state().purged.map_or(0, |(index, _)| index)
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
        options: GroupOptions,
        queue: Arc<ApplyQueue>,
        stages: Arc<Stages>,
    ) -> Result<Arc<Replica>, Error> {
        let timing = options.timing.unwrap_or(self.timing);
        let config = raft_config(&self.net.cluster, timing)?;
        let size = LogSize::new();
        let log = LogStore::new(
            self.wal.group(id.0),
            Arc::clone(&stages),
            Arc::clone(&size),
            Some(Arc::clone(&machine)),
        );
        log.align(id, &queue.applied_state().0).await?;
        let adapter = adapter::Adapter::new(Arc::clone(&machine), Arc::clone(&queue));
        let region: Option<Arc<str>> = options.region.map(Into::into);
        let factory = PeerFactory {
            net: Arc::clone(&self.net),
            group: id.0,
            region: region.clone(),
        };
        let reader = log.clone();
        let raft = Raft::new(self.net.node, config, factory, log, adapter).await;
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
            region,
            raft,
            machine,
            queue,
            stages,
            size,
            log: reader,
            admission: Admission::new(),
            barrier,
            net: Arc::clone(&self.net),
            barrier_wait_ms: (4 * timing.election_max_ms).clamp(shortest, longest),
            lead: Lead::new(),
            room: Arc::clone(&self.room),
        });
        if !self.net.inbox.add(Arc::clone(&replica)) {
            let _ = replica.raft.shutdown().await;
            return Err(Error::AlreadyOpen(id));
        }
        let lease = Duration::from_millis(timing.election_max_ms);
        tokio::spawn(keeper::run(Arc::clone(&replica), lease));
        tokio::spawn(barrier::run(Arc::downgrade(&replica), waiting));
        Ok(replica)
    }
}
