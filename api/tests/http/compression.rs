//! Bodies that are compressed, both ways.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use api::body::record::{Fields, NewRecord};
use api::client::{Answer, Call};
use api::error::{Code, Error};
use api::ids::NodeNumber;
use api::service::Location;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::memory::{Peer, placement};
use crate::support::{JSON, LONG, Running, problem, until};

const TASKS: &str = "/v1/tenants/acme/records/tasks";
const IMPORT: &str = "/v1/tenants/acme/records/tasks/import";

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).expect("written");
    encoder.finish().expect("finished")
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut text).expect("gzip");
    text
}

async fn fill(node: &Running, records: usize, bytes: usize) {
    for number in 0..records {
        let fields = Fields::from_iter([("text".to_owned(), format!("{number} {}", "word ".repeat(bytes / 5)).into())]);
        let new = NewRecord { id: None, fields };
        let client = node.client("cnt_member");
        client.record_create("acme", "tasks", &new, None).await.expect("created");
    }
}

async fn get(node: &Running, path: &str, accepted: Option<&str>) -> Answer<Bytes> {
    let mut call = Call::new(Method::GET, path);
    if let Some(accepted) = accepted {
        call = call.header("accept-encoding", accepted);
    }
    node.client("cnt_admin").call(call).await.expect("an answer")
}

fn is_gzip(answer: &Answer<Bytes>) -> bool {
    answer
        .headers
        .get("content-encoding")
        .is_some_and(|encoding| encoding == "gzip")
}

#[tokio::test]
async fn large_replies_are_compressed_for_those_who_ask() {
    let node = Running::start().await;
    let small = get(&node, TASKS, Some("gzip")).await;
    assert!(!is_gzip(&small) && !small.headers.contains_key("vary"));
    // Small enough to be compressed at once, and too large for that.
    for (records, at_once) in [(3, true), (200, false)] {
        fill(&node, records, 1_000).await;
        let path = format!("{TASKS}?limit=500");
        let plain = get(&node, &path, None).await;
        assert!(!is_gzip(&plain) && plain.headers["vary"] == "accept-encoding");
        for accepted in ["gzip", "br;q=1.0, GZIP;q=0.5", "*"] {
            let compressed = get(&node, &path, Some(accepted)).await;
            assert!(
                is_gzip(&compressed) && compressed.body.len() < plain.body.len() / 5,
                "{accepted}"
            );
            assert_eq!(compressed.headers["vary"], "accept-encoding");
            assert_eq!(compressed.headers.contains_key("content-length"), at_once);
            assert!(gunzip(&compressed.body) == plain.body, "{accepted}");
        }
        for accepted in ["identity", "br", "gzip;q=0", "gzip; q=0.000, *", "deflate, zstd"] {
            assert!(!is_gzip(&get(&node, &path, Some(accepted)).await), "{accepted}");
        }
    }
    let document = get(&node, "/openapi.json", Some("gzip")).await;
    assert!(gunzip(&document.body) == api::openapi::DOCUMENT.as_bytes());
    let head = Call::new(Method::HEAD, TASKS).header("accept-encoding", "gzip");
    assert!(!is_gzip(&node.client("cnt_admin").call(head).await.expect("an answer")));
    let export = get(&node, "/v1/tenants/acme/export", None).await;
    let compressed = get(&node, "/v1/tenants/acme/export", Some("gzip")).await;
    assert!(is_gzip(&compressed) && gunzip(&compressed.body) == export.body);
}

#[tokio::test]
async fn a_record_keeps_its_version_as_its_tag() {
    let node = Running::start().await;
    let fields = Fields::from_iter([("text".to_owned(), "word ".repeat(1_000).into())]);
    let new = NewRecord { id: None, fields };
    let made = node
        .client("cnt_admin")
        .record_create("acme", "tasks", &new, None)
        .await
        .expect("created");
    let path = format!("{TASKS}/{}", made.body.id);
    let compressed = get(&node, &path, Some("gzip")).await;
    assert_eq!((is_gzip(&compressed), compressed.version()), (true, Some(1)));
    let known = Call::new(Method::GET, &path)
        .header("accept-encoding", "gzip")
        .header("if-none-match", "\"1\"");
    let unchanged = node.client("cnt_admin").call(known).await.expect("an answer");
    assert_eq!((unchanged.status.as_u16(), is_gzip(&unchanged)), (304, false));
}

#[tokio::test]
async fn replies_with_a_secret_are_not_compressed() {
    let node = Running::start().await;
    let scopes: Vec<String> = (0..400).map(|number| format!("\"collection_{number}\"")).collect();
    let body = format!("{{\"name\":\"x\",\"role\":\"guest\",\"scopes\":[{}]}}", scopes.join(","));
    let call = Call::new(Method::POST, "/v1/tenants/acme/tokens")
        .header("accept-encoding", "gzip")
        .body(JSON, body);
    let made = node.client("cnt_admin").call(call).await.expect("an answer");
    assert!(made.status == 201 && made.body.len() > 1_024 && !is_gzip(&made));
}

