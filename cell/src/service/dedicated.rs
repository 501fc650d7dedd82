//! A cell of its own for a tenant that wants one, where no dedicated cell is free: the cluster makes it.
//!
//! It is made as any change of the topology is, and is marked: no file names it, so that an apply keeps it. When its tenant is gone it is a
//! dedicated cell that is free.

use std::time::{Duration, Instant};

use api::error::{Code, Error, Result};
use storage::table::DirectoryCell;
use storage::{Direction, Snapshot, Space, Table};
use uuid::Uuid;

use super::Front;
use super::error::internal;
use crate::cluster::begin::{ApplyBegin, Wanted, wanted};
use crate::cluster::limited::TopologyChange;
use crate::config::{CellEntry, CellKind, CellState, Topology};
use crate::directory::topology;
use crate::machine::rows::Actor;

/// How long a cell may take to be made. Raised: a request waits for longer. Lowered: it is refused while the cell is being made.
const MADE_WITHIN: Duration = Duration::from_secs(8);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Replicas of a cell that is made; one where the region has fewer nodes.
const REPLICAS: usize = 3;

impl Front {
    /// Makes a dedicated cell in this region and waits until it serves.
    pub(super) async fn make_dedicated(&self, actor: &Actor) -> Result<()> {
        let region = &self.platform.me.region;
        let snapshot = self.platform.directory.read()?;
        let stored = topology::read(&snapshot).map_err(|fault| internal(&fault))?;
        let (after, current) = stored.ok_or_else(|| later("the cluster is not initialised yet"))?;
        if wanted(&snapshot).map_err(|fault| internal(&fault))?.is_some() {
            return Err(later("no dedicated cell is free, and the cluster is being changed"));
        }
        let number = next_number(&snapshot, &current)?;
        drop(snapshot);
        let name = format!("{region}-made-{number}");
        let cell = CellEntry {
            name: name.clone(),
            number,
            region: region.clone(),
            kind: CellKind::Dedicated,
            nodes: emptiest(&current, region),
            state: CellState::Serving,
            made: true,
        };
        let mut target = current;
        target.cells.push(cell);
        let (operation, topology) = (Uuid::now_v7(), (&target).into());
        let wanted = Wanted { operation, topology };
        let begin = TopologyChange::Begin(ApplyBegin { after, wanted });
        self.platform.change_topology(actor.clone(), begin, Some(&target)).await?;
        tracing::info!(cell = name, "a dedicated cell is made, because none is free");
        let until = Instant::now() + MADE_WITHIN;
        let serves = |topology: &Topology| topology.cell(number).is_some_and(|cell| cell.state == CellState::Serving);
        while !serves(&self.platform.topology()) {
            if Instant::now() >= until {
                return Err(later("a dedicated cell is being made"));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

/// Nothing was done; ask again.
fn later(why: &str) -> Error {
    Error::new(Code::Unavailable, why).retry_after(Duration::from_secs(2))
}

/// A number that no cell has, or had while it had tenants.
fn next_number(snapshot: &Snapshot, topology: &Topology) -> Result<u64> {
    let mut most = topology.cells.iter().map(|cell| cell.number).max().unwrap_or(1);
    for row in snapshot.scan(DirectoryCell::range(Space::SYSTEM), Direction::Forward) {
        let (raw, _) = row.map_err(|error| internal(&error))?;
        let key = DirectoryCell::parse(raw.as_bytes()).map_err(|error| internal(&error))?;
        most = most.max(key.cell);
    }
    Ok(most.saturating_add(1))
}

/// The nodes of a region with the fewest replicas, in the order of the topology.
fn emptiest(topology: &Topology, region: &str) -> Vec<String> {
    let mut nodes = topology.region_nodes(region);
    let replicas = |name: &String| topology.cells.iter().filter(|cell| cell.nodes.contains(name)).count();
    nodes.sort_by_key(|node| replicas(&node.name));
    let count = if nodes.len() < REPLICAS { 1 } else { REPLICAS };
    nodes.into_iter().take(count).map(|node| node.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    #[test]
    fn a_cell_is_made_on_the_nodes_with_the_fewest_replicas_and_an_apply_of_the_file_keeps_it() {
        let text = include_str!("../../../cluster.toml");
        let file = Config::parse(text, Path::new("cluster.toml")).expect("the example").topology;
        let mut now = file.clone();
        now.cells[0].nodes.truncate(1);
        assert_eq!(emptiest(&now, "us-east-1"), ["us-east-1b", "us-east-1c", "us-east-1a"]);
        let mut cell = now.cells[0].clone();
        cell.number = 9;
        "us-east-1-made-9".clone_into(&mut cell.name);
        cell.made = true;
        now.cells.push(cell);
        let kept = file.clone().keeping_made(&now);
        assert_eq!(kept.cells.len(), file.cells.len() + 1);
        assert_eq!(kept.clone().keeping_made(&now), kept);
    }
}
