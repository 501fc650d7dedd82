//! HTTP/1: heads and bodies that two parsers could read in two ways, paths with tricks, and senders that are slow on purpose.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Witness, impatient, in_time, statuses};
use crate::support::{Running, read_all};

const TASKS: &str = "/v1/tenants/acme/records/tasks";
/// What would be a request of its own, if somebody took the end of the one before it to be earlier.
const HIDDEN: &str = "POST /v1/tenants/acme/records/notes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer cnt_member\r\n\
                      content-type: application/json\r\ncontent-length: 13\r\n\r\n{\"fields\":{}}";

fn post(framing: &str, body: &str) -> String {
    format!(
        "POST {TASKS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer cnt_member\r\ncontent-type: application/json\r\n{framing}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn framing_that_is_ambiguous_is_refused_with_its_connection() {
    let node = Running::with(impatient()).await;
    let witness = Witness::beside(&node);
    let chunk = format!("0\r\n\r\n{HIDDEN}");
    let plain = format!("{{}}{HIDDEN}");
    let cases = [
        ("content-length: 13\r\ncontent-length: 2", &plain),
        ("content-length: 2, 13", &plain),
        ("content-length: +2", &plain),
        ("content-length: -2", &plain),
        ("content-length: 0x2", &plain),
        ("content-length: 2 2", &plain),
        ("content-length:", &plain),
        ("content-length: 99999999999999999999999", &plain),
        ("content-length : 2", &plain),
        ("content-length: 2\r\n : folded", &plain),
        ("content-length: 2\r\n folded: value", &plain),
        ("content-length\r\n: 2", &plain),
        ("\0content-length: 2", &plain),
        ("x: a\rcontent-length: 2", &plain),
        ("transfer-encoding: xchunked", &chunk),
        ("transfer-encoding: chunked, identity", &chunk),
        ("transfer-encoding: chunked\r\ntransfer-encoding: identity", &chunk),
        ("transfer-encoding: \"chunked\"", &chunk),
        ("transfer-encoding: chunked;q=1", &chunk),
        ("transfer-encoding : chunked", &chunk),
        (" transfer-encoding: chunked", &chunk),
        ("transfer-encoding:\x0bchunked", &chunk),
        ("transfer\u{2011}encoding: chunked", &chunk),
        ("transfer-encoding: identity\r\ncontent-length: 2", &plain),
    ];
    for (framing, body) in cases {
        let replies = in_time(framing, node.raw(post(framing, body).as_bytes())).await;
        let found = statuses(&replies);
        assert!(matches!(found[..], [] | [400 | 413]), "{framing:?}: {replies}");
        assert!(
            found.is_empty() || replies.contains("application/problem+json"),
            "{framing:?}: {replies}"
        );
    }
    assert_eq!(
        (node.service.count("record_create"), node.service.count("records")),
        (0, 0),
        "nothing was smuggled"
    );
    witness.stays_served().await;
}

#[tokio::test]
async fn chunks_that_are_not_well_formed_are_refused_with_their_connection() {
    let node = Running::with(impatient()).await;
    let witness = Witness::beside(&node);
    for chunks in [
        "0x2\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "+2\r\n{}\r\n0\r\n\r\n",
        "g\r\n{}\r\n0\r\n\r\n",
        "ffffffffffffffff2\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\r\n{}\n0\r\n\r\n",
        "2;a\nb\r\n{}\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        "2_\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\r\n0\r\nx y: z\r\n\r\n",
    ] {
        let request = post("transfer-encoding: chunked", &format!("{chunks}{HIDDEN}"));
        let replies = in_time(chunks, node.raw(request.as_bytes())).await;
        assert!(matches!(statuses(&replies)[..], [] | [400]), "{chunks:?}: {replies}");
        assert!(
            !replies.contains("HTTP/1.1 400") || replies.contains("\"malformed_body\""),
            "{replies}"
        );
    }
    assert_eq!(node.service.count("record_create"), 0, "nothing was smuggled");
    // Where a length is said as well, the chunks count and the length is forgotten (RFC 9112, 6.3): one request, and its own.
    for framing in [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "transfer-encoding: Chunked",
    ] {
        let request = post(framing, "d;note=\"x\"\r\n{\"fields\":{}}\r\n0\r\nx-trailer: 1\r\n\r\n");
        let replies = in_time(framing, node.raw(request.as_bytes())).await;
        assert_eq!(statuses(&replies), [201], "{framing}: {replies}");
    }
    witness.stays_served().await;
}

#[tokio::test]
async fn request_lines_that_are_not_well_formed_are_refused() {
    let node = Running::with(impatient()).await;
    let witness = Witness::beside(&node);
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100_000));
    let names = format!("GET /livez HTTP/1.1\r\n{}: x\r\n\r\n", "a".repeat(100_000));
    for line in [
        "GET  /livez HTTP/1.1\r\n\r\n",
        "GET /livez  HTTP/1.1\r\n\r\n",
        "GET /livez HTTP/1.1 x\r\n\r\n",
        "GET /liv\tez HTTP/1.1\r\n\r\n",
        "GET /li\0vez HTTP/1.1\r\n\r\n",
        "GET /livez HTTP/9.9\r\n\r\n",
        "GET /livez HTTP/1.1\r\nhost x\r\n\r\n",
        "GET /livez HTTP/1.1\r\n: x\r\n\r\n",
        "GET /livez HTTP/1.1\r\nh\u{e9}: x\r\n\r\n",
        "GET /livez HTTP/1.1\r\nx: \0\r\n\r\n",
        "G\u{e9}T /livez HTTP/1.1\r\n\r\n",
        "GET livez HTTP/1.1\r\n\r\n",
        "GET\r\n\r\n",
        "\u{feff}GET /livez HTTP/1.1\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03\r\n\r\n",
        &long,
        &names,
    ] {
        let shown: String = line.chars().take(60).collect();
        let replies = in_time(&shown, node.raw(line.as_bytes())).await;
        let found = statuses(&replies);
        assert!(matches!(found[..], [] | [400 | 404 | 414 | 431]), "{shown:?}: {replies}");
        assert!(
            found.is_empty() || replies.contains("application/problem+json"),
            "{shown:?}: {replies}"
        );
    }
    witness.stays_served().await;
}

