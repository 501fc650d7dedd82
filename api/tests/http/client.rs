//! The client, when things go wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::body::record::{Fields, NewRecord};
use api::client::{Balance, Client, ClientError, ImportOptions};
use api::error::{Code, Error, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::support::{LONG, Running, read_all};

fn new_record() -> NewRecord {
    NewRecord {
        id: None,
        fields: Fields::new(),
    }
}

/// A server that reads a request and answers with these bytes, or closes; counts its connections.
async fn scripted(reply: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut buffer = [0; 4_096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(reply.as_bytes()).await;
        }
    });
    (url, count)
}

/// A port that nobody listens on.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

#[tokio::test]
async fn a_refused_connection_had_no_effect_and_a_broken_one_may_have() {
    let client = Client::new(&nobody().await, "cnt_member").expect("a client");
    let error = client
        .record_create("acme", "tasks", &new_record(), None)
        .await
        .expect_err("refused");
    assert!(
        matches!(
            &error,
            ClientError::Transport {
                outcome: Outcome::NotApplied,
                ..
            }
        ),
        "{error}"
    );
    let (url, count) = scripted("").await;
    let client = Client::new(&url, "cnt_member").expect("a client").with_retries(3);
    let error = client
        .record_put("acme", "tasks", api::ids::Id(uuid::Uuid::now_v7()), &Fields::new(), None)
        .await
        .expect_err("broken");
    assert_eq!((error.outcome(), count.load(Ordering::SeqCst)), (Outcome::Unknown, 1));
    client
        .record_create("acme", "tasks", &new_record(), Some("k"))
        .await
        .expect_err("broken");
    assert_eq!(count.load(Ordering::SeqCst), 1 + 4, "a key makes it safe to repeat");
}

#[tokio::test]
async fn an_attempt_in_doubt_is_not_forgotten() {
    // The first attempt breaks after it was sent, the second is refused: the call as a whole is in doubt.
    let (broken, count) = scripted("").await;
    let urls = [broken, nobody().await];
    let client = Client::new(&urls[0], "cnt_member").expect("a client").with_retries(1);
    let client = client.with_base_urls(&urls, Balance::Failover).expect("a client");
    let error = client
        .record_create("acme", "tasks", &new_record(), Some("k"))
        .await
        .expect_err("nobody answers");
    assert_eq!(
        (error.outcome(), count.load(Ordering::SeqCst)),
        (Outcome::Unknown, 1),
        "{error}"
    );
}

#[tokio::test]
async fn retries_end_when_the_server_recovers() {
    let node = Running::start().await;
    let busy = Error::new(Code::TooManyRequests, "later").retry_after(Duration::from_millis(1));
    node.service.fail_next(busy);
    let client = node.client("cnt_member").with_retries(2);
    client
        .record_create("acme", "tasks", &new_record(), None)
        .await
        .expect("the second attempt");
    node.service.fail_next(Error::new(Code::AlreadyExists, "no"));
    let error = client
        .record_create("acme", "tasks", &new_record(), None)
        .await
        .expect_err("not transient");
    assert_eq!(
        (error.code(), node.service.count("record_create")),
        (Some("already_exists"), 3)
    );
    node.service.fail_next(Error::new(Code::Unavailable, "perhaps").unknown());
    let error = client
        .record_put("acme", "tasks", api::ids::Id(uuid::Uuid::now_v7()), &Fields::new(), None)
        .await
        .expect_err("unknown");
    assert_eq!((error.outcome(), node.service.count("record_put")), (Outcome::Unknown, 1));
}

#[tokio::test]
async fn several_base_urls_fail_over_or_share() {
    let (first, second) = (Running::start().await, Running::start().await);
    let urls = [nobody().await, first.url(), second.url()];
    let client = first
        .client("cnt_member")
        .with_base_urls(&urls, Balance::Failover)
        .expect("a client")
        .with_retries(1);
    for _ in 0..4 {
        client.me("acme").await.expect("the next one answers");
    }
    assert_eq!((first.service.count("me"), second.service.count("me")), (4, 0));
    let client = client.with_base_urls(&urls[1..], Balance::Spread).expect("a client");
    for _ in 0..4 {
        client.me("acme").await.expect("an answer");
    }
    assert_eq!((first.service.count("me"), second.service.count("me")), (6, 2));
}

#[tokio::test]
async fn connections_are_used_again() {
    let node = Running::start().await;
    let client = node.client("cnt_member");
    for _ in 0..20 {
        client.me("acme").await.expect("an answer");
    }
    let metrics = client.metrics().await.expect("metrics");
    assert!(metrics.contains("cloudnest_http_connections_total 1\n"), "{metrics}");
}

#[tokio::test]
async fn what_is_no_reply_of_ours_is_an_error() {
    let (url, _) = scripted("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 4\r\n\r\noops").await;
    let error = Client::new(&url, "")
        .expect("a client")
        .me("acme")
        .await
        .expect_err("a proxy's page");
    assert_eq!((error.status(), error.code()), (Some(502), Some("unrecognised")));
    let (url, _) = scripted("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\noops").await;
    let error = Client::new(&url, "")
        .expect("a client")
        .me("acme")
        .await
        .expect_err("no JSON");
    assert!(matches!(error, ClientError::Transport { .. }));
    let (url, _) = scripted("HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n{").await;
    let error = Client::new(&url, "")
        .expect("a client")
        .me("acme")
        .await
        .expect_err("cut short");
    assert_eq!(error.outcome(), Outcome::Unknown);
}

#[tokio::test]
async fn a_reply_that_does_not_come_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let client = Client::new(&url, "")
        .expect("a client")
        .with_timeout(Duration::from_millis(50));
    let error = client.me("acme").await.expect_err("nothing comes");
    assert!(error.to_string().contains("no reply within"), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
}

#[test]
fn base_urls_and_tokens_are_checked() {
    for bad in ["", "127.0.0.1:1", "ftp://x", "http://", "http://a b", "http://u:p@h:1"] {
        assert!(Client::new(bad, "").is_err(), "{bad}");
    }
    assert!(Client::new("http://localhost:1/", "a").is_ok() && Client::new("http://localhost", "").is_ok());
    assert!(Client::new("http://localhost:1", "a\nb").is_err());
}

#[tokio::test]
async fn an_import_that_is_dropped_half_way_does_not_end_its_body() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let client = Client::new(&url, "cnt_member").expect("a client");
    let (mut source, reader) = tokio::io::duplex(1_024);
    // Half of the second line is as good as a line.
    source.write_all(b"{\"a\":1}\n{\"b\":2}").await.expect("sent");
    let heard = Notify::new();
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let (mut text, mut buffer) = (String::new(), [0; 4_096]);
        while !text.ends_with("{\"b\":2}\r\n") {
            let read = stream.read(&mut buffer).await.expect("bytes");
            assert!(read > 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
        let answer = format!("{head}d\r\n{{\"stored\":1}}\n\r\n");
        stream.write_all(answer.as_bytes()).await.expect("answered");
        heard.notified().await;
        stream
    };
    let options = ImportOptions::default();
    let mut stream = tokio::select! {
        done = client.import_reader("acme", "tasks", &options, reader, |_| heard.notify_one()) => panic!("{done:?}"),
        stream = tokio::time::timeout(LONG, serving) => stream.expect("in time"),
    };
    assert_eq!(read_all(&mut stream).await, "", "no end of the body");
}