#[tokio::test]
async fn followers_hear_of_each_event_at_once_and_server_sent_events_stay_plain() {
    let node = Running::start().await;
    for (accept, compressed) in [("application/x-ndjson", true), ("text/event-stream", false)] {
        let mut stream = TcpStream::connect(node.address).await.expect("a connection");
        let request = format!(
            "GET /v1/tenants/acme/events?follow=true HTTP/1.0\r\nhost: x\r\nauthorization: Bearer cnt_guest\r\n\
             accept: {accept}\r\naccept-encoding: gzip\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut seen = Vec::new();
        let start = loop {
            stream.read_buf(&mut seen).await.expect("a head");
            if let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = String::from_utf8_lossy(&seen[..start]).into_owned();
        assert_eq!(head.contains("content-encoding: gzip"), compressed, "{head}");
        for _ in 0..3 {
            let before = seen.len();
            node.service.happen("tasks");
            // What has come can be read before the stream ends.
            let reading = async {
                while seen.len() == before || !text(&seen[start..], compressed).ends_with('\n') {
                    assert!(stream.read_buf(&mut seen).await.expect("more") > 0);
                }
            };
            tokio::time::timeout(LONG, reading).await.expect("in time");
        }
        assert!(text(&seen[start..], compressed).matches("record.changed").count() >= 3);
    }
}

/// What of a body can be read so far.
fn text(bytes: &[u8], compressed: bool) -> String {
    if !compressed {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut text = Vec::new();
    // The stream has no end yet.
    let _ = GzDecoder::new(bytes).read_to_end(&mut text);
    String::from_utf8(text).expect("text")
}

#[tokio::test]
async fn compressed_bodies_are_taken_everywhere() {
    let node = Running::start().await;
    let member = node.client("cnt_member");
    let json = b"{\"fields\":{\"title\":\"compressed\"}}";
    let plain = Call::new(Method::POST, TASKS)
        .header("idempotency-key", "k")
        .body(JSON, json.to_vec());
    let packed = plain.clone().header("content-encoding", "gzip").body(JSON, gzip(json));
    let first = member.call(packed).await.expect("an answer");
    let second = member.call(plain).await.expect("an answer");
    assert_eq!(
        (first.status.as_u16(), &first.body),
        (201, &second.body),
        "the same request, however it is written"
    );

    let lines = b"{\"title\":\"one\"}\n{\"title\":\"two\"}\n".repeat(500);
    for (media_type, text) in [("application/x-ndjson", lines), ("text/csv", b"title\none\ntwo\n".to_vec())] {
        let call = Call::new(Method::POST, IMPORT).header("content-encoding", "gzip");
        let answer = member.call(call.body(media_type, gzip(&text))).await.expect("an answer");
        assert_eq!(answer.status, 200);
        let stored = String::from_utf8_lossy(&answer.body).matches("stored").count();
        assert_eq!(
            stored,
            text.iter().filter(|byte| **byte == b'\n').count() - usize::from(media_type == "text/csv")
        );
    }
}

#[tokio::test]
async fn bombs_and_broken_or_unknown_encodings_are_refused() {
    let node = Running::start().await;
    let member = node.client("cnt_member");
    let bomb = gzip(&b" ".repeat(64 * 1024 * 1024));
    let mut cut = gzip(b"{\"fields\":{}}");
    cut.truncate(cut.len() - 3);
    for (path, media_type) in [(TASKS, JSON), (IMPORT, "application/x-ndjson"), (IMPORT, "text/csv")] {
        let call = |encoding: &str, body: &[u8]| {
            let call = Call::new(Method::POST, path).header("content-encoding", encoding);
            member.call(call.body(media_type, body.to_vec()))
        };
        let too_large = problem(&call("gzip", &bomb).await.expect("an answer"));
        assert_eq!(
            (too_large.status, too_large.code.as_str()),
            (413, "too_large"),
            "{path} {media_type}"
        );
        for broken in [&cut[..], b"{\"fields\":{}}"] {
            let malformed = problem(&call("gzip", broken).await.expect("an answer"));
            assert_eq!(
                (malformed.status, malformed.code.as_str()),
                (400, "malformed_body"),
                "{path} {media_type}"
            );
        }
        for unknown in ["br", "gzip, gzip", "zstd"] {
            let answer = call(unknown, b"{}").await.expect("an answer");
            assert_eq!(answer.headers["accept-encoding"], "gzip");
            assert_eq!(problem(&answer).status, 415, "{path} {unknown}");
        }
    }
    assert_eq!(node.service.count("record_create"), 0);
}

#[tokio::test]
async fn compressed_bodies_pass_between_nodes_and_replies_are_compressed_once() {
    let (ingress, leader) = (Running::start().await, Running::start().await);
    ingress.service.locate_by(|_| Location::Node(NodeNumber(2)));
    ingress.service.peer(2, Peer::Serves(leader.server.clone()));
    let text = format!("{{\"fields\":{{\"text\":\"{}\"}}}}", "word ".repeat(1_000));
    let call = Call::new(Method::POST, TASKS)
        .header("content-encoding", "gzip")
        .body(JSON, gzip(text.as_bytes()));
    let member = ingress.client("cnt_member");
    assert_eq!(member.call(call.clone()).await.expect("an answer").status, 201);
    let lines = Call::new(Method::POST, IMPORT).header("content-encoding", "gzip");
    let lines = lines.body("application/x-ndjson", gzip(b"{\"title\":\"one\"}\n"));
    assert_eq!(member.call(lines).await.expect("an answer").status, 200);
    let plain = get(&leader, TASKS, None).await;
    let compressed = get(&ingress, TASKS, Some("gzip")).await;
    assert!(is_gzip(&compressed) && gunzip(&compressed.body) == plain.body);

    // Read here, behind this node's gate, and then sent on after all: plain, and not said to be anything else.
    let looks = AtomicUsize::new(0);
    ingress
        .service
        .locate_by(move |slug| match looks.fetch_add(1, Ordering::SeqCst) {
            0 => Location::Here(placement(slug)),
            _ => Location::Node(NodeNumber(2)),
        });
    ingress.service.fail_next(Error::new(Code::NotLeader, "not any more"));
    let before = leader.service.count("record_create");
    assert_eq!(member.call(call).await.expect("an answer").status, 201);
    until("the other node has made it", || {
        leader.service.count("record_create") == before + 1
    })
    .await;
}
