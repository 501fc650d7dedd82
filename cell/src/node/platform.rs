//! What one node knows and holds: its configuration, the log, and a replica of the directory and of each of its cells.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use api::error::{Code, Elsewhere, Error};
use api::ids::{NodeNumber, Slug};
use api::service::{Location, Placement, Reach};
use raft::NodeId;

use super::replica::Replica;
use crate::config::{CellEntry, Config, NodeEntry};
use crate::directory::rows::{Status, Tenant, tenant};
use crate::service::error::internal;

/// One node.
pub(crate) struct Platform {
    /// The whole configuration.
    pub(crate) config: Arc<Config>,
    /// This node's entry.
    pub(crate) me: NodeEntry,
    /// The log and the connections to the other nodes.
    pub(crate) host: raft::Host,
    /// The directory.
    pub(crate) directory: Replica,
    /// This node's cells by number.
    pub(crate) cells: BTreeMap<u64, Replica>,
    /// The hash of the operator's token that this node was started with.
    pub(crate) operator: Option<[u8; 32]>,
    /// Set when the node drains: it is no longer ready, but still serves.
    pub(crate) draining: AtomicBool,
    /// Who leads the cells that have no replica here, as far as others said.
    hints: Mutex<BTreeMap<u64, u64>>,
}

impl Platform {
    pub(crate) fn new(
        config: Arc<Config>,
        me: NodeEntry,
        host: raft::Host,
        directory: Replica,
        cells: BTreeMap<u64, Replica>,
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

    /// All replicas of this node, the directory's first.
    pub(crate) fn replicas(&self) -> impl Iterator<Item = &Replica> {
        std::iter::once(&self.directory).chain(self.cells.values())
    }

    /// A tenant as this node's copy of the directory has it.
    pub(crate) fn tenant(&self, slug: &str) -> Result<Option<Tenant>, Error> {
        tenant(&self.directory.store.begin_read(), slug).map_err(|fault| internal(&fault))
    }

    /// The replica that a placement names.
    pub(crate) fn replica(&self, placement: &Placement) -> Result<&Replica, Error> {
        self.cells
            .get(&placement.cell)
            .ok_or_else(|| Error::new(Code::NotLeader, "this node has no replica of the tenant's cell"))
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
        let Ok(Some(tenant)) = self.tenant(slug.as_str()) else {
            return Location::Nowhere;
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
            Some(replica) => self.leader(replica, placement),
        }
    }

    /// This node's replica of a cell, unless it has stopped.
    fn alive(&self, cell: u64) -> Option<&Replica> {
        self.cells.get(&cell).filter(|replica| replica.group.stopped().is_none())
    }

    /// Where the directory is led.
    pub(crate) fn locate_control(&self) -> Location {
        let slug: Slug = match "control".parse() {
            Ok(slug) => slug,
            Err(_) => return Location::Nowhere,
        };
        self.leader(
            &self.directory,
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
        let changes = self.replicas().map(|replica| Box::pin(replica.group.leader_changed()));
        let any = futures_util::future::select_all(changes);
        let _ = tokio::time::timeout(std::time::Duration::from_millis(20), any).await;
    }

    /// Whether the node drains.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
