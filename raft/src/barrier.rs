//! Linearizable reads on any replica.
//!
//! A read may be served from a replica once that has applied all that was committed when the read began. On the leader openraft's
//! ReadIndex gives that index, after a round to a quorum that proves that it still leads; all reads that wait share the round. A
//! follower asks the leader for it, and does the same sharing here: reads that arrive while a round is under way join the next one,
//! never the one under way, which may have been answered before they began.

use std::sync::Weak;
use std::time::Duration;

use openraft::ReadPolicy;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::ReadError;
use crate::codec::decode;
use crate::limits::{BARRIER_WAITERS_MAX, CONTROL_TTL_MS_MIN};
use crate::mutant::Mutant;
use crate::peer::{FrameWriter, Kind, Lane, ReadReplyV1};
use crate::replica::Replica;

/// Between two attempts while nobody leads.
const RETRY: Duration = Duration::from_millis(10);

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
    while queue.0.recv_many(&mut round, BARRIER_WAITERS_MAX).await > 0 {
        let index = match replica.upgrade() {
            Some(replica) => ask_leader(&replica).await,
            None => None,
        };
        for waiter in round.drain(..) {
            let _ = waiter.send(index);
        }
    }
}

/// One round: the leader's read index, unless it could not be had.
async fn ask_leader(replica: &Replica) -> Option<u64> {
    let leader = replica.lead.leader()?;
    let link = replica.net.link(leader.0, Lane::Control, replica.region.as_deref()).ok()?;
    let frame = FrameWriter::new(Kind::READ_INDEX, replica.id.0, 0);
    let wait = Duration::from_millis(replica.barrier_wait_ms.min(2 * CONTROL_TTL_MS_MIN));
    let answer = timeout(wait, link.ask(frame)).await.ok()?.ok()?;
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
        if let Ok(Some(index)) = timeout_at(deadline, read_index(replica)).await {
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

async fn read_index(replica: &Replica) -> Option<u64> {
    if replica.lead.leads() {
        let linearizer = replica.raft.get_read_linearizer(ReadPolicy::ReadIndex).await.ok()?;
        return Some(linearizer.read_log_id().index());
    }
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
