//! Connections that other nodes dialled: requests come in, answers go out.
//!
//! One task per connection reads frames, hands each to its group, and polls all that are being answered. A request is started in
//! the order of its arrival, which keeps pipelined append requests of a group in order (so tokio's budget, which would let one that
//! came later go first once it is used up, does not count for them); answers go out as they are ready. What is
//! being answered is bounded for the connection (then reading pauses) and for each group (then the request is refused), so that a
//! group that is stuck cannot hold up the others.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::coop::unconstrained;
use tokio::time::{Duration, interval, sleep};
use tokio_rustls::TlsStream;

use super::frame::{Frame, Kind, frame, take_frame};
use super::greeting::{self, Greeted, answer};
use super::snapshot::SnapshotInbox;
use super::stream::StreamOffer;
use super::{Net, within};
use crate::limits::{ABANDONED_MS, CONNECT_MS, CONNECTION_REQUESTS_MAX, GROUP_REQUESTS_MAX, HANDSHAKES_MAX, LINK_WRITE_BYTES};
use crate::replica::Replica;

/// What is done with byte streams that other nodes open.
pub(crate) type OnStream = Option<Arc<dyn Fn(StreamOffer) + Send + Sync>>;

/// Takes connections, for ever.
pub(crate) async fn accept_loop(net: Arc<Net>, listener: TcpListener, on_stream: OnStream) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((socket, _)) => {
                tokio::spawn(receive(Arc::clone(&net), socket, on_stream.clone(), permit));
            }
            Err(error) => {
                // Out of descriptors, most likely: those that are there go on, new ones wait.
                tracing::warn!(%error, "cannot accept a peer's connection");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn receive(net: Arc<Net>, mut socket: TcpStream, on_stream: OnStream, permit: OwnedSemaphorePermit) {
    let result = async {
        socket.set_nodelay(true)?;
        match within(CONNECT_MS, "read purpose", socket.read_u8()).await? {
            greeting::RAFT => {
                let greeted = answer(&net, socket).await?;
                drop(permit);
                serve(&net, greeted).await
            }
            greeting::STREAM => {
                if let Some(on_stream) = on_stream {
                    on_stream(StreamOffer {
                        net: Arc::clone(&net),
                        socket: socket.into_std()?,
                    });
                }
                Ok(())
            }
            other => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("purpose {other} is unknown"),
            )),
        }
    };
    match result.await {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let error = error.to_string();
            if net.is_news(&error) {
                tracing::warn!(error, "refused a peer");
            }
        }
        Err(error) => tracing::debug!(%error, "a peer's connection ended"),
        Ok(()) => {}
    }
}

/// An answer: which request, of which group, and the sealed frame; none when someone else answers.
type Answered = (u64, Option<Bytes>);
type Answering = Pin<Box<dyn Future<Output = Answered> + Send>>;

async fn serve(net: &Arc<Net>, greeted: Greeted) -> io::Result<()> {
    tracing::debug!(peer = greeted.node, lane = ?greeted.lane, "a peer connected");
    let (mut reader, writer) = tokio::io::split(greeted.stream);
    let (out, queue) = mpsc::channel::<Bytes>(CONNECTION_REQUESTS_MAX);
    let mut connection = Connection {
        net: Arc::clone(net),
        node: greeted.node,
        received: greeted.received,
        answering: FuturesUnordered::new(),
        per_group: HashMap::new(),
        snapshots: SnapshotInbox::new(out.clone()),
    };
    let read = async {
        let mut check = interval(Duration::from_millis(ABANDONED_MS));
        let mut heard = true;
        loop {
            connection.start_all()?;
            let pause = connection.answering.len() >= CONNECTION_REQUESTS_MAX;
            tokio::select! {
                biased;
                Some((group, answer)) = connection.answering.next() => {
                    connection.finished(group);
                    if let Some(answer) = answer && out.send(answer).await.is_err() {
                        return Ok(());
                    }
                }
                read = reader.read_buf(&mut connection.received), if !pause => {
                    if read? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    net.heard(greeted.node);
                    heard = true;
                }
                _ = check.tick() => {
                    if !std::mem::take(&mut heard) {
                        return Err(io::Error::new(io::ErrorKind::TimedOut, "the peer is silent"));
                    }
                }
            }
        }
    };
    tokio::select! {
        ended = read => ended,
        ended = write_answers(writer, queue) => ended,
    }
}

