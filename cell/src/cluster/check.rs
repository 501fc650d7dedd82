//! What is refused before anything is changed: what would lose data, a quorum, or the meaning of a number.

use std::collections::BTreeMap;

use super::difference::set;
use crate::config::Topology;

/// Why `wanted` is not brought about; empty: it may be. `tenants` are those of each cell by number.
pub(crate) fn refusals(current: &Topology, wanted: &Topology, tenants: &BTreeMap<u64, u64>) -> Vec<String> {
    let mut out = Vec::new();
    nodes(current, wanted, &mut out);
    cells(current, wanted, tenants, &mut out);
    made(wanted, &mut out);
    for region in &current.regions {
        if wanted.regions.iter().any(|other| other.name == region.name) {
            continue;
        }
        let living: u64 = current
            .region_cells(&region.name)
            .iter()
            .filter_map(|cell| tenants.get(&cell.number))
            .sum();
        if living > 0 {
            out.push(format!(
                "region {}: {living} tenants live there; move or delete them before it is removed",
                region.name
            ));
        }
    }
    for plan in &current.plans {
        if !wanted.plans.iter().any(|other| other.name == plan.name) {
            out.push(format!(
                "plan {}: tenants may have it; plans can be changed and added, not removed",
                plan.name
            ));
        }
    }
    out
}

/// Cells that the cluster has made by itself, and that would lose a node.
fn made(wanted: &Topology, out: &mut Vec<String>) {
    for cell in wanted.cells.iter().filter(|cell| cell.made) {
        let gone = |name: &&String| wanted.node(name).is_none();
        if let Some(node) = cell.nodes.iter().find(gone) {
            out.push(format!(
                "node {node}: it has a replica of {}, which was made for a tenant; name that cell (number {}) in the file, on other nodes",
                cell.name, cell.number
            ));
        }
    }
}

/// A number means one node for ever, and a node stays in its region.
fn nodes(current: &Topology, wanted: &Topology, out: &mut Vec<String>) {
    for node in &wanted.nodes {
        if let Some(other) = current.numbered(node.number)
            && other.name != node.name
        {
            out.push(format!(
                "node {}: the number {} is {}'s; give a new node a number that was never used",
                node.name, node.number, other.name
            ));
        }
        let Some(known) = current.node(&node.name) else { continue };
        if known.number != node.number {
            out.push(format!(
                "node {}: it has the number {}; a node keeps its number, a new one needs a new name",
                node.name, known.number
            ));
        }
        if known.region != node.region {
            out.push(format!(
                "node {}: it is in {}; a node keeps its region, because its data does",
                node.name, known.region
            ));
        }
    }
}

fn cells(current: &Topology, wanted: &Topology, tenants: &BTreeMap<u64, u64>, out: &mut Vec<String>) {
    for cell in &wanted.cells {
        if let Some(other) = current.cell(cell.number)
            && other.name != cell.name
        {
            out.push(format!(
                "cell {}: the number {} is {}'s; give a new cell a number that was never used",
                cell.name, cell.number, other.name
            ));
        }
        let Some(known) = current.cells.iter().find(|known| known.name == cell.name) else {
            continue;
        };
        if known.number != cell.number {
            out.push(format!(
                "cell {}: it has the number {}, and keeps it",
                cell.name, known.number
            ));
        }
        if known.region != cell.region {
            out.push(format!(
                "cell {}: it is in {}, and its data stays there; move its tenants instead",
                cell.name, known.region
            ));
        }
        if known.kind != cell.kind {
            out.push(format!(
                "cell {}: it is {}; make another cell and move its tenants there",
                cell.name,
                known.kind.name()
            ));
        }
    }
    for cell in current
        .cells
        .iter()
        .filter(|cell| !wanted.cells.iter().any(|other| other.name == cell.name))
    {
        let living = tenants.get(&cell.number).copied().unwrap_or_default();
        if living > 0 {
            out.push(format!(
                "cell {}: {living} tenants live in it; move or delete them before it is removed",
                cell.name
            ));
        }
    }
}

/// The groups whose voters change, each with its name and the nodes that it is to have.
pub(crate) fn changed_groups(current: &Topology, wanted: &Topology) -> Vec<(String, Vec<String>)> {
    let mut out = Vec::new();
    for cell in &wanted.cells {
        let known = current.cells.iter().find(|known| known.name == cell.name);
        if known.is_some_and(|known| set(&known.nodes) != set(&cell.nodes)) {
            out.push((cell.name.clone(), cell.nodes.clone()));
        }
    }
    if set(&current.directory_voters) != set(&wanted.directory_voters) {
        out.push(("directory".to_owned(), wanted.directory_voters.clone()));
    }
    out
}

/// Why a group would have no quorum with these nodes, of which only `alive` answer.
pub(crate) fn no_quorum(name: &str, nodes: &[String], alive: &[String]) -> Option<String> {
    let silent: Vec<&str> = nodes
        .iter()
        .filter(|node| !alive.contains(node))
        .map(String::as_str)
        .collect();
    (2 * (nodes.len() - silent.len()) <= nodes.len()).then(|| {
        format!(
            "{name}: it would lose its quorum, because {} of its {} nodes do not answer: {}; start them first",
            silent.len(),
            nodes.len(),
            silent.join(", ")
        )
    })
}
