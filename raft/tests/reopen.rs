//! One group of a node is closed and opened again over the state of another replica, while all else goes on.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Instant;

use common::{Cluster, Counter, DEADLINE, Disk, eventually};
use raft::{Error, GroupId, GroupOptions, NodeId};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_group_goes_on_with_its_own_vote_over_the_state_of_another() {
    let mut cluster = Cluster::started(3, &[1, 2]).await;
    let leader = cluster.leader(1).await;
    let follower = (1..=3).find(|id| *id != leader).unwrap();
    for number in 1..=50u64 {
        cluster.propose(1, number).await;
    }
    let closed = cluster.group(follower, 1);
    let host = cluster.node(follower).host.clone().unwrap();
    host.close_group(&closed).await.unwrap();
    assert!(closed.stopped().is_some());
    assert!(matches!(
        closed.propose(vec![0; 8].into()).await,
        Err(raft::ProposeError::Stopped(_))
    ));
    let old = Arc::downgrade(&cluster.machine(follower, 1));
    cluster.node(follower).machines.remove(&1);
    cluster.node(follower).groups.remove(&1);
    drop(closed);
    eventually("its machine is let go", || old.upgrade().is_none().then_some(())).await;
    cluster.propose(2, 7).await;
    for number in 1..=50u64 {
        cluster.propose(1, number).await;
    }
    let state = cluster.machine(leader, 1).state.lock().unwrap().clone();
    let machine = Counter::open(&Disk::new(state.into()));
    let (again, opened) = (host.clone(), Arc::clone(&machine));
    let group = tokio::task::spawn_blocking(move || again.open_group(GroupId(1), opened, GroupOptions::default()))
        .await
        .unwrap()
        .unwrap();
    let node = cluster.node(follower);
    node.groups.insert(1, group);
    node.machines.insert(1, Arc::clone(&machine));
    for number in 1..=50u64 {
        cluster.propose(1, number).await;
    }
    cluster.converged(1).await;

    // Two of three are left, so that nothing is committed without it.
    let other = (1..=3).find(|id| *id != leader && *id != follower).unwrap();
    cluster.stop(other).await;
    cluster.propose(1, 1_000).await;
    let state = cluster.converged(1).await;
    assert_eq!((state.entries, machine.total()), (151, state.total));
    assert_eq!(cluster.group(follower, 1).status().voters, [1, 2, 3].map(NodeId));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_not_opened_over_a_machine_that_its_log_has_left_behind() {
    let mut cluster = Cluster::started(1, &[1]).await;
    cluster.machine(1, 1).eager.store(true, std::sync::atomic::Ordering::Relaxed);
    cluster.leader(1).await;
    let payload = vec![0; 4 << 20];
    let host = cluster.node(1).host.clone().unwrap();
    let group = cluster.group(1, 1);
    let deadline = Instant::now() + DEADLINE;
    while host.purged(GroupId(1)) == 0 {
        assert!(Instant::now() < deadline, "the log was never purged");
        group.propose(payload.clone().into()).await.unwrap();
    }
    host.close_group(&group).await.unwrap();
    let purged = host.purged(GroupId(1));
    let again = host.clone();
    let refused = tokio::task::spawn_blocking(move || {
        again.open_group(GroupId(1), Counter::open(&Disk::default()), GroupOptions::default())
    })
    .await;
    match refused.unwrap() {
        Err(Error::Behind {
            applied: 0,
            purged: upto,
            ..
        }) => assert_eq!(upto, purged),
        other => panic!("{other:?}"),
    }
    assert!(host.logged_groups().contains(&GroupId(1)), "nothing of the log is lost by it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_left_for_good_has_nothing_alive_in_the_log_but_its_vote() {
    const PAYLOAD_BYTES: usize = 1 << 20;
    let mut cluster = Cluster::started(1, &[1, 2]).await;
    cluster.leader(1).await;
    let group = cluster.group(1, 1);
    for _ in 0..4 {
        group.propose(vec![0; PAYLOAD_BYTES].into()).await.unwrap();
    }
    cluster.propose(2, 7).await;
    let host = cluster.node(1).host.clone().unwrap();
    let last = group.applied();

    // Who only closes it finds all of it again.
    host.close_group(&group).await.unwrap();
    assert!(host.log_stats().live_bytes > 4 * PAYLOAD_BYTES as u64);
    assert_eq!(host.purged(GroupId(1)), 0);
    let left_open = host.clone();
    let machine = Counter::open(&Disk::default());
    let again = tokio::task::spawn_blocking(move || left_open.open_group(GroupId(1), machine, GroupOptions::default()))
        .await
        .unwrap()
        .unwrap();
    assert!(again.wait_applied(last, DEADLINE).await);

    // Who leaves it does not, even where it is still open; and leaving it twice is as good.
    for _ in 0..2 {
        host.leave_group(GroupId(1)).await.unwrap();
        assert!(host.log_stats().live_bytes < PAYLOAD_BYTES as u64);
        assert!(host.purged(GroupId(1)) >= last);
    }
    assert!(again.stopped().is_some());
    assert!(host.logged_groups().contains(&GroupId(1)), "its vote stays");
    cluster.propose(2, 7).await;

    // Nor does the next start.
    drop((group, again, host));
    cluster.stop(1).await;
    cluster.start(1, &[2]);
    let host = cluster.node(1).host.clone().unwrap();
    assert!(host.log_stats().live_bytes < PAYLOAD_BYTES as u64);
    assert!(host.purged(GroupId(1)) >= last && host.logged_groups().contains(&GroupId(1)));
    cluster.propose(2, 7).await;
    assert_eq!(cluster.machine(1, 2).total(), 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_a_group_keeps_what_it_may_have_acknowledged() {
    const PAYLOAD_BYTES: usize = 1 << 20;
    let mut cluster = Cluster::started(3, &[1]).await;
    let leader = cluster.leader(1).await;
    cluster.propose(1, 7).await;
    for id in cluster.running().into_iter().filter(|id| *id != leader) {
        cluster.stop(id).await;
    }
    let (group, host) = (cluster.group(leader, 1), cluster.node(leader).host.clone().unwrap());
    let last = group.status().last_log;
    let proposing = group.clone();
    let proposed = tokio::spawn(async move { proposing.propose(vec![0; PAYLOAD_BYTES].into()).await });
    eventually("the entry to be in the log", || {
        (group.status().last_log > last).then_some(())
    })
    .await;
    host.leave_group(GroupId(1)).await.unwrap();
    assert!(proposed.await.unwrap().is_err(), "nobody knows what becomes of it");
    assert!(
        host.log_stats().live_bytes > PAYLOAD_BYTES as u64,
        "it could vote for a node that lacks what a quorum has"
    );
    drop((group, host));
    cluster.shutdown().await;
}
