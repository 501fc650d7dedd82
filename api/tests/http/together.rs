//! Requests that share a stream to their node.

use std::sync::atomic::Ordering;

use api::body::record::{Fields, NewRecord};
use api::client::Call;
use api::ids::NodeNumber;
use api::server::ServerConfig;
use api::service::{Consistency, Location};
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::memory::Peer;
use crate::support::{LONG, Running, until};

fn new_record() -> NewRecord {
    NewRecord {
        id: None,
        fields: Fields::new(),
    }
}

/// An ingress that sends everything to node 2, and node 2.
async fn pair(peer: impl FnOnce(api::server::Server) -> Peer) -> (Running, Running) {
    let (ingress, leader) = (Running::start().await, Running::start().await);
    ingress.service.locate_by(|_| Location::Node(NodeNumber(2)));
    ingress.service.peer(2, peer(leader.server.clone()));
    (ingress, leader)
}

#[tokio::test]
async fn many_requests_share_a_stream_and_none_waits_for_another() {
    let (ingress, leader) = pair(Peer::Serves).await;
    leader.service.held.store(true, Ordering::SeqCst);
    let writes: Vec<_> = (0..64)
        .map(|_| {
            let client = ingress.client("cnt_member");
            tokio::spawn(async move { client.record_create("acme", "tasks", &new_record(), None).await })
        })
        .collect();
    until("the writes are in flight", || leader.service.count("record_create") == 64).await;
    // Answered, by the other node, while all of these wait.
    let refused = ingress.client("cnt_nobody").me("acme").await.expect_err("no such token");
    assert_eq!(refused.status(), Some(401));
    assert!(writes.iter().all(|write| !write.is_finished()));
    leader.service.held.store(false, Ordering::SeqCst);
    leader.service.release();
    let mut ids = std::collections::BTreeSet::new();
    for write in writes {
        ids.insert(write.await.expect("a task").expect("created").body.id);
    }
    assert_eq!((ids.len(), ingress.service.count("dial")), (64, 1));
}

#[tokio::test]
async fn an_older_node_is_spoken_to_over_connections() {
    let (ingress, leader) = pair(Peer::Older).await;
    let client = ingress.client("cnt_member");
    for _ in 0..3 {
        client
            .record_create("acme", "tasks", &new_record(), None)
            .await
            .expect("created");
    }
    // Once to ask, and once for the connection that is kept.
    assert_eq!((leader.service.count("record_create"), ingress.service.count("dial")), (3, 2));
}

