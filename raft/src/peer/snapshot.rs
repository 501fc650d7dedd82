//! Snapshots on the way: chunks with acknowledgements.
//!
//! The sender reads chunks on a blocking thread and keeps a few of them unacknowledged, so a slow receiver slows it down and neither
//! side holds more than the window. The receiver writes them into the machine's sink, also on a blocking thread, one task per group
//! and connection. A transfer that breaks, or finds no room on the receiver's disk, starts again from nothing: the sink is dropped
//! (`incoming`), the sender is told, and the machine keeps the state it had.
//! A group sends one at a time (`sending`), and none for ever, because each holds a view of the machine.
//! Whether the sender may do this at all (its vote) is decided by openraft when the whole is there.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use openraft::errors::{NetworkError, ReplicationClosed, StreamingError, Unreachable};
use openraft::raft::SnapshotResponse;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::frame::{Frame, FrameWriter, Kind, frame};
use super::link::{CallError, Link};
use super::message::{SnapshotBeginV1, SnapshotReplyV1};
use crate::SnapshotSource;
use crate::adapter::SnapshotData;
use crate::codec::{decode, encode, encode_into, mark_state};
use crate::incoming::Incoming;
use crate::limits::{SNAPSHOT_CHUNK_BYTES_MAX, SNAPSHOT_TTL_MS, SNAPSHOT_WINDOW, TRANSFER_MS};
use crate::replica::Replica;
use crate::typ::{Snapshot, SnapshotMeta, Types, Vote};

type Sent = Result<SnapshotResponse<Types>, StreamingError<Types>>;

fn unreachable(why: impl std::fmt::Display) -> StreamingError<Types> {
    StreamingError::Unreachable(Unreachable::from_string(why.to_string()))
}

/// Sends a snapshot, unless it is cancelled before.
pub(super) async fn send(
    link: &Link,
    group: u64,
    vote: Vote,
    snapshot: Snapshot,
    cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
) -> Sent {
    let SnapshotData::Source(source) = snapshot.snapshot else {
        return Err(StreamingError::Network(NetworkError::from_string(
            "the snapshot holds nothing to send",
        )));
    };
    let send = timeout(
        Duration::from_millis(TRANSFER_MS),
        send_all(link, group, vote, &snapshot.meta, source),
    );
    tokio::select! {
        sent = send => sent.unwrap_or_else(|_| Err(unreachable("the snapshot took too long"))),
        closed = cancel => Err(StreamingError::Closed(closed)),
    }
}

async fn send_all(link: &Link, group: u64, vote: Vote, meta: &SnapshotMeta, mut source: Box<dyn SnapshotSource>) -> Sent {
    let mark = mark_state(meta.last_log_id.as_ref(), &meta.last_membership);
    let mut begin = FrameWriter::new(Kind::SNAPSHOT_BEGIN, group, 128);
    encode_into(
        &SnapshotBeginV1 {
            vote: (&vote).into(),
            mark,
        },
        begin.payload(),
    );
    acknowledged(link.call(begin).map_err(unreachable)?).await?;
    let mut window = VecDeque::with_capacity(SNAPSHOT_WINDOW);
    loop {
        // The source may read a disk.
        let (back, chunk) = tokio::task::spawn_blocking(move || {
            let chunk = source.next_chunk();
            (source, chunk)
        })
        .await
        .map_err(unreachable)?;
        source = back;
        let Some(chunk) = chunk.map_err(unreachable)? else { break };
        if chunk.len() > SNAPSHOT_CHUNK_BYTES_MAX {
            return Err(unreachable(format!("read snapshot: a chunk has {} bytes", chunk.len())));
        }
        if window.len() == SNAPSHOT_WINDOW
            && let Some(oldest) = window.pop_front()
        {
            acknowledged(oldest).await?;
        }
        let mut writer = FrameWriter::new(Kind::SNAPSHOT_CHUNK, group, chunk.len());
        writer.payload().put_slice(&chunk);
        window.push_back(link.call(writer).map_err(unreachable)?);
    }
    for rest in window {
        acknowledged(rest).await?;
    }
    let end = link
        .call(FrameWriter::new(Kind::SNAPSHOT_END, group, 0))
        .map_err(unreachable)?;
    let reply = acknowledged(end).await?;
    let reply: SnapshotReplyV1 = decode("snapshot reply", &reply).map_err(unreachable)?;
    Ok(SnapshotResponse::new(reply.vote.into()))
}

async fn acknowledged(answer: oneshot::Receiver<Result<Bytes, CallError>>) -> Result<Bytes, StreamingError<Types>> {
    match timeout(Duration::from_millis(SNAPSHOT_TTL_MS), answer).await {
        Ok(Ok(answer)) => answer.map_err(unreachable),
        Ok(Err(_)) => Err(unreachable(CallError::Broken)),
        Err(_) => Err(unreachable("the peer did not answer in time")),
    }
}

/// The snapshots that are coming in on one connection.
pub(super) struct SnapshotInbox {
    out: mpsc::Sender<Bytes>,
    transfers: HashMap<u64, mpsc::Sender<Frame>>,
}

