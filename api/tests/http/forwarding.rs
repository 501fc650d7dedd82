//! Requests that are for another node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::body::record::{Fields, NewRecord};
use api::client::{Call, ClientError, ImportOptions};
use api::error::{Code, Error, Outcome};
use api::ids::NodeNumber;
use api::server::ServerConfig;
use api::service::{Consistency, Location};
use bytes::Bytes;
use http::Method;

use crate::memory::{Peer, placement};
use crate::support::{JSON, LONG, Running, problem, until};

const TWO: Location = Location::Node(NodeNumber(2));

/// An ingress that sends everything to node 2, and node 2.
async fn pair(config: ServerConfig) -> (Running, Running) {
    let (ingress, leader) = (Running::with(config.clone()).await, Running::with(config).await);
    ingress.service.locate_by(|_| TWO);
    ingress.service.peer(2, Peer::Serves(leader.server.clone()));
    (ingress, leader)
}

fn new_record() -> NewRecord {
    NewRecord {
        id: None,
        fields: Fields::new(),
    }
}

fn not_leader(leader: Option<u64>) -> Error {
    Error {
        leader: leader.map(NodeNumber),
        ..Error::new(Code::NotLeader, "inside")
    }
}

#[tokio::test]
async fn a_request_goes_to_the_node_that_serves_it_and_comes_back_whole() {
    let (ingress, leader) = pair(ServerConfig::default()).await;
    let client = ingress.client("cnt_member");
    let call = Call::new(Method::POST, "/v1/tenants/acme/records/tasks")
        .body(JSON, "{\"fields\":{\"a\":1}}")
        .header("x-request-id", "mine")
        .header("cloudnest-leader", "9");
    let made = client.call(call).await.expect("an answer");
    assert_eq!(
        (made.status.as_u16(), made.request_id(), made.position()),
        (201, Some("mine"), Some(1))
    );
    assert!(made.headers.contains_key("location") && made.version() == Some(1));
    assert!(!made.headers.contains_key("cloudnest-leader"));
    let read = client.me("acme").await.expect("a read");
    assert_eq!(read.body.tenant, "acme");
    let head = client
        .call(Call::new(Method::HEAD, "/v1/tenants/acme/me"))
        .await
        .expect("a head");
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    let refused = ingress
        .client("cnt_guest")
        .record_create("acme", "tasks", &new_record(), None)
        .await
        .expect_err("a guest");
    assert_eq!(refused.status(), Some(403));
    assert_eq!(
        (leader.service.count("record_create"), ingress.service.count("record_create")),
        (1, 0)
    );
}

#[tokio::test]
async fn large_replies_and_many_requests_pass_through() {
    let (ingress, _leader) = pair(ServerConfig::default()).await;
    let client = ingress.client("cnt_member");
    let big = Fields::from_iter([("text".to_owned(), "x".repeat(400_000).into())]);
    let made = client
        .record_create("acme", "tasks", &NewRecord { id: None, fields: big }, None)
        .await
        .expect("created");
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let client = client.clone();
            let id = made.body.id;
            tokio::spawn(async move { client.record("acme", "tasks", id, Consistency::Strong).await })
        })
        .collect();
    for task in tasks {
        assert!(task.await.expect("a task").expect("a record").body.fields.get().len() > 400_000);
    }
}

#[tokio::test]
async fn a_forwarded_request_is_never_sent_on() {
    let (ingress, second) = pair(ServerConfig {
        leader_wait: Duration::from_millis(200),
        ..ServerConfig::default()
    })
    .await;
    // Each thinks that the other one serves it.
    second.service.locate_by(|_| Location::Node(NodeNumber(1)));
    second.service.peer(1, Peer::Serves(ingress.server.clone()));
    let failed = ingress.client("cnt_member").me("acme").await.expect_err("nobody serves it");
    assert_eq!(
        (failed.status(), failed.code(), failed.outcome()),
        (Some(503), Some("unavailable"), Outcome::NotApplied)
    );
    assert!(ingress.service.hints().contains(&Some(NodeNumber(1))));
    assert_eq!(second.service.hints(), []);
}

