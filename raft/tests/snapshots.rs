//! Snapshots under load: what is written while one is on its way is there when it has arrived.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::atomic::Ordering;

use bytes::Bytes;
use common::{Cluster, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_gets_a_snapshot_while_much_is_written_needs_no_other_one() {
    let mut cluster = Cluster::new(3);
    // Another leader would send another snapshot.
    cluster.timing.election_min_ms = 10_000;
    cluster.timing.election_max_ms = 20_000;
    cluster.all_started(&[1]).await;
    let leader = cluster.leader(1).await;
    let away = cluster.running().into_iter().find(|id| *id != leader).unwrap();
    let near = cluster.running().into_iter().find(|id| ![leader, away].contains(id)).unwrap();
    cluster.stop(away).await;
    for id in cluster.running() {
        cluster.machine(id, 1).eager.store(true, Ordering::Relaxed);
    }
    let (group, follower) = (cluster.group(leader, 1), cluster.group(near, 1));
    let payload = Bytes::from([&1u64.to_le_bytes()[..], &vec![0; 1 << 20]].concat());
    for _ in 0..90 {
        group.propose(payload.clone()).await.unwrap();
    }
    eventually("the log to be purged", || (group.status().purged > 10).then_some(())).await;
    let ends_at = group.status().last_log;
    cluster.node(away).sinks_held = true;
    cluster.start(away, &[1]);
    let machine = cluster.machine(away, 1);
    eventually("a snapshot to come", || {
        (machine.received.load(Ordering::Relaxed) > 0).then_some(())
    })
    .await;
    // More than is kept for nobody: who sends no snapshot purges beyond where this one ends.
    for _ in 0..90 {
        group.propose(payload.clone()).await.unwrap();
    }
    eventually("the other one to purge", || {
        (follower.status().purged > ends_at).then_some(())
    })
    .await;
    assert!(group.status().purged <= ends_at);
    machine.sinks_held.store(false, Ordering::Release);
    assert_eq!(cluster.converged(1).await.total, 180);
    assert_eq!(machine.received.load(Ordering::Relaxed), 1, "one snapshot was enough");
    // When it has caught up, the log is purged as ever.
    eventually("the leader to purge", || (group.status().purged > ends_at).then_some(())).await;
    drop((group, follower, machine));
    cluster.shutdown().await;
}
