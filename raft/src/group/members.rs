//! Who is in a group, and who of them leads: making the group, changing its voters, handing over its leadership.
//!
//! All of them are asked of one replica and answered by several, so each waits for a bounded time. What timed out may yet happen;
//! asking again is safe.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::errors::{ClientWriteError, InitializeError, RaftError};
use tokio::time::{Instant, sleep, timeout};

use super::{Group, leader_of};
use crate::limits::{CATCH_UP_MS, CHANGE_MS, GREETED_MS, HAND_OVER_MS};
use crate::peer::{Lane, Link};
use crate::typ::Types;
use crate::{Error, NodeId};

type ChangeError = RaftError<Types, ClientWriteError<Types>>;

/// What did not finish in time.
const CHANGE: &str = "change voters";

impl Group {
    /// Makes the group, with these voters; on one of them, once in its life. False: it was initialised already.
    ///
    /// A member of another region than the group is bound to is refused.
    /// All other members must have greeted this node, for which it waits up to 5 s: one that cannot be reached may hold the group
    /// as it was before this node lost its data, and one that has known this node by another data directory refuses it. Else a
    /// second group would be founded beside the first.
    pub async fn initialize(&self, members: &BTreeSet<NodeId>) -> Result<bool, Error> {
        let raft = &self.replica.raft;
        if raft.is_initialized().await.map_err(|fatal| self.stopped_error(&fatal))? {
            return Ok(false);
        }
        self.replica.check_members(members)?;
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
        let is_up = |node: &NodeId| {
            node.0 == net.node
                || net
                    .peer(node.0)
                    .is_ok_and(|peer| peer.link(Lane::Control).is_some_and(Link::is_up))
        };
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
    /// After `Timeout` it may yet become so; asking again is safe. A voter of another region than the group is bound to is refused.
    pub async fn change_voters(&self, voters: &BTreeSet<NodeId>) -> Result<(), Error> {
        if voters.is_empty() {
            return Err(Error::Refused("a group needs a voter".to_owned()));
        }
        self.replica.check_members(voters)?;
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
