//! What must not spread: a stopped group, a wiped node, a stranger, a slow machine, a replica that was away.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use common::{Cluster, DEADLINE, REGION, eventually, number_payload, pause};
use raft::{Error, GroupId, GroupOptions, Host, NodeId, ProposeError, ReadError, Role, make_authority};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_away_for_long_gets_a_snapshot() {
    let mut cluster = Cluster::started(3, &[1]).await;
    let leader = cluster.leader(1).await;
    let away = cluster.running().into_iter().find(|id| *id != leader).unwrap();
    cluster.propose(1, 1).await;
    cluster.stop(away).await;
    for id in cluster.running() {
        cluster.machine(id, 1).eager.store(true, Ordering::Relaxed);
    }
    let group = cluster.group(leader, 1);
    let mut payload = vec![0; 1 << 20];
    payload[..8].copy_from_slice(&2u64.to_le_bytes());
    for _ in 0..90 {
        group.propose(Bytes::from(payload.clone())).await.unwrap();
    }
    let last = group.status().last_log;
    let purged = eventually("the log to be purged", || Some(group.status().purged).filter(|at| *at > 10)).await;
    assert!(purged < last, "some log is kept");
    // A disk that is full when the snapshot has come keeps the replica where it was, but does not stop it.
    cluster.node(away).disk_full = true;
    cluster.start(away, &[1]);
    let machine = cluster.machine(away, 1);
    eventually("it to be refused", || {
        (machine.unfinished.load(Ordering::Relaxed) > 0).then_some(())
    })
    .await;
    assert!(cluster.group(away, 1).stopped().is_none());
    assert!(machine.total() <= 1);
    cluster.node(away).disk_full = false;
    machine.disk_full.store(false, Ordering::Relaxed);
    let state = cluster.converged(1).await;
    assert_eq!(state.total, 181);
    assert!(cluster.group(away, 1).stopped().is_none());
    // It goes on from the snapshot, and a restart starts from it.
    cluster.propose(1, 1).await;
    cluster.stop(away).await;
    cluster.start(away, &[1]);
    assert_eq!(cluster.converged(1).await.total, 182);
    let behind = cluster.group(away, 1);
    eventually("it to know what it purged", || (behind.status().purged > 10).then_some(())).await;
    drop(behind);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_log_makes_machines_durable_instead_of_filling_up() {
    let mut cluster = Cluster::new(1);
    cluster.node(1).log.max_bytes = 128 << 20;
    cluster.start(1, &[1, 2]);
    for id in [1, 2] {
        cluster.group(1, id).initialize(&BTreeSet::from([NodeId(1)])).await.unwrap();
        cluster.leader(id).await;
    }
    let payload = Bytes::from([&1u64.to_le_bytes()[..], &vec![0; 1 << 20]].concat());
    for id in [1, 2] {
        for _ in 0..160 {
            cluster.group(1, id).propose(payload.clone()).await.unwrap();
        }
        assert_eq!(cluster.machine(1, id).total(), 160);
    }
    cluster.stop(1).await;
    cluster.start(1, &[1, 2]);
    for id in [1, 2] {
        cluster.leader(id).await;
        cluster.group(1, id).read_barrier().await.unwrap();
        assert_eq!(cluster.machine(1, id).total(), 160);
    }
    cluster.shutdown().await;
}

/// All nodes' logs are small, and the machine of one of them does not become durable, so that its log cannot be purged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_log_stops_neither_its_replica_nor_its_group() {
    let mut cluster = Cluster::new(3);
    for id in 1..=3 {
        let log = &mut cluster.node(id).log;
        (log.segment_bytes, log.max_bytes, log.copy_after_segments) = (17 << 20, 7 * (17 << 20), 2);
        cluster.start(id, &[1]);
    }
    let all: BTreeSet<NodeId> = (1..=3).map(NodeId).collect();
    assert!(cluster.group(1, 1).initialize(&all).await.unwrap());
    let full = cluster.leader(1).await;
    cluster.machine(full, 1).stuck.store(true, Ordering::Relaxed);
    let payload = Bytes::from([&1u64.to_le_bytes()[..], &vec![0; 1 << 20]].concat());
    let (mut applied, mut leaders) = (0, BTreeSet::new());
    // More than a log holds: first at the leader that becomes full, then past it as a follower.
    while applied < 200 {
        let leader = cluster.leader(1).await;
        let group = cluster.group(leader, 1);
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let (group, payload) = (group.clone(), payload.clone());
                tokio::spawn(async move { group.propose(payload).await })
            })
            .collect();
        for task in tasks {
            match task.await.unwrap() {
                Ok(_) => {
                    applied += 1;
                    leaders.insert(leader);
                }
                Err(ProposeError::NotLeader(_) | ProposeError::Overloaded | ProposeError::Full | ProposeError::Unknown(_)) => {
                    pause().await
                }
                Err(other) => panic!("{other}"),
            }
        }
        for id in 1..=3 {
            assert_eq!(cluster.group(id, 1).stopped(), None);
        }
    }
    assert!(leaders.contains(&full) && leaders.len() > 1, "{leaders:?}");
    // As soon as there is room it is a replica like the others.
    cluster.machine(full, 1).stuck.store(false, Ordering::Relaxed);
    assert!(cluster.converged(1).await.total >= applied);
    for id in 1..=3 {
        assert_eq!(cluster.group(id, 1).stopped(), None);
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voters_are_replaced_while_the_group_works() {
    let mut cluster = Cluster::new(4);
    for id in 1..=4 {
        cluster.start(id, &[1]);
    }
    let first: BTreeSet<NodeId> = (1..=3).map(NodeId).collect();
    assert!(cluster.group(1, 1).initialize(&first).await.unwrap());
    for _ in 0..10 {
        cluster.propose(1, 1).await;
    }
    let leader = cluster.leader(1).await;
    let leaves = (1..=3).find(|id| *id != leader).unwrap();
    let mut second = first.clone();
    second.remove(&NodeId(leaves));
    second.insert(NodeId(4));
    let group = cluster.group(leader, 1);
    assert!(matches!(
        cluster.group(4, 1).change_voters(&second).await,
        Err(Error::NotLeader(_))
    ));
    group.change_voters(&second).await.unwrap();
    assert_eq!(group.status().voters, second.iter().copied().collect::<Vec<_>>());
    assert!(group.status().learners.is_empty());
    cluster.stop(leaves).await;
    cluster.propose(1, 1).await;
    assert_eq!(cluster.converged(1).await.total, 11);
    // The leader itself is removed: another one takes over.
    second.remove(&NodeId(leader));
    group.change_voters(&second).await.unwrap();
    cluster.stop(leader).await;
    cluster.propose(1, 1).await;
    assert_eq!(cluster.converged(1).await.total, 12);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_voters_without_a_quorum_ends_with_an_unknown_outcome() {
    let mut cluster = Cluster::started(3, &[1]).await;
    cluster.propose(1, 1).await;
    let leader = cluster.leader(1).await;
    let group = cluster.group(leader, 1);
    for id in cluster.running().into_iter().filter(|id| *id != leader) {
        cluster.stop(id).await;
    }
    let alone = BTreeSet::from([NodeId(leader)]);
    let outcome = tokio::time::timeout(DEADLINE, group.change_voters(&alone)).await.unwrap();
    assert!(matches!(outcome, Err(Error::Timeout(_))), "{outcome:?}");
    drop(group);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_node_is_refused_under_its_old_id() {
    let mut cluster = Cluster::started(3, &[1]).await;
    cluster.propose(1, 1).await;
    let leader = cluster.leader(1).await;
    let wiped = cluster.running().into_iter().find(|id| *id != leader).unwrap();
    let met = |cluster: &Cluster, id: u64| {
        cluster
            .nodes
            .iter()
            .find(|node| node.id.0 == id)
            .unwrap()
            .host
            .as_ref()
            .unwrap()
            .reachable(NodeId(wiped))
    };
    for id in cluster.running() {
        eventually("all to meet", || met(&cluster, id).then_some(())).await;
    }
    cluster.stop(wiped).await;
    std::fs::remove_dir_all(&cluster.node(wiped).dir).unwrap();
    cluster.node(wiped).disks.clear();
    cluster.start(wiped, &[1]);
    // Time enough for it to be asked for its vote, and to ask, if it were let in.
    for _ in 0..40 {
        cluster.propose(1, 1).await;
        pause().await;
    }
    for id in cluster.running().into_iter().filter(|id| *id != wiped) {
        eventually("it to be away", || (!met(&cluster, id)).then_some(())).await;
    }
    let status = cluster.group(wiped, 1).status();
    assert_eq!((status.term, status.last_log, cluster.machine(wiped, 1).total()), (0, 0, 0));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_disk_lied_gets_again_what_it_has_lost() {
    let mut cluster = Cluster::started(3, &[1]).await;
    let leader = cluster.leader(1).await;
    let liar = (1..=3).find(|id| *id != leader).unwrap();
    for number in 1..=20 {
        cluster.propose(1, number).await;
    }
    cluster.converged(1).await;
    cluster.stop(liar).await;
    let log = cluster.node(liar).dir.join("log");
    let kept = tempfile::tempdir().unwrap();
    copy_files(&log, kept.path());
    let state = cluster.node(liar).disks[&1].lock().unwrap().clone();
    cluster.start(liar, &[1]);
    for number in 21..=40 {
        cluster.propose(1, number).await;
    }
    cluster.converged(1).await;
    cluster.stop(liar).await;
    // Of what it had acknowledged since, nothing was on the disk.
    std::fs::remove_dir_all(&log).unwrap();
    copy_files(kept.path(), &log);
    *cluster.node(liar).disks[&1].lock().unwrap() = state;
    cluster.start(liar, &[1]);
    for number in 41..=60 {
        cluster.propose(1, number).await;
    }
    assert_eq!(cluster.converged(1).await.total, (1..=60).sum::<u64>());
    for id in cluster.running() {
        assert_eq!(cluster.group(id, 1).stopped(), None);
    }
    cluster.shutdown().await;
}

fn copy_files(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.is_file());
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_node_cannot_found_its_group_a_second_time() {
    let mut cluster = Cluster::started(3, &[1]).await;
    cluster.propose(1, 1).await;
    let all: BTreeSet<NodeId> = (1..=3).map(NodeId).collect();
    cluster.stop(1).await;
    std::fs::remove_dir_all(&cluster.node(1).dir).unwrap();
    cluster.node(1).disks.clear();
    cluster.start(1, &[1]);
    let refused = cluster.group(1, 1).initialize(&all).await;
    assert!(
        matches!(&refused, Err(Error::Refused(why)) if why.contains("node 2, node 3")),
        "{refused:?}"
    );
    assert_eq!(cluster.group(1, 1).status().last_log, 0);
    // On the others it is a group as it was.
    assert!(!cluster.group(2, 1).initialize(&all).await.unwrap());
    cluster.stop(1).await;
    cluster.propose(1, 1).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_vanished_stops_its_node_from_starting() {
    let mut cluster = Cluster::started(3, &[1]).await;
    cluster.propose(1, 1).await;
    cluster.stop(2).await;
    std::fs::remove_dir_all(cluster.node(2).dir.join("log")).unwrap();
    let (peers, timing) = (cluster.peers.clone(), cluster.timing);
    let config = cluster.node(2).config(peers, timing);
    assert!(matches!(Host::start(config), Err(Error::Identity(_))));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_node_or_authority_is_refused() {
    let mut cluster = Cluster::new(3);
    // Node 3 has a certificate of a foreign authority.
    cluster.node(3).identity = make_authority("test").unwrap().issue(NodeId(3), REGION, 10).unwrap();
    for id in 1..=3 {
        cluster.start(id, &[1]);
    }
    let both: BTreeSet<NodeId> = (1..=2).map(NodeId).collect();
    assert!(cluster.group(1, 1).initialize(&both).await.unwrap());
    cluster.propose(1, 1).await;
    let (one, three) = (cluster.nodes[0].host.clone().unwrap(), cluster.nodes[2].host.clone().unwrap());
    eventually("one and two to meet", || one.reachable(NodeId(2)).then_some(())).await;
    assert!(!one.reachable(NodeId(3)) && !three.reachable(NodeId(1)));
    assert_eq!(cluster.group(3, 1).status().term, 0);
    assert!(one.dial(NodeId(3)).await.is_err());
    drop((one, three));
    // Its own certificate must be its own.
    let (peers, timing, other) = (cluster.peers.clone(), cluster.timing, cluster.nodes[0].identity.clone());
    cluster.stop(2).await;
    let mut config = cluster.node(2).config(peers, timing);
    config.identity = other;
    assert!(matches!(Host::start(config), Err(Error::Certificate(_))));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_panics_leaves_the_others_alone() {
    for poison in ["panic", "error"] {
        let cluster = Cluster::started(3, &[1, 2]).await;
        cluster.propose(1, 1).await;
        cluster.propose(2, 1).await;
        let leader = cluster.leader(1).await;
        let group = cluster.group(leader, 1);
        let outcome = group.propose(Bytes::from_static(poison.as_bytes())).await;
        assert!(matches!(outcome, Err(ProposeError::Unknown(_))), "{outcome:?}");
        let why = eventually("the reason", || group.stopped()).await;
        assert!(why.contains("asked to"), "{why}");
        assert!(matches!(group.status().role, Role::Stopped(_)));
        assert!(matches!(
            group.propose(number_payload(1)).await,
            Err(ProposeError::Stopped(_))
        ));
        assert!(matches!(group.read_barrier().await, Err(ReadError::Stopped(_))));
        // The entry is to blame, so every replica that learns that it is committed stops, but only in this group.
        for _ in 0..20 {
            cluster.propose(2, 1).await;
        }
        assert_eq!(cluster.converged(2).await.total, 21);
        cluster.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_log_keeps_its_group_closed_and_its_host_open() {
    let mut cluster = Cluster::started(1, &[1, 2]).await;
    cluster.propose(2, 1).await;
    let poisoned = cluster.group(1, 1);
    eventually("a leader", || poisoned.is_leader().then_some(())).await;
    assert!(matches!(
        poisoned.propose(Bytes::from_static(b"panic")).await,
        Err(ProposeError::Unknown(_))
    ));
    drop(poisoned);
    cluster.stop(1).await;
    cluster.start(1, &[2]);
    let host = cluster.nodes[0].host.clone().unwrap();
    let machine = common::Counter::open(&cluster.node(1).disks[&1]);
    let refused = host.open_group(GroupId(1), machine, GroupOptions::default());
    assert!(
        matches!(&refused, Err(Error::Stopped { why, .. }) if why.contains("asked to")),
        "{refused:?}"
    );
    drop((host, refused));
    cluster.propose(2, 1).await;
    assert_eq!(cluster.machine(1, 2).total(), 2);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_machine_fails_is_replaced() {
    let cluster = Cluster::started(3, &[1]).await;
    cluster.propose(1, 1).await;
    let old = cluster.leader(1).await;
    cluster.machine(old, 1).broken.store(true, Ordering::Relaxed);
    let outcome = cluster.group(old, 1).propose(number_payload(10)).await;
    assert!(matches!(outcome, Err(ProposeError::Unknown(_))), "{outcome:?}");
    assert!(
        eventually("the reason", || cluster.group(old, 1).stopped())
            .await
            .contains("broken")
    );
    let new = eventually("another leader", || {
        (1..=3).find(|id| *id != old && cluster.group(*id, 1).is_leader())
    })
    .await;
    cluster.group(new, 1).propose(number_payload(1)).await.unwrap();
    // It was committed, and its outcome was unknown only to the one that asked.
    assert_eq!(cluster.machine(new, 1).total(), 12);
    assert_eq!(cluster.machine(old, 1).total(), 1);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_halted_by_itself_stops_its_group_at_once() {
    let cluster = Cluster::started(3, &[1]).await;
    cluster.propose(1, 1).await;
    let old = cluster.leader(1).await;
    *cluster.machine(old, 1).halted.lock().unwrap() = Some("a flush failed".to_owned());
    let why = eventually("the reason", || cluster.group(old, 1).stopped()).await;
    assert!(why.contains("a flush failed"), "{why}");
    let new = eventually("another leader", || {
        (1..=3).find(|id| *id != old && cluster.group(*id, 1).is_leader())
    })
    .await;
    cluster.group(new, 1).propose(number_payload(1)).await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_whose_machine_is_overloaded_applies_later_but_goes_on() {
    let cluster = Cluster::started(3, &[1]).await;
    cluster.propose(1, 1).await;
    let leader = cluster.leader(1).await;
    cluster.converged(1).await;
    for id in cluster.running() {
        cluster.machine(id, 1).overloaded.store(true, Ordering::Relaxed);
    }
    let follower = cluster.running().into_iter().find(|id| *id != leader).unwrap();
    let at = cluster.propose(1, 1).await;
    assert!(cluster.group(leader, 1).applied() >= at, "the leader does not pause");
    let behind = cluster.group(follower, 1);
    assert!(!behind.wait_applied(at, Duration::from_millis(500)).await, "it pauses");
    // For a bounded time, although its machine does not get over it.
    assert!(behind.wait_applied(at, DEADLINE).await);
    for id in cluster.running() {
        cluster.machine(id, 1).overloaded.store(false, Ordering::Relaxed);
    }
    assert_eq!(cluster.converged(1).await.total, 2);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proposals_wait_while_the_machine_is_over_its_limit() {
    let cluster = Cluster::started(3, &[1]).await;
    cluster.propose(1, 1).await;
    let leader = cluster.leader(1).await;
    let (group, machine) = (cluster.group(leader, 1), cluster.machine(leader, 1));
    let term = group.status().term;
    machine.over.store(true, Ordering::Relaxed);
    let before = group.status().last_log;
    assert_eq!(group.propose(number_payload(1)).await, Err(ProposeError::Overloaded));
    assert_eq!(group.status().last_log, before);
    let waiting = tokio::spawn({
        let group = group.clone();
        async move { group.propose(number_payload(1)).await }
    });
    machine.over.store(false, Ordering::Relaxed);
    waiting.await.unwrap().unwrap();
    assert_eq!(group.status().term, term, "heartbeats never wait");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_hangs_neither_ends_its_leaders_term_nor_takes_more_than_its_share() {
    let cluster = Cluster::started(3, &[1, 2]).await;
    cluster.propose(1, 1).await;
    cluster.propose(2, 1).await;
    let leader = cluster.leader(1).await;
    let (group, machine) = (cluster.group(leader, 1), cluster.machine(leader, 1));
    let term = group.status().term;
    machine.held.store(true, Ordering::Release);
    let tasks: Vec<_> = (0..6_000)
        .map(|_| {
            let group = group.clone();
            tokio::spawn(async move { group.propose(number_payload(1)).await })
        })
        .collect();
    eventually("the limit to be reached", || (group.status().last_log >= 4_000).then_some(())).await;
    for _ in 0..20 {
        cluster.propose(2, 1).await;
    }
    assert!(group.status().last_log < 4_200);
    assert_eq!(group.status().term, term);
    assert!(group.is_leader());
    machine.held.store(false, Ordering::Release);
    let mut applied = 1;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => applied += 1,
            Err(ProposeError::Overloaded) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(cluster.converged(1).await.total, applied);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_groups_share_the_connections() {
    let groups: Vec<u64> = (1..=20).collect();
    let cluster = Cluster::started(3, &groups).await;
    for group in &groups {
        cluster.leader(*group).await;
    }
    let tasks: Vec<_> = groups
        .iter()
        .map(|group| {
            let replicas: Vec<_> = (1..=3).map(|id| cluster.group(id, *group)).collect();
            tokio::spawn(async move {
                let mut done = 0;
                while done < 40 {
                    let Some(leader) = replicas.iter().find(|replica| replica.is_leader()) else {
                        pause().await;
                        continue;
                    };
                    match leader.propose(number_payload(1)).await {
                        Ok(_) => done += 1,
                        Err(ProposeError::NotLeader(_)) => pause().await,
                        Err(other) => panic!("{other}"),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
    }
    for group in &groups {
        assert_eq!(cluster.converged(*group).await.total, 40);
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_stream_reaches_the_other_nodes_user() {
    let mut cluster = Cluster::new(2);
    let (sender, mut offers) = tokio::sync::mpsc::channel(8);
    cluster.node(2).on_stream = Some(Arc::new(move |offer| sender.try_send(offer).unwrap()));
    cluster.start(1, &[]);
    cluster.start(2, &[]);
    let one = cluster.nodes[0].host.clone().unwrap();
    let echo = tokio::spawn(async move {
        let (from, mut stream) = offers.recv().await.unwrap().accept().await.unwrap();
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        from
    });
    let mut stream = one.dial(NodeId(2)).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer, b"hello");
    assert_eq!(echo.await.unwrap(), NodeId(1));
    assert!(one.dial(NodeId(9)).await.is_err());
    drop(one);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_opened_once_and_ends_with_its_host() {
    let cluster = Cluster::started(1, &[1]).await;
    cluster.propose(1, 1).await;
    let group = cluster.group(1, 1);
    let host = cluster.nodes[0].host.clone().unwrap();
    assert_eq!(host.logged_groups(), [GroupId(1)]);
    let machine = common::Counter::open(&Arc::new(Mutex::default()));
    assert!(matches!(
        host.open_group(GroupId(1), machine, GroupOptions::default()),
        Err(Error::AlreadyOpen(GroupId(1)))
    ));
    assert!(group.wait_applied(1, Duration::from_secs(1)).await);
    assert!(!group.wait_applied(1_000, Duration::from_millis(1)).await);
    let clone = host.clone();
    host.shutdown().await.unwrap();
    assert!(group.stopped().is_some());
    assert!(matches!(
        group.propose(number_payload(1)).await,
        Err(ProposeError::Stopped(_))
    ));
    assert!(matches!(clone.shutdown().await, Err(Error::Closed)));
}
