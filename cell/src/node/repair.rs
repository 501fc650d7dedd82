//! Repair: a replica whose store is damaged is rebuilt from another replica of its group.
//!
//! ```text
//!  the store halts for damage, or does not open
//!     │  the place is cleared: nothing is served any more, and it says so        (`slot`)
//!     │  the group is closed, its log and vote stay                              (`raft::Host::close_group`)
//!     │  the directory is marked: a restart goes on here                         (`storage::Rebuild`)
//!     ▼
//!  the state of another replica comes, the leader's if it can be had             (`transfer`)
//!     ▼
//!  installed, opened, the log replayed behind it, the place filled               (`open`)
//! ```
//!
//! Why the node keeps its vote. What it has promised (votes, acknowledged entries) is in its log, which is whole: a log that is not
//! does not open, and that node stays out. The store only holds what was applied, which every replica has alike. The state that comes
//! was applied elsewhere, so it is committed; it reaches at least as far as this log was purged, so no entry is missing between them;
//! and the entries behind it are applied as after any restart. `raft` checks all of that again when the group opens.
//!
//! Only damage is repaired. A store that halted because a write or a sync failed stays stopped: its disk is the trouble, and a new
//! file on it would be as bad. A group with one replica has nobody to ask. And a node whose log has stopped repairs nothing: it could not
//! join the group before its next start, which goes on with the repair.
//!
//! Attempts are spaced out, and a replica that is rebuilt [`REBUILDS`] times within an hour waits for the hour to end: its disk is not
//! worth it.
//!
//! CAVEATS: a sender's own damage is found by its checksums; what it does not hold for another reason, a scrub finds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context, anyhow};
use raft::NodeId;
use storage::{Rebuild, Store};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep};

use super::open::{Opener, Unopened};
use super::platform::Platform;
use super::slot::Slot;
use super::transfer::Wanted;

/// How often a place is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How often it is looked whether places have come or gone.
const PLACES: Duration = Duration::from_secs(1);
/// Between two attempts: doubles from the first to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(60));
/// So many rebuilds within an hour are enough.
const REBUILDS: usize = 10;
/// That hour.
const WINDOW: Duration = Duration::from_secs(3_600);

/// Looks after all places, for as long as the platform is there.
pub(crate) async fn run(platform: Arc<Platform>, opener: Arc<Opener>) {
    let mut watched: BTreeMap<u64, (Weak<Slot>, AbortOnDrop)> = BTreeMap::new();
    loop {
        // Places come and go with the topology.
        let slots: Vec<_> = platform.slots().collect();
        watched.retain(|_, (slot, _)| {
            slot.upgrade()
                .is_some_and(|slot| slots.iter().any(|other| Arc::ptr_eq(other, &slot)))
        });
        for slot in slots {
            watched.entry(slot.number).or_insert_with(|| {
                let repair = Repair {
                    platform: Arc::clone(&platform),
                    opener: Arc::clone(&opener),
                    slot: Arc::clone(&slot),
                    rebuilt: VecDeque::new(),
                };
                (Arc::downgrade(&slot), AbortOnDrop(tokio::spawn(repair.watch())))
            });
        }
        sleep(PLACES).await;
    }
}

/// A task that ends with whoever watches over it.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How far a repair has come.
enum Stage {
    /// The directory of the store is to be taken and marked.
    Begun,
    /// It waits for the state of another replica.
    Empty(Arc<Rebuild>),
    /// The store is whole; the group is to be joined.
    Whole(Store),
}

/// Looks after one place.
struct Repair {
    platform: Arc<Platform>,
    opener: Arc<Opener>,
    slot: Arc<Slot>,
    /// When it was rebuilt within the last hour.
    rebuilt: VecDeque<Instant>,
}

impl Repair {
    async fn watch(mut self) {
        while !self.slot.is_retired() {
            let others = self.others();
            if others.is_empty() {
                sleep(PLACES).await;
                continue;
            }
            let stage = match self.slot.get() {
                None => Some(Stage::Begun),
                Some(replica) => match replica.store.damaged() {
                    Some(why) => Some(self.take_out(&replica, &why).await),
                    None => None,
                },
            };
            if let Some(stage) = stage {
                let why = self.slot.stopped().unwrap_or_default();
                self.slot.count_damage();
                tracing::error!(cell = %self.slot.name, why, "the replica's store is damaged: it is rebuilt from another replica");
                if !self.mend(stage, &others, &why).await {
                    return;
                }
            }
            sleep(LOOK).await;
        }
    }

    /// The other nodes that have a replica of the group.
    fn others(&self) -> Vec<NodeId> {
        let nodes = self.platform.members(self.slot.number);
        nodes
            .into_iter()
            .filter(|number| *number != self.platform.me.number)
            .map(NodeId)
            .collect()
    }

    /// Takes a damaged replica out of its place and closes its group.
    async fn take_out(&self, replica: &super::replica::Replica, why: &str) -> Stage {
        if let Some(scrub) = replica.pins.last() {
            self.slot.taken_out_after(scrub, why);
        }
        self.slot.clear(why);
        if let Err(error) = self.platform.host.close_group(&replica.group).await {
            tracing::error!(cell = %self.slot.name, %error, "the group of a damaged replica could not be closed in order");
        }
        let store = replica.store.clone();
        match tokio::task::spawn_blocking(move || Rebuild::of(&store)).await {
            Ok(Ok(rebuild)) => Stage::Empty(Arc::new(rebuild)),
            Ok(Err(error)) => {
                tracing::error!(cell = %self.slot.name, %error, "a damaged store could not be marked");
                Stage::Begun
            }
            Err(_) => Stage::Begun,
        }
    }

