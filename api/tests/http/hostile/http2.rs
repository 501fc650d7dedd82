//! HTTP/2: floods, resets, heads without an end, and frames that have no business where they are.

use std::sync::atomic::Ordering;
use std::time::Duration;

use api::server::ServerConfig;

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, Raw, SETTINGS,
    WINDOW_UPDATE, field, frame, head,
};
use super::{Witness, impatient};
use crate::support::{LONG, Running};

const TASKS: &str = "/v1/tenants/acme/records/tasks";
const ALL: u8 = END_HEADERS | END_STREAM;

/// Only what the test is about ends a connection.
fn patient() -> ServerConfig {
    ServerConfig {
        head: LONG,
        ..ServerConfig::default()
    }
}

fn streams() -> impl Iterator<Item = u32> {
    (1..).step_by(2)
}

#[tokio::test]
async fn whoever_takes_back_what_is_asked_loses_the_connection() {
    let node = Running::with(patient()).await;
    let witness = Witness::beside(&node);
    node.service.held.store(true, Ordering::SeqCst);
    let mut raw = Raw::open(&node).await;
    // One by one, so that each is begun before it is taken back.
    for stream in streams().take(5_000) {
        let ask = frame(HEADERS, ALL, stream, &head("GET", TASKS));
        let take_back = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        if raw.send(&[ask, take_back].concat()).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let kinds = raw.kinds_until_end().await;
    assert!(!kinds.contains(&HEADERS), "nothing was answered: {kinds:?}");
    assert!(node.service.count("records") < 1_000, "most were not even begun");
    witness.stays_served().await;
    node.service.release();
}

#[tokio::test]
async fn requests_that_come_and_go_in_one_write_end_the_connection() {
    let node = Running::with(patient()).await;
    let witness = Witness::beside(&node);
    let mut raw = Raw::open(&node).await;
    let mut all = Vec::new();
    for stream in streams().take(2_000) {
        all.extend(frame(HEADERS, ALL, stream, &head("GET", TASKS)));
        all.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    // The server may have had enough before all of it is written.
    let _ = raw.send(&all).await;
    raw.kinds_until_end().await;
    witness.stays_served().await;
}

#[tokio::test]
async fn a_head_that_goes_on_and_on_ends_the_connection() {
    let node = Running::with(patient()).await;
    let witness = Witness::beside(&node);
    for part in [vec![], b"x".to_vec(), field("x-padding", &"x".repeat(10_000))] {
        let mut raw = Raw::open(&node).await;
        raw.send(&frame(HEADERS, END_STREAM, 1, &head("GET", TASKS)))
            .await
            .expect("sent");
        for _ in 0..10_000 {
            if raw.send(&frame(CONTINUATION, 0, 1, &part)).await.is_err() {
                break;
            }
        }
        let kinds = raw.kinds_until_end().await;
        assert!(!kinds.contains(&HEADERS), "nothing was answered: {kinds:?}");
    }
    assert_eq!(node.service.count("records"), 0);
    witness.stays_served().await;
}

#[tokio::test]
async fn a_small_head_that_means_a_large_one_is_not_unpacked() {
    let node = Running::with(impatient()).await;
    let witness = Witness::beside(&node);
    let mut raw = Raw::open(&node).await;
    // A field of 4 kB goes into the table, and is then named ten thousand times with a byte each (RFC 7541, 6.1 and 6.2.1).
    let mut block = head("GET", TASKS);
    let mut entry = field("x-bomb", &"x".repeat(4_000));
    entry[0] = 0x40;
    block.extend(entry);
    block.extend(std::iter::repeat_n(0x80 | 62, 10_000));
    raw.send(&frame(HEADERS, ALL, 1, &block)).await.expect("sent");
    raw.kinds_until_end().await;
    assert_eq!(node.service.count("records"), 0);
    witness.stays_served().await;
}

#[tokio::test]
async fn heads_and_frames_without_an_end_are_closed_at_their_deadline() {
    let node = Running::with(impatient()).await;
    let witness = Witness::beside(&node);
    let whole = frame(HEADERS, ALL, 1, &head("GET", TASKS));
    let unended = frame(HEADERS, END_STREAM, 1, &head("GET", TASKS));
    for start in [&b""[..], &whole[..5], &whole[..30], &unended] {
        let mut raw = Raw::open(&node).await;
        raw.send(start).await.expect("sent");
        raw.kinds_until_end().await;
    }
    assert_eq!(node.service.count("records"), 0);
    witness.stays_served().await;
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused_and_the_rest_goes_on() {
    let node = Running::with(ServerConfig {
        request: Duration::from_millis(300),
        ..impatient()
    })
    .await;
    let witness = Witness::beside(&node);
    node.service.held.store(true, Ordering::SeqCst);
    let mut raw = Raw::open(&node).await;
    for stream in streams().take(500) {
        if raw.send(&frame(HEADERS, ALL, stream, &head("GET", TASKS))).await.is_err() {
            break;
        }
    }
    let kinds = raw.kinds_until_end().await;
    let answered = kinds.iter().filter(|kind| **kind == HEADERS).count();
    assert!(answered <= api::limits::STREAMS as usize, "{answered} at a time");
    assert!(node.service.count("records") <= api::limits::STREAMS as usize);
    witness.stays_served().await;
    node.service.release();
}

#[tokio::test]
async fn frames_where_they_have_no_business_end_the_connection_or_nothing() {
    let node = Running::with(impatient()).await;
    let witness = Witness::beside(&node);
    let get = |flags: u8| frame(HEADERS, flags, 1, &head("GET", TASKS));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("data on no stream", frame(DATA, 0, 0, b"x")),
        ("data on a stream that is not open", frame(DATA, 0, 7, b"x")),
        ("a head on no stream", frame(HEADERS, ALL, 0, &head("GET", TASKS))),
        (
            "a head on a stream of the server's",
            frame(HEADERS, ALL, 2, &head("GET", TASKS)),
        ),
        ("a head that is no head", frame(HEADERS, ALL, 1, &[0xff; 100])),
        (
            "an index that is not there",
            frame(HEADERS, ALL, 1, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, b"")),
        ("a promise", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])),
        ("a frame that is too large", frame(DATA, 0, 1, &vec![0; 1 << 20])),
        ("a short reset", frame(RST_STREAM, 0, 1, b"x")),
        ("a reset of what is not open", frame(RST_STREAM, 0, 9, &[0; 4])),
        ("settings on a stream", frame(SETTINGS, 0, 1, b"")),
        ("half a setting", frame(SETTINGS, 0, 0, b"xxx")),
        (
            "a window that is too large",
            frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]),
        ),
        ("a frame size that is too small", frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1])),
        ("a window of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        (
            "a window that overflows",
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2),
        ),
        ("a short ping", frame(PING, 0, 0, b"x")),
        ("a stream that depends on itself", frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 0])),
        ("a goodbye, and more", [frame(GOAWAY, 0, 0, &[0; 8]), get(ALL)].concat()),
        ("a kind that nobody knows", frame(0xee, 0xff, 1, b"?")),
        ("a head twice", [get(END_HEADERS), get(END_HEADERS)].concat()),
        ("padding that is longer than all", frame(DATA, 8, 1, &[0xff, 1])),
        ("a body behind its end", [get(ALL), frame(DATA, 0, 1, b"x")].concat()),
        ("pings without end", frame(PING, 0, 0, &[7; 8]).repeat(10_000)),
        (
            "settings without end",
            frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]).repeat(10_000),
        ),
        (
            "empty pieces without end",
            [get(END_HEADERS), frame(DATA, 0, 1, b"").repeat(10_000)].concat(),
        ),
        (
            "priorities without end",
            frame(PRIORITY, 0, 5, &[0, 0, 0, 0, 9]).repeat(10_000),
        ),
        (
            "windows without end",
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(10_000),
        ),
        ("HTTP/1 after all", b"GET / HTTP/1.1\r\n\r\n".repeat(10)),
    ];
    for (what, bytes) in cases {
        let mut raw = Raw::open(&node).await;
        // The server may have had enough before all of it is written.
        let _ = raw.send(&bytes).await;
        raw.kinds_until_end().await;
        assert!(!what.is_empty());
    }
    witness.stays_served().await;
}

