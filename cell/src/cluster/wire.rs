//! A topology as it is sent and received over HTTP.

use api::body::topology as body;
use api::error::{Error, FieldError, Result};

use crate::config::{CellEntry, CellKind, CellState, NodeEntry, Plan, Region, Topology};

/// As it is sent.
pub(crate) fn show(topology: &Topology) -> body::Topology {
    let node = |node: &NodeEntry| body::TopologyNode {
        name: node.name.clone(),
        number: node.number,
        region: node.region.clone(),
        api: node.api.to_string(),
        peer: node.peer.to_string(),
        endpoint: node.endpoint.clone(),
    };
    let cell = |cell: &CellEntry| body::TopologyCell {
        name: cell.name.clone(),
        number: cell.number,
        region: cell.region.clone(),
        kind: cell.kind.name().to_owned(),
        nodes: cell.nodes.clone(),
        state: cell.state.name().to_owned(),
        made: cell.made,
    };
    let plan = |plan: &Plan| body::TopologyPlan {
        name: plan.name.clone(),
        weight: plan.weight,
        units_per_second: plan.units_per_second,
        burst_units: plan.burst_units,
        storage_gib: plan.storage_gib,
        records: plan.records,
        connections: plan.connections,
        events_days: plan.events_days,
        history_days: plan.history_days,
        dedicated: plan.dedicated,
    };
    body::Topology {
        regions: topology.regions.iter().map(|region| region.name.clone()).collect(),
        nodes: topology.nodes.iter().map(node).collect(),
        cells: topology.cells.iter().map(cell).collect(),
        plans: topology.plans.iter().map(plan).collect(),
        directory_voters: topology.directory_voters.clone(),
        directory_changing: topology.directory_changing,
    }
}

/// As it is meant. What was received is checked here as `cluster.toml` is: it may come from anybody with an operator's token.
pub(crate) fn read(sent: body::Topology) -> Result<Topology> {
    let mut errors = Vec::new();
    let mut address = |pointer: String, text: &str| match text.parse() {
        Ok(address) => address,
        Err(_) => {
            let message = "must be an IP address and a port".to_owned();
            errors.push(FieldError { pointer, message });
            std::net::SocketAddr::from(([127, 0, 0, 1], 0))
        }
    };
    let mut nodes = Vec::with_capacity(sent.nodes.len());
    for (at, node) in sent.nodes.into_iter().enumerate() {
        nodes.push(NodeEntry {
            api: address(format!("/topology/nodes/{at}/api"), &node.api),
            peer: address(format!("/topology/nodes/{at}/peer"), &node.peer),
            name: node.name,
            number: node.number,
            region: node.region,
            endpoint: node.endpoint,
            data: None,
        });
    }
    let cell = |cell: body::TopologyCell| CellEntry {
        kind: match cell.kind == CellKind::Dedicated.name() {
            true => CellKind::Dedicated,
            false => CellKind::Shared,
        },
        name: cell.name,
        number: cell.number,
        region: cell.region,
        nodes: cell.nodes,
        state: match cell.state.as_str() {
            state if state == CellState::Forming.name() => CellState::Forming,
            state if state == CellState::Changing.name() => CellState::Changing,
            _ => CellState::Serving,
        },
        made: cell.made,
    };
    let plan = |plan: body::TopologyPlan| Plan {
        name: plan.name,
        weight: plan.weight,
        units_per_second: plan.units_per_second,
        burst_units: plan.burst_units,
        storage_gib: plan.storage_gib,
        records: plan.records,
        connections: plan.connections,
        events_days: plan.events_days,
        history_days: plan.history_days,
        dedicated: plan.dedicated,
    };
    let topology = Topology {
        regions: sent.regions.into_iter().map(|name| Region { name }).collect(),
        nodes,
        cells: sent.cells.into_iter().map(cell).collect(),
        plans: sent.plans.into_iter().map(plan).collect(),
        directory_voters: sent.directory_voters,
        directory_changing: sent.directory_changing,
    };
    errors.extend(unsound(&topology).into_iter().map(|message| FieldError {
        pointer: "/topology".to_owned(),
        message,
    }));
    match errors.is_empty() {
        true => Ok(topology),
        false => Err(Error::fields(errors)),
    }
}

/// What a file would not have been accepted with.
fn unsound(topology: &Topology) -> Vec<String> {
    let mut out = Vec::new();
    let mut once = |kind: &str, mut names: Vec<String>| {
        names.sort_unstable();
        names
            .windows(2)
            .filter(|pair| pair[0] == pair[1])
            .for_each(|pair| out.push(format!("{kind} {} is there twice", pair[0])));
    };
    once("region", topology.regions.iter().map(|region| region.name.clone()).collect());
    once("node", topology.nodes.iter().map(|node| node.name.clone()).collect());
    once(
        "node number",
        topology.nodes.iter().map(|node| node.number.to_string()).collect(),
    );
    once("cell", topology.cells.iter().map(|cell| cell.name.clone()).collect());
    once(
        "cell number",
        topology.cells.iter().map(|cell| cell.number.to_string()).collect(),
    );
    once("plan", topology.plans.iter().map(|plan| plan.name.clone()).collect());
    if topology.plans.is_empty() {
        out.push("there must be a plan".to_owned());
    }
    for node in topology
        .nodes
        .iter()
        .filter(|node| !topology.regions.iter().any(|region| region.name == node.region))
    {
        out.push(format!("node {}: {:?} is not a region", node.name, node.region));
    }
    for cell in &topology.cells {
        if cell.number < 2 || !matches!(cell.nodes.len(), 1 | 3 | 5) {
            out.push(format!("cell {}: it needs a number from 2, and 1, 3 or 5 nodes", cell.name));
        }
        let away = |name: &&String| topology.node(name).is_none_or(|node| node.region != cell.region);
        if let Some(node) = cell.nodes.iter().find(away) {
            out.push(format!("cell {}: {node} is not a node of {}", cell.name, cell.region));
        }
    }
    let voters = &topology.directory_voters;
    if !matches!(voters.len(), 1 | 3 | 5) || voters.iter().any(|name| topology.node(name).is_none()) {
        out.push("the directory needs 1, 3 or 5 voters that are nodes".to_owned());
    }
    out
}
