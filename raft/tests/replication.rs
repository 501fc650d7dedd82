//! Three hosts in one process: what is acknowledged is everywhere, survives, and is read linearizably.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use common::{Cluster, DEADLINE, eventually, number_payload, pause};
use raft::{NodeId, PAYLOAD_BYTES_MAX, ProposeError, ReadError, Role};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_is_applied_on_every_replica() {
    let cluster = Cluster::started(3, &[1]).await;
    let leader = cluster.leader(1).await;
    let group = cluster.group(leader, 1);
    let first = group.propose(number_payload(5)).await.unwrap();
    let second = group.propose(number_payload(7)).await.unwrap();
    assert_eq!(
        (first.reply.as_ref(), second.reply.as_ref()),
        (&5u64.to_le_bytes()[..], &12u64.to_le_bytes()[..])
    );
    assert_eq!(second.index, first.index + 1);
    assert_eq!(cluster.converged(1).await.total, 12);
    let status = group.status();
    assert_eq!(status.role, Role::Leader);
    assert_eq!(status.voters, [NodeId(1), NodeId(2), NodeId(3)]);
    assert_eq!((status.leader, status.applied), (Some(NodeId(leader)), second.index));
    eventually("matched", || {
        group.status().matched.values().all(|at| *at >= second.index).then_some(())
    })
    .await;
    assert!(!cluster.group(1, 1).initialize(&BTreeSet::from([NodeId(1)])).await.unwrap());
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_proposers_are_each_answered_once() {
    let cluster = Cluster::started(3, &[1]).await;
    let group = cluster.group(cluster.leader(1).await, 1);
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let group = group.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    let done = group.propose(number_payload(1)).await.unwrap();
                    assert!(group.applied() >= done.index);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let state = cluster.converged(1).await;
    assert_eq!((state.total, state.entries), (3_200, 3_200));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_applied_says_so() {
    let cluster = Cluster::started(3, &[1]).await;
    let leader = cluster.leader(1).await;
    let follower = cluster.running().into_iter().find(|id| *id != leader).unwrap();
    let group = cluster.group(follower, 1);
    eventually("the follower to know the leader", || {
        (group.leader() == Some(NodeId(leader))).then_some(())
    })
    .await;
    assert_eq!(
        group.propose(number_payload(1)).await,
        Err(ProposeError::NotLeader(Some(NodeId(leader))))
    );
    let large = Bytes::from(vec![0; PAYLOAD_BYTES_MAX + 1]);
    assert!(matches!(
        cluster.group(leader, 1).propose(large).await,
        Err(ProposeError::NotApplied(_))
    ));
    let largest = cluster
        .group(leader, 1)
        .propose(Bytes::from(vec![0; PAYLOAD_BYTES_MAX]))
        .await;
    assert!(largest.is_ok(), "{largest:?}");
    cluster.converged(1).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_leader_is_gone_another_leads_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::started(3, &[1]).await;
    for _ in 0..20 {
        cluster.propose(1, 1).await;
    }
    let old = cluster.leader(1).await;
    cluster.stop(old).await;
    let new = cluster.leader(1).await;
    assert_ne!(new, old);
    for _ in 0..20 {
        cluster.propose(1, 1).await;
    }
    cluster.start(old, &[1]);
    assert_eq!(cluster.converged(1).await.total, 40);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_lost_all_memory_comes_back_from_its_logs() {
    let mut cluster = Cluster::started(3, &[1]).await;
    for _ in 0..100 {
        cluster.propose(1, 1).await;
    }
    for id in 1..=3 {
        cluster.stop(id).await;
    }
    // Nothing was persisted: every entry comes from the log.
    for id in 1..=3 {
        cluster.start(id, &[1]);
    }
    let leader = cluster.leader(1).await;
    cluster.group(leader, 1).read_barrier().await.unwrap();
    assert_eq!(cluster.machine(leader, 1).total(), 100);
    assert_eq!(cluster.converged(1).await.total, 100);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_after_the_barrier_is_never_stale_on_any_replica() {
    let cluster = Cluster::started(3, &[1]).await;
    cluster.leader(1).await;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = [1, 2, 3, 1, 2, 3]
        .into_iter()
        .map(|id| {
            let (group, machine) = (cluster.group(id, 1), cluster.machine(id, 1));
            let (acknowledged, done) = (Arc::clone(&acknowledged), Arc::clone(&done));
            tokio::spawn(async move {
                let mut reads = 0;
                while done.load(Ordering::Acquire) == 0 || reads == 0 {
                    let before = acknowledged.load(Ordering::Acquire);
                    match group.read_barrier().await {
                        Ok(index) => {
                            assert!(group.applied() >= index);
                            let seen = machine.total();
                            assert!(seen >= before, "read {seen} after {before} was acknowledged");
                            reads += 1;
                        }
                        Err(ReadError::Stopped(why)) => panic!("{why}"),
                        Err(_) => pause().await,
                    }
                }
                reads
            })
        })
        .collect();
    for round in 1..=300 {
        cluster.propose(1, 1).await;
        acknowledged.store(round, Ordering::Release);
        if round == 150 {
            let leader = cluster.leader(1).await;
            cluster.group(leader, 1).hand_over(None).await.unwrap();
        }
    }
    done.store(1, Ordering::Release);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_handed_over_to_whom_it_should_go() {
    let cluster = Cluster::started(3, &[1]).await;
    let old = cluster.leader(1).await;
    cluster.propose(1, 1).await;
    let target = NodeId(cluster.running().into_iter().find(|id| *id != old).unwrap());
    let group = cluster.group(old, 1);
    eventually("the target to be reachable", || {
        cluster.nodes[0].host.as_ref().unwrap().reachable(target).then_some(())
    })
    .await;
    let changed = group.leader_changed();
    assert_eq!(group.hand_over(Some(target)).await.unwrap(), target);
    tokio::time::timeout(DEADLINE, changed).await.unwrap();
    assert_eq!(cluster.leader(1).await, target.0);
    assert!(!group.is_leader());
    cluster.propose(1, 1).await;
    assert_eq!(cluster.converged(1).await.total, 2);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_its_quorum_stops_to_lead() {
    let mut cluster = Cluster::started(3, &[1]).await;
    cluster.propose(1, 1).await;
    let leader = cluster.leader(1).await;
    let group = cluster.group(leader, 1);
    for id in cluster.running().into_iter().filter(|id| *id != leader) {
        cluster.stop(id).await;
    }
    eventually("the leader to notice", || {
        (!group.is_leader() && group.leader().is_none()).then_some(())
    })
    .await;
    assert_eq!(group.propose(number_payload(1)).await, Err(ProposeError::NotLeader(None)));
    assert_eq!(group.read_barrier().await, Err(ReadError::NoLeader));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replica_is_a_group_too() {
    let mut cluster = Cluster::started(1, &[1]).await;
    for _ in 0..50 {
        cluster.propose(1, 1).await;
    }
    cluster.group(1, 1).read_barrier().await.unwrap();
    cluster.stop(1).await;
    cluster.start(1, &[1]);
    cluster.propose(1, 1).await;
    assert_eq!(cluster.machine(1, 1).total(), 51);
    cluster.shutdown().await;
}
