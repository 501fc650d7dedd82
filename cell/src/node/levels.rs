//! Raises the level of the groups that this node leads, once all that take part in them have reached it (`machine/level.rs`).
//!
//! Who takes part in a cell has a replica of it, in the directory also who keeps a copy: every node. A node that does not answer holds
//! the level back: it may come back with the version that it had.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::error::{Code, Error};
use api::service::Timing;
use raft::NodeId;
use storage::Space;

use super::platform::Platform;
use super::replica::{Proposal, Replica};
use crate::directory::GROUP;
use crate::machine::dispatch::answer;
use crate::machine::level::LevelRaise;
use crate::machine::rows::Actor;
use crate::service::error::{internal, refused};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks while a new group may have got its leader.
const SOON: Duration = Duration::from_millis(20);
/// How long after a group got its first members its leader is looked for so often.
const NEW: Duration = Duration::from_secs(2);
/// How long a group of lower level is waited for.
const REACHES: Duration = Duration::from_secs(3);

/// Looks for as long as the platform is there.
pub(crate) async fn run(platform: Arc<Platform>) {
    // What held each group back the last time: it is told when that changes.
    let mut told = BTreeMap::new();
    let mut new_until = Instant::now();
    loop {
        for replica in platform.replicas().filter(|replica| replica.group.is_leader()) {
            if replica.level.group() >= platform.level {
                told.remove(&replica.number);
                continue;
            }
            if let Err(error) = platform.raise(&replica).await
                && told.get(&replica.number) != Some(&error.detail)
            {
                tracing::info!(cell = %replica.name, why = error.detail, "the level is not raised yet");
                told.insert(replica.number, error.detail);
            }
        }
        let pause = if Instant::now() < new_until { SOON } else { LOOK };
        if tokio::time::timeout(pause, platform.formed.notified()).await.is_ok() {
            new_until = Instant::now() + NEW;
        }
    }
}

impl Platform {
    /// Waits for a little until a group is at a level, as those of its nodes that can be asked know it. An error: it is not yet.
    pub(crate) async fn wait_level(&self, group: u64, wanted: u32) -> Result<(), Error> {
        let until = Instant::now() + REACHES;
        for attempt in 0.. {
            let level = match self.leader_of(group, attempt) {
                Some(number) if number == self.me.number => self.group(group).map(|replica| replica.level.group()),
                Some(number) => self
                    .ask_about(NodeId(number), group)
                    .await
                    .ok()
                    .and_then(|about| about.group_level),
                None => None,
            };
            if level >= Some(wanted) {
                return Ok(());
            }
            if Instant::now() >= until {
                let why = match level {
                    Some(level) => format!("group {group} is at level {level}, level {wanted} is needed"),
                    None => format!("no node of group {group} says at which level it is"),
                };
                return Err(Error::new(Code::Unavailable, why));
            }
            tokio::time::sleep(SOON).await;
        }
        Err(internal(&"a wait has no end"))
    }

    /// Waits for a little until a group is at the level that all of these nodes run at. Not at all while one of them does not answer: it
    /// holds the level back.
    pub(crate) async fn wait_level_of(&self, group: u64, nodes: &[u64]) -> Result<(), Error> {
        let mut lowest = self.level;
        for node in nodes.iter().filter(|node| **node != self.me.number) {
            let Ok(level) = self.level_of(*node).await else {
                return Ok(());
            };
            lowest = lowest.min(level);
        }
        self.wait_level(group, lowest).await
    }

    /// Raises a group that this node leads to the highest level that all who take part have reached.
    async fn raise(&self, replica: &Replica) -> Result<(), Error> {
        let (level, who) = self.reached(replica).await?;
        if level <= replica.level.group() {
            return Err(Error::new(Code::Unavailable, format!("{who} runs at level {level}")));
        }
        let proposal = Proposal {
            command: LevelRaise { level },
            schema: None,
            access: None,
        };
        let timing = Timing::default();
        let proposed = replica.propose(Space::SYSTEM, Actor::System, None, proposal, &timing).await?;
        let raised = answer::<()>(&proposed).map_err(|fault| internal(&fault))?.result;
        raised.map_err(|refusal| refused(&refusal))?;
        tracing::info!(cell = %replica.name, level, "raised the level");
        Ok(())
    }

    /// The highest level that all who take part in a group have reached, and one of those who have reached no other.
    async fn reached(&self, replica: &Replica) -> Result<(u32, String), Error> {
        let status = replica.group.status();
        let mut nodes: BTreeSet<u64> = status.voters.iter().chain(&status.learners).map(|node| node.0).collect();
        if replica.number == GROUP {
            nodes.extend(self.topology().nodes.iter().map(|node| node.number));
        }
        nodes.remove(&self.me.number);
        let mut lowest = (self.level, self.me.name.clone());
        let asked = nodes.into_iter().map(|node| async move { (node, self.level_of(node).await) });
        for (node, level) in futures_util::future::join_all(asked).await {
            let level = level?;
            if level < lowest.0 {
                lowest = (level, self.node_name(node));
            }
        }
        Ok(lowest)
    }

    /// The level that another node runs at.
    async fn level_of(&self, node: u64) -> Result<u32, Error> {
        let asked = self.ask_about(NodeId(node), GROUP).await;
        let about = asked.map_err(|_| Error::new(Code::Unavailable, format!("{} does not answer", self.node_name(node))))?;
        Ok(about.level)
    }

    /// Refuses nodes that run at a lower level than a group is at: they could not read what is there.
    pub(super) async fn check_levels(&self, replica: &Replica, nodes: &BTreeSet<NodeId>) -> Result<(), String> {
        let level = replica.level.group();
        for node in nodes.iter().filter(|node| node.0 != self.me.number) {
            let found = self.level_of(node.0).await.map_err(|error| error.detail)?;
            if found < level {
                let name = self.node_name(node.0);
                return Err(format!(
                    "{name} runs at level {found}, {} is at level {level}: update the node first",
                    replica.name
                ));
            }
        }
        Ok(())
    }
}
