//! The topology: the regions, nodes, cells and plans of the cluster, and who votes in the directory.
//!
//! It is one row, and a change replaces it: it is small, and what belongs together is never seen half done.

use serde::{Deserialize, Serialize};
use storage::{Space, table};

use super::rows;
use crate::config::{CellEntry, CellKind, CellState, NodeEntry, Plan, Region, Topology};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Fault, Refusal, Stop};
use crate::machine::world::World;

/// A topology as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    regions: Vec<String>,
    nodes: Vec<StoredNode>,
    cells: Vec<StoredCell>,
    plans: Vec<StoredPlan>,
    voters: Vec<String>,
    changing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredNode {
    name: String,
    number: u64,
    region: String,
    api: std::net::SocketAddr,
    peer: std::net::SocketAddr,
    endpoint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredCell {
    name: String,
    number: u64,
    region: String,
    dedicated: bool,
    nodes: Vec<String>,
    state: StoredState,
    made: bool,
}

/// How far a stored cell has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum StoredState {
    Forming,
    Serving,
    Changing,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredPlan {
    name: String,
    weight: u64,
    units_per_second: u64,
    burst_units: u64,
    storage_gib: u64,
    events_days: u64,
    history_days: u64,
    dedicated: bool,
}

/// What a plan gives that came later than the rest of it, which is stored as it always was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlanLimits {
    records: Option<u64>,
    connections: Option<u64>,
}

impl PlanLimits {
    /// Those of the plans of a topology, in their order; none where no plan has any.
    pub(crate) fn of(topology: &Topology) -> Vec<Self> {
        let limits = topology.plans.iter().map(|plan| Self {
            records: plan.records,
            connections: plan.connections,
        });
        let limits: Vec<_> = limits.collect();
        match limits.iter().any(|limits| *limits != Self::default()) {
            true => limits,
            false => Vec::new(),
        }
    }

    /// A stored topology with these.
    pub(crate) fn join(stored: Stored, limits: &[Self]) -> Topology {
        let mut topology = Topology::from(stored);
        for (plan, limits) in topology.plans.iter_mut().zip(limits) {
            plan.records = limits.records;
            plan.connections = limits.connections;
        }
        topology
    }
}

/// Versions of the topology's row, each with the number of changes so far.
#[derive(Serialize, Deserialize)]
pub(crate) enum TopologyRow {
    /// The first: no plan has what came later.
    V1(u64, Stored),
    /// With what came later. From level 2 on.
    V2(u64, Stored, Vec<PlanLimits>),
}

impl From<&Topology> for Stored {
    fn from(topology: &Topology) -> Self {
        let node = |node: &NodeEntry| StoredNode {
            name: node.name.clone(),
            number: node.number,
            region: node.region.clone(),
            api: node.api,
            peer: node.peer,
            endpoint: node.endpoint.clone(),
        };
        let cell = |cell: &CellEntry| StoredCell {
            name: cell.name.clone(),
            number: cell.number,
            region: cell.region.clone(),
            dedicated: cell.kind == CellKind::Dedicated,
            nodes: cell.nodes.clone(),
            made: cell.made,
            state: match cell.state {
                CellState::Forming => StoredState::Forming,
                CellState::Serving => StoredState::Serving,
                CellState::Changing => StoredState::Changing,
            },
        };
        let plan = |plan: &Plan| StoredPlan {
            name: plan.name.clone(),
            weight: plan.weight,
            units_per_second: plan.units_per_second,
            burst_units: plan.burst_units,
            storage_gib: plan.storage_gib,
            events_days: plan.events_days,
            history_days: plan.history_days,
            dedicated: plan.dedicated,
        };
        Self {
            regions: topology.regions.iter().map(|region| region.name.clone()).collect(),
            nodes: topology.nodes.iter().map(node).collect(),
            cells: topology.cells.iter().map(cell).collect(),
            plans: topology.plans.iter().map(plan).collect(),
            voters: topology.directory_voters.clone(),
            changing: topology.directory_changing,
        }
    }
}

