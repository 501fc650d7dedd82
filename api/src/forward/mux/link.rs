//! The side that asks: one stream to each node, made when it is needed.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{Request, response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use super::frame;
use super::waiting::{PATIENCE, run};
use super::{PREFACE, UNDER_WAY};
use crate::forward::pool::DIAL;
use crate::ids::NodeNumber;
use crate::service::Service;

/// How long a node that knows nothing of this is spoken to by HTTP/1 before it is asked again.
const OLDER: Duration = Duration::from_secs(60);

/// How a request over a stream ended.
pub(crate) enum Answer {
    /// With a reply.
    Replied(Box<response::Parts>, Bytes),
    /// It was not taken, and had no effect.
    Unsent,
    /// Nobody knows.
    Broken,
    /// The node does not take requests this way, or not this one.
    Otherwise,
}

/// A request that is to be written, and who waits for its reply.
pub(super) struct Outgoing {
    pub(super) frame: BytesMut,
    pub(super) reply: oneshot::Sender<Answer>,
}

type Sender = mpsc::Sender<Outgoing>;

/// The streams to all nodes.
#[derive(Default)]
pub(crate) struct Links(Mutex<HashMap<NodeNumber, Arc<Link>>>);

/// The stream to one node.
#[derive(Default)]
struct Link {
    open: Mutex<Option<Sender>>,
    /// Held by who dials; what came of it.
    dialling: tokio::sync::Mutex<Dialled>,
}

#[derive(Default)]
struct Dialled {
    failed: Option<Instant>,
    older: Option<Instant>,
}

impl Links {
    /// Sends a request to a node and waits for its reply, for as long as it takes.
    pub(crate) async fn send(&self, node: NodeNumber, service: &dyn Service, head: &Request<()>, body: &[u8]) -> Answer {
        let Some(mut frame) = frame::request(head, body) else {
            return Answer::Otherwise;
        };
        loop {
            let sender = match self.link(node).sender(node, service).await {
                Ok(sender) => sender,
                Err(why) => return why,
            };
            let (reply, answer) = oneshot::channel();
            match sender.send(Outgoing { frame, reply }).await {
                // Dropped without an answer: the stream broke.
                Ok(()) => return answer.await.unwrap_or(Answer::Broken),
                // It has ended since: there will be another, or none.
                Err(unsent) => frame = unsent.0.frame,
            }
        }
    }

    fn link(&self, node: NodeNumber) -> Arc<Link> {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(nodes.entry(node).or_default())
    }
}

impl Link {
    /// The way into an open stream; or what to answer where there is none.
    async fn sender(&self, node: NodeNumber, service: &dyn Service) -> Result<Sender, Answer> {
        if let Some(sender) = self.open() {
            return Ok(sender);
        }
        let came = Instant::now();
        let mut dialled = self.dialling.lock().await;
        if let Some(sender) = self.open() {
            return Ok(sender);
        }
        if dialled.older.is_some_and(|since| since.elapsed() < OLDER) {
            return Err(Answer::Otherwise);
        }
        if dialled.failed.is_some_and(|failed| failed > came) {
            return Err(Answer::Unsent);
        }
        let begun = async {
            let mut stream = service.dial(node).await?;
            stream.write_all(PREFACE).await?;
            stream.flush().await?;
            let mut heard = vec![0; PREFACE.len()];
            stream.read_exact(&mut heard).await?;
            io::Result::Ok((stream, heard == PREFACE))
        };
        match tokio::time::timeout(DIAL, begun).await {
            Ok(Ok((stream, true))) => {
                let (sender, requests) = mpsc::channel(UNDER_WAY);
                *self.lock() = Some(sender.clone());
                tokio::spawn(run(stream, requests, PATIENCE));
                Ok(sender)
            }
            Ok(Ok((_, false))) => {
                dialled.older = Some(Instant::now());
                Err(Answer::Otherwise)
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "dial node {node}");
                dialled.failed = Some(Instant::now());
                Err(Answer::Unsent)
            }
            Err(_) => {
                tracing::debug!("dial node {node}: no answer within {DIAL:?}");
                dialled.failed = Some(Instant::now());
                Err(Answer::Unsent)
            }
        }
    }

    fn open(&self) -> Option<Sender> {
        self.lock().clone().filter(|sender| !sender.is_closed())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Sender>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
