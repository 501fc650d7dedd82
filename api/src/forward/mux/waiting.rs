//! The task of one stream: requests go out as they come, together, and replies to those who wait for them.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::response;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use super::frame::{self, Frame};
use super::link::{Answer, Outgoing};
use super::{BATCH, KEPT_BYTES, join};
use crate::limits::REQUEST_SECONDS;

/// How long a stream without requests is kept.
const IDLE: Duration = Duration::from_secs(60);
/// How long nothing comes of a node that was asked for something, before it is taken for gone: longer than any request takes.
const SILENCE: Duration = Duration::from_secs(2 * REQUEST_SECONDS);

/// Who waits. The two halves of one task share it.
#[derive(Default)]
struct Waiting(Mutex<Waiters>);

#[derive(Default)]
struct Waiters {
    /// By the number of the request.
    all: BTreeMap<u64, Waiter>,
    /// When something was first asked for since anything was heard.
    asked: Option<Instant>,
}

struct Waiter {
    reply: oneshot::Sender<Answer>,
    /// What has come of a reply in pieces.
    begun: Option<(Box<response::Parts>, BytesMut)>,
}

/// Brings requests to a node and replies back, until the node leaves, the stream breaks or nobody has asked for long.
pub(super) async fn run<S: AsyncRead + AsyncWrite>(stream: S, mut requests: mpsc::Receiver<Outgoing>) {
    let (mut reads, writes) = tokio::io::split(stream);
    let waiting = Waiting::default();
    let mut arrived = BytesMut::new();
    let left = tokio::select! {
        left = waiting.hear(&mut reads, &mut arrived) => left,
        ended = waiting.ask(writes, &mut requests) => ended.map(|()| None),
    };
    // From here on whoever comes finds it closed; those that were not written yet go elsewhere.
    requests.close();
    while let Ok(unsent) = requests.try_recv() {
        tell(unsent.reply, Answer::Unsent);
    }
    match left {
        Ok(Some(last)) => {
            waiting.not_taken(last);
            if let Err(error) = waiting.hear_out(&mut reads, &mut arrived).await {
                tracing::debug!(%error, "a node that leaves did not answer all");
            }
        }
        Ok(None) => {}
        Err(error) => tracing::debug!(%error, "the stream to another node broke"),
    }
}

impl Waiting {
    /// Writes requests as they come, together. Ends when there were none for long, and none is under way.
    async fn ask<W: AsyncWrite + Unpin>(&self, mut writes: W, requests: &mut mpsc::Receiver<Outgoing>) -> io::Result<()> {
        let (mut batch, mut frames) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        let (mut out, mut last) = (BytesMut::new(), 0);
        loop {
            match tokio::time::timeout(IDLE, requests.recv_many(&mut batch, BATCH)).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(_) if self.is_idle() => return writes.shutdown().await,
                Err(_) => continue,
            }
            {
                let mut waiting = self.lock();
                waiting.asked.get_or_insert_with(Instant::now);
                for Outgoing { mut frame, reply } in batch.drain(..) {
                    last += 1;
                    frame::set_number(&mut frame, last);
                    frames.push(frame);
                    waiting.all.insert(last, Waiter { reply, begun: None });
                }
            }
            join(&mut frames, &mut out);
            writes.write_all(&out).await?;
            writes.flush().await?;
            out.clear();
            if out.capacity() > KEPT_BYTES {
                out = BytesMut::new();
            }
        }
    }

    /// Gives replies to those who wait; the last request that was taken, where the node leaves.
    async fn hear<R: AsyncRead + Unpin>(&self, reads: &mut R, arrived: &mut BytesMut) -> io::Result<Option<u64>> {
        loop {
            while let Some(frame) = Frame::take(arrived)? {
                match frame {
                    Frame::Reply(number, head, body, true) => self.tell(number, Answer::Replied(head, body)),
                    Frame::Reply(number, head, body, false) => self.begin(number, head, body),
                    Frame::Piece(number, piece, is_last) => self.go_on(number, &piece, is_last),
                    Frame::Broken(number) => self.tell(number, Answer::Broken),
                    Frame::Leaving(last) => return Ok(Some(last)),
                    Frame::Request(..) => {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "between nodes: a reply was due"));
                    }
                }
            }
            match tokio::time::timeout(SILENCE, reads.read_buf(arrived)).await {
                Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Ok(_)) => self.lock().asked = None,
                Ok(Err(error)) => return Err(error),
                Err(_) if self.is_silent() => return Err(io::ErrorKind::TimedOut.into()),
                Err(_) => {}
            }
        }
    }

    /// The replies that a node that leaves still owes.
    async fn hear_out<R: AsyncRead + Unpin>(&self, reads: &mut R, arrived: &mut BytesMut) -> io::Result<()> {
        while !self.is_idle() {
            self.hear(reads, arrived).await?;
        }
        Ok(())
    }

    fn begin(&self, number: u64, head: Box<response::Parts>, body: Bytes) {
        if let Some(waiter) = self.lock().all.get_mut(&number) {
            waiter.begun = Some((head, body.into()));
        }
    }

    fn go_on(&self, number: u64, piece: &[u8], is_last: bool) {
        let mut waiting = self.lock();
        let Some(waiter) = waiting.all.get_mut(&number) else { return };
        if let Some((_, body)) = &mut waiter.begun {
            body.extend_from_slice(piece);
        }
        if !is_last {
            return;
        }
        if let Some(Waiter { reply, begun }) = waiting.all.remove(&number) {
            let whole = begun.map_or(Answer::Broken, |(head, body)| Answer::Replied(head, body.freeze()));
            tell(reply, whole);
        }
    }

    fn tell(&self, number: u64, answer: Answer) {
        if let Some(waiter) = self.lock().all.remove(&number) {
            tell(waiter.reply, answer);
        }
    }

    /// Tells those after the last one that was taken.
    fn not_taken(&self, last: u64) {
        let unsent = self.lock().all.split_off(&(last + 1));
        unsent.into_values().for_each(|waiter| tell(waiter.reply, Answer::Unsent));
    }

    /// Whether nobody waits any more.
    fn is_idle(&self) -> bool {
        let mut waiting = self.lock();
        waiting.all.retain(|_, waiter| !waiter.reply.is_closed());
        waiting.all.is_empty()
    }

    fn is_silent(&self) -> bool {
        self.lock().asked.is_some_and(|asked| asked.elapsed() >= SILENCE)
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever has given up needs no answer.
fn tell(reply: oneshot::Sender<Answer>, answer: Answer) {
    let _ = reply.send(answer);
}