#[tokio::test]
async fn another_nodes_not_leader_moves_the_request_to_the_new_place() {
    let (ingress, old) = pair(ServerConfig::default()).await;
    let new = Running::start().await;
    old.service.fail_next(not_leader(Some(3)));
    ingress.service.peer(3, Peer::Serves(new.server.clone()));
    let watched = ingress.service.clone();
    let moved = ingress.service.clone();
    let write = tokio::spawn({
        let client = ingress.client("cnt_member");
        async move { client.record_create("acme", "tasks", &new_record(), None).await }
    });
    until("the hint arrives", || !watched.hints().is_empty()).await;
    moved.locate_by(|_| Location::Node(NodeNumber(3)));
    write
        .await
        .expect("a task")
        .expect("created at the new leader, or at the old one again");
    assert_eq!(ingress.service.hints(), [Some(NodeNumber(3))]);
    assert_eq!(old.service.count("record_create") + new.service.count("record_create"), 2);
}

#[tokio::test]
async fn not_leader_on_this_node_is_tried_again_and_never_shown() {
    let node = Running::with(ServerConfig {
        leader_wait: Duration::from_millis(300),
        ..ServerConfig::default()
    })
    .await;
    node.service.fail_next(not_leader(None));
    node.client("cnt_member")
        .record_create("acme", "tasks", &new_record(), None)
        .await
        .expect("the second attempt");
    assert_eq!(node.service.count("record_create"), 2);
    for _ in 0..1_000 {
        node.service.fail_next(not_leader(None));
    }
    let failed = node
        .client("cnt_member")
        .record_create("acme", "tasks", &new_record(), None)
        .await
        .expect_err("no leader");
    assert_eq!((failed.code(), failed.outcome()), (Some("unavailable"), Outcome::NotApplied));
    assert!(failed.retry_after().is_some());
}

#[tokio::test]
async fn a_leadership_lost_under_way_leaves_the_outcome_unknown_without_a_key() {
    let (ingress, leader) = pair(ServerConfig::default()).await;
    let client = ingress.client("cnt_member");
    leader.service.fail_next(not_leader(None).unknown());
    let failed = client
        .record_create("acme", "tasks", &new_record(), None)
        .await
        .expect_err("unknown");
    assert_eq!((failed.code(), failed.outcome()), (Some("unavailable"), Outcome::Unknown));
    leader.service.fail_next(not_leader(None).unknown());
    client
        .record_create("acme", "tasks", &new_record(), Some("k"))
        .await
        .expect("the key makes it safe");
    // The doubt of the first attempt outlives the second, which is refused for good.
    leader.service.fail_next(Error::new(Code::AlreadyExists, "taken"));
    leader.service.fail_next(not_leader(None).unknown());
    let failed = client
        .record_create("acme", "tasks", &new_record(), Some("l"))
        .await
        .expect_err("taken");
    assert_eq!((failed.code(), failed.outcome()), (Some("already_exists"), Outcome::Unknown));
}

#[tokio::test]
async fn a_hint_that_leads_to_a_node_that_is_gone_is_dropped() {
    for peer in [|_| Peer::Refuses, |server| Peer::Breaks(Arc::new(AtomicU64::new(1)), server)] {
        let (ingress, gone) = pair(ServerConfig::default()).await;
        let leader = Running::start().await;
        ingress.service.peer(2, peer(gone.server.clone()));
        ingress.service.peer(3, Peer::Serves(leader.server.clone()));
        // Node 2 is a hint's; without it the directory knows node 3.
        ingress.service.locate_without_hint_by(|_| Location::Node(NodeNumber(3)));
        ingress.client("cnt_member").me("acme").await.expect("served by node 3");
        assert_eq!((ingress.service.hints(), leader.service.count("me")), (vec![None], 1));
    }
}