#[tokio::test]
async fn paths_with_tricks_lead_nowhere_else() {
    let node = Running::with(impatient()).await;
    let witness = Witness::beside(&node);
    let deep = format!("/v1/tenants/acme{}", "/..".repeat(5_000));
    let query = format!("{TASKS}?limit={}", "9".repeat(20_000));
    for path in [
        "/v1/tenants/acme/../other/me",
        "/v1/tenants/%2e%2e/me",
        "/v1/tenants/acme/%2e%2e/other/me",
        "/v1/tenants/acme%2fme",
        "/v1/tenants/acme%00/me",
        "/v1/tenants/acme;a=b/me",
        "/v1/tenants/acme/records/tasks;x",
        "/v1/tenants/acme/records/tasks%00",
        "/v1/tenants/acme/records/%74asks",
        "/v1/tenants/acme/records//",
        "/v1/tenants/acme/records/tasks/../../me",
        "/v1/tenants/acme/records/tasks/%c0%ae%c0%ae",
        "/v1/tenants/ACME/me",
        "//v1/tenants/acme/me",
        "/v1//tenants/acme/me",
        "/v1/tenants/acme/me/",
        "/v1/tenants/acme\\me",
        "/%2e/livez",
        "/livez%0d%0ax:y",
        "http://[::1/livez",
        "*",
        &deep,
        &query,
    ] {
        let shown: String = path.chars().take(60).collect();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer cnt_member\r\nconnection: close\r\n\r\n");
        let replies = in_time(&shown, node.raw(request.as_bytes())).await;
        let found = statuses(&replies);
        assert!(
            matches!(found[..], [400 | 403 | 404 | 414 | 422 | 431]),
            "{shown:?}: {replies}"
        );
        assert!(replies.contains("application/problem+json"), "{shown:?}: {replies}");
    }
    assert_eq!((node.service.count("me"), node.service.count("records")), (0, 0));
    witness.stays_served().await;
}

#[tokio::test]
async fn many_slow_senders_end_at_their_deadline() {
    let node = Running::with(impatient()).await;
    let witness = Witness::beside(&node);
    let starts: [&[u8]; 7] = [
        b"",
        b"P",
        b"PRI * HTTP/2.0\r\n",
        b"GET /livez HT",
        b"GET /livez HTTP/1.1\r\nx-slow: ",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /v1/tenants/acme/records/tasks HTTP/1.1\r\nauthorization: Bearer cnt_member\r\ncontent-type: application/json\r\n\
          content-length: 1000\r\n\r\n{",
    ];
    let mut open = Vec::new();
    for start in starts.iter().cycle().take(210) {
        let mut stream = TcpStream::connect(node.address).await.expect("a connection");
        stream.write_all(start).await.expect("sent");
        open.push((start, stream));
    }
    for (start, mut stream) in open {
        // A byte now and then does not help.
        let _ = stream.write_all(b" ").await;
        let reply = in_time(&String::from_utf8_lossy(start), read_all(&mut stream)).await;
        assert!(matches!(statuses(&reply)[..], [] | [400 | 408]), "{reply}");
    }
    witness.stays_served().await;
}
