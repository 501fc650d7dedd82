//! Regions and certificates: who is refused with which words, what a group that is bound to a region keeps to itself, and certificates
//! that change while a cluster runs.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/said.rs"]
mod said;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{Cluster, Counter, Disk, REGION, eventually, number_payload};
use raft::{Authority, Error, GroupId, GroupOptions, Host, Identity, NodeId, make_authority};
use said::said;
use tokio::io::AsyncWriteExt;

/// Puts a node into a region, with a certificate that says so.
fn put(cluster: &mut Cluster, id: u64, region: &str) {
    let identity = cluster.authority.issue(NodeId(id), region, 10).unwrap();
    let node = cluster.node(id);
    node.region = region.to_owned();
    node.identity = identity;
}

fn bound(region: &str) -> GroupOptions {
    GroupOptions {
        region: Some(region.to_owned()),
        timing: None,
    }
}

fn nodes(ids: impl IntoIterator<Item = u64>) -> BTreeSet<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

fn host(cluster: &Cluster, id: u64) -> Host {
    cluster
        .nodes
        .iter()
        .find(|node| node.id.0 == id)
        .unwrap()
        .host
        .clone()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_region_than_configured_is_refused_and_both_sides_say_why() {
    said();
    let mut cluster = greeting();
    // The others have it here.
    put(&mut cluster, 3, "afar");
    for id in 1..=3 {
        cluster.start(id, &[1]);
    }
    assert!(cluster.group(1, 1).initialize(&nodes([1, 2])).await.unwrap());
    cluster.propose(1, 1).await;
    let (one, three) = (host(&cluster, 1), host(&cluster, 3));
    let words = "node-3.test.cloudnest in the region afar, but the configuration has that node in here";
    eventually("who is asked to say why", || said().has(&["refused a peer", words])).await;
    eventually("who asks to hear why", || {
        said().has(&["cannot connect to peer", "peer=1", "the peer refused this node", words])
    })
    .await;
    eventually("who dials it to say why", || {
        said().has(&["cannot connect to peer", "peer=3", words])
    })
    .await;
    assert!(!one.reachable(NodeId(3)) && !three.reachable(NodeId(1)));
    assert_eq!(cluster.group(3, 1).status().term, 0);
    let dialled = one.dial(NodeId(3)).await.unwrap_err();
    assert!(dialled.to_string().contains("afar"), "{dialled}");
    assert!(one.certificate(NodeId(3)).is_none() && one.certificate(NodeId(2)).is_some());
    drop((one, three));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_only_with_a_certificate_of_its_own_region() {
    let mut cluster = Cluster::new(1);
    cluster.node(1).region = "elsewhere".to_owned();
    let (peers, timing) = (cluster.peers.clone(), cluster.timing);
    let refused = Host::start(cluster.node(1).config(peers, timing));
    match refused {
        Err(Error::Certificate(why)) => assert!(why.contains("configuration has that node in elsewhere"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_bound_to_a_region_has_no_member_outside() {
    said();
    let mut cluster = Cluster::new(3);
    put(&mut cluster, 3, "outside");
    cluster.peers.get_mut(&NodeId(3)).unwrap().region = "outside".to_owned();
    for id in [1, 2] {
        cluster.node(id).options = bound(REGION);
    }
    // Group 1 is bound on those inside. On the node outside it is not, as after a mistake of its configuration.
    for id in 1..=3 {
        cluster.start(id, &[1]);
    }
    let refused = cluster.group(1, 1).initialize(&nodes(1..=3)).await;
    assert!(
        matches!(&refused, Err(Error::Refused(why)) if why.contains("node 3 is in the region outside")),
        "{refused:?}"
    );
    let outside = host(&cluster, 3).open_group(GroupId(2), Counter::open(&Disk::default()), bound(REGION));
    assert!(matches!(outside, Err(Error::Config(_))), "{outside:?}");
    // It may found what it likes: nobody inside hears of it.
    assert!(cluster.group(3, 1).initialize(&nodes(1..=3)).await.unwrap());
    eventually("what it asks to be refused", || {
        said().has(&[
            "refused what a peer asked of a group",
            "node 3 is in the region outside, the group stays in here",
        ])
    })
    .await;
    assert_eq!(
        (cluster.group(1, 1).status().term, cluster.group(1, 1).status().last_log),
        (0, 0)
    );
    cluster.stop(3).await;
    assert!(cluster.group(1, 1).initialize(&nodes([1, 2])).await.unwrap());
    cluster.propose(1, 7).await;
    let leader = cluster.leader(1).await;
    let refused = cluster.group(leader, 1).change_voters(&nodes(1..=3)).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_bound_to_none_spans_regions() {
    let mut cluster = Cluster::new(3);
    for id in 1..=3 {
        let region = format!("region-{id}");
        put(&mut cluster, id, &region);
        cluster.peers.get_mut(&NodeId(id)).unwrap().region = region;
    }
    for id in 1..=3 {
        cluster.start(id, &[1]);
    }
    assert!(cluster.group(1, 1).initialize(&nodes(1..=3)).await.unwrap());
    cluster.propose(1, 5).await;
    assert_eq!(cluster.converged(1).await.total, 5);
    cluster.shutdown().await;
}

/// Three nodes, not started, that take every stream and say one byte on it.
fn greeting() -> Cluster {
    let mut cluster = Cluster::new(3);
    let runtime = tokio::runtime::Handle::current();
    for id in 1..=3 {
        let runtime = runtime.clone();
        cluster.node(id).on_stream = Some(Arc::new(move |offer: raft::StreamOffer| {
            runtime.spawn(async move {
                if let Ok((_, mut stream)) = offer.accept().await {
                    let _ = stream.write_all(&[1]).await;
                    let _ = stream.flush().await;
                }
            });
        }));
    }
    cluster
}

async fn started() -> Cluster {
    let mut cluster = greeting();
    for id in 1..=3 {
        cluster.start(id, &[1]);
    }
    assert!(cluster.group(1, 1).initialize(&nodes(1..=3)).await.unwrap());
    cluster
}

/// A new connection each way between all nodes, and what each proved itself with.
async fn meet(cluster: &Cluster) {
    for from in 1..=3 {
        for to in (1..=3).filter(|to| *to != from) {
            let (one, other) = (host(cluster, from), host(cluster, to));
            let mut stream = one.dial(NodeId(to)).await.unwrap();
            assert_eq!(tokio::io::AsyncReadExt::read_u8(&mut stream).await.unwrap(), 1);
            assert_eq!(one.certificate(NodeId(to)), other.certificate(NodeId(to)));
            // The other side has looked at what this one showed, before it said anything.
            assert_eq!(other.certificate(NodeId(from)), one.certificate(NodeId(from)));
        }
    }
}

fn identity(authority: &Authority, id: u64, trusted: &str) -> Identity {
    let mut identity = authority.issue(NodeId(id), REGION, 10).unwrap();
    trusted.clone_into(&mut identity.authority_pem);
    identity
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_connections_use_a_new_certificate_and_open_ones_stay() {
    let cluster = started().await;
    cluster.propose(1, 1).await;
    meet(&cluster).await;
    let before = host(&cluster, 1).certificate(NodeId(1)).unwrap();
    let term = cluster.group(1, 1).status().term;
    let trusted = cluster.authority.certificate_pem();
    host(&cluster, 1)
        .replace_identity(&identity(&cluster.authority, 1, trusted))
        .unwrap();
    let after = host(&cluster, 1).certificate(NodeId(1)).unwrap();
    assert_ne!(before, after);
    meet(&cluster).await;
    assert_eq!(host(&cluster, 2).certificate(NodeId(1)), Some(after.clone()));
    // What cannot be used changes nothing.
    for bad in [
        identity(&cluster.authority, 2, trusted),
        identity(&make_authority("test").unwrap(), 1, trusted),
        cluster.authority.issue(NodeId(1), "elsewhere", 10).unwrap(),
        cluster.authority.issue(NodeId(1), REGION, 0).unwrap(),
    ] {
        let refused = host(&cluster, 1).replace_identity(&bad);
        assert!(matches!(refused, Err(Error::Certificate(_))), "{refused:?}");
    }
    assert_eq!(host(&cluster, 1).certificate(NodeId(1)), Some(after));
    meet(&cluster).await;
    cluster.propose(1, 2).await;
    assert_eq!(
        cluster.group(1, 1).status().term,
        term,
        "the connections that were open have stayed"
    );
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorities_change_while_the_cluster_runs() {
    let mut cluster = started().await;
    cluster.propose(1, 1).await;
    let next = make_authority("test").unwrap();
    let both = format!("{}{}", cluster.authority.certificate_pem(), next.certificate_pem());
    // First all trust both, then each proves itself with the new one, then nobody trusts the old one any more.
    for (authority, trusted) in [
        (&cluster.authority, both.as_str()),
        (&next, &both),
        (&next, next.certificate_pem()),
    ] {
        for id in 1..=3 {
            host(&cluster, id)
                .replace_identity(&identity(authority, id, trusted))
                .unwrap();
            meet(&cluster).await;
        }
    }
    let group = cluster.group(cluster.leader(1).await, 1);
    group.propose(number_payload(1)).await.unwrap();
    drop(group);
    // A node that missed it is outside.
    cluster.stop(3).await;
    cluster.start(3, &[1]);
    let (one, three) = (host(&cluster, 1), host(&cluster, 3));
    assert!(one.dial(NodeId(3)).await.is_err());
    assert!(!three.reachable(NodeId(1)));
    three.replace_identity(&identity(&next, 3, next.certificate_pem())).unwrap();
    eventually("it to be back", || three.reachable(NodeId(1)).then_some(())).await;
    drop((one, three));
    cluster.converged(1).await;
    cluster.shutdown().await;
}
