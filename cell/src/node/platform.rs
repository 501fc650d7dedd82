//! What one node knows and holds: its configuration, the log, and a replica of the directory and of each of its cells.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use api::error::{Elsewhere, Error};
use api::ids::{NodeNumber, Slug};
use api::service::{Location, Placement, Reach};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use raft::NodeId;

use super::evolving::Works;
use super::moving::Moves;
use super::replica::Replica;
use super::slot::{self, Slot};
use crate::config::{CellEntry, Config, NodeEntry};
use crate::directory::rows::{Status, Tenant, cors, tenant};
use crate::service::error::internal;

/// One node.
pub(crate) struct Platform {
    /// The whole configuration.
    pub(crate) config: Arc<Config>,
    /// This node's entry.
    pub(crate) me: NodeEntry,
    /// The log and the connections to the other nodes.
    pub(crate) host: raft::Host,
    /// The place of the directory.
    pub(crate) directory: Arc<Slot>,
    /// The places of this node's cells by number.
    pub(crate) cells: BTreeMap<u64, Arc<Slot>>,
    /// The hash of the operator's token that this node was started with.
    pub(crate) operator: Option<[u8; 32]>,
    /// Set when the node drains: it is no longer ready, but still serves.
    pub(crate) draining: AtomicBool,
    /// Operations of tenants that this node is to go on with.
    pub(crate) works: Works,
    /// Tenants whose moves this node drives.
    pub(crate) moves: Moves,
    /// Who leads the cells that have no replica here, as far as others said.
    hints: Mutex<BTreeMap<u64, u64>>,
}

impl Platform {
    pub(crate) fn new(
        config: Arc<Config>,
        me: NodeEntry,
        host: raft::Host,
        directory: Arc<Slot>,
        cells: BTreeMap<u64, Arc<Slot>>,
        operator: Option<[u8; 32]>,
    ) -> Self {
        let hints = Mutex::default();
        Self {
            config,
            me,
            host,
            directory,
            cells,
            operator,
            draining: AtomicBool::new(false),
            works: Works::default(),
            moves: Moves::default(),
            hints,
        }
    }

    /// The cells of this node's region.
    pub(crate) fn region_cells(&self) -> Vec<&CellEntry> {
        self.config.region_cells(&self.me.region)
    }

    /// The name of a node.
    pub(crate) fn node_name(&self, number: u64) -> String {
        let node = self.config.nodes.iter().find(|node| node.number == number);
        node.map_or_else(|| format!("node {number}"), |node| node.name.clone())
    }

