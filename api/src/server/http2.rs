//! One connection that speaks HTTP/2.
//!
//! The limits are those of HTTP/1, with three of its own: how many requests may be under way at a time, how many may be taken back,
//! and how much is kept for a client that does not read. A connection without a request is closed after the time that HTTP/1 gives
//! the next head; that is also what ends a head that never becomes whole, because frames of other streams cannot come in between.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Method, Request};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::client::ClientConnection;
use super::phase::Phase;
use super::streams::{Framed, Streams};
use crate::front::{Front, Origin};
use crate::read::RequestBody;
use crate::{headers, limits};

pub(super) async fn serve<S>(front: &Arc<Front>, stream: S, secure: bool)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let streams = Streams::new(Arc::clone(&front.metrics.streams));
    let _cut = CutOff(streams.clone());
    let client = Arc::new(ClientConnection::default());
    let service = service_fn(|request: Request<Incoming>| {
        let (front, streams, client) = (Arc::clone(front), streams.clone(), Arc::clone(&client));
        async move {
            let asked = streams.asked();
            let bodiless = request.method() == Method::HEAD;
            let mut reply = front
                .answer(Origin::Client, Some(&client), request.map(RequestBody::new))
                .await;
            if bodiless {
                reply = headers::without_body(reply);
            }
            headers::fit_http2(reply.headers_mut());
            if secure {
                headers::secure_transport(reply.headers_mut());
            }
            if front.phases.now() >= Phase::Notice || client.leaves() {
                // As `connection: close` does over HTTP/1: the client goes elsewhere while all is well.
                streams.leave();
            }
            asked.answered();
            Ok::<_, Infallible>(reply.map(|body| Framed::new(body, streams)))
        }
    });
    let builder = builder(&streams);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let (idle, stuck) = (front.config.head, front.config.stream_idle);
    tokio::select! {
        result = connection.as_mut() => return ended(result),
        () = streams.abused() => return,
        () = streams.watch(idle, stuck) => {}
        () = streams.leaving() => {}
        () = front.phases.reached(Phase::Draining) => {}
    }
    connection.as_mut().graceful_shutdown();
    let goodbye = Duration::from_secs(limits::GOODBYE_SECONDS).min(idle);
    tokio::select! {
        // First, so that a connection that is idle at the deadline closes and is not counted as cut.
        biased;
        result = connection.as_mut() => ended(result),
        () = streams.abused() => {}
        // All is answered, and the client does not close.
        () = streams.watch(goodbye, stuck) => {}
        () = front.phases.reached(Phase::Cut) => {
            front.cut.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn builder(streams: &Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams.clone());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::STREAMS)
        .max_pending_accept_reset_streams(limits::PENDING_RESET_STREAMS)
        .max_local_error_reset_streams(limits::ERROR_RESET_STREAMS)
        .max_header_list_size(limits::HEAD_BYTES as u32)
        .max_frame_size(limits::FRAME_BYTES as u32)
        .max_send_buf_size(limits::SEND_BUFFER_BYTES)
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(Duration::from_secs(limits::PING_SECONDS))
        .keep_alive_timeout(Duration::from_secs(limits::PING_SECONDS));
    builder
}

fn ended(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "serve a connection over HTTP/2");
    }
}

/// Ends the streams with their connection, however that ends.
struct CutOff(Streams);

impl Drop for CutOff {
    fn drop(&mut self) {
        self.0.abort();
    }
}
