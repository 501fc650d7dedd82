//! A machine and a cluster for the tests: a counter that forgets what it did not persist, and hosts over loopback.
#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use raft::{
    Authority, Entry, Group, GroupId, GroupOptions, Host, HostConfig, Identity, LogOptions, Mark, NodeId, Peer, ProposeError,
    SnapshotSink, SnapshotSource, StateMachine, StreamOffer, Timing, make_authority,
};
use tempfile::TempDir;

/// Where all nodes are, unless a test puts them elsewhere.
pub const REGION: &str = "here";

/// No test waits longer than this for anything; the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub mark: Mark,
    pub total: u64,
    pub entries: u64,
    /// Order-dependent hash of all payloads.
    pub hash: u64,
}

/// What survives a restart.
pub type Disk = Arc<Mutex<State>>;

/// A counter: payloads are numbers that are added; the reply is the total. `panic` and `error` in a payload do that.
pub struct Counter {
    pub state: Arc<Mutex<State>>,
    pub disk: Disk,
    pub over: AtomicBool,
    /// Becomes durable with every batch.
    pub eager: AtomicBool,
    /// Apply fails here, and only here.
    pub broken: AtomicBool,
    /// Apply waits while this is true.
    pub held: AtomicBool,
    /// Persist does nothing while this is true.
    pub stuck: AtomicBool,
    pub overloaded: AtomicBool,
    /// Up to where the log was taken elsewhere.
    pub taken: Mutex<Option<u64>>,
    pub halted: Mutex<Option<String>>,
    /// No snapshot that is received can be finished while this is true.
    pub disk_full: Arc<AtomicBool>,
    /// How many could not.
    pub unfinished: Arc<AtomicU64>,
    /// Chunks that are received wait while this is true.
    pub sinks_held: Arc<AtomicBool>,
    /// How many snapshots have begun to come.
    pub received: AtomicU64,
}

impl Counter {
    pub fn open(disk: &Disk) -> Arc<Counter> {
        let state = disk.lock().unwrap().clone();
        Arc::new(Counter {
            state: Arc::new(Mutex::new(state)),
            disk: Arc::clone(disk),
            over: AtomicBool::new(false),
            eager: AtomicBool::new(false),
            held: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            overloaded: AtomicBool::new(false),
            taken: Mutex::new(None),
            halted: Mutex::new(None),
            disk_full: Arc::default(),
            unfinished: Arc::default(),
            sinks_held: Arc::default(),
            received: AtomicU64::new(0),
            broken: AtomicBool::new(false),
        })
    }

    pub fn total(&self) -> u64 {
        self.state.lock().unwrap().total
    }
}

fn add(state: &mut State, payload: &Bytes) -> io::Result<Bytes> {
    match payload.as_ref() {
        b"panic" => panic!("asked to"),
        b"error" => return Err(io::Error::other("asked to")),
        number => {
            let number = number.first_chunk::<8>().map_or(1, |bytes| u64::from_le_bytes(*bytes));
            state.total += number;
            state.entries += 1;
            state.hash = (state.hash ^ number).wrapping_mul(0x100_0000_01b3).rotate_left(5);
        }
    }
    Ok(Bytes::copy_from_slice(&state.total.to_le_bytes()))
}

impl StateMachine for Counter {
    fn applied(&self) -> io::Result<Mark> {
        Ok(self.disk.lock().unwrap().mark.clone())
    }

    fn apply(&self, entries: Vec<Entry>, mark: Mark) -> io::Result<Vec<Bytes>> {
        while self.held.load(Ordering::Acquire) {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        if self.broken.load(Ordering::Relaxed) {
            return Err(io::Error::other("broken"));
        }
        let mut state = self.state.lock().unwrap_or_else(|held| held.into_inner());
        let mut next = state.clone();
        assert!(mark.index >= next.mark.index, "applied backwards");
        let mut last = next.mark.index;
        let mut replies = Vec::new();
        for entry in entries {
            assert!(entry.index > last, "entry {} after {last}", entry.index);
            last = entry.index;
            replies.push(add(&mut next, &entry.payload)?);
        }
        next.mark = mark;
        *state = next;
        if self.eager.load(Ordering::Relaxed) {
            *self.disk.lock().unwrap() = state.clone();
        }
        Ok(replies)
    }

    fn durable(&self) -> Mark {
        self.disk.lock().unwrap().mark.clone()
    }

    fn persist(&self) -> io::Result<Mark> {
        if self.stuck.load(Ordering::Relaxed) {
            return Ok(self.durable());
        }
        let state = self.state.lock().unwrap().clone();
        *self.disk.lock().unwrap() = state.clone();
        Ok(state.mark)
    }

    fn over_limit(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn overloaded(&self) -> bool {
        self.overloaded.load(Ordering::Relaxed)
    }

    fn taken(&self) -> Option<u64> {
        *self.taken.lock().unwrap()
    }

    fn halted(&self) -> Option<String> {
        self.halted.lock().unwrap().clone()
    }

    fn snapshot(&self) -> io::Result<Box<dyn SnapshotSource>> {
        let state = self.state.lock().unwrap().clone();
        let mut chunks = vec![Bytes::copy_from_slice(
            &[state.total, state.entries, state.hash, state.mark.index]
                .map(u64::to_le_bytes)
                .concat(),
        )];
        // Padding, so that a transfer has more chunks than fit into its window.
        chunks.extend((0..20).map(|_| Bytes::from(vec![7; 100_000])));
        chunks.push(state.mark.state.clone().into());
        chunks.reverse();
        Ok(Box::new(Source {
            mark: state.mark,
            chunks,
        }))
    }

    fn receive(&self) -> io::Result<Box<dyn SnapshotSink>> {
        self.received.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Sink {
            held: Arc::clone(&self.sinks_held),
            state: Arc::clone(&self.state),
            disk: Arc::clone(&self.disk),
            full: Arc::clone(&self.disk_full),
            unfinished: Arc::clone(&self.unfinished),
            chunks: Vec::new(),
        }))
    }
}

