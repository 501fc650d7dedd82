//! A replica of one group, as its user sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, ForwardToLeader, InitializeError, RaftError};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::host::HostInner;
use crate::limits::{ADMISSION_WAIT_MS, CATCH_UP_MS, CHANGE_MS, GREETED_MS, HAND_OVER_MS, OUTCOME_WAIT_MS, PAYLOAD_BYTES_MAX};
use crate::peer::Lane;
use crate::replica::Replica;
use crate::stage::micros;
use crate::typ::{Applied, Payload, Slot, Types, WriteResult, index_of};
use crate::{Error, GroupId, NodeId, ProposeError, ReadError, barrier};

/// What this replica is at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads.
    Leader,
    /// It follows a leader, or waits for one.
    Follower,
    /// It asks to lead.
    Candidate,
    /// It receives the log without a vote.
    Learner,
    /// It stopped, for the given reason.
    Stopped(String),
}

/// A replica's view of its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The current term.
    pub term: u64,
    /// Who leads, if known.
    pub leader: Option<NodeId>,
    /// What this replica is.
    pub role: Role,
    /// Index of the last entry in this log.
    pub last_log: u64,
    /// Index of the last entry known to be committed.
    pub committed: u64,
    /// Index of the last applied entry.
    pub applied: u64,
    /// Index that the machine has made durable and the log may be purged to.
    pub snapshot: u64,
    /// Index of the last purged entry.
    pub purged: u64,
    /// Replicas that vote.
    pub voters: Vec<NodeId>,
    /// Replicas that only receive.
    pub learners: Vec<NodeId>,
    /// On the leader: how far each replica's log is known to match.
    pub matched: BTreeMap<NodeId, u64>,
}

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

/// A replica of one group on this node. Cheap to clone; usable from any tokio runtime that has its timer enabled.
#[derive(Clone)]
pub struct Group {
    replica: Arc<Replica>,
    /// Keeps the raft thread running.
    _host: Arc<HostInner>,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group")
            .field("id", &self.replica.id)
            .field("node", &self.replica.node)
            .finish_non_exhaustive()
    }
}

impl Group {
    pub(crate) fn new(replica: Arc<Replica>, host: Arc<HostInner>) -> Group {
        Group { replica, _host: host }
    }

    /// Which group.
    pub fn id(&self) -> GroupId {
        self.replica.id
    }

    /// Makes the group, with these voters; on one of them, once in its life. False: it was initialised already.
    ///
    /// All other members must have greeted this node, for which it waits up to 5 s: one that cannot be reached may hold the group
    /// as it was before this node lost its data, and one that has known this node by another data directory refuses it. Else a
    /// second group would be founded beside the first.
    pub async fn initialize(&self, members: &BTreeSet<NodeId>) -> Result<bool, Error> {
        let raft = &self.replica.raft;
        if raft.is_initialized().await.map_err(|fatal| self.stopped_error(&fatal))? {
            return Ok(false);
        }
        self.greeted(members).await?;
        let members: BTreeSet<u64> = members.iter().map(|node| node.0).collect();
        match self.replica.raft.initialize(members).await {
            Ok(()) => Ok(true),
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(false),
            Err(RaftError::APIError(error)) => Err(Error::Refused(error.to_string())),
            Err(RaftError::Fatal(fatal)) => Err(self.stopped_error(&fatal)),
        }
    }

    /// Waits until all of these nodes and this one have greeted each other.
    async fn greeted(&self, members: &BTreeSet<NodeId>) -> Result<(), Error> {
        let net = &self.replica.net;
        let is_up =
            |node: &NodeId| node.0 == net.node || net.peers.get(&node.0).is_some_and(|peer| peer.link(Lane::Control).is_up());
        let deadline = Instant::now() + Duration::from_millis(GREETED_MS);
        loop {
            let missing: Vec<String> = members.iter().filter(|node| !is_up(node)).map(NodeId::to_string).collect();
            if missing.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Error::Refused(format!(
                    "group {} is not made before all its members have met this node; these have not, or refuse it: node {}",
                    self.id(),
                    missing.join(", node ")
                )));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

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

    /// Returns once everything that was acknowledged before it was called is applied on this replica, with the index that it waited
    /// for. On any replica; takes at most 2 s.
    pub async fn read_barrier(&self) -> Result<u64, ReadError> {
        barrier::pass(&self.replica).await
    }

    /// Who leads, as far as this replica knows; a leader whose quorum does not answer knows of none. Cheap.
    pub fn leader(&self) -> Option<NodeId> {
        self.replica.lead.leader()
    }

    /// Whether this replica leads. Cheap; may be out of date by the time it returns.
    pub fn is_leader(&self) -> bool {
        self.replica.lead.leads()
    }

    /// Resolves at the first change of `leader()` after the call.
    pub fn leader_changed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut changes = self.replica.lead.changes();
        async move {
            // It never ends before the replica does, because that holds the sender.
            let _ = changes.changed().await;
        }
    }

    /// Index of the last entry that is applied here.
    pub fn applied(&self) -> u64 {
        *self.replica.queue.applied().borrow()
    }

    /// Waits until `index` is applied here; false when it is not within `deadline`.
    pub async fn wait_applied(&self, index: u64, deadline: Duration) -> bool {
        let mut applied = self.replica.queue.applied().subscribe();
        let reached = applied.wait_for(|at| *at >= index || self.replica.stopped().is_some());
        timeout(deadline, reached)
            .await
            .is_ok_and(|reached| reached.is_ok_and(|at| *at >= index))
    }