    /// Tries until the place is filled; false: only another start of the node can fill it.
    async fn mend(&mut self, mut stage: Stage, others: &[NodeId], why: &str) -> bool {
        let mut pause = PAUSE.0;
        loop {
            self.wait_for_leave().await;
            if let Some(log) = self.platform.host.log_stats().stopped {
                tracing::error!(cell = %self.slot.name, log, "a repair waits for the next start of this node: its log has stopped");
                self.slot
                    .clear(&format!("{why}; the log of this node has stopped, start it again: {log}"));
                return false;
            }
            stage = match self.step(stage, others, why).await {
                Ok(None) => return true,
                Ok(Some(next)) => {
                    pause = PAUSE.0;
                    next
                }
                Err((error, stage)) => {
                    tracing::warn!(cell = %self.slot.name, error = format!("{error:#}"), again_in = ?pause, "a repair did not get on");
                    self.slot.clear(&format!("{why}; so far: {error:#}"));
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                    stage
                }
            };
        }
    }

    /// Gets one stage further; `None`: the place is filled.
    async fn step(&mut self, stage: Stage, others: &[NodeId], why: &str) -> Result<Option<Stage>, (anyhow::Error, Stage)> {
        match stage {
            Stage::Begun => match self.begin(why).await {
                Ok(rebuild) => Ok(Some(Stage::Empty(Arc::new(rebuild)))),
                Err(error) => Err((error, Stage::Begun)),
            },
            Stage::Empty(rebuild) => match self.fetch(&rebuild, others).await {
                Ok(store) => Ok(Some(Stage::Whole(store))),
                Err(error) => Err((error, Stage::Empty(rebuild))),
            },
            Stage::Whole(store) => {
                let joined = join(&self.opener, &self.slot, &store).await;
                match joined.map_err(anyhow::Error::from) {
                    Ok(Ok(())) => {
                        tracing::info!(cell = %self.slot.name, at = store.mark().index, "the replica is rebuilt and takes part again");
                        self.rebuilt.push_back(Instant::now());
                        self.slot.count_repair();
                        Ok(None)
                    }
                    Ok(Err(Unopened::Damaged(what))) => match Rebuild::of(&store) {
                        Ok(rebuild) => Err((anyhow!(what), Stage::Empty(Arc::new(rebuild)))),
                        Err(error) => Err((error.into(), Stage::Begun)),
                    },
                    Ok(Err(Unopened::Other(error))) | Err(error) => Err((error, Stage::Whole(store))),
                }
            }
        }
    }

    /// Takes and marks the directory of a store that did not open.
    async fn begin(&self, why: &str) -> anyhow::Result<Rebuild> {
        let (opener, slot, why) = (Arc::clone(&self.opener), Arc::clone(&self.slot), why.to_owned());
        let opened = tokio::task::spawn_blocking(move || Rebuild::open(&opener.directory(&slot), &why, opener.options()));
        opened.await?.context("take the directory of the damaged store")
    }

    /// Gets the state from the leader, or else from anybody, and installs it.
    async fn fetch(&self, rebuild: &Arc<Rebuild>, others: &[NodeId]) -> anyhow::Result<Store> {
        let least = self.opener.purged(&self.slot);
        let mut refusals = Vec::new();
        let reachable = |node: &&NodeId| self.platform.host.reachable(**node);
        for from_leader in [true, false] {
            for node in others.iter().filter(reachable) {
                let receiving = Arc::clone(rebuild);
                let writer = tokio::task::spawn_blocking(move || receiving.receive()).await??;
                let wanted = Wanted {
                    group: self.slot.number,
                    least,
                    from_leader,
                };
                let received = match self.platform.fetch(*node, wanted, writer).await {
                    Ok(received) if received.mark().index >= least => received,
                    Ok(received) => {
                        refusals.push(format!(
                            "node {node} sent log position {}, {least} is needed",
                            received.mark().index
                        ));
                        continue;
                    }
                    Err(error) => {
                        refusals.push(format!("node {node}: {error}"));
                        continue;
                    }
                };
                tracing::info!(cell = %self.slot.name, node = node.0, at = received.mark().index, "received the state of the group");
                let installing = Arc::clone(rebuild);
                return Ok(tokio::task::spawn_blocking(move || installing.install(received)).await??);
            }
        }
        match refusals.is_empty() {
            true => Err(anyhow!("no other replica can be reached")),
            false => Err(anyhow!("no other replica gave its state: {}", refusals.join("; "))),
        }
    }

    /// Waits while the replica has been rebuilt too often.
    async fn wait_for_leave(&mut self) {
        while self.rebuilt.front().is_some_and(|at| at.elapsed() >= WINDOW) {
            self.rebuilt.pop_front();
        }
        if self.rebuilt.len() < REBUILDS {
            return;
        }
        let Some(first) = self.rebuilt.front().copied() else { return };
        self.slot.clear(&format!(
            "it was rebuilt {REBUILDS} times within an hour: replace the disk of this node"
        ));
        tracing::error!(cell = %self.slot.name, "the replica was rebuilt {REBUILDS} times within an hour: replace the disk of this node");
        tokio::time::sleep_until(first + WINDOW).await;
    }
}

/// Joins the group with a store that is open, and fills the place. In the place's turn, to its end: whoever leaves closes what was opened.
async fn join(opener: &Arc<Opener>, slot: &Arc<Slot>, store: &Store) -> Result<Result<(), Unopened>, JoinError> {
    let turn = slot.opening().await;
    let (opener, slot, store) = (Arc::clone(opener), Arc::clone(slot), store.clone());
    let joining = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        if slot.is_retired() {
            return Err(Unopened::Other(anyhow!("the replica leaves this node")));
        }
        slot.fill(opener.join(&slot, &store)?);
        Ok(())
    });
    joining.await
}
