//! Clients that are slow, greedy or many.

use std::sync::atomic::Ordering;
use std::time::Duration;

use api::body::record::{Fields, NewRecord};
use api::client::Call;
use api::ids::NodeNumber;
use api::server::ServerConfig;
use api::service::Location;
use http::Method;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::memory::{Peer, placement};
use crate::support::{JSON, LONG, Running, problem, read_all, until};

fn impatient() -> ServerConfig {
    let short = Duration::from_millis(150);
    ServerConfig {
        head: short,
        body: short,
        stream_idle: short,
        request: short,
        ..ServerConfig::default()
    }
}

#[tokio::test]
async fn a_slow_head_loses_its_connection() {
    let node = Running::with(impatient()).await;
    let mut stream = TcpStream::connect(node.address).await.expect("a connection");
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nx-slow: ")
        .await
        .expect("sent");
    assert_eq!(read_all(&mut stream).await, "");
}

#[tokio::test]
async fn a_slow_body_is_answered_408_and_closed() {
    let node = Running::with(impatient()).await;
    let request = "POST /v1/tenants/acme/records/tasks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer cnt_member\r\n\
                   content-type: application/json\r\ncontent-length: 20\r\n\r\n{\"fields\"";
    let reply = node.raw(request.as_bytes()).await;
    assert!(
        reply.starts_with("HTTP/1.1 408 ") && reply.contains("\"request_timeout\""),
        "{reply}"
    );
    assert_eq!(node.service.count("record_create"), 0);
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_ended_with_a_problem() {
    let node = Running::with(impatient()).await;
    let request = "POST /v1/tenants/acme/records/tasks/import HTTP/1.1\r\nhost: x\r\nauthorization: Bearer cnt_member\r\n\
                   content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{\"a\":1}\n\n\r\n";
    let reply = node.raw(request.as_bytes()).await;
    assert!(
        reply.contains("{\"stored\":1}") && reply.contains("\"request_timeout\""),
        "{reply}"
    );
}

#[tokio::test]
async fn a_request_that_takes_too_long_says_whether_it_may_have_had_an_effect() {
    let node = Running::with(impatient()).await;
    node.service.held.store(true, std::sync::atomic::Ordering::SeqCst);
    let write = problem(&node.ask(Method::POST, "records/tasks", Some((JSON, "{\"fields\":{}}"))).await);
    assert_eq!((write.status, write.outcome), (504, api::error::Outcome::Unknown));
    let read = problem(&node.ask(Method::GET, "records/tasks", None).await);
    assert_eq!((read.status, read.outcome), (504, api::error::Outcome::NotApplied));
    node.service.release();
}

#[tokio::test]
async fn a_client_that_reads_nothing_loses_its_connection() {
    let node = Running::with(ServerConfig {
        stream_idle: Duration::from_millis(150),
        ..ServerConfig::default()
    })
    .await;
    // More than the system's buffers hold: the reply cannot be finished.
    let big = Fields::from_iter([("text".to_owned(), "x".repeat(900_000).into())]);
    for _ in 0..30 {
        let new = NewRecord {
            id: None,
            fields: big.clone(),
        };
        node.client("cnt_member")
            .record_create("acme", "tasks", &new, None)
            .await
            .expect("created");
    }
    let mut silent = Vec::new();
    for path in ["export", "records/tasks"] {
        let mut stream = TcpStream::connect(node.address).await.expect("a connection");
        let request = format!("GET /v1/tenants/acme/{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer cnt_admin\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream.readable().await.expect("the reply has begun");
        silent.push(stream);
    }
    // Replies under way are finished before a server ends; these can only be given up.
    assert_eq!(node.server.drain(LONG).await, 0);
}

#[tokio::test]
async fn too_many_or_too_large_headers_are_refused() {
    let node = Running::start().await;
    let many: String = (0..80).map(|n| format!("x-{n}: 1\r\n")).collect();
    let reply = node
        .raw(format!("GET /livez HTTP/1.1\r\nhost: x\r\n{many}\r\n").as_bytes())
        .await;
    assert!(
        reply.starts_with("HTTP/1.1 431 ") && reply.contains("\"headers_too_large\""),
        "{reply}"
    );
    let large = "x".repeat(api::limits::HEAD_BYTES);
    let reply = node
        .raw(format!("GET /livez HTTP/1.1\r\nhost: x\r\nx-large: {large}\r\n\r\n").as_bytes())
        .await;
    assert!(
        reply.starts_with("HTTP/1.1 431 ") && reply.contains("\"headers_too_large\""),
        "{reply}"
    );
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(api::limits::HEAD_BYTES));
    let reply = node.raw(long.as_bytes()).await;
    assert!(
        reply.starts_with("HTTP/1.1 431 ") && reply.contains("\"headers_too_large\""),
        "{reply}"
    );
    let reply = node.raw(b"not http at all\r\n\r\n").await;
    assert!(
        reply.starts_with("HTTP/1.1 400 ") && reply.contains("\"malformed_request\""),
        "{reply}"
    );
    // Behind replies that are still under way, with and without a body.
    let before = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\nHEAD /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let replies = node.raw(format!("{before}not http\r\n\r\n").as_bytes()).await;
    assert_eq!(replies.matches("HTTP/1.1 200 ").count(), 2, "{replies}");
    let last = &replies[replies.rfind("HTTP/1.1 ").expect("a reply")..];
    let (head, body) = last.split_once("\r\n\r\n").expect("a body");
    assert!(
        head.starts_with("HTTP/1.1 400 ") && head.contains("x-request-id: ") && head.contains("connection: close"),
        "{last}"
    );
    let problem: api::problem::Problem = serde_json::from_str(body).expect("a problem, whole");
    assert_eq!((problem.status, problem.outcome), (400, api::error::Outcome::NotApplied));
}

#[tokio::test]
async fn the_longest_cursor_fits_with_the_values_that_are_compared() {
    let (ingress, leader) = (Running::start().await, Running::start().await);
    ingress.service.locate_by(|_| Location::Node(NodeNumber(2)));
    ingress.service.peer(2, Peer::Serves(leader.server.clone()));
    let cursor = "x".repeat(api::limits::CURSOR_BYTES);
    let values: String = (0..4).map(|n| format!("&v{n}={}", "%00".repeat(1_024))).collect();
    let answer = ingress
        .ask(Method::GET, &format!("records/tasks?cursor={cursor}{values}"), None)
        .await;
    assert_eq!(
        problem(&answer).detail,
        "the cursor is not one of this list",
        "the service has read it"
    );
}

#[tokio::test]
async fn bodies_that_no_gate_has_seen_are_kept_within_a_budget_of_the_node() {
    let config = ServerConfig {
        kept_bodies_bytes: 1_000,
        ..ServerConfig::default()
    };
    let (ingress, leader) = (Running::with(config).await, Running::start().await);
    ingress.service.peer(2, Peer::Serves(leader.server.clone()));
    ingress.service.locate_by(|_| Location::Node(NodeNumber(2)));
    leader.service.held.store(true, Ordering::SeqCst);
    let body = format!("{{\"fields\":{{\"text\":\"{}\"}}}}", "x".repeat(600));
    let call = |tenant: &str| Call::new(Method::POST, format!("/v1/tenants/{tenant}/records/tasks")).body(JSON, body.clone());
    let first = tokio::spawn({
        let (client, call) = (ingress.client("cnt_member"), call("acme"));
        async move { client.call(call).await }
    });
    until("the first body is kept", || leader.service.count("record_create") == 1).await;
    let second = ingress.client("no token").call(call("acme")).await.expect("an answer");
    let refused = problem(&second);
    assert_eq!(
        (refused.code.as_str(), refused.outcome),
        ("unavailable", api::error::Outcome::NotApplied)
    );
    assert_eq!(second.headers["retry-after"], "1");
    // Requests without a body, and those that are served here, behind this node's own gate, go on.
    assert_eq!(ingress.ask(Method::GET, "collections", None).await.status, 200);
    ingress.service.locate_by(|slug| match slug.as_str() {
        "here" => Location::Here(placement(slug)),
        _ => Location::Node(NodeNumber(2)),
    });
    let here = ingress.client("cnt_member").call(call("here")).await.expect("an answer");
    assert_eq!(here.status, 201);
    leader.service.release();
    assert_eq!(first.await.expect("a task").expect("an answer").status, 201);
    // Its room is free again.
    let third = ingress.client("cnt_member").call(call("acme")).await.expect("an answer");
    assert_eq!(third.status, 201);
}

#[tokio::test]
async fn connections_over_the_limit_are_told_so() {
    let node = Running::with(ServerConfig {
        connections: 1,
        ..ServerConfig::default()
    })
    .await;
    let client = node.client("");
    client.livez().await.expect("the first connection");
    let mut second = TcpStream::connect(node.address).await.expect("a connection");
    let reply = read_all(&mut second).await;
    assert!(
        reply.starts_with("HTTP/1.1 503 ") && reply.contains("retry-after: 1"),
        "{reply}"
    );
    client.livez().await.expect("the first connection still works");
}