impl From<Stored> for Topology {
    fn from(stored: Stored) -> Self {
        let node = |node: StoredNode| NodeEntry {
            name: node.name,
            number: node.number,
            region: node.region,
            api: node.api,
            peer: node.peer,
            endpoint: node.endpoint,
            data: None,
        };
        let cell = |cell: StoredCell| CellEntry {
            name: cell.name,
            number: cell.number,
            region: cell.region,
            kind: if cell.dedicated {
                CellKind::Dedicated
            } else {
                CellKind::Shared
            },
            nodes: cell.nodes,
            made: cell.made,
            state: match cell.state {
                StoredState::Forming => CellState::Forming,
                StoredState::Serving => CellState::Serving,
                StoredState::Changing => CellState::Changing,
            },
        };
        let plan = |plan: StoredPlan| Plan {
            name: plan.name,
            weight: plan.weight,
            units_per_second: plan.units_per_second,
            burst_units: plan.burst_units,
            storage_gib: plan.storage_gib,
            records: None,
            connections: None,
            events_days: plan.events_days,
            history_days: plan.history_days,
            dedicated: plan.dedicated,
        };
        Self {
            regions: stored.regions.into_iter().map(|name| Region { name }).collect(),
            nodes: stored.nodes.into_iter().map(node).collect(),
            cells: stored.cells.into_iter().map(cell).collect(),
            plans: stored.plans.into_iter().map(plan).collect(),
            directory_voters: stored.voters,
            directory_changing: stored.changing,
        }
    }
}

/// The topology with the number of its changes; none before the first.
pub(crate) fn read(reader: &impl Reader) -> Result<Option<(u64, Topology)>, Fault> {
    let row = reader.row(&table::Topology { space: Space::SYSTEM })?;
    Ok(row.map(|row| match row {
        TopologyRow::V1(version, stored) => (version, stored.into()),
        TopologyRow::V2(version, stored, limits) => (version, PlanLimits::join(stored, &limits)),
    }))
}

/// Stores the topology: in the first version wherever that says all.
pub(crate) fn write(world: &mut World<'_>, version: u64, topology: Stored, limits: Vec<PlanLimits>) {
    let row = match limits.is_empty() {
        true => TopologyRow::V1(version, topology),
        false => TopologyRow::V2(version, topology, limits),
    };
    world.put(&table::Topology { space: Space::SYSTEM }, &row);
}

/// Replaces the topology.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TopologyPut {
    /// The number of changes that it was decided on; 0: there is none yet.
    pub(crate) after: u64,
    /// What it is from now on.
    pub(crate) topology: Stored,
}

impl Command for TopologyPut {
    type Reply = u64;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<u64, Stop> {
        self.put(world, Vec::new())
    }
}

impl TopologyPut {
    /// Puts it, with what plans got later.
    pub(crate) fn put(self, world: &mut World<'_>, limits: Vec<PlanLimits>) -> Result<u64, Stop> {
        let now = read(world)?.map_or(0, |(version, _)| version);
        if now != self.after {
            return Err(Refusal::Stale.into());
        }
        let version = now.saturating_add(1);
        rows::touch(world);
        write(world, version, self.topology, limits);
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::machine::stage::Stage;

    #[test]
    fn a_topology_is_stored_as_the_file_has_it_and_replaced_only_by_who_knows_it() {
        let text = include_str!("../../../cluster.toml");
        let wanted = Config::parse(text, Path::new("cluster.toml")).expect("the example").topology;
        let mut stage = Stage::of(Space::SYSTEM);
        assert_eq!(read(&stage.snapshot()).expect("no fault"), None);
        let put = |after, topology: &Topology| TopologyPut {
            after,
            topology: topology.into(),
        };
        assert_eq!(stage.apply(put(0, &wanted)).result, Ok(1));
        assert_eq!(read(&stage.snapshot()).expect("no fault"), Some((1, wanted.clone())));
        let mut less = wanted;
        less.plans.truncate(1);
        assert_eq!(stage.apply(put(0, &less)).result, Err(Refusal::Stale));
        assert_eq!(stage.apply(put(1, &less)).result, Ok(2));
        assert_eq!(read(&stage.snapshot()).expect("no fault"), Some((2, less)));
    }
}
