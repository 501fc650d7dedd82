//! Bodies that are wrong.

use api::client::Call;
use api::error::Outcome;
use api::limits;
use http::Method;

use crate::support::{JSON, Running, problem};

#[tokio::test]
async fn a_wrong_body_is_refused_with_its_place() {
    let node = Running::start().await;
    let deep = format!("{{\"fields\":{{\"a\":{}{}}}}}", "[".repeat(40), "]".repeat(40));
    let cases = [
        ("", 400, "malformed_body", ""),
        ("{", 400, "malformed_body", ""),
        ("{\"fields\":{}} x", 400, "malformed_body", ""),
        ("{\"fields\":{\"a\":1,\"a\":2}}", 400, "malformed_body", "/fields/a"),
        (
            deep.as_str(),
            400,
            "malformed_body",
            "/fields/a/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0",
        ),
        ("{}", 422, "invalid_fields", ""),
        ("[]", 422, "invalid_fields", ""),
        ("{\"fields\":[]}", 422, "invalid_fields", "/fields"),
        ("{\"fields\":{},\"more\":1}", 422, "invalid_fields", "/more"),
        ("{\"fields\":{},\"id\":\"no\"}", 422, "invalid_fields", "/id"),
        ("{\"fields\":{},\"id\":7}", 422, "invalid_fields", "/id"),
    ];
    for (body, status, code, pointer) in cases {
        let answer = node.ask(Method::POST, "records/tasks", Some((JSON, body))).await;
        let problem = problem(&answer);
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (status, code),
            "{body}: {}",
            problem.detail
        );
        assert_eq!(problem.outcome, Outcome::NotApplied, "{body}");
        assert!(problem.errors[0].pointer.starts_with(pointer), "{body}: {:?}", problem.errors);
        assert!(
            !pointer.is_empty() || problem.errors[0].pointer.is_empty(),
            "{body}: {:?}",
            problem.errors
        );
    }
    assert_eq!(node.service.count("record_create"), 0);
}

#[tokio::test]
async fn bytes_that_are_not_utf_8_are_refused() {
    let node = Running::start().await;
    let call = Call::new(Method::POST, "/v1/tenants/acme/records/tasks").body(JSON, &b"{\"fields\":{\"a\":\"\xff\"}}"[..]);
    let answer = node.client("cnt_member").call(call).await.expect("an answer");
    assert_eq!(problem(&answer).code, "malformed_body");
}

#[tokio::test]
async fn media_types_are_checked() {
    let node = Running::start().await;
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin1",
    ] {
        let answer = node
            .ask(Method::POST, "records/tasks", Some((media_type, "{\"fields\":{}}")))
            .await;
        assert_eq!(problem(&answer).code, "unsupported_media_type", "{media_type}");
    }
    let answer = node.ask(Method::POST, "records/tasks", None).await;
    assert_eq!(problem(&answer).status, 415);
    let answer = node.ask(Method::POST, "records/tasks/import", Some((JSON, "{}"))).await;
    assert_eq!(problem(&answer).status, 415);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_by_length_and_in_chunks() {
    let node = Running::start().await;
    let head = "POST /v1/tenants/acme/records/tasks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer cnt_member\r\n\
                content-type: application/json\r\n";
    let by_length = format!("{head}content-length: {}\r\n\r\n", limits::BODY_BYTES + 1);
    let reply = node.raw(by_length.as_bytes()).await;
    assert!(
        reply.starts_with("HTTP/1.1 413 ") && reply.contains("\"too_large\""),
        "{reply}"
    );

    let mut chunked = format!("{head}transfer-encoding: chunked\r\nconnection: close\r\n\r\n").into_bytes();
    for _ in 0..(limits::BODY_BYTES / 65_536 + 2) {
        chunked.extend_from_slice(b"10000\r\n");
        chunked.extend_from_slice(&[b' '; 65_536]);
        chunked.extend_from_slice(b"\r\n");
    }
    // The server may close before it has been sent all.
    use tokio::io::AsyncWriteExt;
    let mut stream = tokio::net::TcpStream::connect(node.address).await.expect("a connection");
    let (mut reading, mut writing) = stream.split();
    let _ = tokio::join!(writing.write_all(&chunked), async {
        use tokio::io::AsyncReadExt;
        let mut reply = vec![0; 4_096];
        let read = reading.read(&mut reply).await.expect("a reply");
        let reply = String::from_utf8_lossy(&reply[..read]).into_owned();
        assert!(reply.starts_with("HTTP/1.1 413 "), "{reply}");
    });
    assert_eq!(node.service.count("record_create"), 0);
}

#[tokio::test]
async fn broken_chunks_are_refused() {
    let node = Running::start().await;
    let request = "POST /v1/tenants/acme/records/tasks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer cnt_member\r\n\
                   content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n";
    let reply = node.raw(request.as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
}

#[tokio::test]
async fn a_batch_is_checked_before_the_service_sees_it() {
    let node = Running::start().await;
    let many = vec!["{\"op\":\"create\",\"collection\":\"tasks\",\"fields\":{}}"; limits::BATCH_OPERATIONS + 1].join(",");
    let cases = [
        (format!("{{\"operations\":[{many}]}}"), "/operations"),
        (
            "{\"operations\":[{\"op\":\"put\",\"collection\":\"tasks\",\"fields\":{}}]}".into(),
            "/operations/0/id",
        ),
        (
            "{\"operations\":[{\"op\":\"create\",\"collection\":\"tasks\"}]}".into(),
            "/operations/0/fields",
        ),
        (
            "{\"operations\":[{\"op\":\"erase\",\"collection\":\"tasks\"}]}".into(),
            "/operations/0/op",
        ),
        (
            "{\"operations\":[{\"op\":\"create\",\"collection\":\"Tasks\"}]}".into(),
            "/operations/0/collection",
        ),
    ];
    for (body, pointer) in &cases {
        let answer = node.ask(Method::POST, "batch", Some((JSON, body))).await;
        let problem = problem(&answer);
        assert_eq!(
            (problem.status, problem.errors[0].pointer.as_str()),
            (422, *pointer),
            "{}",
            problem.detail
        );
    }
    assert_eq!(node.service.count("batch"), 0);
}
