//! What one node knows and holds: its configuration, the log, and a replica of the directory and of each of its cells.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use api::error::Error;

use api::service::Placement;
use arc_swap::ArcSwap;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use raft::NodeId;
use tokio::sync::Notify;

use super::blobs;
use super::blobs::bucket::Bucket;
use super::directory::Directory;
use super::evolving::Works;
use super::lines::Lines;
use super::loads::Known;
use super::moving::Moves;
use super::open::Places;
use super::replica::Replica;
use super::slot::{self, Slot};
use crate::backup::told::Told;
use crate::config::{CellEntry, Config, NodeEntry, Topology};
use crate::directory::GROUP;
use crate::directory::rows::{Tenant, cors, tenant};
use crate::fair::Fair;
use crate::records::time::now_micros;
use crate::service::error::internal;

/// One node.
pub(crate) struct Platform {
    /// The configuration that it was started with.
    pub(crate) config: Arc<Config>,
    /// This node's entry in it.
    pub(crate) me: NodeEntry,
    /// The log and the connections to the other nodes.
    pub(crate) host: raft::Host,
    /// What it has of the directory.
    pub(crate) directory: Directory,
    /// What the cluster consists of, as the directory has it; before there is one, as the file has it.
    topology: ArcSwap<Topology>,
    /// The places of this node's cells by number.
    cells: ArcSwap<BTreeMap<u64, Arc<Slot>>>,
    /// The hash of the operator's token that this node was started with.
    pub(crate) operator: Option<[u8; 32]>,
    /// Set when the node drains: it is no longer ready, but still serves.
    pub(crate) draining: AtomicBool,
    /// Told when that changes.
    pub(super) drains: Notify,
    /// Told when an operator asks the node to end.
    pub(super) ending: Notify,
    /// The level that this process runs at.
    pub(crate) level: u32,
    /// Told when a group got its first members at this node.
    pub(crate) formed: Notify,
    /// Its data directory.
    pub(crate) data: PathBuf,
    /// When the process started, in microseconds since the epoch.
    pub(crate) started: u64,
    /// Operations of tenants that this node is to go on with.
    pub(crate) works: Works,
    /// Streams to other nodes that are open and not in use.
    pub(crate) lines: Lines,
    /// Tenants whose moves this node drives.
    pub(crate) moves: Moves,
    /// What keeps its tenants apart.
    pub(crate) fair: Fair,
    /// How busy and how full the cells are.
    pub(crate) loads: Known,
    /// How the backups of the cells stand that this node leads.
    pub(crate) backups: Told,
    /// What is counted of chunks of files.
    pub(crate) blobs: blobs::counts::Counts,
    /// What is counted of searches.
    pub(crate) searches: crate::search::counts::Counts,
    /// The store of the region's files; none: they are on the nodes' disks.
    pub(super) bucket: Option<Bucket>,
    /// Who leads the cells that have no replica here, as far as others said.
    pub(super) hints: Mutex<BTreeMap<u64, u64>>,
    /// Where stores are made that nobody needs after a restart.
    pub(crate) scratch: PathBuf,
    /// Why the step towards the wanted topology is not done yet, where this node does it.
    waiting: Mutex<Option<String>>,
}

impl Platform {
    pub(crate) fn new(
        config: Arc<Config>,
        me: NodeEntry,
        host: raft::Host,
        places: Places,
        operator: Option<[u8; 32]>,
        fair: Fair,
    ) -> Self {
        Self {
            fair,
            bucket: config.files(&me.region).cloned().map(Bucket::new),
            config,
            me,
            host,
            directory: places.directory,
            topology: ArcSwap::from_pointee(places.topology),
            cells: ArcSwap::from_pointee(places.cells),
            operator,
            draining: AtomicBool::new(false),
            drains: Notify::new(),
            ending: Notify::new(),
            level: places.opener.level,
            formed: Notify::new(),
            data: places.opener.root().to_owned(),
            started: now_micros(),
            works: Works::default(),
            lines: Lines::default(),
            moves: Moves::default(),
            loads: Known::default(),
            backups: Told::default(),
            blobs: blobs::counts::Counts::default(),
            searches: crate::search::counts::Counts::default(),
            hints: Mutex::default(),
            scratch: places.opener.scratch_directory(),
            waiting: Mutex::default(),
        }
    }

