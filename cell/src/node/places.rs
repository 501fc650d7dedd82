//! Keeps the places of this node as the topology says: peers that are to be connected, cells that have a replica here.
//!
//! The directory holds the topology; this node takes each change of it. A cell that gets a replica here is opened and waits until the
//! cell's leader takes it in; one that has none here any more is closed once the group has let it go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::error::Error;
use raft::{NodeId, Peer};

use super::open::{Opener, own_cells};
use super::platform::Platform;
use crate::config::{Config, NodeEntry, Topology};
use crate::directory::topology;
use crate::service::error::internal;

/// Longest time between two looks at the directory.
const LOOK: Duration = Duration::from_millis(250);

/// How the other nodes are reached. Connections are held to those of this region, and between voters of the directory. What the file of
/// this node says of an address wins: it may be reached through another one.
pub(crate) fn peers(topology: &Topology, config: &Config, me: &NodeEntry) -> BTreeMap<NodeId, Peer> {
    let votes = |node: &NodeEntry| topology.directory_voters.contains(&node.name);
    let peer = |node: &NodeEntry| {
        let own = config.topology.numbered(node.number).filter(|own| own.name == node.name);
        let address = own.unwrap_or(node).peer.to_string();
        let linked = node.region == me.region || (votes(node) && votes(me));
        let region = node.region.clone();
        let peer = Peer { address, region, linked };
        (NodeId(node.number), peer)
    };
    let nodes = topology.nodes.iter().filter(|node| node.number != me.number);
    nodes.map(peer).collect()
}

impl Platform {
    /// Knows the nodes of both topologies, until the next change of the one that counts.
    pub(crate) fn know(&self, current: &Topology, wanted: &Topology) {
        let mut both = current.clone();
        let new = wanted.nodes.iter().filter(|node| current.node(&node.name).is_none());
        both.nodes.extend(new.cloned());
        self.host.set_peers(peers(&both, &self.config, &self.me));
    }
}

/// Looks for as long as the platform is there.
pub(crate) async fn run(platform: Arc<Platform>, opener: Arc<Opener>) {
    let mut known = 0;
    loop {
        match look(&platform, &opener, known).await {
            Ok(version) => known = version,
            Err(error) => tracing::debug!(%error, "a look at the topology ended early; the next one goes on"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Takes the topology of the directory, if it is a later one than was known; its version.
async fn look(platform: &Arc<Platform>, opener: &Arc<Opener>, known: u64) -> Result<u64, Error> {
    let stored = topology::read(&platform.directory.read()?).map_err(|fault| internal(&fault))?;
    let votes = stored
        .as_ref()
        .map(|(_, topology)| topology.directory_voters.contains(&platform.me.name));
    platform.tend_seat(opener, votes).await?;
    let Some((version, topology)) = stored.filter(|(version, _)| *version > known) else {
        return Ok(known);
    };
    platform.host.set_peers(peers(&topology, &platform.config, &platform.me));
    let mut places = BTreeMap::clone(&platform.places());
    for cell in own_cells(&topology, &platform.me).filter(|cell| !platform.places().contains_key(&cell.number)) {
        let (opening, number, name) = (Arc::clone(opener), cell.number, cell.name.clone());
        let opened = tokio::task::spawn_blocking(move || super::open::place(&opening, number, &name, false)).await;
        let opened = opened.map_err(|error| internal(&error))?;
        let slot = opened.map_err(|error| internal(&format!("open a new replica of {}: {error:#}", cell.name)))?;
        tracing::info!(cell = cell.name, "this node has a replica of the cell now");
        places.insert(cell.number, slot);
    }
    let own: Vec<u64> = own_cells(&topology, &platform.me).map(|cell| cell.number).collect();
    let gone: Vec<_> = places.extract_if(.., |number, _| !own.contains(number)).collect();
    platform.set_places(places);
    platform.set_topology(topology);
    for (_, slot) in gone {
        tracing::info!(cell = %slot.name, "this node has no replica of the cell any more; what it had of it is removed");
        platform.leave(opener, slot).await?;
    }
    Ok(version)
}
