//! Where a request is served: here, at another node, or in another region.

use std::sync::{Arc, PoisonError};

use api::error::Elsewhere;
use api::ids::{NodeNumber, Slug};
use api::service::{Location, Placement, Reach};
use raft::NodeId;

use super::platform::Platform;
use super::replica::Replica;
use crate::directory::rows::Status;

impl Platform {
    /// Where another region is served: its first node.
    pub(crate) fn elsewhere(&self, region: &str) -> Option<Elsewhere> {
        let topology = self.topology();
        let node = topology.region_nodes(region).into_iter().next()?;
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
        if tenant.status != Status::Active {
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

    /// Where a change of the directory is decided: on every node that has it.
    pub(crate) fn locate_control(&self) -> Location {
        let slug = "control".parse::<Slug>();
        match (self.directory.read(), slug) {
            (Ok(_), Ok(slug)) => Location::Here(Placement {
                slug,
                uid: 0,
                cell: 0,
                epoch: 0,
            }),
            _ => Location::NoLeader,
        }
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
        let topology = self.topology();
        let entry = topology.cell(cell);
        let nodes = entry.map(|entry| entry.nodes.as_slice()).unwrap_or_default();
        let others = nodes
            .iter()
            .filter_map(|name| topology.node(name))
            .filter(|node| node.number != self.me.number);
        match others.clone().find(|node| self.host.reachable(NodeId(node.number))) {
            Some(node) => Location::Node(NodeNumber(node.number)),
            None if self.places().contains_key(&cell) => Location::Here(placement),
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
}