#[tokio::test]
async fn a_request_that_a_silent_node_holds_goes_to_the_new_leader_if_it_may_be_repeated() {
    let new = Running::start().await;
    let hold = |request: Duration| {
        let peer = Peer::Serves(new.server.clone());
        async move {
            let ingress = Running::with(ServerConfig {
                request,
                ..ServerConfig::default()
            })
            .await;
            let read = Arc::new(AtomicU64::new(0));
            ingress.service.locate_by(|_| TWO);
            ingress.service.peer(2, Peer::Silent(read.clone()));
            ingress.service.peer(3, peer);
            (ingress, read)
        }
    };
    for key in [Some("k"), None] {
        let (ingress, read) = hold(LONG).await;
        let client = ingress.client("cnt_member");
        let request = tokio::spawn(async move {
            match key {
                Some(key) => client
                    .record_create("acme", "tasks", &new_record(), Some(key))
                    .await
                    .map(|_| ()),
                None => client.me("acme").await.map(|_| ()),
            }
        });
        until("the old leader has it", || read.load(Ordering::SeqCst) > 0).await;
        ingress.service.locate_by(|_| Location::Node(NodeNumber(3)));
        tokio::time::timeout(LONG / 2, request)
            .await
            .expect("long before the request's time is up")
            .expect("a task")
            .expect("served by the new leader");
        assert_eq!(
            ingress.service.hints(),
            [],
            "the directory's news is not taken for an old hint"
        );
    }
    // A write without a key may be under way: it waits for its reply, and then nobody knows.
    let (ingress, read) = hold(Duration::from_millis(600)).await;
    let client = ingress.client("cnt_member");
    let write = tokio::spawn(async move { client.record_create("acme", "tasks", &new_record(), None).await });
    until("the old leader has it", || read.load(Ordering::SeqCst) > 0).await;
    ingress.service.locate_by(|_| Location::Node(NodeNumber(3)));
    let failed = write.await.expect("a task").expect_err("no reply");
    assert_eq!((failed.code(), failed.outcome()), (Some("timeout"), Outcome::Unknown));
    assert_eq!(new.service.count("record_create"), 1);
}

#[tokio::test]
async fn a_node_that_refuses_is_waited_for() {
    let (ingress, leader) = pair(ServerConfig::default()).await;
    ingress.service.peer(2, Peer::Refuses);
    let write = tokio::spawn({
        let client = ingress.client("cnt_member");
        async move { client.record_create("acme", "tasks", &new_record(), None).await }
    });
    ingress.service.peer(2, Peer::Serves(leader.server.clone()));
    write.await.expect("a task").expect("created");
}

#[tokio::test]
async fn without_a_leader_requests_wait_and_then_fail_unapplied() {
    let node = Running::with(ServerConfig {
        leader_wait: Duration::from_millis(100),
        ..ServerConfig::default()
    })
    .await;
    node.service.locate_by(|_| Location::NoLeader);
    let failed = node.client("cnt_member").me("acme").await.expect_err("no leader");
    assert_eq!((failed.code(), failed.outcome()), (Some("unavailable"), Outcome::NotApplied));
    let patient = Running::start().await;
    patient.service.locate_by(|_| Location::NoLeader);
    let waiting = tokio::spawn({
        let client = patient.client("cnt_member");
        async move { client.me("acme").await }
    });
    patient.service.locate_by(|slug| Location::Here(placement(slug)));
    waiting.await.expect("a task").expect("served once there is a leader");
}

#[tokio::test]
async fn a_connection_that_breaks_after_sending_is_unknown_unless_a_second_effect_is_impossible() {
    let (ingress, leader) = pair(ServerConfig::default()).await;
    let client = ingress.client("cnt_member");
    let breaks = |times| {
        let left = Arc::new(AtomicU64::new(times));
        ingress.service.peer(2, Peer::Breaks(left.clone(), leader.server.clone()));
        left
    };
    breaks(1);
    let failed = client
        .record_create("acme", "tasks", &new_record(), None)
        .await
        .expect_err("a bare write");
    assert_eq!(
        (failed.status(), failed.code(), failed.outcome()),
        (Some(503), Some("unavailable"), Outcome::Unknown)
    );
    let left = breaks(2);
    client
        .record_create("acme", "tasks", &new_record(), Some("k"))
        .await
        .expect("a write with a key");
    assert_eq!(left.load(Ordering::SeqCst), 0);
    assert_eq!(leader.service.count("record_create"), 1);
    drop(client);
    // A new pair of nodes: no connection is kept.
    let (ingress, leader) = pair(ServerConfig::default()).await;
    ingress
        .service
        .peer(2, Peer::Breaks(Arc::new(AtomicU64::new(1)), leader.server.clone()));
    ingress.client("cnt_member").me("acme").await.expect("a read");
}