struct Connection {
    net: Arc<Net>,
    node: u64,
    received: BytesMut,
    answering: FuturesUnordered<Answering>,
    per_group: HashMap<u64, usize>,
    snapshots: SnapshotInbox,
}

impl Connection {
    /// Starts every request that is completely received.
    fn start_all(&mut self) -> io::Result<()> {
        while self.answering.len() < CONNECTION_REQUESTS_MAX {
            let Some(frame) = take_frame(&mut self.received)? else { break };
            self.start(frame);
        }
        Ok(())
    }

    fn start(&mut self, request: Frame) {
        let (group, id) = (request.group, request.request);
        if request.kind == Kind::PING {
            self.answering
                .push(Box::pin(async move { (u64::MAX, Some(frame(Kind::REPLY, group, id, &[]))) }));
            return;
        }
        let from = self.node;
        let refusal = match self.admitted(group) {
            Err(why) => why,
            Ok(replica) => {
                *self.per_group.entry(group).or_default() += 1;
                if matches!(request.kind, Kind::SNAPSHOT_BEGIN | Kind::SNAPSHOT_CHUNK | Kind::SNAPSHOT_END) {
                    // Its own task answers.
                    let refused = self.snapshots.step(&replica, self.node, request);
                    self.answering.push(Box::pin(async move { (group, refused) }));
                } else {
                    self.answering.push(Box::pin(unconstrained(async move {
                        let answer = match crate::inbox::answer(&replica, from, request.kind, request.payload).await {
                            Ok(payload) => frame(Kind::REPLY, group, id, &payload),
                            Err(why) => frame(Kind::FAILED, group, id, why.as_bytes()),
                        };
                        (group, Some(answer))
                    })));
                }
                return;
            }
        };
        let refusal = frame(Kind::FAILED, group, id, refusal.as_bytes());
        self.answering.push(Box::pin(async move { (u64::MAX, Some(refusal)) }));
    }

    /// The replica that a request is for, or why it is not answered.
    fn admitted(&self, group: u64) -> Result<Arc<Replica>, String> {
        let replica = self.net.inbox.find(group).ok_or("the group is not open on this node")?;
        if let Some(why) = self.net.stranger(self.node, replica.region.as_deref()) {
            if self.net.is_news(&why) {
                tracing::warn!(group, why, "refused what a peer asked of a group");
            }
            return Err(why);
        }
        if self.per_group.get(&group).is_some_and(|count| *count >= GROUP_REQUESTS_MAX) {
            return Err("the group is busy".to_owned());
        }
        Ok(replica)
    }

    fn finished(&mut self, group: u64) {
        if let Some(count) = self.per_group.get_mut(&group) {
            *count = count.saturating_sub(1);
        }
    }
}

/// Writes all answers that wait together.
async fn write_answers(mut stream: WriteHalf<TlsStream<TcpStream>>, mut queue: mpsc::Receiver<Bytes>) -> io::Result<()> {
    let mut batch = BytesMut::with_capacity(16 << 10);
    while let Some(answer) = queue.recv().await {
        batch.extend_from_slice(&answer);
        while batch.len() < LINK_WRITE_BYTES {
            match queue.try_recv() {
                Ok(answer) => batch.extend_from_slice(&answer),
                Err(_) => break,
            }
        }
        stream.write_all(&batch).await?;
        stream.flush().await?;
        batch.clear();
    }
    Ok(())
}
