//! The log as who takes it elsewhere sees it: what is applied is given, and kept until it was taken.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::atomic::Ordering;

use bytes::Bytes;
use common::{Cluster, eventually, number_payload};
use raft::{EntriesError, Entry, Group};

/// Everything from an index on, in reads of so many bytes.
async fn all(group: &Group, mut from: u64, bytes: usize) -> Vec<Entry> {
    let mut found = Vec::new();
    loop {
        let read = group.entries(from, bytes).await.unwrap();
        if read.last < from {
            return found;
        }
        assert!(read.entries.iter().all(|entry| (from..=read.last).contains(&entry.index)));
        found.extend(read.entries);
        from = read.last + 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_replica_gives_the_same_payloads_through_a_change_of_leaders() {
    let mut cluster = Cluster::started(3, &[1]).await;
    let mut proposed = Vec::new();
    for number in 1..=40 {
        if number == 20 {
            let leader = cluster.leader(1).await;
            cluster.stop(leader).await;
            cluster.leader(1).await;
            cluster.start(leader, &[1]);
        }
        proposed.push((cluster.propose(1, number).await, number_payload(number)));
    }
    cluster.converged(1).await;
    for id in cluster.running() {
        for bytes in [1, 100, 1 << 20] {
            let found = all(&cluster.group(id, 1), 1, bytes).await;
            let found: Vec<_> = found.into_iter().map(|entry| (entry.index, entry.payload)).collect();
            assert_eq!(found, proposed, "node {id}, {bytes} bytes at a time");
        }
        let applied = cluster.group(id, 1).applied();
        let none = cluster.group(id, 1).entries(applied + 1, 1 << 20).await.unwrap();
        assert_eq!((none.entries.len(), none.last), (0, applied));
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_taken_is_kept_and_what_is_gone_is_said_to_be() {
    let cluster = Cluster::started(1, &[1]).await;
    let (group, machine) = (cluster.group(cluster.leader(1).await, 1), cluster.machine(1, 1));
    machine.eager.store(true, Ordering::Relaxed);
    *machine.taken.lock().unwrap() = Some(3);
    let payload = Bytes::from(vec![0; 1 << 20]);
    let mut last = 0;
    for _ in 0..90 {
        last = group.propose(payload.clone()).await.unwrap().index;
    }
    // Nothing is purged beyond what was taken, though it is durable and more than followers need.
    eventually("the log to be purged or known to be kept", || {
        let status = group.status();
        assert!(status.purged <= 3, "purged to {}", status.purged);
        (status.snapshot >= last - 20).then_some(())
    })
    .await;
    assert_eq!(group.entries(4, 1).await.unwrap().entries.len(), 1);
    *machine.taken.lock().unwrap() = Some(last);
    group.propose(payload.clone()).await.unwrap();
    let purged = eventually("the log to be purged", || Some(group.status().purged).filter(|at| *at > 3)).await;
    assert!(matches!(
        group.entries(4, 1).await,
        Err(EntriesError::Purged { wanted: 4, .. })
    ));
    assert!(group.entries(purged + 1, 1).await.is_ok());
    // Who takes nothing any more does not fill the disk.
    *machine.taken.lock().unwrap() = Some(0);
    for _ in 0..300 {
        last = group.propose(payload.clone()).await.unwrap().index;
    }
    eventually("the log to be purged all the same", || {
        (group.status().purged + 290 > last).then_some(())
    })
    .await;
    cluster.shutdown().await;
}