impl SnapshotInbox {
    pub(super) fn new(out: mpsc::Sender<Bytes>) -> SnapshotInbox {
        SnapshotInbox {
            out,
            transfers: HashMap::new(),
        }
    }

    /// Passes a step on to the transfer that it belongs to; a first step replaces a transfer of the same group. Returns a refusal.
    pub(super) fn step(&mut self, replica: &Arc<Replica>, from: u64, step: Frame) -> Option<Bytes> {
        let (group, request) = (step.group, step.request);
        if step.kind == Kind::SNAPSHOT_BEGIN {
            let (sender, steps) = mpsc::channel(SNAPSHOT_WINDOW + 2);
            self.transfers.insert(group, sender);
            let transfer = Transfer {
                replica: Arc::clone(replica),
                out: self.out.clone(),
                from,
            };
            tokio::spawn(transfer.run(steps));
        }
        let refused = match self.transfers.get(&group) {
            None => "no snapshot was begun",
            Some(transfer) => match transfer.try_send(step) {
                Ok(()) => return None,
                Err(_) => "the snapshot was given up",
            },
        };
        self.transfers.remove(&group);
        Some(frame(Kind::FAILED, group, request, refused.as_bytes()))
    }
}

/// One snapshot that is coming in.
struct Transfer {
    replica: Arc<Replica>,
    out: mpsc::Sender<Bytes>,
    from: u64,
}

impl Transfer {
    async fn run(self, mut steps: mpsc::Receiver<Frame>) {
        let (mut begun, mut bytes) = (None, 0);
        while let Some(step) = steps.recv().await {
            let (kind, request) = (step.kind, step.request);
            bytes += step.payload.len();
            let (next, result) = self.take(begun.take(), step).await;
            begun = next;
            let answer = match &result {
                Ok(reply) => frame(Kind::REPLY, self.replica.id.0, request, reply),
                Err(error) => frame(Kind::FAILED, self.replica.id.0, request, error.to_string().as_bytes()),
            };
            if let Err(error) = &result {
                tracing::warn!(group = self.replica.id.0, from = self.from, %error, "a snapshot was not received");
            } else if kind == Kind::SNAPSHOT_END {
                tracing::info!(group = self.replica.id.0, from = self.from, bytes, "received a snapshot");
            }
            if self.out.send(answer).await.is_err() || result.is_err() || kind == Kind::SNAPSHOT_END {
                return;
            }
        }
    }

    async fn take(&self, begun: Option<Begun>, step: Frame) -> (Option<Begun>, io::Result<Bytes>) {
        let result = match (step.kind, begun) {
            (Kind::SNAPSHOT_BEGIN, None) => self.begin(&step.payload).await.map(|begun| (Some(begun), Bytes::new())),
            (Kind::SNAPSHOT_CHUNK, Some(begun)) => begun.write(step.payload).await.map(|begun| (Some(begun), Bytes::new())),
            (Kind::SNAPSHOT_END, Some(begun)) => match begun.finish().await {
                Ok(begun) => self.install(begun).await.map(|reply| (None, reply)),
                Err(error) => Err(error),
            },
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the steps of a snapshot are out of order",
            )),
        };
        match result {
            Ok((begun, reply)) => (begun, Ok(reply)),
            Err(error) => (None, Err(error)),
        }
    }

    async fn begin(&self, payload: &Bytes) -> io::Result<Begun> {
        let begin: SnapshotBeginV1 = decode("snapshot", payload)?;
        let machine = Arc::clone(&self.replica.machine);
        let sink = tokio::task::spawn_blocking(move || machine.receive().map(Incoming::new))
            .await
            .map_err(io::Error::other)??;
        Ok(Begun {
            vote: begin.vote.into(),
            meta: begin.mark.into_raft()?,
            sink,
        })
    }

    async fn install(&self, begun: Begun) -> io::Result<Bytes> {
        let snapshot = Snapshot {
            meta: begun.meta,
            snapshot: SnapshotData::Sink(begun.sink),
        };
        let response = self
            .replica
            .raft
            .install_full_snapshot(begun.vote, snapshot)
            .await
            .map_err(io::Error::other)?;
        Ok(encode(&SnapshotReplyV1 {
            vote: (&response.vote).into(),
        }))
    }
}

struct Begun {
    vote: Vote,
    meta: SnapshotMeta,
    sink: Incoming,
}

impl Begun {
    async fn write(mut self, chunk: Bytes) -> io::Result<Begun> {
        tokio::task::spawn_blocking(move || {
            let written = self.sink.write(chunk);
            self.unless_failed(written)
        })
        .await
        .map_err(io::Error::other)?
    }

    /// What can fail while the machine's own state is still whole is done before raft hears of the snapshot.
    async fn finish(mut self) -> io::Result<Begun> {
        tokio::task::spawn_blocking(move || {
            let finished = self.sink.finish();
            self.unless_failed(finished)
        })
        .await
        .map_err(io::Error::other)?
    }

    /// What failed is removed before the sender is told, so that his next try finds the room that it took. May block.
    fn unless_failed(self, result: io::Result<()>) -> io::Result<Begun> {
        match result {
            Ok(()) => Ok(self),
            Err(error) => {
                self.sink.discard();
                Err(error)
            }
        }
    }
}
