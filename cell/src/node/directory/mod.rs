//! This node's directory: its replica where it votes, and a copy everywhere else.
//!
//! The directory's voters are a few nodes in several regions; they alone are members of its group. Every other node holds a copy on its
//! disk and is told of each change by a voter (`follow`, `feed`). All nodes read what they have, so that placement is a local read and
//! goes on for as long as the directory is gone; what must be fresh asks a voter for its position first and waits until the copy has
//! reached it. Commands go to whoever leads the group, from every node alike (`write`).
//!
//! Who votes changes with the topology (`seat`): a node that is to vote keeps its copy until its replica has caught up with it, and one
//! that is not to vote any more keeps its replica until it has a copy.
//!
//! A copy is the same bytes as a replica, without the vote. It may be lost at any time, and is fetched whole then.

mod copy;
mod feed;
mod follow;
mod seat;
mod write;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use api::error::{Code, Error};
use arc_swap::ArcSwapOption;
use raft::NodeId;
use storage::{Options, Snapshot};

pub(crate) use self::copy::Copy;
pub(crate) use self::feed::MARK;
pub(crate) use self::follow::run;
use super::platform::Platform;
use super::slot::Slot;
use crate::directory::{GROUP, changes};
use crate::service::error::{barrier, internal};

/// How long a request waits for a copy to reach what a voter has.
const CATCH_UP: Duration = Duration::from_secs(2);

/// What this node has of the directory: a seat, or a copy, or both while one becomes the other.
#[derive(Default)]
pub(crate) struct Directory {
    /// The place of its replica, where it votes: what is read.
    seat: ArcSwapOption<Slot>,
    /// The place of a replica that is not a member yet, or has not caught up: it becomes the seat.
    joining: ArcSwapOption<Slot>,
    /// Its copy, where it has no seat, or one that may have lost its vote.
    copy: ArcSwapOption<Copy>,
    /// When a seat has last heard of the others; none: it has not been asked yet.
    heard: Mutex<Option<Instant>>,
}

impl Directory {
    /// Of a node that has voted.
    pub(crate) fn seated(slot: Arc<Slot>) -> Self {
        let directory = Self::default();
        directory.seat.store(Some(slot));
        directory
    }

    /// Of a node that has not: opens its copy, or makes an empty one; `joining`, if it is to have a seat. Blocking.
    pub(crate) fn copying(directory: &Path, options: Options, joining: Option<Arc<Slot>>) -> anyhow::Result<Self> {
        Ok(Self {
            seat: ArcSwapOption::empty(),
            joining: ArcSwapOption::new(joining),
            copy: ArcSwapOption::new(Some(Arc::new(Copy::open(directory, options)?))),
            heard: Mutex::default(),
        })
    }

    /// The place of this node's replica, if it votes.
    pub(crate) fn seat(&self) -> Option<Arc<Slot>> {
        self.seat.load_full()
    }

    /// The same, or the place of the replica that is to become one.
    pub(crate) fn slot(&self) -> Option<Arc<Slot>> {
        self.seat().or_else(|| self.joining.load_full())
    }

    /// This node's copy, if it has one.
    pub(crate) fn copy(&self) -> Option<Arc<Copy>> {
        self.copy.load_full()
    }

    /// What this node has now: the newer one, where it has both a seat and a copy.
    pub(crate) fn read(&self) -> Result<Snapshot, Error> {
        let copy = self.copy.load();
        let copied = copy.as_ref().and_then(|copy| copy.store()).map(|store| store.begin_read());
        let Some(slot) = &*self.seat.load() else {
            return copied.ok_or_else(away);
        };
        let own = slot.take_part()?.store.begin_read();
        let position = |snapshot: &Snapshot| changes::position(snapshot).unwrap_or_default();
        Ok(copied.filter(|copied| position(copied) > position(&own)).unwrap_or(own))
    }

    /// Waits until what this node has is the directory at a position; false when it is not within `most`.
    pub(crate) async fn reached(&self, position: u64, most: Duration) -> bool {
        let Some(slot) = self.seat() else {
            let Some(copy) = self.copy() else { return false };
            return copy.reached(position, most).await;
        };
        let until = Instant::now() + most;
        loop {
            let Some(replica) = slot.get() else { return false };
            let snapshot = replica.store.begin_read();
            if changes::position(&snapshot).is_ok_and(|at| at >= position) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !replica.group.wait_applied(snapshot.mark().index + 1, left).await {
                return false;
            }
        }
    }
}

impl Platform {
    /// Lets what follows see every change of the directory that was answered before. Without a leader it sees what this node has:
    /// placement is readable for as long as the directory is gone. Answers whether there was one.
    pub(crate) async fn freshen_directory(&self) -> bool {
        let fresh = match (self.directory.seat(), self.directory.copy()) {
            (Some(slot), _) => match slot.get() {
                Some(replica) => replica.group.read_barrier().await.map(|_| ()).map_err(barrier),
                None => Err(away()),
            },
            (None, Some(copy)) => self.freshen_copy(&copy).await,
            (None, None) => Err(away()),
        };
        if let Err(error) = &fresh {
            tracing::debug!(%error, "a read of the directory is answered from what this node has");
        }
        fresh.is_ok()
    }

    /// Waits until this node's copy has reached what a voter had when this was called. Those who wait share the question.
    async fn freshen_copy(&self, copy: &Copy) -> Result<(), Error> {
        let position = copy.rounds.share(|| self.directory_position()).await?;
        match copy.reached(position, CATCH_UP).await {
            true => Ok(()),
            false => Err(away()),
        }
    }

    /// The directory's position, asked of a voter.
    async fn directory_position(&self) -> Result<u64, Error> {
        let mut failure = away();
        for voter in self.directory_voters() {
            let asked = self
                .ask(NodeId(voter), super::relay::What::Position, GROUP, &bytes::Bytes::new())
                .await;
            match asked.map(|bytes| <[u8; 8]>::try_from(bytes.as_ref())) {
                Ok(Ok(position)) => return Ok(u64::from_be_bytes(position)),
                Ok(Err(_)) => {}
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// The position of this node's replica of the directory, behind a read barrier: what a voter answers to another node.
    pub(crate) async fn own_directory_position(&self) -> Result<u64, Error> {
        let replica = self.directory.seat().and_then(|slot| slot.get()).ok_or_else(away)?;
        replica.group.read_barrier().await.map_err(barrier)?;
        changes::position(&replica.store.begin_read()).map_err(|fault| internal(&fault))
    }

    /// The other voters of the directory: who leads first, then those of this region.
    pub(crate) fn directory_voters(&self) -> Vec<u64> {
        let topology = self.topology();
        let leader = self.directory_leader();
        let mut voters: Vec<_> = topology
            .directory_voters
            .iter()
            .filter_map(|name| topology.node(name))
            .collect();
        voters.retain(|node| node.number != self.me.number);
        voters.sort_by_key(|node| (Some(node.number) != leader, node.region != self.me.region));
        voters.into_iter().map(|node| node.number).collect()
    }

    /// Who leads the directory, as far as this node knows.
    pub(crate) fn directory_leader(&self) -> Option<u64> {
        match self.directory.seat() {
            Some(slot) => slot.get()?.group.leader().map(|node| node.0),
            None => self.directory.copy()?.leader(),
        }
    }
}

/// The directory cannot be read, or asked, just now.
pub(super) fn away() -> Error {
    Error::new(Code::Unavailable, "the directory cannot be reached now")
}