    /// All places of this node, the directory's first.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &Arc<Slot>> {
        std::iter::once(&self.directory).chain(self.cells.values())
    }

    /// All replicas of this node that are there, the directory's first.
    pub(crate) fn replicas(&self) -> impl Iterator<Item = Arc<Replica>> {
        self.slots().filter_map(|slot| slot.get())
    }

    /// This node's replica of a cell, if it has one and it is there.
    pub(crate) fn cell(&self, number: u64) -> Option<Arc<Replica>> {
        self.cells.get(&number).and_then(|slot| slot.get())
    }

    /// This node's replica of the directory.
    pub(crate) fn directory(&self) -> Result<Arc<Replica>, Error> {
        self.directory.take_part()
    }

    /// A tenant as this node's copy of the directory has it.
    pub(crate) fn tenant(&self, slug: &str) -> Result<Option<Tenant>, Error> {
        tenant(&self.directory()?.store.begin_read(), slug).map_err(|fault| internal(&fault))
    }

    /// The origins whose pages may use a tenant's API, as this node's copy of the directory has them.
    pub(crate) fn cors_origins(&self, uid: u64) -> Result<Vec<String>, Error> {
        cors(&self.directory()?.store.begin_read(), uid).map_err(|fault| internal(&fault))
    }

    /// The numbers of the nodes that have a replica of a group of this region.
    pub(crate) fn members(&self, group: u64) -> Vec<u64> {
        match self.config.cells.iter().find(|cell| cell.number == group) {
            Some(cell) => {
                let nodes = cell.nodes.iter().filter_map(|name| self.config.node(name));
                nodes.map(|node| node.number).collect()
            }
            None => {
                let nodes = self.config.region_nodes(&self.me.region);
                nodes.into_iter().map(|node| node.number).collect()
            }
        }
    }

    /// The replica that a placement names.
    pub(crate) fn replica(&self, placement: &Placement) -> Result<Arc<Replica>, Error> {
        self.cells.get(&placement.cell).ok_or_else(slot::no_replica)?.take_part()
    }

    /// Where another region is served: its first node.
    pub(crate) fn elsewhere(&self, region: &str) -> Option<Elsewhere> {
        let node = self.config.region_nodes(region).into_iter().next()?;
        Some(Elsewhere {
            region: region.to_owned(),
            endpoint: node.endpoint.clone(),
        })
    }

    /// Where a tenant is served.
    pub(crate) fn locate(&self, slug: &Slug, reach: Reach) -> Location {
        let tenant = match self.tenant(slug.as_str()) {
            Ok(Some(tenant)) => tenant,
            Ok(None) => return Location::Nowhere,
            // Whether there is such a tenant cannot be told here and now.
            Err(_) => return Location::NoLeader,
        };
        if tenant.status == Status::Deleting {
            return Location::Nowhere;
        }
        if tenant.region != self.me.region {
            return self.elsewhere(&tenant.region).map_or(Location::Nowhere, Location::Region);
        }
        let placement = Placement {
            slug: slug.clone(),
            uid: tenant.uid,
            cell: tenant.cell,
            epoch: tenant.epoch,
        };
        match self.alive(tenant.cell) {
            None => self.far(placement),
            Some(_) if reach == Reach::Replica => Location::Here(placement),
            Some(replica) => self.leader(&replica, placement),
        }
    }

    /// This node's replica of a cell, unless it has stopped.
    fn alive(&self, cell: u64) -> Option<Arc<Replica>> {
        let replica = self.cell(cell)?;
        (replica.group.stopped().is_none() && replica.store.damaged().is_none()).then_some(replica)
    }

    /// Where the directory is led.
    pub(crate) fn locate_control(&self) -> Location {
        let slug: Slug = match "control".parse() {
            Ok(slug) => slug,
            Err(_) => return Location::Nowhere,
        };
        let Some(directory) = self.directory.get() else {
            return Location::NoLeader;
        };
        self.leader(
            &directory,
            Placement {
                slug,
                uid: 0,
                cell: 0,
                epoch: 0,
            },
        )
    }

    fn leader(&self, replica: &Replica, placement: Placement) -> Location {
        match replica.group.leader() {
            Some(NodeId(number)) if number == self.me.number => Location::Here(placement),
            Some(NodeId(number)) => Location::Node(NodeNumber(number)),
            None => Location::NoLeader,
        }
    }

    /// Another node with a replica of a cell that has none here, or one that has stopped. Where nobody else can be reached, a
    /// stopped replica says itself why it has.
    fn far(&self, placement: Placement) -> Location {
        let cell = placement.cell;
        let hint = self.hints.lock().unwrap_or_else(PoisonError::into_inner).get(&cell).copied();
        if let Some(number) = hint.filter(|number| self.host.reachable(NodeId(*number))) {
            return Location::Node(NodeNumber(number));
        }
        let entry = self.config.cells.iter().find(|entry| entry.number == cell);
        let nodes = entry.map(|entry| entry.nodes.as_slice()).unwrap_or_default();
        let others = nodes
            .iter()
            .filter_map(|name| self.config.node(name))
            .filter(|node| node.number != self.me.number);
        match others.clone().find(|node| self.host.reachable(NodeId(node.number))) {
            Some(node) => Location::Node(NodeNumber(node.number)),
            None if self.cells.contains_key(&cell) => Location::Here(placement),
            None => others
                .clone()
                .next()
                .map_or(Location::Nowhere, |node| Location::Node(NodeNumber(node.number))),
        }
    }

    /// Remembers who leads the cell of a tenant.
    pub(crate) fn leader_hint(&self, slug: Option<&Slug>, leader: Option<NodeNumber>) {
        let Some(slug) = slug else { return };
        let Ok(Some(tenant)) = self.tenant(slug.as_str()) else {
            return;
        };
        if self.alive(tenant.cell).is_some() {
            return;
        }
        let mut hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        match leader {
            Some(NodeNumber(number)) => hints.insert(tenant.cell, number),
            None => hints.remove(&tenant.cell),
        };
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

    /// Whether the node drains.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
