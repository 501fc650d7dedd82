//! How requests are let in, and what their tenant hears of its limits.

use std::sync::atomic::Ordering;

use api::service::Kind;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{JSON, Running, problem, until};

#[tokio::test]
async fn each_request_is_let_in_as_what_it_is_and_its_reply_says_what_is_left() {
    let node = Running::start().await;
    let body = "{\"fields\":{\"title\":\"x\"}}";
    let created = node.ask(Method::POST, "records/tasks", Some((JSON, body))).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.headers["ratelimit-policy"], "\"units\";q=600;w=60");
    assert_eq!(created.headers["ratelimit"], "\"units\";r=590;t=1");
    until("the create is over", || {
        node.service.answered.load(Ordering::Relaxed) == created.body.len() as u64
    })
    .await;
    for path in ["records/tasks", "me", "usage", "collections"] {
        let read = node.ask_as_admin(path).await;
        assert_eq!(read.status, 200, "{path}");
    }
    let exported = node.ask_as_admin("export").await;
    assert_eq!(exported.status, 200);
    let kinds = node.service.admissions.lock().unwrap().clone();
    let wanted = [
        Kind::Write(body.len()),
        Kind::List,
        Kind::Read,
        Kind::Free,
        Kind::Read,
        Kind::Stream,
    ];
    assert_eq!(kinds, wanted);
}

#[tokio::test]
async fn who_has_used_all_up_is_told_when_to_come_back_and_can_look_at_what_it_uses() {
    let node = Running::start().await;
    node.service.spent.store(true, Ordering::Relaxed);
    let refused = node.ask_as_admin("records/tasks").await;
    assert_eq!(
        (refused.status.as_u16(), &refused.headers["retry-after"]),
        (429, &"3".parse().unwrap())
    );
    assert_eq!(problem(&refused).code, "too_many_requests");
    assert_eq!(node.service.count("records"), 0, "nothing was done for it");
    let usage = node.ask_as_admin("usage").await;
    assert_eq!(usage.status, 200);
    let usage: api::body::usage::Usage = serde_json::from_slice(&usage.body).unwrap();
    assert_eq!((usage.plan.as_str(), usage.units.left), ("free", 590));
}

#[tokio::test]
async fn there_are_as_many_followers_as_there_are_places_and_places_come_back() {
    let node = Running::start().await;
    node.service.followers.store(1, Ordering::Relaxed);
    let follow =
        b"GET /v1/tenants/acme/events?after=0&follow=true HTTP/1.1\r\nhost: x\r\nauthorization: Bearer cnt_owner\r\n\r\n";
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    stream.write_all(follow).await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    let refused = node.ask_as_admin("events?after=0&follow=true").await;
    assert_eq!(refused.status, 429);
    // Who does not follow needs no place.
    let read = node.ask_as_admin("events?after=0&follow=false").await;
    assert_eq!(read.status, 200);
    drop(stream);
    until("the place is free", || node.service.followers.load(Ordering::Relaxed) == 1).await;
}
