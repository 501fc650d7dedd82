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
use super::slot::Slot;
use crate::config::{Config, NodeEntry, Topology};
use crate::directory::{GROUP, topology};
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
    let (mut known, mut leaving) = (0, Vec::new());
    loop {
        match look(&platform, &opener, known, &mut leaving).await {
            Ok(version) => known = version,
            Err(error) => tracing::debug!(%error, "a look at the topology ended early; the next one goes on"),
        }
        leave(&mut leaving, |slot| platform.leave(&opener, slot)).await;
        tokio::time::sleep(LOOK).await;
    }
}

/// Lets go of replicas that leave this node for good. One that fails keeps none of the others, and is tried again after the next look.
async fn leave<F: Future<Output = Result<(), Error>>>(leaving: &mut Vec<Arc<Slot>>, let_go: impl Fn(Arc<Slot>) -> F) {
    for slot in std::mem::take(leaving) {
        if let Err(error) = let_go(Arc::clone(&slot)).await {
            tracing::warn!(cell = %slot.name, error = error.detail, "a replica that leaves this node is not removed yet");
            leaving.push(slot);
        }
    }
}

fn is_leaving(leaving: &[Arc<Slot>], number: u64) -> bool {
    leaving.iter().any(|slot| slot.number == number)
}

/// Takes the topology of the directory, if it is a later one than was known; its version. Adds to those that are leaving.
async fn look(platform: &Arc<Platform>, opener: &Arc<Opener>, known: u64, leaving: &mut Vec<Arc<Slot>>) -> Result<u64, Error> {
    let stored = topology::read(&platform.directory.read()?).map_err(|fault| internal(&fault))?;
    let votes = stored
        .as_ref()
        .map(|(_, topology)| topology.directory_voters.contains(&platform.me.name));
    // What is leaving is gone before it comes again: it would take the new one along.
    if !is_leaving(leaving, GROUP) {
        platform.tend_seat(opener, votes, leaving).await?;
    }
    let Some((version, topology)) = stored.filter(|(version, _)| *version > known) else {
        return Ok(known);
    };
    if own_cells(&topology, &platform.me).any(|cell| is_leaving(leaving, cell.number)) {
        return Ok(known);
    }
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
        leaving.push(slot);
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn a_replica_that_cannot_leave_yet_keeps_no_other_and_is_tried_again() {
        let mut leaving: Vec<_> = [(7, "eu-1"), (8, "eu-2")]
            .map(|(number, name)| Arc::new(Slot::new(number, name)))
            .into();
        let tried = Mutex::new(Vec::new());
        let let_go = |slot: Arc<Slot>| {
            let mut tried = tried.lock().expect("tried");
            let fails = tried.is_empty();
            tried.push(slot.number);
            async move {
                match fails {
                    true => Err(internal(&"the first time")),
                    false => Ok(()),
                }
            }
        };
        leave(&mut leaving, let_go).await;
        assert_eq!(leaving.iter().map(|slot| slot.number).collect::<Vec<_>>(), [7]);
        leave(&mut leaving, let_go).await;
        assert!(leaving.is_empty());
        assert_eq!(*tried.lock().expect("tried"), [7, 8, 7]);
    }
}
