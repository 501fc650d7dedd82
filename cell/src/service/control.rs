//! Regions, cells and nodes, as this node sees them.

use api::body::control::{Cell, CellHash, Node, Region, Replica as ReplicaBody};
use api::error::{Code, Error, Result};
use api::ids::NodeNumber;
use raft::NodeId;
use storage::KeyRange;

use super::Front;
use super::error::internal;
use crate::config::CellKind;
use crate::directory::GROUP;
use crate::directory::tenant_reserve::count;
use crate::node::replica::Replica;

impl Front {
    pub(super) fn list_regions(&self) -> Vec<Region> {
        let config = &self.platform.config;
        let region = |region: &crate::config::Region| {
            let nodes = config.region_nodes(&region.name);
            Region {
                name: region.name.clone(),
                endpoint: nodes.first().map(|node| node.endpoint.clone()).unwrap_or_default(),
                nodes: nodes.iter().map(|node| node.name.clone()).collect(),
                cells: config
                    .region_cells(&region.name)
                    .iter()
                    .map(|cell| cell.name.clone())
                    .collect(),
            }
        };
        config.regions.iter().map(region).collect()
    }

    pub(super) fn list_cells(&self) -> Result<Vec<Cell>> {
        let snapshot = self.platform.directory.store.begin_read();
        let mut cells = vec![self.show_cell(&self.platform.directory, "directory", 0)];
        for entry in self.platform.region_cells() {
            let kind = match entry.kind {
                CellKind::Shared => "shared",
                CellKind::Dedicated => "dedicated",
            };
            let tenants = count(&snapshot, entry.number).map_err(|fault| internal(&fault))?.tenants;
            match self.platform.cells.get(&entry.number) {
                Some(replica) => cells.push(self.show_cell(replica, kind, tenants)),
                None => cells.push(self.show_far_cell(entry, kind, tenants)),
            }
        }
        Ok(cells)
    }

    fn show_cell(&self, replica: &Replica, kind: &str, tenants: u64) -> Cell {
        let status = replica.group.status();
        let stopped = replica.group.stopped();
        let members = status.voters.iter().chain(&status.learners);
        let replicas = members
            .map(|member| {
                let me = member.0 == self.platform.me.number;
                let role = match () {
                    () if Some(*member) == status.leader => "leader",
                    () if me && stopped.is_some() => "stopped",
                    () if status.learners.contains(member) => "learner",
                    () => "follower",
                };
                let own = me.then_some(status.last_log);
                let matched = status.matched.get(member).copied().or(own);
                ReplicaBody {
                    node: self.platform.node_name(member.0),
                    number: NodeNumber(member.0),
                    role: role.to_owned(),
                    matched,
                }
            })
            .collect();
        Cell {
            name: replica.name.to_string(),
            region: self.platform.me.region.clone(),
            kind: if replica.number == GROUP { "directory" } else { kind }.to_owned(),
            replicated: status.voters.len() > 1,
            leader: status.leader.map(|node| self.platform.node_name(node.0)),
            term: status.term,
            last_log: status.last_log,
            applied: status.applied,
            durable: replica.store.durable(),
            tenants,
            replicas,
            stopped,
        }
    }

    /// A cell without a replica on this node: only what the configuration says.
    fn show_far_cell(&self, entry: &crate::config::CellEntry, kind: &str, tenants: u64) -> Cell {
        let replica = |name: &String| {
            let number = self.platform.config.node(name).map_or(0, |node| node.number);
            ReplicaBody {
                node: name.clone(),
                number: NodeNumber(number),
                role: "follower".to_owned(),
                matched: None,
            }
        };
        Cell {
            name: entry.name.clone(),
            region: entry.region.clone(),
            kind: kind.to_owned(),
            replicated: entry.nodes.len() > 1,
            leader: None,
            term: 0,
            last_log: 0,
            applied: 0,
            durable: 0,
            tenants,
            replicas: entry.nodes.iter().map(replica).collect(),
            stopped: None,
        }
    }

    pub(super) async fn hash_cell(&self, cell: &str) -> Result<CellHash> {
        let replica = self.platform.replicas().find(|replica| replica.name.as_ref() == cell);
        let replica =
            replica.ok_or_else(|| Error::new(Code::NotFound, format!("this node has no replica of a cell {cell:?}")))?;
        let snapshot = replica.store.begin_read();
        let applied = snapshot.mark().index;
        let hashed = tokio::task::spawn_blocking(move || snapshot.hash(KeyRange::all()));
        let hashed = hashed
            .await
            .map_err(|error| internal(&error))?
            .map_err(|error| internal(&error))?;
        Ok(CellHash {
            cell: cell.to_owned(),
            node: self.platform.me.name.clone(),
            applied,
            hash: blake3::Hash::from(hashed.hash).to_hex().to_string(),
            keys: hashed.keys,
        })
    }

    pub(super) fn list_nodes(&self) -> Vec<Node> {
        let nodes = self.platform.config.region_nodes(&self.platform.me.region);
        let node = |node: &crate::config::NodeEntry| Node {
            name: node.name.clone(),
            number: NodeNumber(node.number),
            region: node.region.clone(),
            endpoint: node.endpoint.clone(),
            reachable: node.number == self.platform.me.number || self.platform.host.reachable(NodeId(node.number)),
        };
        nodes.into_iter().map(node).collect()
    }
}
