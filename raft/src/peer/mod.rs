//! Connections between nodes.
//!
//! Every node dials every other one three times, and uses what it dialled for its own requests; answers come back on the same
//! connection. The three *lanes* keep what must never wait apart from what may: `control` carries heartbeats, votes, hand-overs and
//! read rounds; `append` carries log entries; `bulk` carries snapshots, and is dialled only when there is one. All groups share
//! them. On the wire is TLS 1.3 (`tls`), in it frames (`frame`), in them versioned messages (`message`); the first two frames are
//! greetings (`greeting`), in which each side says which data directory it is, and a node that has lost its own is refused (`book`).
//!
//! Frames that wait for a connection are bounded in number and bytes, and are written together in one go. A request that finds no
//! connection, or no room, fails at once: openraft then backs off. Nothing here retries.
//!
//! Before TLS, one plain byte says what the connection is for: `R` for raft, `S` for a byte stream that the node's user asked for
//! (`stream`), which is handed to the user's own runtime before any cryptography is done on raft's thread.

mod book;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod greeting;
mod link;
mod message;
mod network;
mod server;
mod snapshot;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use book::{Book, commit_identity, log_dir};
pub(crate) use frame::{FrameWriter, Kind};
pub(crate) use link::{CallError, Link, LinkTask};
pub(crate) use message::{AppendReplyV1, ReadReplyV1, TransferReplyV1, TransferV1, VoteReplyV1, VoteRequestV1, read_append};
pub(crate) use network::PeerFactory;
pub(crate) use server::{OnStream, accept_loop};
pub(crate) use stream::open as open_stream;
pub use stream::{PeerStream, StreamOffer};

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
    pub(crate) address: String,
    pub(crate) links: [Link; 3],
    heard: AtomicU64,
}

impl Peer {
    pub(crate) fn link(&self, lane: Lane) -> &Link {
        &self.links[lane as usize]
    }
}

/// This node's end of all connections.
pub(crate) struct Net {
    pub(crate) node: u64,
    pub(crate) cluster: String,
    pub(crate) tls: Tls,
    pub(crate) book: Arc<Book>,
    pub(crate) peers: BTreeMap<u64, Peer>,
    pub(crate) inbox: Inbox,
    /// Groups of which a snapshot is being sent.
    sending: Mutex<BTreeSet<u64>>,
    epoch: Instant,
}

/// A group's turn to send a snapshot; it ends when it is dropped.
struct Turn<'a> {
    net: &'a Net,
    group: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.net.sending().remove(&self.group);
    }
}

impl Net {
    /// Prepares the links to all peers; they are dialled once their tasks run.
    pub(crate) fn new(
        node: u64,
        cluster: String,
        tls: Tls,
        book: Book,
        addresses: BTreeMap<u64, String>,
    ) -> (Arc<Net>, Vec<LinkTask>) {
        let mut tasks = Vec::new();
        let mut peers = BTreeMap::new();
        for (peer, address) in addresses.into_iter().filter(|(peer, _)| *peer != node) {
            let links = Lane::ALL.map(|lane| {
                let (link, task) = link::make_link(peer, lane);
                tasks.push(task);
                link
            });
            peers.insert(
                peer,
                Peer {
                    address,
                    links,
                    heard: AtomicU64::new(0),
                },
            );
        }
        let net = Net {
            node,
            cluster,
            tls,
            book: Arc::new(book),
            peers,
            inbox: Inbox::default(),
            sending: Mutex::default(),
            epoch: Instant::now(),
        };
        (Arc::new(net), tasks)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .saturating_add(1)
    }

    fn sending(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group's turn to send a snapshot, unless it is sending one.
    fn turn(&self, group: u64) -> Option<Turn<'_>> {
        self.sending().insert(group).then_some(Turn { net: self, group })
    }

    /// Notes a sign of life.
    pub(crate) fn heard(&self, node: u64) {
        if let Some(peer) = self.peers.get(&node) {
            peer.heard.store(self.now_ms(), Relaxed);
        }
    }

    /// Whether there was a sign of life within the last two seconds. Oneself is always reachable.
    pub(crate) fn reachable(&self, node: u64) -> bool {
        node == self.node
            || self.peers.get(&node).is_some_and(|peer| match peer.heard.load(Relaxed) {
                0 => false,
                at => self.now_ms().saturating_sub(at) <= REACHABLE_MS,
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
