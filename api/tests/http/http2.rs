//! HTTP/2: the same contract, with many requests over one connection.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use api::body::record::{Fields, NewRecord};
use api::client::Call;
use api::ids::NodeNumber;
use api::problem::Problem;
use api::server::ServerConfig;
use api::service::Location;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::memory::Peer;
use crate::support::{LONG, Running, until};
use crate::tls;

type Body = BoxBody<Bytes, std::convert::Infallible>;

/// One connection.
struct Connection {
    sender: SendRequest<Body>,
    ended: JoinHandle<hyper::Result<()>>,
}

impl Connection {
    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(65_535)
            .initial_connection_window_size(65_535)
            .handshake(TokioIo::new(stream))
            .await
            .expect("a connection");
        let ended = tokio::spawn(connection);
        Self { sender, ended }
    }

    async fn to(node: &Running) -> Self {
        Self::over(TcpStream::connect(node.address).await.expect("a connection")).await
    }

    async fn send(&self, request: http::request::Builder, body: Body) -> hyper::Result<Response<Incoming>> {
        let request = request
            .header("authorization", "Bearer cnt_admin")
            .body(body)
            .expect("a request");
        let mut sender = self.sender.clone();
        sender.ready().await?;
        tokio::time::timeout(LONG, sender.send_request(request))
            .await
            .expect("a reply in time")
    }

    async fn get(&self, path: &str) -> hyper::Result<Response<Incoming>> {
        self.send(Request::get(format!("http://localhost{path}")), nothing()).await
    }

    async fn post(&self, path: &str, body: Body) -> hyper::Result<Response<Incoming>> {
        let request = Request::post(format!("http://localhost{path}")).header("content-type", "application/json");
        self.send(request, body).await
    }
}

fn nothing() -> Body {
    Full::new(Bytes::new()).boxed()
}

/// A body whose end never comes.
struct Unfinished(Option<Bytes>);

impl hyper::body::Body for Unfinished {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.0.take() {
            Some(start) => Poll::Ready(Some(Ok(Frame::data(start)))),
            None => Poll::Pending,
        }
    }
}

/// Waits until the server has ended all streams, as its metrics say.
async fn no_stream_is_open(node: &Running) {
    let client = node.client("");
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let gone = async {
        loop {
            looks.tick().await;
            let metrics = client.call(Call::new(http::Method::GET, "/metrics")).await.expect("metrics");
            if String::from_utf8_lossy(&metrics.body).contains("\ncloudnest_http_streams 0\n") {
                return;
            }
        }
    };
    tokio::time::timeout(LONG, gone).await.expect("the stream is given up");
}

async fn whole(reply: Response<Incoming>) -> Bytes {
    reply.into_body().collect().await.expect("a whole body").to_bytes()
}

fn impatient() -> ServerConfig {
    let short = Duration::from_millis(200);
    ServerConfig {
        head: short,
        body: short,
        stream_idle: short,
        ..ServerConfig::default()
    }
}

const TASKS: &str = "/v1/tenants/acme/records/tasks";

/// Records that are larger than all windows and buffers on the way.
async fn fill(node: &Running) {
    for _ in 0..4 {
        let fields = Fields::from_iter([("text".to_owned(), "x".repeat(900_000).into())]);
        let new = NewRecord { id: None, fields };
        let client = node.client("cnt_member");
        client.record_create("acme", "tasks", &new, None).await.expect("created");
    }
}

