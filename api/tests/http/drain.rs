//! The end of a server.

use std::sync::atomic::Ordering;
use std::time::Duration;

use api::body::record::{Fields, NewRecord};
use api::client::EventsFrom;
use api::ids::NodeNumber;
use api::server::ServerConfig;
use api::service::Location;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::memory::Peer;
use crate::support::{LONG, Running, read_all, until};

fn new_record() -> NewRecord {
    NewRecord {
        id: None,
        fields: Fields::new(),
    }
}

#[tokio::test]
async fn readiness_goes_first_and_what_is_in_flight_is_finished() {
    let node = Running::with(ServerConfig {
        drain_notice: Duration::from_millis(300),
        ..ServerConfig::default()
    })
    .await;
    let client = node.client("cnt_member");
    client.readyz().await.expect("ready");
    node.service.held.store(true, Ordering::SeqCst);
    let write = tokio::spawn({
        let client = client.clone();
        async move { client.record_create("acme", "tasks", &new_record(), None).await }
    });
    until("the write is in flight", || node.service.count("record_create") == 1).await;
    let draining = tokio::spawn({
        let server = node.server.clone();
        async move { server.drain(LONG).await }
    });
    until("draining has begun", || node.server.is_draining()).await;
    assert_eq!(client.readyz().await.expect_err("not ready").status(), Some(503));
    // Whoever asks is served, and told to ask elsewhere next, before connections are refused.
    for _ in 0..2 {
        let mut asking = TcpStream::connect(node.address).await.expect("a connection");
        asking
            .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .expect("sent");
        let reply = read_all(&mut asking).await;
        assert!(
            reply.starts_with("HTTP/1.1 200") && reply.contains("connection: close\r\n"),
            "{reply}"
        );
    }
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let refused = async {
        while TcpStream::connect(node.address).await.is_ok() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(LONG, refused)
        .await
        .expect("connections are refused in time");
    node.service.release();
    let made = write.await.expect("a task").expect("finished");
    assert_eq!(made.headers["connection"], "close");
    assert_eq!(draining.await.expect("a task"), 0);
}

#[tokio::test]
async fn followers_are_let_go_and_idle_connections_closed() {
    let node = Running::start().await;
    let mut idle = TcpStream::connect(node.address).await.expect("a connection");
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut buffer = [0; 1_024];
    assert!(idle.read(&mut buffer).await.expect("a reply") > 0);
    let follow = EventsFrom {
        follow: true,
        ..Default::default()
    };
    let mut stream = node.client("cnt_guest").events("acme", follow).await.expect("events");
    assert_eq!(node.server.drain(LONG).await, 0);
    assert!(stream.next().await.expect("an end, not a break").is_none());
    assert_eq!(read_all(&mut idle).await, "");
}

#[tokio::test]
async fn a_list_of_events_that_is_under_way_is_finished() {
    let node = Running::start().await;
    // More than the buffers on the way hold: most of it is not written yet when the node drains.
    let collection = "c".repeat(32 * 1024);
    for _ in 0..1_000 {
        node.service.happen(&collection);
    }
    let client = node.client("cnt_member");
    let mut stream = client.events("acme", EventsFrom::default()).await.expect("events");
    let mut positions = vec![stream.next().await.expect("an event").expect("not the end").position];
    let draining = tokio::spawn({
        let server = node.server.clone();
        async move { server.drain(LONG).await }
    });
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let refused = async {
        while TcpStream::connect(node.address).await.is_ok() {
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
async fn other_nodes_are_answered_until_the_last_client_has_gone() {
    let (ingress, leader) = (Running::start().await, Running::start().await);
    ingress.service.locate_by(|_| Location::Node(NodeNumber(2)));
    ingress.service.peer(2, Peer::Serves(leader.server.clone()));
    let forwarded = ingress.client("cnt_member");
    forwarded.me("acme").await.expect("a connection that is kept");
    // A client of the draining node itself is at work.
    leader.service.held.store(true, Ordering::SeqCst);
    let own = leader.client("cnt_member");
    let own = tokio::spawn(async move { own.record_create("acme", "tasks", &new_record(), None).await });
    until("the write is in flight", || leader.service.count("record_create") == 1).await;
    leader.service.held.store(false, Ordering::SeqCst);
    let draining = tokio::spawn({
        let server = leader.server.clone();
        async move { server.drain(LONG).await }
    });
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    while TcpStream::connect(leader.address).await.is_ok() {
        looks.tick().await;
    }
    // Writes without a key, over the kept connection and over a new one.
    for _ in 0..2 {
        let write = forwarded.record_create("acme", "tasks", &new_record(), None).await;
        write.expect("served as usual");
    }
    ingress.service.peer(3, Peer::Serves(leader.server.clone()));
    ingress.service.locate_by(|_| Location::Node(NodeNumber(3)));
    let write = forwarded.record_create("acme", "tasks", &new_record(), None).await;
    write.expect("served as usual over a new connection");
    assert!(ingress.service.hints().is_empty() && !draining.is_finished());
    leader.service.release();
    own.await.expect("a task").expect("finished");
    assert_eq!(draining.await.expect("a task"), 0, "idle connections of nodes are closed");
}

#[tokio::test]
async fn an_idle_connection_of_a_node_is_closed_at_the_deadline_and_not_cut() {
    let (ingress, leader) = (Running::start().await, Running::start().await);
    ingress.service.locate_by(|_| Location::Node(NodeNumber(2)));
    ingress.service.peer(2, Peer::Serves(leader.server.clone()));
    ingress
        .client("cnt_member")
        .me("acme")
        .await
        .expect("a connection that is kept");
    leader.service.held.store(true, Ordering::SeqCst);
    let own = leader.client("cnt_member");
    let own = tokio::spawn(async move { own.record_create("acme", "tasks", &new_record(), None).await });
    until("the write is in flight", || leader.service.count("record_create") == 1).await;
    assert_eq!(leader.server.drain(Duration::from_millis(50)).await, 1);
    own.await.expect("a task").expect_err("cut");
    leader.service.release();
}

#[tokio::test]
async fn what_is_not_finished_at_the_deadline_is_cut() {
    let node = Running::start().await;
    node.service.held.store(true, Ordering::SeqCst);
    let client = node.client("cnt_member");
    let write = tokio::spawn(async move { client.record_create("acme", "tasks", &new_record(), None).await });
    until("the write is in flight", || node.service.count("record_create") == 1).await;
    assert_eq!(node.server.drain(Duration::from_millis(50)).await, 1);
    let error = write.await.expect("a task").expect_err("cut");
    assert_eq!(error.outcome(), api::error::Outcome::Unknown);
    node.service.release();
}
