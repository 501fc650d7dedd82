//! A connection that this node dialled: requests go out, answers come back.
//!
//! One task per lane and peer dials, greets, and then runs a writer and a reader side by side. The writer takes all frames that wait,
//! up to a bound, and writes them together. When the connection breaks, every request without an answer fails: whether the peer got
//! it is not known, and openraft asks again.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use tokio_rustls::TlsStream;

use super::frame::{FrameWriter, Kind, frame, take_frame};
use super::greeting::{Greeted, call};
use super::{Lane, Net};
use crate::limits::{LINK_QUEUE_BYTES_MAX, LINK_QUEUE_FRAMES_MAX, LINK_WRITE_BYTES, PING_MS, REDIAL_MS, REFUSED_MS, SILENT_MS};

/// Why a request has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// It was not sent.
    #[error("the peer is not connected")]
    Down,
    /// It was not sent.
    #[error("too much waits for the peer")]
    Full,
    /// It may have been received.
    #[error("the connection broke")]
    Broken,
    /// The peer said no.
    #[error("the peer could not answer: {0}")]
    Failed(String),
}

type Answer = Result<Bytes, CallError>;

struct Outgoing {
    frame: FrameWriter,
    answer: oneshot::Sender<Answer>,
}

/// Where requests for one lane of a peer go.
pub(crate) struct Link {
    queue: mpsc::Sender<Outgoing>,
    state: Arc<LinkState>,
    on_demand: bool,
}

#[derive(Default)]
struct LinkState {
    up: AtomicBool,
    queued_bytes: AtomicUsize,
}

impl LinkState {
    /// What was taken out of the queue no longer counts for it, whatever becomes of it.
    fn taken(&self, outgoing: Outgoing) -> Outgoing {
        self.queued_bytes.fetch_sub(outgoing.frame.len(), Relaxed);
        outgoing
    }
}

/// The task behind a link, to be run on raft's runtime.
pub(crate) struct LinkTask {
    node: u64,
    lane: Lane,
    queue: mpsc::Receiver<Outgoing>,
    state: Arc<LinkState>,
}

/// A bulk connection without work for this long is closed.
const BULK_IDLE: Duration = Duration::from_secs(10);

/// Requests without an answer, above which those that nobody waits for any more are forgotten.
const PENDING_SWEEP: usize = 4_096;

pub(super) fn make_link(node: u64, lane: Lane) -> (Link, LinkTask) {
    let (sender, queue) = mpsc::channel(LINK_QUEUE_FRAMES_MAX);
    let state = Arc::new(LinkState::default());
    let link = Link {
        queue: sender,
        state: Arc::clone(&state),
        on_demand: lane == Lane::Bulk,
    };
    (
        link,
        LinkTask {
            node,
            lane,
            queue,
            state,
        },
    )
}

impl Link {
    /// Whether both sides have greeted each other, and nothing was seen of an end since.
    pub(crate) fn is_up(&self) -> bool {
        self.state.up.load(Relaxed)
    }

    /// Sends a request; its answer comes to the receiver. Fails at once without a connection or without room.
    pub(crate) fn call(&self, frame: FrameWriter) -> Result<oneshot::Receiver<Answer>, CallError> {
        if !self.on_demand && !self.state.up.load(Relaxed) {
            return Err(CallError::Down);
        }
        let bytes = frame.len();
        if self.state.queued_bytes.load(Relaxed) + bytes > LINK_QUEUE_BYTES_MAX {
            return Err(CallError::Full);
        }
        let (answer, receiver) = oneshot::channel();
        self.state.queued_bytes.fetch_add(bytes, Relaxed);
        if self.queue.try_send(Outgoing { frame, answer }).is_err() {
            self.state.queued_bytes.fetch_sub(bytes, Relaxed);
            return Err(CallError::Full);
        }
        Ok(receiver)
    }

    /// The same, and waits for the answer.
    pub(crate) async fn ask(&self, frame: FrameWriter) -> Answer {
        self.call(frame)?.await.unwrap_or(Err(CallError::Broken))
    }
}

type Pending = Mutex<HashMap<u64, oneshot::Sender<Answer>>>;

fn lock(pending: &Pending) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Answer>>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LinkTask {
    /// Dials, serves, and dials again, for ever.
    pub(crate) async fn run(mut self, net: Arc<Net>) {
        let (shortest, longest) = REDIAL_MS;
        let mut pause = shortest;
        let mut last_error = String::new();
        loop {
            let first = match self.lane {
                Lane::Bulk => match self.queue.recv().await {
                    Some(first) => Some(self.state.taken(first)),
                    None => return,
                },
                _ => None,
            };
            match call(&net, self.node, self.lane).await {
                Ok(greeted) => {
                    tracing::debug!(peer = self.node, lane = ?self.lane, "connected");
                    (pause, last_error) = (shortest, String::new());
                    self.state.up.store(true, Relaxed);
                    let ended = self.session(&net, greeted, first).await;
                    self.state.up.store(false, Relaxed);
                    tracing::debug!(peer = self.node, lane = ?self.lane, ended = ?ended.err(), "disconnected");
                }
                Err(error) => {
                    if error.kind() == io::ErrorKind::PermissionDenied {
                        // Someone has to change something first.
                        pause = REFUSED_MS;
                    }
                    let error = error.to_string();
                    // A peer that is away says the same again and again; once is enough.
                    if error != last_error && self.lane == Lane::Control {
                        tracing::warn!(peer = self.node, error, "cannot connect to peer");
                    }
                    last_error = error;
                    drop(first);
                }
            }
            self.fail_all();
            sleep(Duration::from_millis(pause)).await;
            self.fail_all();
            pause = (pause * 2).clamp(shortest, longest);
        }
    }

    /// Drops what waits; its callers see a broken connection.
    fn fail_all(&mut self) {
        while let Ok(outgoing) = self.queue.try_recv() {
            let outgoing = self.state.taken(outgoing);
            let _ = outgoing.answer.send(Err(CallError::Down));
        }
    }

    async fn session(&mut self, net: &Net, greeted: Greeted, first: Option<Outgoing>) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::peer::Book;
    use crate::tls::Tls;
    use crate::{NodeId, make_authority};

    #[tokio::test]
    async fn a_frame_for_a_peer_that_is_away_gives_its_bytes_back() {
        let dir = tempfile::tempdir().unwrap();
        let identity = make_authority("test").unwrap().issue(NodeId(1)).unwrap();
        let tls = Tls::new("test", NodeId(1), &identity).unwrap();
        let book = Book::open(dir.path(), "test", NodeId(1)).unwrap();
        // Nobody listens where somebody has just stopped to.
        let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (net, _) = Net::new(1, "test".to_owned(), tls, book, BTreeMap::from([(2, away.to_string())]));
        let (link, task) = make_link(2, Lane::Bulk);
        let running = tokio::spawn(task.run(net));
        let answer = link.ask(FrameWriter::new(Kind::SNAPSHOT_CHUNK, 1, 1 << 10)).await;
        assert!(answer.is_err());
        assert_eq!(link.state.queued_bytes.load(Relaxed), 0);
        running.abort();
    }
}