#[tokio::test]
async fn requests_and_replies_pass_with_and_without_tls() {
    let secure = Running::secure(ServerConfig::default(), &tls::first()).await;
    let plain = Running::start().await;
    for (node, connection) in [
        (&secure, Connection::over(tls::connect(&secure, &["h2"]).await).await),
        (&plain, Connection::to(&plain).await),
    ] {
        let body = Full::new(Bytes::from_static(b"{\"fields\":{\"title\":\"over two\"}}")).boxed();
        let made = connection.post(TASKS, body).await.expect("a reply");
        assert_eq!(made.status(), StatusCode::CREATED);
        assert_eq!(made.headers()["etag"], "\"1\"");
        assert!(!made.headers().contains_key("connection"));
        fill(node).await;
        // Two lists at a time, each larger than the windows.
        let (one, two) = tokio::join!(connection.get(TASKS), connection.get(TASKS));
        let (one, two) = tokio::join!(whole(one.expect("a reply")), whole(two.expect("a reply")));
        assert!(one == two && one.len() > 3_600_000);
        let head = connection
            .send(Request::head("http://localhost/openapi.json"), nothing())
            .await
            .expect("a reply");
        let size = api::openapi::DOCUMENT.len().to_string();
        assert_eq!(head.headers()["content-length"], size.as_str());
        assert!(whole(head).await.is_empty());
        let missing = connection.get("/nowhere").await.expect("a reply");
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
        let problem: Problem = serde_json::from_slice(&whole(missing).await).expect("a problem");
        assert_eq!(problem.code, "not_found");
    }
}

