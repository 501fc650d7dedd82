//! Import, export and events.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::body::import::{ExportLine, ImportLine};
use api::body::record::{Fields, NewRecord};
use api::client::{Call, Client, EventsFrom, ImportOptions};
use api::server::ServerConfig;
use bytes::Bytes;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{LONG, Running, problem, until};

async fn some_records(client: &Client, count: usize) {
    for _ in 0..count {
        let new = NewRecord {
            id: None,
            fields: Fields::new(),
        };
        client.record_create("acme", "tasks", &new, None).await.expect("created");
    }
}

#[tokio::test]
async fn an_import_answers_line_by_line_while_it_is_sent() {
    let node = Running::start().await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(1);
    sender.send(Ok(Bytes::from_static(b"{\"a\":1}\n"))).await.expect("sent");
    let source = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    // Each answer lets the next line go: this works only in full duplex.
    let left = Mutex::new((4, Some(sender)));
    let (client, options) = (node.client("cnt_member"), ImportOptions::default());
    let summary = client.import("acme", "tasks", &options, source, |line| {
        assert!(matches!(line, ImportLine::Progress(_)), "{line:?}");
        let mut left = left.lock().expect("a lock");
        left.0 -= 1;
        if left.0 == 0 {
            left.1 = None;
        } else if let Some(sender) = &left.1 {
            sender.try_send(Ok(Bytes::from_static(b"{\"b\":2}\n"))).expect("room");
        }
    });
    let summary = tokio::time::timeout(LONG, summary)
        .await
        .expect("in time")
        .expect("a summary");
    assert_eq!((summary.imported, summary.failed), (4, 0));
}

#[tokio::test]
async fn a_bad_line_is_named_and_stops_nothing() {
    let node = Running::start().await;
    let lines = b"{\"a\":1}\n\nnot json\r\n{\"b\":\"\xff\"}\n{\"c\":3}";
    let mut failures = Vec::new();
    let client = node.client("cnt_member");
    let options = ImportOptions::default();
    let import = client.import_reader("acme", "tasks", &options, &lines[..], |line| {
        if let ImportLine::Failure(failure) = line {
            failures.push(failure.line);
        }
    });
    let summary = import.await.expect("a summary");
    assert_eq!((summary.imported, summary.failed, failures), (2, 2, vec![3, 4]));
}

#[tokio::test]
async fn an_import_that_is_refused_at_once_has_its_own_status() {
    let node = Running::start().await;
    let options = ImportOptions {
        import_id: Some("refused".into()),
        csv: false,
        upsert: None,
    };
    let client = node.client("cnt_member");
    let error = client
        .import_reader("acme", "tasks", &options, tokio::io::repeat(b'x'), |_| {})
        .await
        .expect_err("refused");
    assert_eq!((error.status(), error.code()), (Some(400), Some("invalid_parameter")));
    let options = ImportOptions {
        import_id: Some("x".repeat(101)),
        csv: false,
        upsert: None,
    };
    let error = client
        .import_reader("acme", "tasks", &options, &b""[..], |_| {})
        .await
        .expect_err("too long");
    assert_eq!(error.status(), Some(400));
}

