//! A group on this node, as the rest of the crate shares it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;

use crate::admission::Admission;
use crate::apply::ApplyQueue;
use crate::barrier::Barrier;
use crate::log_room::LogRoom;
use crate::log_size::LogSize;
use crate::log_store::LogStore;
use crate::peer::Net;
use crate::stage::Stages;
use crate::typ::{NO_NODE, Raft, index_of};
use crate::{GroupId, NodeId, StateMachine};

/// Why a group stopped that was asked to.
pub(crate) const SHUT_DOWN: &str = "the group was shut down";

/// All parts of a group on this node.
pub(crate) struct Replica {
    pub(crate) id: GroupId,
    pub(crate) node: u64,
    /// The only region that members may be in.
    pub(crate) region: Option<Arc<str>>,
    pub(crate) raft: Raft,
    pub(crate) machine: Arc<dyn StateMachine>,
    pub(crate) queue: Arc<ApplyQueue>,
    pub(crate) stages: Arc<Stages>,
    pub(crate) size: Arc<LogSize>,
    /// A reader of the log.
    pub(crate) log: LogStore,
    pub(crate) admission: Arc<Admission>,
    pub(crate) barrier: Barrier,
    pub(crate) net: Arc<Net>,
    /// How long a read barrier may take, ms.
    pub(crate) barrier_wait_ms: u64,
    pub(crate) lead: Lead,
    /// The room in the node's log.
    pub(crate) room: Arc<LogRoom>,
}

/// Who leads, as far as this node knows, readable without waiting.
pub(crate) struct Lead {
    leader: AtomicU64,
    leads: AtomicBool,
    changes: watch::Sender<Option<NodeId>>,
}

impl Lead {
    pub(crate) fn new() -> Lead {
        Lead {
            leader: AtomicU64::new(NO_NODE),
            leads: AtomicBool::new(false),
            changes: watch::Sender::new(None),
        }
    }

    pub(crate) fn leader(&self) -> Option<NodeId> {
        match self.leader.load(Ordering::Acquire) {
            NO_NODE => None,
            node => Some(NodeId(node)),
        }
    }

    pub(crate) fn leads(&self) -> bool {
        self.leads.load(Ordering::Acquire)
    }

    pub(crate) fn set(&self, leader: Option<u64>, leads: bool) {
        self.leads.store(leads, Ordering::Release);
        self.leader.store(leader.unwrap_or(NO_NODE), Ordering::Release);
        let leader = leader.map(NodeId);
        self.changes
            .send_if_modified(|known| std::mem::replace(known, leader) != leader);
    }

    pub(crate) fn changes(&self) -> watch::Receiver<Option<NodeId>> {
        self.changes.subscribe()
    }
}

impl Replica {
    /// Why the group stopped here, if it did.
    pub(crate) fn stopped(&self) -> Option<String> {
        self.queue.stopped()
    }

    /// The most up-to-date other voter that is reachable, if there is one.
    pub(crate) fn successor(&self) -> Option<NodeId> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let matched = |node: &u64| {
            index_of(
                metrics
                    .replication
                    .as_ref()
                    .and_then(|all| all.get(node))
                    .and_then(Option::as_ref),
            )
        };
        let voters = metrics.membership_config.voter_ids();
        voters
            .filter(|node| *node != self.node && self.net.reachable(*node))
            .max_by_key(matched)
            .map(NodeId)
    }

    /// Why raft no longer answers; it may know before the group's keeper has noticed.
    pub(crate) fn why_stopped(&self) -> String {
        let fatal = || {
            self.raft
                .metrics()
                .borrow_watched()
                .running_state
                .as_ref()
                .err()
                .map(ToString::to_string)
        };
        self.stopped().or_else(fatal).unwrap_or_else(|| SHUT_DOWN.to_owned())
    }
}