#[tokio::test]
async fn heads_that_could_be_read_in_two_ways_are_not_answered_as_requests() {
    let node = Running::with(impatient()).await;
    let witness = Witness::beside(&node);
    let with = |extra: &[Vec<u8>]| [vec![head("GET", TASKS)], extra.to_vec()].concat().concat();
    let cases = [
        with(&[field("transfer-encoding", "chunked")]),
        with(&[field("connection", "close")]),
        with(&[field("te", "chunked")]),
        with(&[field("Upper-Case", "x")]),
        with(&[field("x-line", "a\r\nhidden: b")]),
        with(&[field("x-null", "\0")]),
        with(&[field(":path", "/livez")]),
        with(&[field(":unknown", "x")]),
        with(&[field("content-length", "5")]),
        with(&[field("content-length", "x")]),
        [field(":method", "GET"), field(":path", TASKS)].concat(),
        [field("x-first", "1"), head("GET", TASKS)].concat(),
        head("GE T", TASKS),
        head("GET", ""),
        head("GET", "v1/tenants"),
        head("GET", "/v1/tenants/acme/records/tasks HTTP/1.1\r\nhidden: x"),
    ];
    for case in cases {
        let mut raw = Raw::open(&node).await;
        raw.send(&frame(HEADERS, ALL, 1, &case)).await.expect("sent");
        raw.kinds_until_end().await;
    }
    assert_eq!(node.service.count("records"), 0, "none of them is a request");
    witness.stays_served().await;
}