struct Source {
    mark: Mark,
    chunks: Vec<Bytes>,
}

impl SnapshotSource for Source {
    fn mark(&self) -> &Mark {
        &self.mark
    }

    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        Ok(self.chunks.pop())
    }
}

struct Sink {
    held: Arc<AtomicBool>,
    state: Arc<Mutex<State>>,
    disk: Disk,
    full: Arc<AtomicBool>,
    unfinished: Arc<AtomicU64>,
    chunks: Vec<Bytes>,
}

impl SnapshotSink for Sink {
    fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        while self.held.load(Ordering::Acquire) {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        self.chunks.push(chunk);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            self.unfinished.fetch_add(1, Ordering::Relaxed);
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn install(self: Box<Self>) -> io::Result<Mark> {
        let number = |at: usize| u64::from_le_bytes(*self.chunks[0][at * 8..].first_chunk().unwrap());
        let last = self.chunks.last().unwrap();
        let mark = Mark {
            index: number(3),
            state: last.to_vec(),
        };
        let state = State {
            mark: mark.clone(),
            total: number(0),
            entries: number(1),
            hash: number(2),
        };
        *self.disk.lock().unwrap() = state.clone();
        *self.state.lock().unwrap() = state;
        Ok(mark)
    }
}

type OnStream = Arc<dyn Fn(StreamOffer) + Send + Sync>;

/// One node that can be stopped and started again.
pub struct Node {
    pub id: NodeId,
    pub dir: PathBuf,
    pub listener: TcpListener,
    pub region: String,
    pub identity: Identity,
    /// How its groups are opened.
    pub options: GroupOptions,
    pub disks: BTreeMap<u64, Disk>,
    pub machines: BTreeMap<u64, Arc<Counter>>,
    pub groups: BTreeMap<u64, Group>,
    pub host: Option<Host>,
    pub on_stream: Option<OnStream>,
    pub log: LogOptions,
    /// Machines that are opened here cannot finish a snapshot that they receive.
    pub disk_full: bool,
    /// Machines that are opened here hold the snapshots that they receive.
    pub sinks_held: bool,
}

pub struct Cluster {
    pub nodes: Vec<Node>,
    pub peers: BTreeMap<NodeId, Peer>,
    pub authority: Authority,
    pub timing: Timing,
    dir: TempDir,
}

impl Cluster {
    /// Nodes 1..=count, none of them started.
    pub fn new(count: u64) -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        let authority = make_authority("test").unwrap();
        let nodes: Vec<Node> = (1..=count)
            .map(|id| Node {
                id: NodeId(id),
                dir: dir.path().join(format!("node-{id}")),
                listener: TcpListener::bind("127.0.0.1:0").unwrap(),
                region: REGION.to_owned(),
                identity: authority.issue(NodeId(id), REGION, 10).unwrap(),
                options: GroupOptions::default(),
                disks: BTreeMap::new(),
                machines: BTreeMap::new(),
                groups: BTreeMap::new(),
                host: None,
                on_stream: None,
                disk_full: false,
                sinks_held: false,
                log: LogOptions {
                    segment_bytes: 32 << 20,
                    sync: false,
                    ..LogOptions::default()
                },
            })
            .collect();
        let peers = nodes
            .iter()
            .map(|node| {
                let peer = Peer {
                    address: node.listener.local_addr().unwrap().to_string(),
                    region: REGION.to_owned(),
                    linked: true,
                };
                (node.id, peer)
            })
            .collect();
        // Slower than by default: the tests run in parallel on a busy machine, and most are not about elections.
        let timing = Timing {
            heartbeat_ms: 100,
            election_min_ms: 500,
            election_max_ms: 1_000,
        };
        Cluster {
            nodes,
            peers,
            authority,
            timing,
            dir,
        }
    }