#[tokio::test]
async fn an_export_is_whole_or_an_error() {
    let node = Running::start().await;
    some_records(&node.client("cnt_member"), 3).await;
    let mut export = node.client("cnt_admin").export("acme").await.expect("an export");
    let mut kinds = Vec::new();
    while let Some(line) = export.next().await.expect("a line") {
        kinds.push(match line {
            ExportLine::Header { position, .. } => format!("header {position}"),
            ExportLine::Record(record) => format!("record {}", record.fields),
            ExportLine::Trailer { records } => format!("trailer {records}"),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(kinds, ["header 3", "record {}", "record {}", "record {}", "trailer 3"]);
    let answer = node
        .client("cnt_admin")
        .call(Call::new(Method::GET, "/v1/tenants/acme/export"))
        .await
        .expect("an answer");
    assert_eq!(
        (answer.position(), answer.headers["content-type"].as_bytes()),
        (Some(3), &b"application/x-ndjson"[..])
    );
}

#[tokio::test]
async fn events_end_after_what_is_there() {
    let node = Running::start().await;
    let client = node.client("cnt_member");
    some_records(&client, 300).await;
    let mut stream = client
        .events(
            "acme",
            EventsFrom {
                after: 10,
                ..Default::default()
            },
        )
        .await
        .expect("events");
    assert_eq!(stream.position(), Some(300));
    let mut positions = Vec::new();
    while let Some(event) = stream.next().await.expect("an event") {
        positions.push(event.position);
    }
    assert_eq!(positions, (11..=300).collect::<Vec<_>>());
    let mut few = client
        .events(
            "acme",
            EventsFrom {
                limit: Some(2),
                follow: true,
                ..Default::default()
            },
        )
        .await
        .expect("events");
    assert!(few.next().await.expect("one").is_some() && few.next().await.expect("two").is_some());
    assert!(few.next().await.expect("the end").is_none());
    let mut none = client
        .events(
            "acme",
            EventsFrom {
                after: 300,
                ..Default::default()
            },
        )
        .await
        .expect("events");
    assert!(none.next().await.expect("the end").is_none());
}

#[tokio::test]
async fn events_are_waited_for_and_followed() {
    let node = Running::start().await;
    let client = node.client("cnt_member");
    let waiting = tokio::spawn({
        let client = client.clone();
        async move {
            let from = EventsFrom {
                wait: Duration::from_secs(20),
                ..Default::default()
            };
            client.events("acme", from).await.expect("events").next().await
        }
    });
    let mut following = client
        .events(
            "acme",
            EventsFrom {
                follow: true,
                ..Default::default()
            },
        )
        .await
        .expect("events");
    for position in 1..4 {
        some_records(&client, 1).await;
        let event = tokio::time::timeout(LONG, following.next())
            .await
            .expect("in time")
            .expect("an event");
        assert_eq!(event.expect("not the end").position, position);
    }
    assert_eq!(
        waiting
            .await
            .expect("a task")
            .expect("an event")
            .expect("not the end")
            .position,
        1
    );
}

#[tokio::test]
async fn a_scoped_token_sees_the_events_of_its_collections() {
    let node = Running::start().await;
    let new = NewRecord {
        id: None,
        fields: Fields::new(),
    };
    let client = node.client("cnt_member");
    client.record_create("acme", "notes", &new, None).await.expect("created");
    client.record_create("acme", "tasks", &new, None).await.expect("created");
    let mut stream = node
        .client("cnt_tasks")
        .events("acme", EventsFrom::default())
        .await
        .expect("events");
    assert_eq!(
        stream
            .next()
            .await
            .expect("an event")
            .expect("not the end")
            .collection
            .as_deref(),
        Some("tasks")
    );
    assert!(stream.next().await.expect("the end").is_none());
}

#[tokio::test]
async fn what_a_token_may_not_see_neither_ends_a_wait_nor_counts_as_its_event() {
    let node = Running::start().await;
    for _ in 0..300 {
        node.service.happen("notes");
    }
    let client = node.client("cnt_tasks");
    let waiting = tokio::spawn(async move {
        let from = EventsFrom {
            wait: LONG,
            limit: Some(1),
            ..Default::default()
        };
        client.events("acme", from).await.expect("events").next().await
    });
    // Two pages are there; the third call waits.
    until("all that is hidden has been read", || node.service.count("events") == 3).await;
    node.service.happen("tasks");
    let event = waiting.await.expect("a task").expect("an event").expect("not the end");
    assert_eq!((event.collection.as_deref(), event.position), (Some("tasks"), 301));
}

#[tokio::test]
async fn a_steady_writer_does_not_keep_a_list_of_events_open() {
    let node = Running::start().await;
    for _ in 0..600 {
        node.service.happen("tasks");
    }
    node.service.busy.store(true, Ordering::SeqCst);
    for token in ["cnt_member", "cnt_tasks"] {
        let client = node.client(token);
        let mut stream = client.events("acme", EventsFrom::default()).await.expect("events");
        let mut tasks = 0;
        while let Some(event) = tokio::time::timeout(LONG, stream.next())
            .await
            .expect("in time")
            .expect("an event")
        {
            tasks += usize::from(event.collection.as_deref() == Some("tasks"));
            assert!(event.position < 700, "it goes on for ever");
        }
        assert_eq!(tasks, 600, "{token}");
    }
}

#[tokio::test]
async fn a_follower_that_may_see_nothing_of_what_happens_gets_signs_of_life_and_does_not_spin() {
    let node = Running::with(ServerConfig {
        sign_of_life: Duration::from_millis(60),
        ..ServerConfig::default()
    })
    .await;
    let mut stream = TcpStream::connect(node.address).await.expect("a connection");
    let request = "GET /v1/tenants/acme/events?follow=true HTTP/1.1\r\nhost: x\r\nauthorization: Bearer cnt_tasks\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    let (mut text, mut happened, mut looks) = (String::new(), 0, tokio::time::interval(Duration::from_millis(5)));
    let mut buffer = [0; 4_096];
    let reading = async {
        while text.matches(": nothing new").count() < 2 {
            tokio::select! {
                _ = looks.tick() => {
                    node.service.happen("notes");
                    happened += 1;
                }
                read = stream.read(&mut buffer) => {
                    let read = read.expect("bytes");
                    assert!(read > 0, "{text}");
                    text.push_str(&String::from_utf8_lossy(&buffer[..read]));
                }
            }
        }
    };
    tokio::time::timeout(LONG, reading).await.expect("signs of life in time");
    let asked = node.service.count("events");
    assert!(asked <= 2 * happened + 10, "{asked} questions for {happened} events");
    let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
    let ids: Vec<u64> = ids.map(|id| id.parse().expect("a position")).collect();
    assert!(ids.len() >= 2 && ids.is_sorted(), "each sign says how far it is: {text}");
    assert!(ids.last().is_some_and(|id| *id > 0), "past what it may not see: {text}");
}

#[tokio::test]
async fn a_revoked_token_stops_following() {
    let node = Running::start().await;
    let client = node.client("cnt_member");
    let mut stream = node
        .client("cnt_guest")
        .events(
            "acme",
            EventsFrom {
                follow: true,
                ..Default::default()
            },
        )
        .await
        .expect("events");
    node.service.revoke("cnt_guest");
    some_records(&client, 2).await;
    let error = tokio::time::timeout(LONG, async {
        loop {
            match stream.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without a word"),
                Err(error) => return error,
            }
        }
    });
    assert_eq!(error.await.expect("in time").code(), Some("unauthenticated"));
}

#[tokio::test]
async fn server_sent_events_resume() {
    let node = Running::start().await;
    some_records(&node.client("cnt_member"), 3).await;
    let mut stream = TcpStream::connect(node.address).await.expect("a connection");
    let request =
        "GET /v1/tenants/acme/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer cnt_guest\r\nlast-event-id: 2\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    while !text.contains("\n\n\r\n") {
        let read = tokio::time::timeout(LONG, stream.read(&mut buffer))
            .await
            .expect("in time")
            .expect("bytes");
        assert!(read > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert!(
        text.contains("content-type: text/event-stream") && text.contains("cloudnest-position: 3"),
        "{text}"
    );
    assert!(
        text.contains("id: 3\nevent: record.changed\ndata: {\"specversion\":\"1.0\"") && !text.contains("id: 2\n"),
        "{text}"
    );
    for query in ["after=x", "wait=61", "limit=0", "follow=maybe", "x=1"] {
        let answer = node.ask(Method::GET, &format!("events?{query}"), None).await;
        assert_eq!(problem(&answer).code, "invalid_parameter", "{query}");
    }
}

#[tokio::test]
async fn who_still_sends_when_a_stream_is_refused_hears_why() {
    let node = Running::start().await;
    let line = format!("{{\"title\":\"{}\"}}\n", "x".repeat(1_000));
    let body = line.repeat(3_000);
    let head = |token: &str| {
        format!(
            "POST /v1/tenants/acme/records/tasks/import HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             content-type: application/x-ndjson\r\nimport-id: refused\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
    };
    for turn in 0..20 {
        // By the handler, and at the gate.
        let (token, status) = [("cnt_admin", 400), ("cnt_guest", 403)][turn % 2];
        let (address, head, body) = (node.address, head(token), body.clone());
        // All of it is sent before the answer is looked at, as simple clients do.
        let answer = tokio::task::spawn_blocking(move || {
            use std::io::{Read, Write};
            let mut stream = std::net::TcpStream::connect(address)?;
            stream.write_all(head.as_bytes())?;
            stream.write_all(body.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        });
        let answer = answer.await.expect("a thread").expect("an answer, and no reset");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{token}: {answer}");
    }
}