#[tokio::test]
async fn an_attempt_in_doubt_is_not_forgotten() {
    let (ingress, leader) = pair(ServerConfig {
        leader_wait: Duration::from_millis(200),
        ..ServerConfig::default()
    })
    .await;
    let client = ingress.client("cnt_member");
    let in_doubt = |peer| {
        // The first connection breaks after the request was sent; what comes after has no effect.
        ingress.service.peer(2, Peer::Breaks(Arc::new(AtomicU64::new(1)), peer));
    };
    in_doubt(leader.server.clone());
    for _ in 0..1_000 {
        leader.service.fail_next(not_leader(None));
    }
    let failed = client
        .record_create("acme", "tasks", &new_record(), Some("k"))
        .await
        .expect_err("no leader");
    assert_eq!((failed.code(), failed.outcome()), (Some("unavailable"), Outcome::Unknown));
    let other = Running::start().await;
    other.service.fail_next(Error::new(Code::Contention, "busy"));
    in_doubt(other.server.clone());
    // Kept connections still lead to the first leader: they end with it.
    leader.server.drain(Duration::ZERO).await;
    let failed = client
        .record_create("acme", "tasks", &new_record(), Some("k"))
        .await
        .expect_err("contention");
    assert_eq!((failed.code(), failed.outcome()), (Some("contention"), Outcome::Unknown));
}

#[tokio::test]
async fn a_draining_ingress_ends_the_streams_that_pass_through_it() {
    let (ingress, leader) = pair(ServerConfig::default()).await;
    let client = ingress.client("cnt_member");
    client
        .record_create("acme", "tasks", &new_record(), None)
        .await
        .expect("created");
    let follow = api::client::EventsFrom {
        follow: true,
        ..Default::default()
    };
    let mut stream = client.events("acme", follow).await.expect("events");
    assert!(stream.next().await.expect("an event").is_some());
    assert_eq!(ingress.server.drain(crate::support::LONG).await, 0);
    assert!(stream.next().await.expect("an end, not a break").is_none());
    assert!(!leader.server.is_draining());
}

#[tokio::test]
async fn a_draining_ingress_finishes_a_list_of_events_that_passes_through_it() {
    let (ingress, leader) = pair(ServerConfig::default()).await;
    let collection = "c".repeat(32 * 1024);
    for _ in 0..1_000 {
        leader.service.happen(&collection);
    }
    let client = ingress.client("cnt_member");
    let list = api::client::EventsFrom::default();
    let mut stream = client.events("acme", list).await.expect("events");
    let mut positions = vec![stream.next().await.expect("an event").expect("not the end").position];
    let draining = tokio::spawn({
        let server = ingress.server.clone();
        async move { server.drain(LONG).await }
    });
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let refused = async {
        while tokio::net::TcpStream::connect(ingress.address).await.is_ok() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(LONG, refused)
        .await
        .expect("connections are refused in time");
    while let Some(event) = stream.next().await.expect("an event") {
        positions.push(event.position);
    }
    assert!(positions.into_iter().eq(1..=1_000), "all that there was");
    assert_eq!(draining.await.expect("a task"), 0);
}

#[tokio::test]
async fn an_import_streams_both_ways_through_ingress() {
    let (ingress, leader) = pair(ServerConfig::default()).await;
    let client = ingress.client("cnt_member");
    let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(1);
    sender.send(Ok(Bytes::from_static(b"{\"a\":1}\n"))).await.expect("sent");
    let mut sender = Some(sender);
    let source = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    // The body ends only after its first line has been answered: nothing on the way may wait for the whole.
    let summary = client
        .import("acme", "tasks", &ImportOptions::default(), source, |_| drop(sender.take()))
        .await
        .expect("a summary");
    assert_eq!((summary.imported, leader.service.count("import")), (1, 1));
}

#[tokio::test]
async fn another_region_is_not_sent_there() {
    let node = Running::start().await;
    let elsewhere = api::error::Elsewhere {
        region: "eu".into(),
        endpoint: "http://127.0.0.1:1".into(),
    };
    node.service.locate_by(move |_| Location::Region(elsewhere.clone()));
    let error = node.client("cnt_member").me("acme").await.expect_err("another region");
    let ClientError::Problem(found) = &error else {
        panic!("{error}")
    };
    assert_eq!(
        (found.status, found.region.as_deref(), found.endpoint.as_deref()),
        (421, Some("eu"), Some("http://127.0.0.1:1"))
    );
    assert!(found.detail.contains("connect 127.0.0.1:1"), "{}", found.detail);
    let answer = node.ask(Method::GET, "me", None).await;
    assert_eq!(problem(&answer).code, "wrong_region");
}
