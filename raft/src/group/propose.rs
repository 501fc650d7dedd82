//! Proposals: from a payload to what the machine replied.
//!
//! A proposal is refused early, and for certain, where this replica does not lead or has no room. Once it is handed to the log only
//! raft knows what becomes of it, so from there on a failure says whether the payload may yet be applied.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::errors::ClientWriteError;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::{Group, leader_of};
use crate::ProposeError;
use crate::limits::{ADMISSION_WAIT_MS, OUTCOME_WAIT_MS, PAYLOAD_BYTES_MAX};
use crate::mutant::Mutant;
use crate::replica::Replica;
use crate::stage::micros;
use crate::typ::{Applied, Payload, Slot, Types, WriteResult};

/// An applied proposal. The times are those of the leader, microseconds, one after the other; 0 where one was not observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// What the machine replied.
    pub reply: Bytes,
    /// Where it is in the log.
    pub index: u64,
    /// From the call until the entry was handed to the log.
    pub propose_us: u32,
    /// From there until it was durable on this node.
    pub fsync_us: u32,
    /// From there until the machine was given it, that is until it was committed and its turn came.
    pub commit_us: u32,
    /// From there until the machine had replied.
    pub apply_us: u32,
}

/// A payload that was handed to the log.
pub struct Submitted {
    replica: Arc<Replica>,
    start: u64,
    outcome: oneshot::Receiver<WriteResult>,
}

impl Submitted {
    /// Waits until it is applied.
    pub async fn outcome(self) -> Result<Proposed, ProposeError> {
        match self.wait().await {
            // Mutant, B9.
            Err(ProposeError::Unknown(why)) if Mutant::UnknownCalledNotApplied.active() => Err(ProposeError::NotApplied(why)),
            outcome => outcome,
        }
    }

    async fn wait(self) -> Result<Proposed, ProposeError> {
        match timeout(Duration::from_millis(OUTCOME_WAIT_MS), self.outcome).await {
            Ok(Ok(Ok(written))) => Ok(proposed(written.data, written.log_id.index, self.start)),
            Ok(Ok(Err(error))) => Err(not_written(error)),
            Ok(Err(_)) => Err(ProposeError::Unknown(self.replica.why_stopped())),
            Err(_) => Err(ProposeError::Unknown(format!("no outcome within {OUTCOME_WAIT_MS} ms"))),
        }
    }
}

impl std::fmt::Debug for Submitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submitted").finish_non_exhaustive()
    }
}

impl Group {
    /// Replicates and applies a payload; only on the leader. At most [`PAYLOAD_BYTES_MAX`].
    ///
    /// Every error but `Unknown` means that it was not, and never will be, applied. A caller that stops waiting does not know either.
    pub async fn propose(&self, payload: Bytes) -> Result<Proposed, ProposeError> {
        self.submit(payload).await?.outcome().await
    }

    /// The first half of [`Group::propose`]: waits for room and hands the payload to the log. Payloads that are submitted one after
    /// the other are in the log in that order.
    pub async fn submit(&self, payload: Bytes) -> Result<Submitted, ProposeError> {
        let replica = &*self.replica;
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(ProposeError::NotApplied(format!(
                "{} bytes exceed the limit of {PAYLOAD_BYTES_MAX}",
                payload.len()
            )));
        }
        let start = replica.stages.now();
        self.may_propose()?;
        self.wait_under_limit().await?;
        let permit = replica.admission.enter(payload.len()).await.ok_or(ProposeError::Overloaded)?;
        let (slot, outcome) = Slot::<WriteResult>::new(permit);
        if replica.raft.client_write_ff(Payload(payload), Some(slot)).await.is_err() {
            return Err(ProposeError::Stopped(replica.why_stopped()));
        }
        let replica = Arc::clone(&self.replica);
        Ok(Submitted { replica, start, outcome })
    }

    fn may_propose(&self) -> Result<(), ProposeError> {
        if let Some(why) = self.stopped() {
            return Err(ProposeError::Stopped(why));
        }
        if self.is_leader() {
            Ok(())
        } else {
            Err(ProposeError::NotLeader(self.leader()))
        }
    }

    /// Waits while the machine, or the log, asks for a pause.
    async fn wait_under_limit(&self) -> Result<(), ProposeError> {
        let over = || self.replica.room.is_full() || self.replica.machine.over_limit();
        if !over() {
            return Ok(());
        }
        let deadline = Instant::now() + Duration::from_millis(ADMISSION_WAIT_MS);
        while over() {
            if Instant::now() >= deadline {
                return Err(if self.replica.room.is_full() {
                    ProposeError::Full
                } else {
                    ProposeError::Overloaded
                });
            }
            self.may_propose()?;
            sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

fn proposed(applied: Applied, index: u64, start: u64) -> Proposed {
    Proposed {
        index,
        propose_us: micros(start, applied.appended),
        fsync_us: micros(applied.appended, applied.synced),
        // When the other replicas were faster than this node's own disk, it was committed before it was durable here.
        commit_us: micros(applied.synced, applied.given),
        apply_us: micros(applied.given, applied.done),
        reply: applied.reply,
    }
}

/// Why a proposal came to nothing: raft refused it before it was appended, or dropped the entry for another leader's.
fn not_written(error: ClientWriteError<Types>) -> ProposeError {
    match error {
        ClientWriteError::ForwardToLeader(to) => ProposeError::NotLeader(leader_of(&to)),
        // Another replica may hold it still, and a later leader may commit it.
        ClientWriteError::LogEntryDiscarded(_) => {
            ProposeError::Unknown("another leader took over before it was committed".to_owned())
        }
        other => ProposeError::NotApplied(other.to_string()),
    }
}
