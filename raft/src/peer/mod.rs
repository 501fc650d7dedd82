//! Connections between nodes.
//!
//! Every node dials every other one three times, and uses what it dialled for its own requests; answers come back on the same
//! connection. The three *lanes* keep what must never wait apart from what may: `control` carries heartbeats, votes, hand-overs and
//! read rounds; `append` carries log entries; `bulk` carries snapshots, and is dialled only when there is one. All groups share
//! them. On the wire is TLS 1.3 (`tls`), in it frames (`frame`), in them versioned messages (`message`); the first two frames are
//! greetings (`greeting`), in which each side says which data directory it is, and a node that has lost its own is refused (`book`), as
//! is one whose certificate is not that of the node and region that the configuration has (`admit`).
//!
//! Frames that wait for a connection are bounded in number and bytes, and are written together in one go. A request that finds no
//! connection, or no room, fails at once: openraft then backs off. Nothing here retries.
//!
//! Before TLS, one plain byte says what the connection is for: `R` for raft, `S` for a byte stream that the node's user asked for
//! (`stream`), which is handed to the user's own runtime before any cryptography is done on raft's thread.

mod admit;
mod book;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod greeting;
mod link;
mod message;
mod network;
mod sending;
mod server;
mod snapshot;
mod stream;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

pub(crate) use book::{Book, commit_identity, log_dir};
pub(crate) use frame::{FrameWriter, Kind};
pub(crate) use link::{CallError, Link, LinkTask};
pub(crate) use message::{AppendReplyV1, ReadReplyV1, TransferReplyV1, TransferV1, VoteReplyV1, VoteRequestV1, read_append};
pub(crate) use network::PeerFactory;
pub(crate) use server::{OnStream, accept_loop};
pub(crate) use stream::open as open_stream;
pub use stream::{PeerStream, StreamOffer};

use self::sending::Sending;
use crate::NodeId;
use crate::host;
use crate::inbox::Inbox;
use crate::limits::REACHABLE_MS;
use crate::tls::Tls;

/// The three connections to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Heartbeats, votes, hand-overs, read rounds.
    Control = 0,
    /// Log entries.
    Append = 1,
    /// Snapshots.
    Bulk = 2,
}

impl Lane {
    pub(crate) const ALL: [Lane; 3] = [Lane::Control, Lane::Append, Lane::Bulk];

    pub(crate) fn from_wire(number: u8) -> Option<Lane> {
        Lane::ALL.into_iter().find(|lane| *lane as u8 == number)
    }
}

/// What this node knows of another one.
pub(crate) struct Peer {
    at: host::Peer,
    /// What it proved itself with the last time, DER.
    certificate: Mutex<Option<Vec<u8>>>,
    links: Option<[Link; 3]>,
    heard: AtomicU64,
}

impl Peer {
    /// The lane of a peer that is linked. Its tasks end when the peer is let go.
    pub(crate) fn link(&self, lane: Lane) -> Option<&Link> {
        self.links.as_ref().map(|links| &links[lane as usize])
    }

    pub(crate) fn address(&self) -> &str {
        &self.at.address
    }

    pub(crate) fn region(&self) -> &str {
        &self.at.region
    }
}

/// This node's end of all connections.
pub(crate) struct Net {
    pub(crate) node: u64,
    pub(crate) cluster: String,
    pub(crate) tls: Tls,
    pub(crate) book: Arc<Book>,
    peers: RwLock<BTreeMap<u64, Arc<Peer>>>,
    pub(crate) inbox: Inbox,
    pub(crate) sending: Sending,
    /// The last refusal that was logged, and when.
    complaint: Mutex<Option<(String, Instant)>>,
    epoch: Instant,
}

impl Net {
    /// This node's end, without peers so far.
    pub(crate) fn new(node: u64, cluster: String, tls: Tls, book: Book) -> Arc<Net> {
        Arc::new(Net {
            node,
            cluster,
            tls,
            book: Arc::new(book),
            peers: RwLock::default(),
            inbox: Inbox::default(),
            sending: Sending::default(),
            complaint: Mutex::default(),
            epoch: Instant::now(),
        })
    }

    /// Makes exactly these the peers, and returns the tasks of new links, to be run on raft's runtime. A peer whose address changed is
    /// a new one. The links of those that are gone end by themselves.
    pub(crate) fn set_peers(&self, addresses: BTreeMap<NodeId, host::Peer>) -> Vec<LinkTask> {
        let mut tasks = Vec::new();
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        let mut old = std::mem::take(&mut *peers);
        for (NodeId(node), at) in addresses.into_iter().filter(|(node, _)| node.0 != self.node) {
            let known = old.remove(&node).filter(|peer| peer.at == at);
            let peer = known.unwrap_or_else(|| {
                let links = at.linked.then(|| {
                    Lane::ALL.map(|lane| {
                        let (link, task) = link::make_link(node, lane);
                        tasks.push(task);
                        link
                    })
                });
                let heard = AtomicU64::new(0);
                let certificate = Mutex::default();
                Arc::new(Peer {
                    at,
                    certificate,
                    links,
                    heard,
                })
            });
            peers.insert(node, peer);
        }
        tasks
    }

    /// What is known of another node.
    fn known(&self, node: u64) -> Option<Arc<Peer>> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .saturating_add(1)
    }

    /// Notes a sign of life.
    pub(crate) fn heard(&self, node: u64) {
        if let Some(peer) = self.known(node) {
            peer.heard.store(self.now_ms(), Relaxed);
        }
    }

    /// Whether there was a sign of life within the last two seconds from a peer that is linked. Oneself is always reachable.
    pub(crate) fn reachable(&self, node: u64) -> bool {
        node == self.node
            || self.known(node).is_some_and(|peer| match peer.heard.load(Relaxed) {
                0 => false,
                at => peer.links.is_some() && self.now_ms().saturating_sub(at) <= REACHABLE_MS,
            })
    }
}

/// Waits at most so long, and says what took too long.
pub(crate) async fn within<T>(ms: u64, what: &'static str, work: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    match tokio::time::timeout(Duration::from_millis(ms), work).await {
        Ok(result) => result,
        Err(_) => Err(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("{what}: timed out after {ms} ms"),
        )),
    }
}
