//! The side that serves: a task for each request, and one that reads requests and writes replies.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use http::{Method, Request, request};
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::frame::{self, Frame};
use super::{BATCH, GOODBYE, PREFACE, READ_BYTES, UNDER_WAY, write_together};
use crate::front::{Front, Origin};
use crate::headers;
use crate::read::RequestBody;
use crate::server::Phase;

/// Replies that wait to be written.
const REPLIES: usize = 1_024;

/// Serves a stream that begins with [`PREFACE`], until the other side closes it, or this node leaves and has answered all that it took. What is under way
/// ends with the stream, as it does with a connection.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite>(front: Arc<Front>, stream: S) {
    let (mut reads, mut writes) = tokio::io::split(stream);
    let (sender, replies) = mpsc::channel(REPLIES);
    let places = Arc::new(Semaphore::new(UNDER_WAY));
    let mut handlers = JoinSet::new();
    let work = async {
        writes.write_all(PREFACE).await?;
        writes.flush().await?;
        let reading = async {
            let left = take(&front, &mut reads, &places, &mut handlers, sender).await?;
            if left { hear_out(&mut reads).await } else { Ok(()) }
        };
        let mut reading = std::pin::pin!(reading);
        tokio::select! {
            // Nobody is there to hear replies.
            ended = &mut reading => ended,
            written = write(writes, replies) => {
                written?;
                // To close while something has not been read would take back what the other side has not read.
                tokio::time::timeout(GOODBYE, reading).await.unwrap_or(Ok(()))
            }
        }
    };
    let ended = tokio::select! {
        ended = work => ended,
        () = front.phases.reached(Phase::Cut) => {
            if places.available_permits() < UNDER_WAY {
                front.cut.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "serve the requests of another node");
    }
}

/// Takes requests until there are no more; true: because this node leaves, and has said so.
async fn take<R: AsyncRead + Unpin>(
    front: &Arc<Front>,
    reads: &mut R,
    places: &Arc<Semaphore>,
    handlers: &mut JoinSet<()>,
    replies: mpsc::Sender<BytesMut>,
) -> io::Result<bool> {
    let mut preface = [0; PREFACE.len()];
    reads.read_exact(&mut preface).await?;
    let mut arrived = BytesMut::new();
    let mut last = 0;
    let mut leaving = std::pin::pin!(front.phases.reached(Phase::Leaving));
    loop {
        while let Some(frame) = Frame::take(&mut arrived)? {
            let Frame::Request(number, head, body) = frame else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "between nodes: a request was due"));
            };
            last = number;
            let Ok(place) = Arc::clone(places).acquire_owned().await else {
                return Ok(false);
            };
            let (front, unanswered) = (Arc::clone(front), Unanswered::new(number, replies.clone()));
            handlers.spawn(async move {
                answer(&front, unanswered, *head, body).await;
                drop(place);
            });
        }
        // A handler that panicked has said that there is no reply.
        while handlers.try_join_next().is_some() {}
        arrived.reserve(READ_BYTES);
        let count = tokio::select! {
            biased;
            () = &mut leaving => {
                // Whoever does not hear it sees the stream end.
                let _ = replies.send(frame::leaving(last)).await;
                return Ok(true);
            }
            count = reads.read_buf(&mut arrived) => count?,
        };
        if count == 0 {
            return Ok(false);
        }
    }
}

/// Reads on, and forgets, what was sent before the other side heard that this node leaves.
async fn hear_out<R: AsyncRead + Unpin>(reads: &mut R) -> io::Result<()> {
    tokio::io::copy(reads, &mut tokio::io::sink()).await.map(drop)
}

/// Writes what is ready, together, until nothing can come any more.
async fn write<W: AsyncWrite + Unpin>(mut writes: W, mut replies: mpsc::Receiver<BytesMut>) -> io::Result<()> {
    let mut ready = Vec::with_capacity(BATCH);
    let mut out = BytesMut::new();
    while replies.recv_many(&mut ready, BATCH).await > 0 {
        write_together(&mut writes, &mut ready, &mut out).await?;
    }
    writes.shutdown().await
}

async fn answer(front: &Arc<Front>, unanswered: Unanswered, head: request::Parts, body: Bytes) {
    let is_head = head.method == Method::HEAD;
    let mut reply = front
        .answer(Origin::Node, None, Request::from_parts(head, RequestBody::Kept(body)))
        .await;
    if is_head {
        reply = headers::without_body(reply);
    }
    let (head, body) = reply.into_parts();
    let body = match body.collect().await {
        Ok(whole) => whole.to_bytes(),
        Err(error) => return tracing::debug!(%error, "a reply for another node broke off"),
    };
    match frame::reply(unanswered.number, &head, &body) {
        Some(frames) => unanswered.answer(frames).await,
        None => tracing::error!("the head of a reply is too long for another node"),
    }
}

/// A request that was taken. Dropped without an answer it says so: the other node would wait for as long as a request may take.
struct Unanswered {
    number: u64,
    replies: Option<mpsc::Sender<BytesMut>>,
}

impl Unanswered {
    fn new(number: u64, replies: mpsc::Sender<BytesMut>) -> Self {
        Self {
            number,
            replies: Some(replies),
        }
    }

    async fn answer(mut self, frames: Vec<BytesMut>) {
        let Some(replies) = self.replies.take() else { return };
        for frame in frames {
            // The other side has gone: nobody is left to tell.
            let _ = replies.send(frame).await;
        }
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(replies) = self.replies.take() {
            // Where there is no room the stream is far behind, and the request's own time ends it.
            let _ = replies.try_send(frame::broken(self.number));
        }
    }
}
