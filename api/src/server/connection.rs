//! One connection: accepting it, serving it, and letting it go.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::phase::Phase;
use super::progress::Progress;
use crate::error::{Code, Error};
use crate::front::{Front, Origin};
use crate::limits;
use crate::problem::{MEDIA_TYPE, Problem};
use crate::service::BoxStream;

/// How long the accept loop rests when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn accept(front: &Arc<Front>, connections: &TaskTracker, listener: TcpListener) -> io::Result<()> {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = front.phases.reached(Phase::Draining) => return Ok(()),
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(serve_client(Arc::clone(front), stream));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve_client(front: Arc<Front>, mut stream: TcpStream) {
    let Some(_slot) = front.metrics.connect(front.config.connections) else {
        let body = Problem::of(&Error::new(Code::Unavailable, "this node has too many connections")).to_json();
        let mut reply = format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {MEDIA_TYPE}\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        reply.extend_from_slice(&body);
        // Best effort: the client may be gone, and nothing depends on its reading this.
        let _ = tokio::time::timeout(ACCEPT_PAUSE, stream.write_all(&reply)).await;
        if let Ok(stream) = stream.into_std() {
            let _ = stream.shutdown(Shutdown::Write);
        }
        return;
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "turn off Nagle's algorithm");
    }
    let head = front.config.head;
    let stream = Progress::new(stream, front.config.stream_idle);
    serve(&front, stream, Origin::Client, Some(head)).await;
}

pub(super) async fn serve_node(front: Arc<Front>, stream: BoxStream) {
    // No limit on idle time: the other node decides when it needs the connection no more. None on writes either: behind a reply
    // that makes no progress is a client of that node, which lets both go.
    serve(&front, stream, Origin::Node, None).await;
}

async fn serve<S>(front: &Arc<Front>, stream: S, origin: Origin, head: Option<Duration>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| {
        let front = Arc::clone(front);
        async move { Ok::<_, std::convert::Infallible>(front.answer(origin, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head);
    let (head_bytes, headers, last) = match origin {
        Origin::Client => (limits::HEAD_BYTES, limits::HEADERS, Phase::Draining),
        // Room for what ingress adds to the largest head of a client.
        Origin::Node => (2 * limits::HEAD_BYTES, limits::HEADERS + 8, Phase::Leaving),
    };
    builder.max_header_size(head_bytes).max_headers(headers);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = front.phases.reached(last) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                // First, so that a connection that is idle at the deadline closes and is not counted as cut.
                biased;
                result = connection.as_mut() => result,
                () = front.phases.reached(Phase::Cut) => {
                    front.cut.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "serve a connection");
    }
}