    pub fn start(&mut self, id: u64, groups: &[u64]) {
        let (peers, timing) = (self.peers.clone(), self.timing);
        self.node(id).start(peers, timing, groups);
    }

    /// Starts all nodes with these groups, and initialises each group with all of them.
    pub async fn started(count: u64, groups: &[u64]) -> Cluster {
        let mut cluster = Cluster::new(count);
        cluster.all_started(groups).await;
        cluster
    }

    /// The same for a cluster that is there.
    pub async fn all_started(&mut self, groups: &[u64]) {
        let all: BTreeSet<NodeId> = self.nodes.iter().map(|node| node.id).collect();
        for id in &all {
            self.start(id.0, groups);
        }
        for group in groups {
            assert!(self.nodes[0].groups[group].initialize(&all).await.unwrap());
        }
    }

    pub fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.id.0 == id).unwrap()
    }

    pub fn group(&self, id: u64, group: u64) -> Group {
        self.nodes.iter().find(|node| node.id.0 == id).unwrap().groups[&group].clone()
    }

    pub fn machine(&self, id: u64, group: u64) -> Arc<Counter> {
        Arc::clone(&self.nodes.iter().find(|node| node.id.0 == id).unwrap().machines[&group])
    }

    pub fn running(&self) -> Vec<u64> {
        self.nodes
            .iter()
            .filter(|node| node.host.is_some())
            .map(|node| node.id.0)
            .collect()
    }

    /// Waits until a running node leads the group, and gives its id.
    pub async fn leader(&self, group: u64) -> u64 {
        eventually("a leader", || {
            self.running().into_iter().find(|id| self.group(*id, group).is_leader())
        })
        .await
    }

    /// Proposes until it is applied, wherever the leader is; for payloads that may be applied twice only if asked so by `Unknown`.
    pub async fn propose(&self, group: u64, number: u64) -> u64 {
        let deadline = Instant::now() + DEADLINE;
        loop {
            assert!(Instant::now() < deadline, "no proposal went through");
            let leader = self.leader(group).await;
            match self.group(leader, group).propose(number_payload(number)).await {
                Ok(done) => return done.index,
                Err(ProposeError::NotLeader(_) | ProposeError::Overloaded) => pause().await,
                Err(other) => panic!("propose: {other}"),
            }
        }
    }

    /// Waits until all running nodes have applied the same, and compares their states.
    pub async fn converged(&self, group: u64) -> State {
        eventually("the same state everywhere", || {
            let states: Vec<State> = self
                .running()
                .into_iter()
                .map(|id| self.machine(id, group).state.lock().unwrap().clone())
                .collect();
            states.windows(2).all(|pair| pair[0] == pair[1]).then(|| states[0].clone())
        })
        .await
    }

    pub async fn stop(&mut self, id: u64) {
        self.node(id).stop().await;
    }

    pub async fn shutdown(mut self) {
        for node in &mut self.nodes {
            node.stop().await;
        }
    }
}

impl Node {
    pub fn config(&self, peers: BTreeMap<NodeId, Peer>, timing: Timing) -> HostConfig {
        HostConfig {
            node: self.id,
            cluster: "test".to_owned(),
            region: self.region.clone(),
            dir: self.dir.clone(),
            listener: self.listener.try_clone().unwrap(),
            peers,
            identity: self.identity.clone(),
            timing,
            on_stream: self.on_stream.clone(),
            log: self.log.clone(),
        }
    }

    pub fn start(&mut self, peers: BTreeMap<NodeId, Peer>, timing: Timing, groups: &[u64]) {
        self.host = Some(Host::start(self.config(peers, timing)).unwrap());
        for group in groups {
            self.open(*group);
        }
    }

    pub fn open(&mut self, group: u64) {
        let machine = Counter::open(self.disks.entry(group).or_default());
        machine.disk_full.store(self.disk_full, Ordering::Relaxed);
        machine.sinks_held.store(self.sinks_held, Ordering::Release);
        let opened = self
            .host
            .as_ref()
            .unwrap()
            .open_group(GroupId(group), machine.clone(), self.options.clone())
            .unwrap();
        self.machines.insert(group, machine);
        self.groups.insert(group, opened);
    }

    /// Ends the host. What the machines had not persisted is gone, as after a crash.
    pub async fn stop(&mut self) {
        self.groups.clear();
        self.machines.clear();
        if let Some(host) = self.host.take() {
            host.shutdown().await.unwrap();
        }
    }
}

pub fn number_payload(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_le_bytes())
}

pub async fn pause() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// Waits for a condition.
pub async fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited too long for {what}");
        pause().await;
    }
}