#[tokio::test]
async fn a_slow_body_is_answered_408_and_others_of_the_connection_go_on() {
    let node = Running::with(ServerConfig {
        head: LONG,
        ..impatient()
    })
    .await;
    let connection = Connection::to(&node).await;
    let reply = connection
        .post(TASKS, Unfinished(Some(Bytes::from_static(b"{\"fields\""))).boxed())
        .await;
    assert_eq!(reply.expect("a reply").status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(node.service.count("record_create"), 0);
    assert_eq!(connection.get("/livez").await.expect("a reply").status(), StatusCode::OK);
}

#[tokio::test]
async fn a_reply_that_nobody_reads_is_reset_and_others_of_the_connection_go_on() {
    let node = Running::with(ServerConfig {
        head: LONG,
        ..impatient()
    })
    .await;
    fill(&node).await;
    let connection = Connection::to(&node).await;
    for path in [TASKS, "/v1/tenants/acme/export"] {
        // The connection's own window must not be used up by it, or nobody could read anything.
        let mut unread = connection.get(path).await.expect("a head").into_body();
        let first = unread.frame().await.expect("a frame").expect("data");
        assert!(first.is_data());
        no_stream_is_open(&node).await;
        let read = unread.collect().await;
        read.expect_err("the rest was not sent");
        assert_eq!(connection.get("/livez").await.expect("a reply").status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let node = Running::with(impatient()).await;
    let connection = Connection::to(&node).await;
    assert_eq!(connection.get("/livez").await.expect("a reply").status(), StatusCode::OK);
    let ended = tokio::time::timeout(LONG, connection.ended).await.expect("closed in time");
    ended.expect("a task").expect("a goodbye, not a break");
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let node = Running::start().await;
    let connection = Connection::to(&node).await;
    let mut request = Request::get("http://localhost/livez");
    for number in 0..api::limits::HEADERS {
        request = request.header(format!("x-{number}"), "1");
    }
    let refused = connection.send(request, nothing()).await.expect("a reply");
    assert_eq!(refused.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let problem: Problem = serde_json::from_slice(&whole(refused).await).expect("a problem");
    assert_eq!(problem.code, "headers_too_large");
    let large = Request::get("http://localhost/livez").header("x-large", "x".repeat(api::limits::HEAD_BYTES));
    let refused = connection.send(large, nothing()).await;
    // A client that heeds the announced limit does not even send it.
    assert!(refused.is_err() || refused.is_ok_and(|reply| reply.status().as_u16() == 431));
    assert_eq!(connection.get("/livez").await.expect("a reply").status(), StatusCode::OK);
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_lets_the_connection_go() {
    let node = Running::start().await;
    let (idle, busy) = (Connection::to(&node).await, Connection::to(&node).await);
    assert_eq!(idle.get("/livez").await.expect("a reply").status(), StatusCode::OK);
    node.service.held.store(true, Ordering::SeqCst);
    let write = async {
        busy.post(TASKS, Full::new(Bytes::from_static(b"{\"fields\":{}}")).boxed())
            .await
    };
    let drain = async {
        until("the write is in flight", || node.service.count("record_create") == 1).await;
        let draining = tokio::spawn({
            let server = node.server.clone();
            async move { server.drain(LONG).await }
        });
        let ended = tokio::time::timeout(LONG, idle.ended).await.expect("the idle one is let go");
        ended.expect("a task").expect("a goodbye, not a break");
        node.service.release();
        draining.await.expect("a task")
    };
    let (made, cut) = tokio::join!(write, drain);
    assert_eq!((made.expect("finished").status(), cut), (StatusCode::CREATED, 0));
}

#[tokio::test]
async fn what_is_not_finished_at_the_deadline_is_cut() {
    let node = Running::start().await;
    let busy = Connection::to(&node).await;
    node.service.held.store(true, Ordering::SeqCst);
    let write = async {
        busy.post(TASKS, Full::new(Bytes::from_static(b"{\"fields\":{}}")).boxed())
            .await
    };
    let drain = async {
        until("the write is in flight", || node.service.count("record_create") == 1).await;
        node.server.drain(Duration::from_millis(50)).await
    };
    let (made, cut) = tokio::join!(write, drain);
    made.expect_err("cut");
    assert_eq!(cut, 1);
    node.service.release();
}

#[tokio::test]
async fn requests_pass_to_other_nodes() {
    let (ingress, leader) = (Running::start().await, Running::start().await);
    ingress.service.locate_by(|_| Location::Node(NodeNumber(2)));
    ingress.service.peer(2, Peer::Serves(leader.server.clone()));
    let connection = Connection::to(&ingress).await;
    let made = connection
        .post(TASKS, Full::new(Bytes::from_static(b"{\"fields\":{}}")).boxed())
        .await;
    assert_eq!(made.expect("a reply").status(), StatusCode::CREATED);
    let request = Request::post(format!("http://localhost{TASKS}/import")).header("content-type", "application/x-ndjson");
    let lines = Full::new(Bytes::from(b"{\"title\":\"x\"}\n".repeat(1_000))).boxed();
    let imported = connection.send(request, lines).await.expect("a reply");
    assert_eq!(imported.status(), StatusCode::OK);
    assert!(whole(imported).await.ends_with(b"\"position\":1001}\n"));
    let list = connection.get(&format!("{TASKS}?limit=500")).await.expect("a reply");
    assert!(whole(list).await.len() > 10_000);
}

#[tokio::test]
async fn a_node_has_so_many_requests_at_a_time_and_no_more() {
    let node = Running::with(ServerConfig {
        connections: 2,
        ..ServerConfig::default()
    })
    .await;
    let connection = Connection::to(&node).await;
    node.service.held.store(true, Ordering::SeqCst);
    let held = async { tokio::join!(connection.get(TASKS), connection.get(TASKS)) };
    let more = async {
        until("both are under way", || node.service.count("records") == 2).await;
        let refused = connection.get("/livez").await.expect("a reply");
        assert_eq!(
            (refused.status(), &refused.headers()["retry-after"]),
            (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().expect("a value"))
        );
        node.service.release();
    };
    let ((one, two), ()) = tokio::join!(held, more);
    assert_eq!(
        (one.expect("a reply").status(), two.expect("a reply").status()),
        (StatusCode::OK, StatusCode::OK)
    );
    assert_eq!(connection.get("/livez").await.expect("a reply").status(), StatusCode::OK);
}

#[tokio::test]
async fn a_connection_counts_once_for_its_tenant_and_one_too_many_is_told_to_go() {
    let node = Running::start().await;
    node.service.connections.store(1, Ordering::Relaxed);
    let first = Connection::to(&node).await;
    for _ in 0..3 {
        let reply = first.get(TASKS).await.expect("a reply");
        assert_eq!(reply.status(), StatusCode::OK);
    }
    assert_eq!(node.service.connections.load(Ordering::Relaxed), 0);
    let second = Connection::to(&node).await;
    let refused = second.get(TASKS).await.expect("a reply");
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "1");
    whole(refused).await;
    let ended = tokio::time::timeout(LONG, second.ended).await.expect("it is closed");
    ended.expect("no panic").expect("it ends in order");
    assert_eq!(first.get(TASKS).await.expect("a reply").status(), StatusCode::OK);
}