    /// What the cluster consists of.
    pub(crate) fn topology(&self) -> Arc<Topology> {
        self.topology.load_full()
    }

    /// Takes a new topology.
    pub(crate) fn set_topology(&self, topology: Topology) {
        self.topology.store(Arc::new(topology));
    }

    /// The cells of this node's region.
    pub(crate) fn region_cells(&self) -> Vec<CellEntry> {
        let topology = self.topology.load();
        topology.region_cells(&self.me.region).into_iter().cloned().collect()
    }

    /// The name of a node.
    pub(crate) fn node_name(&self, number: u64) -> String {
        let topology = self.topology.load();
        topology
            .numbered(number)
            .map_or_else(|| format!("node {number}"), |node| node.name.clone())
    }

    /// The places of this node's cells.
    pub(crate) fn places(&self) -> Arc<BTreeMap<u64, Arc<Slot>>> {
        self.cells.load_full()
    }

    /// Changes the places of this node's cells. Only one task does.
    pub(crate) fn set_places(&self, cells: BTreeMap<u64, Arc<Slot>>) {
        self.cells.store(Arc::new(cells));
    }

    /// All places of this node, the directory's first, if it votes.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Arc<Slot>> + use<> {
        let cells: Vec<_> = self.cells.load().values().cloned().collect();
        self.directory.slot().into_iter().chain(cells)
    }

    /// The place of a group on this node.
    pub(crate) fn slot(&self, group: u64) -> Option<Arc<Slot>> {
        match group {
            GROUP => self.directory.slot(),
            cell => self.cells.load().get(&cell).cloned(),
        }
    }

    /// All replicas of this node that are there, the directory's first.
    pub(crate) fn replicas(&self) -> impl Iterator<Item = Arc<Replica>> + use<> {
        self.slots().filter_map(|slot| slot.get())
    }

    /// This node's replica of a cell, if it has one and it is there.
    pub(crate) fn cell(&self, number: u64) -> Option<Arc<Replica>> {
        self.cells.load().get(&number).and_then(|slot| slot.get())
    }

    /// A tenant as this node has it in its directory.
    pub(crate) fn tenant(&self, slug: &str) -> Result<Option<Tenant>, Error> {
        tenant(&self.directory.read()?, slug).map_err(|fault| internal(&fault))
    }

    /// The origins whose pages may use a tenant's API, as this node has them in its directory.
    pub(crate) fn cors_origins(&self, uid: u64) -> Result<Vec<String>, Error> {
        cors(&self.directory.read()?, uid).map_err(|fault| internal(&fault))
    }

    /// The numbers of the nodes that have a replica of a group: its voters, where it has any and this node knows them.
    pub(crate) fn members(&self, group: u64) -> Vec<u64> {
        let voters = self
            .slot(group)
            .and_then(|slot| slot.get())
            .map(|replica| replica.group.status().voters);
        if let Some(voters) = voters.filter(|voters| !voters.is_empty()) {
            return voters.into_iter().map(|node| node.0).collect();
        }
        let topology = self.topology.load();
        match topology.cell(group) {
            Some(cell) => topology.numbers(&cell.nodes),
            None => topology.numbers(&topology.directory_voters),
        }
    }

    /// Why the step towards the wanted topology is not done yet.
    pub(crate) fn waiting(&self) -> Option<String> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says why it is not done, or that it is.
    pub(crate) fn tell_waiting(&self, why: Option<String>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// The region of a node; none: this node does not know it.
    pub(crate) fn region_of(&self, node: NodeId) -> Option<String> {
        Some(self.topology.load().numbered(node.0)?.region.clone())
    }

    /// The replica that a placement names.
    pub(crate) fn replica(&self, placement: &Placement) -> Result<Arc<Replica>, Error> {
        let place = self.slot(placement.cell).filter(|_| placement.cell != GROUP);
        place.ok_or_else(slot::no_replica)?.take_part()
    }

    /// Resolves when some group's leader changed, and at the latest after a short while: a change between the look that found
    /// no leader and this call would otherwise be missed.
    pub(crate) async fn leader_change(&self) {
        let changes = self.replicas().map(|replica| replica.group.leader_changed());
        let mut any: FuturesUnordered<_> = changes.collect();
        let any = async {
            match any.next().await {
                Some(()) => {}
                None => std::future::pending().await,
            }
        };
        let _ = tokio::time::timeout(std::time::Duration::from_millis(20), any).await;
    }
}
