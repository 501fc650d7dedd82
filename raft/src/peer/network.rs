//! openraft's network over the links: which message goes on which lane, and the append pipeline.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Timeout};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::link::CallError;
use super::message::{AppendReplyV1, TransferReplyV1, TransferV1, VoteReplyV1, VoteRequestV1, unreachable, write_append};
use super::{FrameWriter, Kind, Lane, Link, Net, snapshot};
use crate::adapter::SnapshotData;
use crate::codec::{decode, encode_into};
use crate::limits::{APPEND_TTL_MS_MIN, APPEND_WINDOW, CONTROL_TTL_MS_MIN};
use crate::mutant::Mutant;
use crate::typ::{LogId, Snapshot, Types, Vote, index_of};

type Rpc<T> = Result<T, RPCError<Types>>;

/// Makes the clients of one group.
pub(crate) struct PeerFactory {
    pub(crate) net: Arc<Net>,
    pub(crate) group: u64,
    /// The only region that it sends to.
    pub(crate) region: Option<Arc<str>>,
}

impl PeerFactory {
    fn client(&self, target: u64, lane: Lane) -> PeerClient {
        PeerClient {
            net: Arc::clone(&self.net),
            group: self.group,
            region: self.region.clone(),
            target,
            lane,
        }
    }
}

impl RaftNetworkFactory<Types> for PeerFactory {
    type Network = PeerClient;

    async fn new_client(&mut self, target: u64, _: &openraft::impls::EmptyNode) -> PeerClient {
        self.client(target, Lane::Append)
    }

    async fn new_heartbeat_client(&mut self, target: u64, _: &openraft::impls::EmptyNode) -> PeerClient {
        // Mutant, B28.
        let behind = Mutant::HeartbeatBehindData.active();
        self.client(target, if behind { Lane::Append } else { Lane::Control })
    }

    async fn new_snapshot_client(&mut self, target: u64, _: &openraft::impls::EmptyNode) -> PeerClient {
        self.client(target, Lane::Bulk)
    }
}

/// One group's way to one peer; `lane` is that of its append requests.
pub(crate) struct PeerClient {
    net: Arc<Net>,
    group: u64,
    region: Option<Arc<str>>,
    target: u64,
    lane: Lane,
}

impl PeerClient {
    fn link(&self, lane: Lane) -> Rpc<Link> {
        let link = self.net.link(self.target, lane, self.region.as_deref());
        link.map_err(unreachable)
    }

    /// A request on the control lane.
    async fn control<Q, A>(&self, kind: Kind, action: RPCTypes, request: &Q, option: &RPCOption) -> Rpc<A>
    where
        Q: serde::Serialize,
        A: serde::de::DeserializeOwned,
    {
        let mut frame = FrameWriter::new(kind, self.group, 64);
        encode_into(request, frame.payload());
        let ttl = option.hard_ttl().max(Duration::from_millis(CONTROL_TTL_MS_MIN));
        match timeout(ttl, self.link(Lane::Control)?.ask(frame)).await {
            Ok(Ok(answer)) => decode("answer", &answer).map_err(unreachable),
            Ok(Err(error)) => Err(unreachable(error)),
            Err(_) => Err(timed_out(action, self.net.node, self.target, ttl)),
        }
    }
}

fn timed_out(action: RPCTypes, id: u64, target: u64, timeout: Duration) -> RPCError<Types> {
    RPCError::Timeout(Timeout {
        action,
        id,
        target,
        timeout,
    })
}

