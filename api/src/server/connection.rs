//! One connection: accepting it, finding out what it speaks, serving it over HTTP/1.1, and letting it go.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::client::ClientConnection;
use super::phase::Phase;
use super::progress::Progress;
use super::refusal::{self, Refusals};
use super::tls::Certificates;
use super::{http2, sniff, tls};
use crate::error::{Code, Error};
use crate::forward::mux;
use crate::front::{Front, Origin};
use crate::read::RequestBody;
use crate::service::BoxStream;
use crate::{headers, limits};

/// How long the accept loop rests when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn accept(
    front: &Arc<Front>,
    connections: &TaskTracker,
    listener: TcpListener,
    certificates: Option<Arc<Certificates>>,
) -> io::Result<()> {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = front.phases.reached(Phase::Draining) => return Ok(()),
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(serve_client(Arc::clone(front), certificates.clone(), stream));
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

async fn serve_client(front: Arc<Front>, certificates: Option<Arc<Certificates>>, stream: TcpStream) {
    let Some(_slot) = front.metrics.connect(front.config.connections) else {
        if certificates.is_none() {
            refuse(stream, &Error::new(Code::Unavailable, "this node has too many connections")).await;
        }
        return;
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "turn off Nagle's algorithm");
    }
    match certificates {
        Some(certificates) => serve_encrypted(&front, &certificates, stream).await,
        None => serve_plain(&front, stream).await,
    }
}

/// Answers a connection, of which nothing has been read, with one problem.
async fn refuse(mut stream: TcpStream, error: &Error) {
    let reply = refusal::last_reply(error);
    // Best effort: the client may be gone, and nothing depends on its reading this.
    let _ = tokio::time::timeout(ACCEPT_PAUSE, stream.write_all(&reply)).await;
    if let Ok(stream) = stream.into_std() {
        let _ = stream.shutdown(Shutdown::Write);
    }
}

async fn serve_plain(front: &Arc<Front>, stream: TcpStream) {
    let stream = Progress::new(stream, front.config.stream_idle);
    let sniffed = tokio::select! {
        sniffed = tokio::time::timeout(front.config.head, sniff::sniff(stream, sniff::PREFACE)) => sniffed,
        // It has asked for nothing yet.
        () = front.phases.reached(Phase::Draining) => return,
    };
    match sniffed {
        Ok(Ok((true, stream))) => Box::pin(http2::serve(front, stream, false)).await,
        Ok(Ok((false, stream))) => {
            let stream = Refusals::new(stream, front);
            serve(front, stream, Origin::Client, Some(front.config.head), false).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "read from a new connection"),
        Err(_) => tracing::debug!("a new connection says nothing"),
    }
}

async fn serve_encrypted(front: &Arc<Front>, certificates: &Certificates, stream: TcpStream) {
    let within = front.config.handshake;
    let mut first = [0];
    let peeked = tokio::select! {
        peeked = tokio::time::timeout(within, stream.peek(&mut first)) => peeked,
        () = front.phases.reached(Phase::Draining) => return,
    };
    if !matches!(peeked, Ok(Ok(1))) {
        return;
    }
    if first[0].is_ascii_uppercase() {
        // A method, and no handshake: worth an answer, because the mistake is a common one.
        let mistake = "this port speaks TLS: use https:// in the URL";
        return refuse(stream, &Error::new(Code::InvalidParameter, mistake)).await;
    }
    let handshake = tls::accept(certificates, Progress::new(stream, front.config.stream_idle), within);
    let accepted = tokio::select! {
        accepted = handshake => accepted,
        () = front.phases.reached(Phase::Draining) => return,
    };
    match accepted {
        Ok((true, stream)) => Box::pin(http2::serve(front, stream, true)).await,
        Ok((false, stream)) => {
            let stream = Refusals::new(stream, front);
            Box::pin(serve(front, stream, Origin::Client, Some(front.config.head), true)).await;
        }
        Err(error) => {
            front.metrics.handshake_failed();
            tracing::debug!(%error, "the TLS handshake of a client");
        }
    }
}

pub(super) async fn serve_node(front: Arc<Front>, stream: BoxStream) {
    // No limit on idle time: the other node decides when it needs the connection no more. None on writes either: behind a reply
    // that makes no progress is a client of that node, which lets both go.
    let sniffed = tokio::select! {
        sniffed = sniff::sniff(stream, mux::PREFACE) => sniffed,
        // It has asked for nothing yet.
        () = front.phases.reached(Phase::Leaving) => return,
    };
    match sniffed {
        Ok((true, stream)) => mux::serve(front, stream).await,
        Ok((false, stream)) => serve(&front, stream, Origin::Node, None, false).await,
        Err(error) => tracing::debug!(%error, "read from another node"),
    }
}

async fn serve<S>(front: &Arc<Front>, stream: S, origin: Origin, head: Option<Duration>, secure: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let client = (origin == Origin::Client).then(|| Arc::new(ClientConnection::default()));
    let service = service_fn(|request: Request<Incoming>| {
        let (front, client) = (Arc::clone(front), client.clone());
        async move {
            // In a box that goes with the reply: a connection that is idle, or sends a stream, does not keep the place that an answer takes.
            let mut reply = Box::pin(front.answer(origin, client.as_ref(), request.map(RequestBody::new))).await;
            if secure {
                headers::secure_transport(reply.headers_mut());
            }
            Ok::<_, std::convert::Infallible>(reply)
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head);
    let (head_bytes, headers, last) = match origin {
        Origin::Client => (limits::HEAD_BYTES, limits::HEADERS, Phase::Draining),
        // Room for what ingress adds to the largest head of a client.
        Origin::Node => (2 * limits::HEAD_BYTES, limits::HEADERS + 8, Phase::Leaving),
    };
    builder.max_header_size(head_bytes).max_headers(headers);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
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
