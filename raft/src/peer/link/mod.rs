//! A connection that this node dialled: requests go out, answers come back.
//!
//! One task per lane and peer dials, greets, holds a session (`session`), and dials again. What waits for a connection is bounded in
//! frames and bytes. When the connection breaks, every request without an answer fails: whether the peer got it is not known, and
//! openraft asks again.

mod session;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::frame::FrameWriter;
use super::greeting::call;
use super::{Lane, Net};
use crate::limits::{LINK_QUEUE_BYTES_MAX, LINK_QUEUE_FRAMES_MAX, REDIAL_MS, REFUSED_MS};

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

/// Where requests for one lane of a peer go. Its task ends with the last of its clones.
#[derive(Clone)]
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

impl LinkTask {
    /// Dials, serves, and dials again, until the peer is let go.
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
            if self.queue.is_closed() {
                return;
            }
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
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::peer::{Book, Kind};
    use crate::tls::Tls;
    use crate::{NodeId, Peer, make_authority};

    #[tokio::test]
    async fn a_frame_for_a_peer_that_is_away_gives_its_bytes_back() {
        let dir = tempfile::tempdir().unwrap();
        let identity = make_authority("test").unwrap().issue(NodeId(1), "here", 1).unwrap();
        let tls = Tls::new("test", NodeId(1), "here", &identity).unwrap();
        let book = Book::open(dir.path(), "test", NodeId(1)).unwrap();
        // Nobody listens where somebody has just stopped to.
        let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let net = Net::new(1, "test".to_owned(), tls, book);
        let peer = Peer {
            address: away.to_string(),
            region: "here".to_owned(),
            linked: true,
        };
        net.set_peers(BTreeMap::from([(NodeId(2), peer)]));
        let (link, task) = make_link(2, Lane::Bulk);
        let running = tokio::spawn(task.run(net));
        let answer = link.ask(FrameWriter::new(Kind::SNAPSHOT_CHUNK, 1, 1 << 10)).await;
        assert!(answer.is_err());
        assert_eq!(link.state.queued_bytes.load(Relaxed), 0);
        running.abort();
    }
}