    /// What this replica knows of the group.
    pub fn status(&self) -> Status {
        let metrics = self.replica.raft.metrics().borrow_watched().clone();
        let role = match (self.stopped(), metrics.state) {
            (Some(why), _) => Role::Stopped(why),
            (None, ServerState::Leader) => Role::Leader,
            (None, ServerState::Candidate) => Role::Candidate,
            (None, ServerState::Learner) => Role::Learner,
            (None, ServerState::Shutdown) => Role::Stopped("shut down".to_owned()),
            (None, ServerState::Follower) => Role::Follower,
        };
        let membership = metrics.membership_config.membership();
        let matched = metrics
            .replication
            .iter()
            .flatten()
            .map(|(node, at)| (NodeId(*node), index_of(at.as_ref())));
        Status {
            term: metrics.current_term,
            leader: self.leader(),
            role,
            last_log: metrics.last_log_index.unwrap_or(0),
            committed: index_of(metrics.local_committed.as_ref()),
            applied: self.applied(),
            snapshot: index_of(metrics.snapshot.as_ref()),
            purged: index_of(metrics.purged.as_ref()),
            voters: membership.voter_ids().map(NodeId).collect(),
            learners: membership.learner_ids().map(NodeId).collect(),
            matched: matched.collect(),
        }
    }

    /// Hands leadership to a voter, by default the most up-to-date one that is reachable; returns once it leads, and who it is.
    pub async fn hand_over(&self, to: Option<NodeId>) -> Result<NodeId, Error> {
        if !self.is_leader() {
            return Err(Error::NotLeader(self.leader()));
        }
        let own = NodeId(self.replica.node);
        let status = self.status();
        let fit = |node: &NodeId| *node != own && self.replica.net.reachable(node.0);
        let to = to
            .or_else(|| self.replica.successor())
            .ok_or_else(|| Error::Refused("no other voter is reachable".to_owned()))?;
        if to == own {
            return Ok(to);
        }
        if !status.voters.contains(&to) || !fit(&to) {
            return Err(Error::Refused(format!("node {to} is not a reachable voter")));
        }
        let mut changes = self.replica.lead.changes();
        self.replica
            .raft
            .trigger()
            .transfer_leader(to.0)
            .await
            .map_err(|fatal| self.stopped_error(&fatal))?;
        let moved = changes.wait_for(|leader| leader.is_some_and(|leader| leader != own));
        match timeout(Duration::from_millis(HAND_OVER_MS), moved).await {
            Ok(Ok(leader)) if *leader == Some(to) => Ok(to),
            Ok(Ok(leader)) => Err(Error::NotLeader(*leader)),
            Ok(Err(_)) => Err(Error::Closed),
            Err(_) => Err(Error::Timeout("hand over leadership")),
        }
    }

    /// Makes exactly these nodes the voters: adds the new ones as learners, waits until they caught up, changes. On the leader.
    /// After `Timeout` it may yet become so; asking again is safe.
    pub async fn change_voters(&self, voters: &BTreeSet<NodeId>) -> Result<(), Error> {
        if voters.is_empty() {
            return Err(Error::Refused("a group needs a voter".to_owned()));
        }
        let status = self.status();
        for node in voters.iter().filter(|node| !status.voters.contains(node)) {
            if !status.learners.contains(node) {
                let learner = self.replica.raft.add_learner(node.0, openraft::impls::EmptyNode {}, false);
                self.change(learner).await?;
            }
            self.caught_up(*node).await?;
        }
        let voters: BTreeSet<u64> = voters.iter().map(|node| node.0).collect();
        self.change(self.replica.raft.change_membership(voters, false)).await
    }

    /// Waits for a change of the members, but not for ever: without a quorum it may never be committed.
    async fn change<T>(&self, change: impl Future<Output = Result<T, ChangeError>>) -> Result<(), Error> {
        match timeout(Duration::from_millis(CHANGE_MS), change).await {
            Ok(changed) => changed.map(drop).map_err(|error| self.change_error(error)),
            Err(_) => Err(Error::Timeout(CHANGE)),
        }
    }

    /// Waits until a new replica has all that this log had when it was last looked at.
    async fn caught_up(&self, node: NodeId) -> Result<(), Error> {
        let deadline = Instant::now() + Duration::from_millis(CATCH_UP_MS);
        loop {
            let target = self.status().last_log;
            let round = Instant::now() + Duration::from_secs(1);
            while Instant::now() < round {
                if !self.is_leader() {
                    return Err(Error::NotLeader(self.leader()));
                }
                if self.status().matched.get(&node).is_some_and(|at| *at >= target) {
                    return Ok(());
                }
                sleep(Duration::from_millis(5)).await;
            }
            if Instant::now() >= deadline {
                return Err(Error::Timeout("wait for a new replica to catch up"));
            }
        }
    }

    /// Why this replica stopped, if it did.
    pub fn stopped(&self) -> Option<String> {
        self.replica.stopped()
    }

    fn stopped_error(&self, why: &dyn std::fmt::Display) -> Error {
        Error::Stopped {
            group: self.id(),
            why: self.stopped().unwrap_or_else(|| why.to_string()),
        }
    }

    fn change_error(&self, error: ChangeError) -> Error {
        match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => Error::NotLeader(leader_of(&to)),
            // Another replica may hold it still, and a later leader may commit it.
            RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) => Error::Timeout(CHANGE),
            RaftError::APIError(error) => Error::Refused(error.to_string()),
            RaftError::Fatal(fatal) => self.stopped_error(&fatal),
        }
    }
}

type ChangeError = RaftError<Types, ClientWriteError<Types>>;

/// What did not finish in time.
const CHANGE: &str = "change voters";

fn leader_of(forward: &ForwardToLeader<Types>) -> Option<NodeId> {
    forward.leader_id.map(NodeId)
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
