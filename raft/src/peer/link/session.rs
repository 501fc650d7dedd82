//! One connection of a link, from the greeting until it breaks.
//!
//! A writer and a reader run side by side. The writer takes all frames that wait, up to a bound, and writes them together; the reader
//! gives each answer to whoever waits for it, by the request's number. A peer that is silent for too long is taken for gone.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_rustls::TlsStream;

use super::{Answer, CallError, LinkState, LinkTask, Outgoing};
use crate::limits::{LINK_WRITE_BYTES, PING_MS, SILENT_MS};
use crate::peer::frame::{Kind, frame, take_frame};
use crate::peer::greeting::Greeted;
use crate::peer::{Lane, Net};

/// A bulk connection without work for this long is closed.
const BULK_IDLE: Duration = Duration::from_secs(10);

/// Requests without an answer, above which those that nobody waits for any more are forgotten.
const PENDING_SWEEP: usize = 4_096;

type Pending = Mutex<HashMap<u64, oneshot::Sender<Answer>>>;

fn lock(pending: &Pending) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Answer>>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LinkTask {
    /// Serves a connection until it ends.
    pub(super) async fn session(&mut self, net: &Net, greeted: Greeted, first: Option<Outgoing>) -> io::Result<()> {
        let (reader, writer) = tokio::io::split(greeted.stream);
        let pending = Pending::default();
        let heard = Mutex::new(Instant::now());
        let mut ping = interval(Duration::from_millis(PING_MS));
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let write = Writer {
            lane: self.lane,
            queue: &mut self.queue,
            state: &self.state,
            pending: &pending,
            heard: &heard,
        };
        tokio::select! {
            ended = write.run(writer, first, ping) => ended,
            ended = read_answers(net, self.node, reader, greeted.received, &pending, &heard) => ended,
        }
    }
}

struct Writer<'a> {
    lane: Lane,
    queue: &'a mut mpsc::Receiver<Outgoing>,
    state: &'a LinkState,
    pending: &'a Pending,
    heard: &'a Mutex<Instant>,
}

impl Writer<'_> {
    async fn run(
        self,
        mut stream: WriteHalf<TlsStream<TcpStream>>,
        first: Option<Outgoing>,
        mut ping: Interval,
    ) -> io::Result<()> {
        let mut next_request = 0;
        let mut batch = BytesMut::with_capacity(64 << 10);
        let mut used = Instant::now();
        if let Some(first) = first {
            self.add(first, &mut next_request, &mut batch);
        }
        loop {
            if batch.is_empty() {
                tokio::select! {
                    biased;
                    outgoing = self.queue.recv() => match outgoing {
                        Some(outgoing) => self.add(self.state.taken(outgoing), &mut next_request, &mut batch),
                        None => return Ok(()),
                    },
                    _ = ping.tick() => {
                        if self.is_silent() {
                            return Err(io::Error::new(io::ErrorKind::TimedOut, "the peer is silent"));
                        }
                        if self.lane == Lane::Bulk && used.elapsed() > BULK_IDLE {
                            return Ok(());
                        }
                        batch.extend_from_slice(&frame(Kind::PING, 0, u64::MAX, &[]));
                        stream.write_all(&batch).await?;
                        stream.flush().await?;
                        batch.clear();
                        continue;
                    }
                }
            }
            while batch.len() < LINK_WRITE_BYTES {
                match self.queue.try_recv() {
                    Ok(outgoing) => self.add(self.state.taken(outgoing), &mut next_request, &mut batch),
                    Err(_) => break,
                }
            }
            stream.write_all(&batch).await?;
            stream.flush().await?;
            used = Instant::now();
            batch.clear();
        }
    }

    fn is_silent(&self) -> bool {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > Duration::from_millis(SILENT_MS)
    }

    fn add(&self, outgoing: Outgoing, next_request: &mut u64, batch: &mut BytesMut) {
        let request = *next_request;
        *next_request += 1;
        {
            let mut pending = lock(self.pending);
            if pending.len() >= PENDING_SWEEP {
                pending.retain(|_, answer| !answer.is_closed());
            }
            pending.insert(request, outgoing.answer);
        }
        batch.extend_from_slice(&outgoing.frame.seal(request));
    }
}

async fn read_answers(
    net: &Net,
    node: u64,
    mut stream: ReadHalf<TlsStream<TcpStream>>,
    mut received: BytesMut,
    pending: &Pending,
    heard: &Mutex<Instant>,
) -> io::Result<()> {
    loop {
        while let Some(frame) = take_frame(&mut received)? {
            let answer = match frame.kind {
                Kind::REPLY => Ok(frame.payload),
                Kind::FAILED => Err(CallError::Failed(String::from_utf8_lossy(&frame.payload).into_owned())),
                other => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("frame {other:?} is not an answer"),
                    ));
                }
            };
            if let Some(waiting) = lock(pending).remove(&frame.request) {
                let _ = waiting.send(answer);
            }
        }
        if stream.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        net.heard(node);
        *heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}