impl RaftNetworkV2<Types> for PeerClient {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<Types>> {
        let ttl = option.hard_ttl().max(Duration::from_millis(APPEND_TTL_MS_MIN));
        match timeout(ttl, self.link(self.lane)?.ask(write_append(self.group, &request))).await {
            Ok(Ok(answer)) => decode::<AppendReplyV1>("append reply", &answer)
                .map(Into::into)
                .map_err(unreachable),
            Ok(Err(error)) => Err(unreachable(error)),
            Err(_) => Err(timed_out(RPCTypes::AppendEntries, self.net.node, self.target, ttl)),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Rpc<BoxStream<'s, Rpc<StreamAppendResult<Types>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
    {
        let ttl = option.hard_ttl().max(Duration::from_millis(APPEND_TTL_MS_MIN));
        let pipeline = self.link(self.lane).map(|link| Pipeline {
            client: self,
            link,
            input,
            waiting: VecDeque::with_capacity(APPEND_WINDOW),
            deadline: Box::pin(sleep_until(Instant::now() + ttl)),
            ttl,
            ended: false,
            failed: false,
            matched: false,
        });
        let pipeline = pipeline.map(|pipeline| Box::pin(pipeline) as BoxStream<'s, Rpc<StreamAppendResult<Types>>>);
        Box::pin(async move { pipeline })
    }

    async fn vote(&mut self, request: VoteRequest<Types>, option: RPCOption) -> Rpc<VoteResponse<Types>> {
        let request = VoteRequestV1::from(&request);
        let reply: VoteReplyV1 = self.control(Kind::VOTE, RPCTypes::Vote, &request, &option).await?;
        Ok(reply.into())
    }

    async fn pre_vote(&mut self, request: VoteRequest<Types>, option: RPCOption) -> Rpc<VoteResponse<Types>> {
        let request = VoteRequestV1::from(&request);
        let reply: VoteReplyV1 = self.control(Kind::PRE_VOTE, RPCTypes::Vote, &request, &option).await?;
        Ok(reply.into())
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let link = self.link(Lane::Bulk).map_err(StreamingError::from)?;
        // Each holds a view of the machine; openraft asks again.
        let ends_at = index_of(snapshot.meta.last_log_id.as_ref());
        let Some(turn) = self.net.sending.turn(self.group, self.target, ends_at) else {
            return Err(unreachable("another snapshot of the group is on its way").into());
        };
        let sent = snapshot::send(&link, self.group, vote, snapshot, cancel).await;
        sent.inspect(|_| turn.arrived())
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Rpc<TransferLeaderResponse<Types>> {
        let request = TransferV1::from(&request);
        let reply: TransferReplyV1 = self
            .control(Kind::TRANSFER, RPCTypes::TransferLeader, &request, &option)
            .await?;
        Ok(reply.into())
    }
}

/// Append requests on their way: a few at a time, answered in their order.
struct Pipeline<'s, S> {
    client: &'s PeerClient,
    link: Link,
    input: S,
    waiting: VecDeque<Waiting>,
    /// When the oldest request must have been answered.
    deadline: Pin<Box<Sleep>>,
    ttl: Duration,
    ended: bool,
    failed: bool,
    /// The peer has confirmed that its log matches.
    matched: bool,
}

struct Waiting {
    previous: Option<LogId>,
    last: Option<LogId>,
    answer: oneshot::Receiver<Result<Bytes, CallError>>,
    until: Instant,
}

impl<S> Pipeline<'_, S> {
    fn send(&mut self, request: &AppendEntriesRequest<Types>) -> Result<(), CallError> {
        let answer = self.link.call(write_append(self.client.group, request))?;
        let until = Instant::now() + self.ttl;
        if self.waiting.is_empty() {
            self.deadline.as_mut().reset(until);
        }
        let last = request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id);
        self.waiting.push_back(Waiting {
            previous: request.prev_log_id,
            last,
            answer,
            until,
        });
        Ok(())
    }

    fn fail(&mut self, error: RPCError<Types>) -> Poll<Option<Rpc<StreamAppendResult<Types>>>> {
        self.failed = true;
        Poll::Ready(Some(Err(error)))
    }
}

impl<S> Stream for Pipeline<'_, S>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Unpin,
{
    type Item = Rpc<StreamAppendResult<Types>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.failed {
            return Poll::Ready(None);
        }
        while !this.ended && this.waiting.len() < APPEND_WINDOW {
            match this.input.poll_next_unpin(cx) {
                Poll::Ready(Some(request)) => {
                    if let Err(error) = this.send(&request) {
                        return this.fail(unreachable(error));
                    }
                }
                Poll::Ready(None) => this.ended = true,
                Poll::Pending => break,
            }
        }
        let Some(oldest) = this.waiting.front_mut() else {
            return if this.ended { Poll::Ready(None) } else { Poll::Pending };
        };
        // Mutant, B3 and B8: once a peer's log matched, what is sent to it counts as acknowledged.
        if this.matched && Mutant::CommitWithoutQuorum.active() {
            let sent = AppendEntriesResponse::from(AppendReplyV1::Matched).into_stream_result(oldest.previous, oldest.last);
            this.waiting.pop_front();
            return Poll::Ready(Some(Ok(sent)));
        }
        let answer = match Pin::new(&mut oldest.answer).poll(cx) {
            Poll::Ready(Ok(Ok(answer))) => answer,
            Poll::Ready(Ok(Err(error))) => return this.fail(unreachable(error)),
            Poll::Ready(Err(_)) => return this.fail(unreachable(CallError::Broken)),
            Poll::Pending if this.deadline.as_mut().poll(cx).is_ready() => {
                let (own, target, ttl) = (this.client.net.node, this.client.target, this.ttl);
                return this.fail(timed_out(RPCTypes::AppendEntries, own, target, ttl));
            }
            Poll::Pending => return Poll::Pending,
        };
        let (previous, last) = (oldest.previous, oldest.last);
        this.waiting.pop_front();
        if let Some(next) = this.waiting.front() {
            this.deadline.as_mut().reset(next.until);
        }
        match decode::<AppendReplyV1>("append reply", &answer) {
            // A conflict before the first entry of a log cannot be; a peer that says so is not to be believed.
            Ok(AppendReplyV1::Conflict) if previous.is_none() => this.fail(unreachable("a conflict with nothing")),
            Ok(reply) => {
                this.matched = matches!(reply, AppendReplyV1::Matched);
                Poll::Ready(Some(
                    Ok(AppendEntriesResponse::from(reply).into_stream_result(previous, last)),
                ))
            }
            Err(error) => this.fail(unreachable(error)),
        }
    }
}
