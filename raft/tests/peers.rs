//! Nodes that come and go while the others run.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::{Cluster, eventually};
use raft::{NodeId, Peer, StreamOffer};

/// Tells all running nodes of these addresses.
fn tell(cluster: &Cluster, addresses: &BTreeMap<NodeId, Peer>) {
    for node in cluster.nodes.iter() {
        if let Some(host) = &node.host {
            host.set_peers(addresses.clone());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_nobody_knew_at_the_start_joins_and_another_is_forgotten() {
    let mut cluster = Cluster::new(4);
    let all = cluster.peers.clone();
    cluster.peers.remove(&NodeId(4));
    for id in 1..=3 {
        cluster.start(id, &[1]);
    }
    let first: BTreeSet<NodeId> = (1..=3).map(NodeId).collect();
    assert!(cluster.group(1, 1).initialize(&first).await.unwrap());
    cluster.propose(1, 1).await;
    cluster.peers = all.clone();
    cluster.start(4, &[1]);
    let leader = cluster.leader(1).await;

    let leaves = (1..=3).find(|id| *id != leader).unwrap();
    let second: BTreeSet<NodeId> = (1..=4).filter(|id| *id != leaves).map(NodeId).collect();
    tell(&cluster, &all);
    cluster.group(leader, 1).change_voters(&second).await.unwrap();
    // Who is no longer in the group is forgotten: the links to it end, and the group goes on.
    let gone = NodeId(leaves);
    let mut rest = all.clone();
    rest.remove(&gone);
    let told: Vec<u64> = cluster.running().into_iter().filter(|id| *id != gone.0).collect();
    for id in &told {
        let host = cluster.node(*id).host.clone().unwrap();
        host.set_peers(rest.clone());
        assert!(!host.reachable(gone));
    }
    cluster.stop(gone.0).await;
    cluster.propose(1, 2).await;
    assert_eq!(cluster.converged(1).await.total, 3);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_changes_is_dialled_anew_and_one_without_links_gets_streams_only() {
    let mut cluster = Cluster::new(3);
    let runtime = tokio::runtime::Handle::current();
    for id in 1..=3 {
        let runtime = runtime.clone();
        cluster.node(id).on_stream = Some(Arc::new(move |offer: StreamOffer| drop(runtime.spawn(offer.accept()))));
        cluster.start(id, &[1]);
    }
    let all: BTreeSet<NodeId> = (1..=3).map(NodeId).collect();
    assert!(cluster.group(1, 1).initialize(&all).await.unwrap());
    cluster.propose(1, 1).await;
    let leader = cluster.leader(1).await;
    let other = NodeId((1..=3).find(|id| *id != leader).unwrap());
    let host = cluster.node(leader).host.clone().unwrap();
    eventually("reachable", || host.reachable(other).then_some(())).await;
    let mut peers = cluster.peers.clone();
    // Nobody listens there.
    let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    peers.get_mut(&other).unwrap().address = away.to_string();
    host.set_peers(peers.clone());
    // Whether it is reachable is not asked here: what it asks by itself is a sign of life, too.
    assert!(host.dial(other).await.is_err());
    peers.get_mut(&other).unwrap().address = cluster.peers[&other].address.clone();
    host.set_peers(peers.clone());
    eventually("reachable again", || host.reachable(other).then_some(())).await;
    assert!(host.dial(other).await.is_ok());
    peers.get_mut(&other).unwrap().linked = false;
    host.set_peers(peers);
    assert!(host.dial(other).await.is_ok());
    assert!(!host.reachable(other), "no links, no signs of life");
    drop(host);
    cluster.shutdown().await;
}
