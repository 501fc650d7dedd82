//! Regions, cells and nodes, as this node sees them.

use std::sync::Arc;

use api::body::control::{Cell, CellHash, Region, Replica as ReplicaBody, Scrub};
use api::error::{Code, Error, Result};
use api::ids::NodeNumber;
use bytes::Bytes;
use raft::NodeId;
use storage::KeyRange;

use super::Front;
use super::error::internal;
use crate::config::CellKind;
use crate::directory::tenant_reserve::count;
use crate::node::relay::What;
use crate::node::slot::{REPAIRING, Slot};

/// The name and the kind of the control group.
const DIRECTORY: &str = "directory";
/// What stands for the region of a directory whose voters are in several.
const EVERYWHERE: &str = "*";

impl Front {
    pub(super) fn list_regions(&self) -> Vec<Region> {
        let topology = self.platform.topology();
        let region = |region: &crate::config::Region| {
            let nodes = topology.region_nodes(&region.name);
            Region {
                name: region.name.clone(),
                endpoint: nodes.first().map(|node| node.endpoint.clone()).unwrap_or_default(),
                nodes: nodes.iter().map(|node| node.name.clone()).collect(),
                cells: topology
                    .region_cells(&region.name)
                    .iter()
                    .map(|cell| cell.name.clone())
                    .collect(),
            }
        };
        topology.regions.iter().map(region).collect()
    }

    pub(super) fn list_cells(&self) -> Result<Vec<Cell>> {
        // Without the directory there is still something to show, and most wanted just then.
        let snapshot = self.platform.directory.read().ok();
        let mut cells = vec![self.show_directory()];
        let places = self.platform.places();
        for entry in self.platform.region_cells() {
            let kind = match entry.kind {
                CellKind::Shared => "shared",
                CellKind::Dedicated => "dedicated",
            };
            let tenants = match &snapshot {
                Some(snapshot) => count(snapshot, entry.number).map_err(|fault| internal(&fault))?.tenants,
                None => 0,
            };
            match places.get(&entry.number) {
                Some(slot) => cells.push(self.show_cell(slot, kind, tenants)),
                None => cells.push(self.show_far_cell(&entry, kind, tenants)),
            }
        }
        Ok(cells)
    }

    /// The directory, as a node that votes in it or keeps a copy sees it.
    fn show_directory(&self) -> Cell {
        let mut cell = match self.platform.directory.seat() {
            Some(slot) => self.show_cell(&slot, DIRECTORY, 0),
            None => {
                let voters = self.platform.topology().directory_voters.clone();
                let mut cell = self.show_nodes(DIRECTORY, "", &voters, DIRECTORY, 0);
                cell.leader = self.platform.directory_leader().map(|leader| self.platform.node_name(leader));
                for replica in &mut cell.replicas {
                    if Some(&replica.node) == cell.leader.as_ref() {
                        "leader".clone_into(&mut replica.role);
                    }
                }
                cell
            }
        };
        if self.platform.topology().directory_is_wide() {
            EVERYWHERE.clone_into(&mut cell.region);
        } else {
            self.platform.me.region.clone_into(&mut cell.region);
        }
        cell
    }

    fn show_cell(&self, slot: &Slot, kind: &str, tenants: u64) -> Cell {
        let Some(replica) = slot.get() else {
            return self.show_empty_cell(slot, kind, tenants);
        };
        let status = replica.group.status();
        let stopped = slot.stopped();
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
            kind: kind.to_owned(),
            replicated: status.voters.len() > 1,
            leader: status.leader.map(|node| self.platform.node_name(node.0)),
            term: status.term,
            last_log: status.last_log,
            applied: status.applied,
            durable: replica.store.durable(),
            log_bytes: status.log_bytes,
            tenants,
            level: Some(replica.level.group()),
            replicas,
            stopped,
            backup: self.platform.backups.show(slot.number),
        }
    }

    /// A cell without a replica on this node.
    fn show_far_cell(&self, entry: &crate::config::CellEntry, kind: &str, tenants: u64) -> Cell {
        self.show_nodes(&entry.name, &entry.region, &entry.nodes, kind, tenants)
    }

    /// Only what the configuration says of a cell.
    fn show_nodes(&self, name: &str, region: &str, nodes: &[String], kind: &str, tenants: u64) -> Cell {
        let replica = |name: &String| {
            let number = self.platform.topology().node(name).map_or(0, |node| node.number);
            ReplicaBody {
                node: name.clone(),
                number: NodeNumber(number),
                role: "follower".to_owned(),
                matched: None,
            }
        };
        Cell {
            name: name.to_owned(),
            region: region.to_owned(),
            kind: kind.to_owned(),
            replicated: nodes.len() > 1,
            leader: None,
            term: 0,
            last_log: 0,
            applied: 0,
            durable: 0,
            log_bytes: 0,
            tenants,
            level: None,
            replicas: nodes.iter().map(replica).collect(),
            stopped: None,
            backup: None,
        }
    }

    /// A place without a replica: it is being repaired.
    fn show_empty_cell(&self, slot: &Slot, kind: &str, tenants: u64) -> Cell {
        let topology = self.platform.topology();
        let entry = topology.cell(slot.number);
        let nodes = entry.map_or(&topology.directory_voters, |entry| &entry.nodes);
        let mut cell = self.show_nodes(&slot.name, &self.platform.me.region, nodes, kind, tenants);
        cell.stopped = slot.stopped();
        for replica in cell
            .replicas
            .iter_mut()
            .filter(|replica| replica.node == self.platform.me.name)
        {
            replica.role = REPAIRING.to_owned();
        }
        cell
    }

    /// The place of a cell on this node.
    pub(super) fn slot(&self, cell: &str) -> Result<Arc<Slot>> {
        let mut slots = self.platform.slots();
        let slot = slots.find(|slot| slot.name.as_ref() == cell);
        slot.ok_or_else(|| Error::new(Code::NotFound, format!("this node has no replica of a cell {cell:?}")))
    }

    pub(super) async fn hash_cell(&self, cell: &str) -> Result<CellHash> {
        let replica = self.slot(cell)?.take_part()?;
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

    /// The last scrub of a cell, asked of its leader; with `begin`, a new one.
    pub(super) async fn scrub_cell(&self, cell: &str, begin: bool) -> Result<Scrub> {
        let platform = &self.platform;
        let own = platform.slots().find(|slot| slot.name.as_ref() == cell);
        let number = own.as_ref().map(|slot| slot.number).or_else(|| {
            let cells = platform.region_cells();
            cells.into_iter().find(|entry| entry.name == cell).map(|entry| entry.number)
        });
        let number = number.ok_or_else(|| Error::new(Code::NotFound, format!("this region has no cell {cell:?}")))?;
        if let Some(slot) = own.filter(|slot| slot.get().is_some_and(|replica| replica.group.is_leader())) {
            return match begin {
                true => platform.scrub_begin(&slot).await,
                false => platform.scrub_last(&slot),
            };
        }
        let leader = platform.leader_of(number, 0).filter(|leader| *leader != platform.me.number);
        let leader = leader.ok_or_else(|| Error::new(Code::Unavailable, format!("{cell} has no leader now")))?;
        let what = if begin { What::ScrubBegin } else { What::ScrubLast };
        let bytes = platform.ask(NodeId(leader), what, number, &Bytes::new()).await?;
        serde_json::from_slice(&bytes).map_err(|error| internal(&error))
    }
}
