//! Connections of clients count for the tenants whose gates have let them through.

use std::sync::atomic::Ordering;

use api::ids::NodeNumber;
use api::server::ServerConfig;
use api::service::Location;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::memory::Peer;
use crate::support::{Running, read_all, until};

/// Sends a request over a connection that stays; the reply up to the end of its JSON.
async fn ask(stream: &mut TcpStream, method: &str, path: &str, token: &str) -> String {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut reply = Vec::new();
    while !(reply.windows(4).any(|end| end == b"\r\n\r\n") && reply.ends_with(b"}")) {
        let count = stream.read_buf(&mut reply).await.expect("a reply");
        assert!(count > 0, "it closed: {}", String::from_utf8_lossy(&reply));
    }
    String::from_utf8_lossy(&reply).into_owned()
}

async fn open(node: &Running, path: &str, token: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(node.address).await.expect("a connection");
    let reply = ask(&mut stream, "GET", path, token).await;
    (stream, reply)
}

fn left(node: &Running) -> u64 {
    node.service.connections.load(Ordering::Relaxed)
}

const ME: &str = "/v1/tenants/acme/me";

#[tokio::test]
async fn a_connection_counts_from_the_first_request_that_is_let_through_until_it_closes() {
    let node = Running::start().await;
    node.service.connections.store(3, Ordering::Relaxed);
    let (mut first, reply) = open(&node, ME, "cnt_nobody").await;
    assert!(
        reply.starts_with("HTTP/1.1 401") && left(&node) == 3,
        "a stranger counts for nobody: {reply}"
    );
    let reply = ask(&mut first, "GET", ME, "cnt_member").await;
    assert!(reply.starts_with("HTTP/1.1 200") && left(&node) == 2, "{reply}");
    ask(&mut first, "GET", ME, "cnt_member").await;
    assert_eq!(left(&node), 2, "once");
    // What is refused behind the gate counts as well.
    let (second, reply) = open(&node, "/v1/tenants/acme/records/tasks?limit=none", "cnt_member").await;
    assert!(reply.starts_with("HTTP/1.1 4") && left(&node) == 1, "{reply}");
    let (third, reply) = open(&node, "/v1/tenants/acme/tokens", "cnt_guest").await;
    assert!(reply.starts_with("HTTP/1.1 403") && left(&node) == 0, "{reply}");

    let (mut fourth, reply) = open(&node, ME, "cnt_member").await;
    assert!(
        reply.starts_with("HTTP/1.1 429") && reply.contains("retry-after: 1"),
        "{reply}"
    );
    assert!(
        reply.contains("connection: close") && reply.contains("\"too_many_requests\""),
        "{reply}"
    );
    assert_eq!(read_all(&mut fourth).await, "", "it is closed");
    let reply = ask(&mut first, "GET", ME, "cnt_member").await;
    assert!(
        reply.starts_with("HTTP/1.1 200") && !reply.contains("connection: close"),
        "{reply}"
    );
    drop(second);
    until("a place comes back", || left(&node) == 1).await;
    let (_fifth, reply) = open(&node, ME, "cnt_member").await;
    assert!(reply.starts_with("HTTP/1.1 200") && left(&node) == 0, "{reply}");
    drop((first, third));
    until("all that are gone", || left(&node) == 2).await;
}

#[tokio::test]
async fn whoever_can_end_it_is_served_beyond_the_limit_and_nobody_else() {
    let node = Running::start().await;
    node.service.connections.store(0, Ordering::Relaxed);
    let (_admin, reply) = open(&node, "/v1/tenants/acme/tokens", "cnt_admin").await;
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    let (_operator, reply) = open(&node, ME, "cno_ops").await;
    assert!(!reply.starts_with("HTTP/1.1 429"), "{reply}");
    let (mut member, reply) = open(&node, ME, "cnt_admin").await;
    assert!(reply.starts_with("HTTP/1.1 429"), "{reply}");
    assert!(!reply.contains("plan \""), "it says nothing of the plan: {reply}");
    assert_eq!(read_all(&mut member).await, "", "it is closed");
}

#[tokio::test]
async fn it_counts_at_the_node_of_the_client_and_not_where_its_requests_are_served() {
    let (ingress, leader) = (Running::start().await, Running::start().await);
    ingress.service.locate_by(|_| Location::Node(NodeNumber(2)));
    ingress.service.peer(2, Peer::Serves(leader.server.clone()));
    for node in [&ingress, &leader] {
        node.service.connections.store(2, Ordering::Relaxed);
    }
    let (_stranger, reply) = open(&ingress, ME, "cnt_nobody").await;
    assert!(reply.starts_with("HTTP/1.1 401") && left(&ingress) == 2, "{reply}");
    let (_first, reply) = open(&ingress, ME, "cnt_member").await;
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    assert!(!reply.contains("cloudnest-known"), "that is between nodes: {reply}");
    assert_eq!((left(&ingress), left(&leader)), (1, 2));
    // A write that is refused behind the gate of the other node.
    let mut stream = TcpStream::connect(ingress.address).await.expect("a connection");
    let reply = ask(&mut stream, "POST", "/v1/tenants/acme/records/tasks", "cnt_member").await;
    assert!(reply.starts_with("HTTP/1.1 4") && left(&ingress) == 0, "{reply}");
    let (_second, reply) = open(&ingress, ME, "cnt_member").await;
    assert!(reply.starts_with("HTTP/1.1 429"), "{reply}");
    assert_eq!(left(&leader), 2);
}

#[tokio::test]
async fn a_live_connection_counts_for_as_long_as_it_is_open() {
    let (ingress, leader) = (Running::with(ServerConfig::default()).await, Running::start().await);
    for (node, forwards) in [(&leader, false), (&ingress, true)] {
        if forwards {
            node.service.locate_by(|_| Location::Node(NodeNumber(2)));
            node.service.peer(2, Peer::Serves(leader.server.clone()));
        }
        node.service.connections.store(1, Ordering::Relaxed);
        let mut stream = TcpStream::connect(node.address).await.expect("a connection");
        let request = "GET /v1/tenants/acme/live HTTP/1.1\r\nhost: x\r\nauthorization: Bearer cnt_member\r\nconnection: upgrade\r\n\
                       upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut reply = Vec::new();
        while !reply.windows(4).any(|end| end == b"\r\n\r\n") {
            assert!(stream.read_buf(&mut reply).await.expect("a reply") > 0);
        }
        let reply = String::from_utf8_lossy(&reply).into_owned();
        assert!(
            reply.starts_with("HTTP/1.1 101") && !reply.contains("cloudnest-known"),
            "{reply}"
        );
        assert_eq!(left(node), 0);
        let (_other, refused) = open(node, ME, "cnt_member").await;
        assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
        drop(stream);
        until("its place", || left(node) == 1).await;
    }
}
