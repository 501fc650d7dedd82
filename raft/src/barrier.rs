//! Linearizable reads on any replica.
//!
//! A read may be served from a replica once that has applied all that was committed when the read began. Its leader knows that index,
//! and must prove that it still leads. A follower asks it, with the vote that it holds; a leader asks one follower for its vote; where
//! that is no proof ([`crate::proof`]), openraft's ReadIndex makes a round to a quorum. All reads of a replica that wait share one
//! question: those that arrive while one is under way join the next, never the one under way, which may have been answered before they
//! began.

use std::sync::Weak;
use std::time::Duration;

use openraft::ReadPolicy;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::codec::{VoteV1, decode, encode};
use crate::limits::{BARRIER_WAITERS_MAX, CONTROL_TTL_MS_MIN};
use crate::mutant::Mutant;
use crate::peer::{CallError, FrameWriter, Kind, Lane, ReadReplyV1};
use crate::replica::Replica;
use crate::{ReadError, proof};

/// Between two attempts while nobody leads.
const RETRY: Duration = Duration::from_millis(10);
/// How long a leader waits for the vote of one follower before it asks all. Raised: a follower that hangs holds up reads for longer.
/// Lowered: a busy one costs a round to all.
const VOTE_HELD: Duration = Duration::from_millis(20);

type Waiter = oneshot::Sender<Option<u64>>;

/// Where reads on a follower wait for the next round.
pub(crate) struct Barrier {
    waiters: mpsc::Sender<Waiter>,
}

/// The reads that wait; for the group's barrier task.
pub(crate) struct BarrierQueue(mpsc::Receiver<Waiter>);

impl Barrier {
    pub(crate) fn new() -> (Barrier, BarrierQueue) {
        let (waiters, queue) = mpsc::channel(BARRIER_WAITERS_MAX);
        (Barrier { waiters }, BarrierQueue(queue))
    }
}

/// Runs the rounds of a group, as long as its replica lives: it does not hold it, or a group that was closed would stay for ever, with
/// its machine.
pub(crate) async fn run(replica: Weak<Replica>, mut queue: BarrierQueue) {
    let mut round = Vec::with_capacity(64);
    // Which of the witnesses a leader asks: the same one as long as it answers.
    let mut peer = 0;
    while queue.0.recv_many(&mut round, BARRIER_WAITERS_MAX).await > 0 {
        let index = match replica.upgrade() {
            Some(replica) if replica.lead.leads() => prove(&replica, &mut peer).await,
            Some(replica) => ask_leader(&replica).await,
            None => None,
        };
        for waiter in round.drain(..) {
            let _ = waiter.send(index);
        }
    }
}

/// One round of a leader: its own read index, unless it cannot be proven.
async fn prove(replica: &Replica, peer: &mut usize) -> Option<u64> {
    let witnesses = proof::witnesses(replica);
    if let Some(node) = witnesses.get(*peer % witnesses.len().max(1)) {
        if let Some(index) = ask_for_vote(replica, *node).await {
            return Some(index);
        }
        *peer = peer.wrapping_add(1);
    }
    read_index(replica).await
}

/// What is committed, if the vote that a peer holds proves that this replica leads.
async fn ask_for_vote(replica: &Replica, node: u64) -> Option<u64> {
    let link = replica.net.link(node, Lane::Control, replica.region.as_deref()).ok()?;
    let frame = FrameWriter::new(Kind::VOTE_HELD, replica.id.0, 0);
    let answer = timeout(VOTE_HELD, link.ask(frame)).await.ok()?.ok()?;
    let held: VoteV1 = decode("vote held", &answer).ok()?;
    proof::committed(replica, node, held).await
}

/// The read index of a replica that leads, after a round to a quorum.
pub(crate) async fn read_index(replica: &Replica) -> Option<u64> {
    let linearizer = replica.raft.get_read_linearizer(ReadPolicy::ReadIndex).await.ok()?;
    Some(linearizer.read_log_id().index())
}

/// One round: the leader's read index, unless it could not be had.
async fn ask_leader(replica: &Replica) -> Option<u64> {
    let leader = replica.lead.leader()?;
    let link = replica.net.link(leader.0, Lane::Control, replica.region.as_deref()).ok()?;
    let wait = Duration::from_millis(replica.barrier_wait_ms.min(2 * CONTROL_TTL_MS_MIN));
    let vote = encode(&proof::vote_held(replica).await?);
    let mut frame = FrameWriter::new(Kind::READ_INDEX_VOTED, replica.id.0, vote.len());
    frame.payload().extend_from_slice(&vote);
    let answer = match timeout(wait, link.ask(frame)).await.ok()? {
        // A leader of an earlier build does not know the question.
        Err(CallError::Failed(_)) => {
            let frame = FrameWriter::new(Kind::READ_INDEX, replica.id.0, 0);
            timeout(wait, link.ask(frame)).await.ok()?.ok()?
        }
        answer => answer.ok()?,
    };
    match decode("read index", &answer).ok()? {
        ReadReplyV1::Index(index) => Some(index),
        ReadReplyV1::NotLeader => None,
    }
}

/// Waits until a read that begins now may be served here; the index that had to be applied.
pub(crate) async fn pass(replica: &Replica) -> Result<u64, ReadError> {
    let deadline = Instant::now() + Duration::from_millis(replica.barrier_wait_ms);
    loop {
        if let Some(why) = replica.stopped() {
            return Err(ReadError::Stopped(why));
        }
        // Mutant, B5.
        if Mutant::ReadWithoutBarrier.active() {
            return Ok(*replica.queue.applied().borrow());
        }
        if let Ok(Some(index)) = timeout_at(deadline, next_round(replica)).await {
            return wait_applied(replica, index, deadline).await;
        }
        if Instant::now() + RETRY >= deadline {
            return Err(if replica.lead.leader().is_none() {
                ReadError::NoLeader
            } else {
                ReadError::Timeout
            });
        }
        sleep_until(Instant::now() + RETRY).await;
    }
}

/// The index that the next round gives.
async fn next_round(replica: &Replica) -> Option<u64> {
    let (answer, index) = oneshot::channel();
    replica.barrier.waiters.send(answer).await.ok()?;
    index.await.ok()?
}

async fn wait_applied(replica: &Replica, index: u64, deadline: Instant) -> Result<u64, ReadError> {
    if *replica.queue.applied().borrow() >= index {
        return Ok(index);
    }
    let mut applied = replica.queue.applied().subscribe();
    let reached = timeout_at(deadline, applied.wait_for(|at| *at >= index || replica.stopped().is_some())).await;
    if let Some(why) = replica.stopped() {
        return Err(ReadError::Stopped(why));
    }
    match reached {
        Ok(Ok(_)) => Ok(index),
        _ => Err(ReadError::Timeout),
    }
}
