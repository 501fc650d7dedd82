//! The network between the nodes: one TCP proxy for each directed link, on a thread of its own.
//!
//! A node dials each of its peers through a link of its own, so the links are as many as ordered pairs of nodes. A **link** is
//! who dialled whom; a **way** is the direction in which bytes go. A connection over the link a→b carries the ways a→b and b→a.
//! Faults are set on ways, because that is what a network loses: with the way a→b swallowed, b hears nothing of a, on whichever
//! connection, while a hears b. The modes are those of [`Mode`]; [`Network::reset`] and [`Network::half_open`] act on the
//! connections that exist at that moment.
//!
//! Invariants: bytes are never changed, reordered or passed on after a gap: a connection that has lost bytes is reset when its
//! way passes again, as a real one is once its retransmissions meet a host that has given up. Everything that is queued is
//! bounded; what does not fit holds the sender back.
//!
//! CAVEATS: it proxies TCP, so there is no loss or reordering of packets, which TCP hides anyway, but for its delays. A refused
//! connection is accepted and reset at once, for a proxy cannot stop listening on time.

mod link;
mod tap;
mod way;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use link::Link;
pub use tap::Identities;
use tap::Tap;
use way::Way;

/// What happens to the bytes of one direction between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They pass.
    Pass,
    /// Connections are reset, new ones refused.
    Cut,
    /// They are taken and thrown away; the sender notices nothing.
    Swallow,
    /// They are left where they are; the sender's window closes.
    Stall,
    /// They arrive later: a fixed time and a random one up to as much as the second.
    Delay(Duration, Duration),
    /// At most so many bytes pass in a second.
    Bandwidth(u64),
}

/// All links of a cluster. Dropping it ends the proxies.
pub struct Network {
    /// By (from, to), as places in the list of nodes.
    ways: BTreeMap<(usize, usize), Arc<Way>>,
    links: BTreeMap<(usize, usize), Arc<Link>>,
    nodes: usize,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Network {
    /// Starts a proxy for each ordered pair of nodes, which listen for their peers at `peers`.
    pub fn start(peers: &[SocketAddr]) -> Result<Self> {
        Self::start_between(peers, |_, _| true)
    }

    /// The same for some pairs: the others reach each other without one.
    pub fn start_between(peers: &[SocketAddr], wanted: impl Fn(usize, usize) -> bool) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the proxies' runtime")?;
        let nodes = peers.len();
        let pairs = || (0..nodes).flat_map(move |from| (0..nodes).map(move |to| (from, to)));
        let pairs = || pairs().filter(|(from, to)| from != to && wanted(*from, *to));
        let ways: BTreeMap<_, _> = pairs().map(|pair| (pair, Arc::new(Way::new()))).collect();
        let mut links = BTreeMap::new();
        for (from, to) in pairs() {
            let listener = runtime
                .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
                .context("listen for a link")?;
            let address = listener.local_addr().context("find a link's address")?;
            let link = Arc::new(Link::new(
                address,
                peers[to],
                ways[&(from, to)].clone(),
                ways[&(to, from)].clone(),
            ));
            runtime.spawn(link.clone().serve(listener));
            links.insert((from, to), link);
        }
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("proxies".to_owned())
            .spawn(move || {
                // An error is the sender's end: the same.
                let _ = runtime.block_on(stopped);
                runtime.shutdown_background();
            })
            .context("start the proxies' thread")?;
        Ok(Self {
            ways,
            links,
            nodes,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where `from` reaches `to`.
    pub fn address(&self, from: usize, to: usize) -> Option<SocketAddr> {
        self.links.get(&(from, to)).map(|link| link.address)
    }

    /// How many nodes it connects.
    pub const fn nodes(&self) -> usize {
        self.nodes
    }

    /// Sets what happens to the bytes from one node to another.
    pub fn set(&self, from: usize, to: usize, mode: Mode) {
        if let Some(way) = self.ways.get(&(from, to)) {
            way.set(mode);
        }
    }

    /// Two nodes are so far from each other, one way: from now on that is how bytes pass when all is well.
    pub fn part(&self, one: usize, other: usize, distance: Duration) {
        for way in [(one, other), (other, one)].iter().filter_map(|pair| self.ways.get(pair)) {
            way.part(distance);
        }
    }

    /// From now on what passes on new connections is written down in `directory`, a file each way of each, as the nodes said it before
    /// they encrypted it: the proxies prove themselves to each node with what the other one has.
    pub fn listen_in(&self, nodes: &Identities, directory: &Path) -> Result<()> {
        for ((from, to), link) in &self.links {
            link.listen_in(Arc::new(Tap::new(nodes, (*from, *to), directory)?));
        }
        Ok(())
    }

    /// Sets both directions between two nodes.
    pub fn set_both(&self, one: usize, other: usize, mode: Mode) {
        self.set(one, other, mode);
        self.set(other, one, mode);
    }

    /// Resets every connection between two nodes, whoever dialled it. New ones pass.
    pub fn reset(&self, one: usize, other: usize) {
        self.between(one, other, |link| &link.resets);
    }

    /// Every connection between two nodes stays open, and nothing passes on it any more. New ones pass.
    pub fn half_open(&self, one: usize, other: usize) {
        self.between(one, other, |link| &link.stalls);
    }

    fn between(&self, one: usize, other: usize, signal: impl Fn(&Link) -> &watch::Sender<u64>) {
        for link in [(one, other), (other, one)].iter().filter_map(|pair| self.links.get(pair)) {
            signal(link).send_modify(|generation| *generation += 1);
        }
    }

    /// All ways pass again.
    pub fn heal(&self) {
        for way in self.ways.values() {
            way.heal();
        }
    }

    /// Whether bytes go both ways between a node and some other.
    pub fn is_connected(&self, node: usize) -> bool {
        let passes = |from: usize, to: usize| {
            let way = self.ways.get(&(from, to));
            way.is_some_and(|way| !matches!(way.mode(), Mode::Cut | Mode::Swallow | Mode::Stall))
        };
        (0..self.nodes).any(|other| passes(node, other) && passes(other, node))
    }

    /// How often something was done to bytes or connections between these two: what tells a fault that met traffic from one that
    /// nobody noticed.
    pub fn touched(&self, one: usize, other: usize) -> u64 {
        let ways = [(one, other), (other, one)]
            .into_iter()
            .filter_map(|pair| self.ways.get(&pair));
        ways.map(|way| way.touched()).sum()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