#[tokio::test]
async fn large_bodies_and_replies_come_whole() {
    let (ingress, _leader) = pair(Peer::Serves).await;
    let client = ingress.client("cnt_member");
    for bytes in [60_000, 70_000, 200_000] {
        let fields = Fields::from_iter([("text".to_owned(), "x".repeat(bytes).into())]);
        let record = NewRecord { id: None, fields };
        let made = client.record_create("acme", "tasks", &record, None).await.expect("created");
        let id = made.body.id;
        let read = client.record("acme", "tasks", id, Consistency::Strong).await.expect("read");
        assert_eq!(read.body.fields.get().len(), r#"{"text":""}"#.len() + bytes);
        // HEAD says how long GET's reply is, and brings none of it.
        let path = format!("/v1/tenants/acme/records/tasks/{id}");
        let get = client.call(Call::new(Method::GET, path.clone())).await.expect("read");
        let head = client.call(Call::new(Method::HEAD, path.clone())).await.expect("looked at");
        assert_eq!(head.headers["content-length"], get.body.len().to_string().as_str());
        assert!(head.body.is_empty());
        let known = Call::new(Method::HEAD, path).header("if-none-match", "\"1\"");
        let known = client.call(known).await.expect("nothing new");
        assert_eq!((known.status.as_u16(), known.headers.get("content-length")), (304, None));
    }
}

#[tokio::test]
async fn a_node_that_leaves_answers_what_it_took_and_the_rest_goes_elsewhere() {
    let (ingress, leaving) = pair(Peer::Serves).await;
    let other = Running::with(ServerConfig::default()).await;
    ingress.service.peer(3, Peer::Serves(other.server.clone()));
    leaving.service.held.store(true, Ordering::SeqCst);
    let client = ingress.client("cnt_member");
    let taken = tokio::spawn(async move { client.record_create("acme", "tasks", &new_record(), None).await });
    until("the write is in flight", || leaving.service.count("record_create") == 1).await;
    let draining = tokio::spawn({
        let server = leaving.server.clone();
        async move { server.drain(LONG).await }
    });
    // No client of its own is there: it leaves at once. Writes without a key find their way all the same, none twice.
    ingress.service.locate_without_hint_by(|_| Location::Node(NodeNumber(3)));
    let client = ingress.client("cnt_member");
    until("it has said so", || leaving.server.is_draining()).await;
    let mut later = 0;
    while other.service.count("record_create") == 0 {
        later += 1;
        let client = client.clone();
        let write = tokio::spawn(async move { client.record_create("acme", "tasks", &new_record(), None).await });
        until("the write has arrived", || {
            leaving.service.count("record_create") + other.service.count("record_create") == 1 + later
        })
        .await;
        if other.service.count("record_create") > 0 {
            write.await.expect("a task").expect("created elsewhere");
        }
    }
    assert!(!taken.is_finished() && !draining.is_finished());
    leaving.service.held.store(false, Ordering::SeqCst);
    leaving.service.release();
    taken.await.expect("a task").expect("answered by the node that took it");
    assert_eq!(draining.await.expect("a task"), 0);
}

/// A create as one node sends it to another. Other versions know these bytes.
fn sent(number: u64) -> Vec<u8> {
    let mut frame = vec![1];
    frame.extend_from_slice(&number.to_be_bytes());
    let (path, body) = ("/v1/tenants/acme/records/tasks", b"{\"fields\":{}}");
    frame.extend_from_slice(b"\x04POST");
    frame.extend_from_slice(&(path.len() as u16).to_be_bytes());
    frame.extend_from_slice(path.as_bytes());
    let headers = [("authorization", "Bearer cnt_member"), ("content-type", "application/json")];
    frame.push(headers.len() as u8);
    for (name, value) in headers {
        frame.push(name.len() as u8);
        frame.extend_from_slice(name.as_bytes());
        frame.extend_from_slice(&(value.len() as u16).to_be_bytes());
        frame.extend_from_slice(value.as_bytes());
    }
    frame.extend_from_slice(body);
    [(frame.len() as u32).to_be_bytes().as_slice(), &frame].concat()
}

#[tokio::test]
async fn a_node_that_leaves_takes_nothing_back_by_closing() {
    let node = Running::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut near = TcpStream::connect(listener.local_addr().expect("an address"))
        .await
        .expect("connected");
    let (far, _) = listener.accept().await.expect("accepted");
    let server = node.server.clone();
    tokio::spawn(async move { server.serve_forwarded(Box::new(far)).await });
    node.service.held.store(true, Ordering::SeqCst);
    let preface = b"\0cloudnest requests 1\n";
    near.write_all(&[preface.as_slice(), &sent(1)].concat()).await.expect("sent");
    until("the write is in flight", || node.service.count("record_create") == 1).await;
    let draining = tokio::spawn({
        let server = node.server.clone();
        async move { server.drain(LONG).await }
    });
    // It greets, and says that it has taken one.
    let mut said = vec![0; preface.len() + 13];
    near.read_exact(&mut said).await.expect("said");
    assert_eq!(said[preface.len()..], *b"\0\0\0\x09\x05\0\0\0\0\0\0\0\x01");
    // Nobody takes this any more; left unread it would make of the end a reset.
    near.write_all(&sent(2)).await.expect("sent");
    node.service.release();
    let mut rest = Vec::new();
    near.read_to_end(&mut rest).await.expect("an end, not a reset");
    assert_eq!(
        (rest[4], &rest[5..13], &rest[13..15]),
        (2, 1u64.to_be_bytes().as_slice(), 201u16.to_be_bytes().as_slice())
    );
    drop(near);
    assert_eq!((draining.await.expect("a task"), node.service.count("record_create")), (0, 1));
}
