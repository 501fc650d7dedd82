//! The task of one stream: requests go out as they come, together, and replies to those who wait for them.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::response;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::frame::{self, Frame};
use super::link::{Answer, Outgoing};
use super::{BATCH, GOODBYE, READ_BYTES, write_together};
use crate::limits::REQUEST_SECONDS;

/// How long a stream waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// How long one without requests is kept.
    pub(super) idle: Duration,
    /// How long nothing comes of a node that was asked for something, before it is taken for gone: longer than any request takes.
    pub(super) silence: Duration,
}

/// What every stream has.
pub(super) const PATIENCE: Patience = Patience {
    idle: Duration::from_secs(60),
    silence: Duration::from_secs(2 * REQUEST_SECONDS),
};

/// Who waits. The two halves of one task share it.
struct Waiting {
    waiters: Mutex<Waiters>,
    patience: Patience,
}

#[derive(Default)]
struct Waiters {
    /// By the number of the request.
    all: BTreeMap<u64, Waiter>,
    /// The last number that was given.
    last: u64,
    /// Since when nothing was heard, as long as somebody waits.
    silent_since: Option<Instant>,
}

struct Waiter {
    reply: oneshot::Sender<Answer>,
    /// What has come of a reply in pieces.
    begun: Option<(Box<response::Parts>, BytesMut)>,
}

/// Brings requests to a node and replies back, until the node leaves, the stream breaks or nobody has asked for long.
pub(super) async fn run<S: AsyncRead + AsyncWrite>(stream: S, mut requests: mpsc::Receiver<Outgoing>, patience: Patience) {
    let (mut reads, writes) = tokio::io::split(stream);
    let waiting = Waiting {
        waiters: Mutex::default(),
        patience,
    };
    let mut arrived = BytesMut::new();
    let ended = tokio::select! {
        // First: what the node has said counts, though nothing can be written any more.
        biased;
        heard = waiting.hear(&mut reads, &mut arrived) => Ok(heard),
        asked = waiting.ask(writes, &mut requests) => Err(asked),
    };
    // From here on whoever comes finds it closed; those that were not written yet go elsewhere.
    requests.close();
    while let Some(unsent) = requests.recv().await {
        tell(unsent.reply, Answer::Unsent);
    }
    let heard = match ended {
        Ok(heard) => heard,
        Err(Ok(())) => return,
        Err(Err(error)) => {
            tracing::debug!(%error, "write to another node");
            // It may have said that it leaves, and what it took, before it closed.
            let late = tokio::time::timeout(GOODBYE, waiting.hear(&mut reads, &mut arrived)).await;
            late.unwrap_or(Err(error))
        }
    };
    let answered = match heard {
        Ok(last) => {
            waiting.not_taken(last);
            waiting.hear_out(&mut reads, &mut arrived).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = answered {
        tracing::debug!(%error, "the stream to another node broke");
    }
}

impl Waiting {
    /// Writes requests as they come, together. Ends when there were none for long, and none is under way.
    async fn ask<W: AsyncWrite + Unpin>(&self, mut writes: W, requests: &mut mpsc::Receiver<Outgoing>) -> io::Result<()> {
        let (mut batch, mut frames) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        let mut out = BytesMut::new();
        loop {
            match tokio::time::timeout(self.patience.idle, requests.recv_many(&mut batch, BATCH)).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(_) if self.is_idle() => return writes.shutdown().await,
                Err(_) => continue,
            }
            self.number(&mut batch, &mut frames);
            write_together(&mut writes, &mut frames, &mut out).await?;
        }
    }

    /// Gives numbers to requests that somebody still waits for.
    fn number(&self, batch: &mut Vec<Outgoing>, frames: &mut Vec<BytesMut>) {
        let mut waiting = self.lock();
        if waiting.all.is_empty() {
            waiting.silent_since = Some(Instant::now());
        }
        for Outgoing { mut frame, reply } in batch.drain(..) {
            if reply.is_closed() {
                continue;
            }
            waiting.last += 1;
            let number = waiting.last;
            frame::set_number(&mut frame, number);
            frames.push(frame);
            waiting.all.insert(number, Waiter { reply, begun: None });
        }
    }

    /// Gives replies to those who wait, until the node leaves: the last request that it took.
    async fn hear<R: AsyncRead + Unpin>(&self, reads: &mut R, arrived: &mut BytesMut) -> io::Result<u64> {
        loop {
            if let Some(last) = self.take(arrived)? {
                return Ok(last);
            }
            self.read(reads, arrived).await?;
        }
    }

    /// The replies that a node that leaves still owes.
    async fn hear_out<R: AsyncRead + Unpin>(&self, reads: &mut R, arrived: &mut BytesMut) -> io::Result<()> {
        loop {
            self.take(arrived)?;
            if self.is_idle() {
                return Ok(());
            }
            self.read(reads, arrived).await?;
        }
    }

    /// Gives out what has arrived; the last request that was taken, where the node says that it leaves.
    fn take(&self, arrived: &mut BytesMut) -> io::Result<Option<u64>> {
        let wrong = |what| io::Error::new(io::ErrorKind::InvalidData, format!("between nodes: {what}"));
        while let Some(frame) = Frame::take(arrived)? {
            match frame {
                Frame::Reply(number, head, body, true) => self.tell(number, Answer::Replied(head, body)),
                Frame::Reply(number, head, body, false) => self.begin(number, head, body),
                Frame::Piece(number, piece, is_last) => self.go_on(number, &piece, is_last),
                Frame::Broken(number) => self.tell(number, Answer::Broken),
                Frame::Leaving(last) if last > self.lock().last => return Err(wrong("a request was taken that was not sent")),
                Frame::Leaving(last) => return Ok(Some(last)),
                Frame::Request(..) => return Err(wrong("a reply was due")),
            }
        }
        Ok(None)
    }

    /// Waits until more has arrived, or a moment. An error: the stream has ended, or the node has been silent for too long.
    async fn read<R: AsyncRead + Unpin>(&self, reads: &mut R, arrived: &mut BytesMut) -> io::Result<()> {
        arrived.reserve(READ_BYTES);
        let look = self.patience.silence / 4;
        match tokio::time::timeout(look, reads.read_buf(arrived)).await {
            Ok(Ok(0)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Ok(_)) => {
                self.lock().silent_since = Some(Instant::now());
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(_) if self.is_silent() => Err(io::ErrorKind::TimedOut.into()),
            Err(_) => Ok(()),
        }
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
        let waiting = self.lock();
        let silent = waiting
            .silent_since
            .is_some_and(|since| since.elapsed() >= self.patience.silence);
        silent && !waiting.all.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever has given up needs no answer.
fn tell(reply: oneshot::Sender<Answer>, answer: Answer) {
    let _ = reply.send(answer);
}
