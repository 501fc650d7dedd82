//! Nodes and cells: addresses that are used once, replicas that exist and are in one region, quorums that are odd.

use std::net::SocketAddr;
use std::path::Path;

use super::checked::Checker;
use super::error::suggestion;
use super::raw::{At, RawCell, RawConfig, RawNode};
use super::{CellEntry, CellKind, CellState, NodeEntry, Region};

/// The number of the directory's group.
const DIRECTORY_NUMBER: u64 = 1;
/// The name of the directory's group.
const DIRECTORY_NAME: &str = "directory";

impl Checker<'_, '_> {
    pub(super) fn nodes(&mut self, raw: &RawConfig, regions: &[Region], dir: &Path) -> Vec<NodeEntry> {
        let scheme = if raw.api_tls.is_some() { "https" } else { "http" };
        let node = |node| self.node(node, regions, dir, scheme);
        raw.nodes.iter().filter_map(node).collect()
    }

    /// A node, as far as it can be understood: one with a name is known to the cells even if the rest of it is wrong.
    fn node(&mut self, raw: &RawNode, regions: &[Region], dir: &Path, scheme: &str) -> Option<NodeEntry> {
        let number = raw.number.as_ref().map(|number| {
            if number.value == 0 {
                self.findings
                    .add(&number.span, number.key, "0 is not the number of a node", "count from 1");
            }
            self.once(
                "node number",
                &number.value.to_string(),
                number,
                "give each node a number of its own, never used before",
            );
            number.value
        });
        let region = raw.region.as_ref().map(|region| self.region(region, regions));
        let api = raw.api.as_ref().and_then(|at| self.address(at));
        let peer = raw.peer.as_ref().and_then(|at| self.address(at));
        if let (Some(address), Some(at)) = (peer, &raw.peer)
            && address.ip().is_unspecified()
        {
            let fix = "name the address under which the other nodes reach this one";
            self.findings
                .add(&at.span, at.key, format!("{address} is every address of a machine"), fix);
        }
        let endpoint = self.endpoint(raw, api, scheme);
        let name = raw.name.as_ref()?;
        self.once("node", &name.value, name, "give each node a name of its own");
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Some(NodeEntry {
            name: self.name(name),
            number: number.unwrap_or_default(),
            region: region.unwrap_or_default(),
            api: api.unwrap_or(nowhere),
            peer: peer.unwrap_or(nowhere),
            endpoint,
            data: raw.data.as_ref().map(|data| dir.join(&data.value)),
        })
    }

    /// IP address and port, used once.
    fn address(&mut self, at: &At<String>) -> Option<SocketAddr> {
        let Ok(address) = at.value.parse::<SocketAddr>() else {
            let fix = "write an IP address and a port, such as \"127.0.0.1:7411\" or \"[::1]:7411\"";
            self.findings
                .add(&at.span, at.key, format!("{:?} is not an address", at.value), fix);
            return None;
        };
        if address.port() == 0 {
            let fix = "choose a port: the other nodes and the clients must know it";
            self.findings
                .add(&at.span, at.key, format!("{address} leaves the port open"), fix);
            return None;
        }
        // Every node of a real cluster may serve its API on all addresses of its own machine: only a named one is taken.
        if !address.ip().is_unspecified() {
            self.once(
                "address",
                &address.to_string(),
                at,
                "give each listener an address and port of its own",
            );
        }
        Some(address)
    }

    fn endpoint(&mut self, raw: &RawNode, api: Option<SocketAddr>, scheme: &str) -> String {
        match (&raw.endpoint, api) {
            (Some(at), _) => {
                let host = at.value.strip_prefix("http://").or_else(|| at.value.strip_prefix("https://"));
                let good = host.is_some_and(|host| !host.trim_matches('/').is_empty() && !host.contains([' ', '?', '#', '@']));
                if !good {
                    let fix = "write the base URL that clients use, such as \"https://eu-west-1.example.com\"";
                    self.findings
                        .add(&at.span, at.key, format!("{:?} is not a base URL", at.value), fix);
                }
                at.value.trim_end_matches('/').to_owned()
            }
            (None, Some(api)) => {
                if let (true, Some(at)) = (api.ip().is_unspecified(), &raw.api) {
                    let fix = format!("add endpoint = \"{scheme}://…\" with the address that clients use");
                    self.findings.add(
                        &at.span,
                        at.key,
                        format!("{api} is every address of a machine: no client can use it"),
                        fix,
                    );
                }
                format!("{scheme}://{api}")
            }
            (None, None) => String::new(),
        }
    }

    pub(super) fn cells(&mut self, raw: &RawConfig, regions: &[Region], nodes: &[NodeEntry]) -> Vec<CellEntry> {
        raw.cells.iter().filter_map(|cell| self.cell(cell, regions, nodes)).collect()
    }

    fn cell(&mut self, raw: &RawCell, regions: &[Region], nodes: &[NodeEntry]) -> Option<CellEntry> {
        if let Some(number) = &raw.number {
            if number.value <= DIRECTORY_NUMBER {
                let what = format!(
                    "{} is not the number of a cell: the directory's group is {DIRECTORY_NUMBER}",
                    number.value
                );
                self.findings.add(&number.span, number.key, what, "count from 2");
            }
            self.once(
                "cell number",
                &number.value.to_string(),
                number,
                "give each cell a number of its own, never used before",
            );
        }
        let region = raw
            .region
            .as_ref()
            .map(|region| self.region(region, regions))
            .unwrap_or_default();
        let kind = self.kind(raw);
        let replicas = raw
            .nodes
            .as_ref()
            .map(|list| self.replicas(list, &region, nodes))
            .unwrap_or_default();
        let name = raw.name.as_ref()?;
        if name.value == DIRECTORY_NAME {
            self.findings.add(
                &name.span,
                name.key,
                "\"directory\" is the control group's name",
                "choose another name",
            );
        }
        self.once("cell", &name.value, name, "give each cell a name of its own");
        let number = raw.number.as_ref()?.value;
        Some(CellEntry {
            name: self.name(name),
            number,
            region,
            kind,
            nodes: replicas,
            state: CellState::Serving,
            made: false,
        })
    }

    fn kind(&mut self, raw: &RawCell) -> CellKind {
        match raw.kind.as_ref().map(|kind| (kind, kind.value.as_str())) {
            None | Some((_, "shared")) => CellKind::Shared,
            Some((_, "dedicated")) => CellKind::Dedicated,
            Some((at, other)) => {
                let fix = suggestion(other, [CellKind::Shared.name(), CellKind::Dedicated.name()]);
                self.findings
                    .add(&at.span, at.key, format!("{other:?} is not a kind of cell"), fix);
                CellKind::Shared
            }
        }
    }

    /// The nodes of a cell: they exist, are in its region, and their number has a majority that is worth its cost.
    fn replicas(&mut self, list: &At<Vec<At<String>>>, region: &str, nodes: &[NodeEntry]) -> Vec<String> {
        let names = self.known_nodes(list, nodes);
        for (at, node) in &names {
            if !region.is_empty() && !node.region.is_empty() && node.region != region {
                let what = format!(
                    "the node {:?} is in {}, the cell in {region}: a cell stays in one region",
                    node.name, node.region
                );
                self.findings
                    .add(&at.span, at.key, what, format!("name nodes of {region} only"));
            }
        }
        if !matches!(list.value.len(), 1 | 3 | 5) {
            let count = list.value.len();
            let what = format!("a cell with {count} replicas");
            self.findings.add(
                &list.span,
                list.key,
                what,
                "name 1, 3 or 5 nodes: an even number survives no more failures",
            );
        }
        names.into_iter().map(|(at, _)| at.value.clone()).collect()
    }

    pub(super) fn voters(&mut self, raw: &RawConfig, regions: &[Region], nodes: &[NodeEntry]) -> Vec<String> {
        let Some(list) = &raw.voters else {
            return Vec::new();
        };
        let voters = self.known_nodes(list, nodes);
        let count = list.value.len();
        if !matches!(count, 1 | 3 | 5) {
            let word = if count.is_multiple_of(2) {
                "an even number of"
            } else {
                "too many"
            };
            let what = format!("{word} voters ({count})");
            self.findings.add(
                &list.span,
                list.key,
                what,
                "name 1, 3 or 5 nodes: an even number survives no more failures",
            );
        }
        let one_region = voters.windows(2).all(|pair| pair[0].1.region == pair[1].1.region);
        if count > 1 && voters.len() == count && one_region && regions.len() > 2 {
            let fix = "spread the voters over the regions";
            self.findings.add(
                &list.span,
                list.key,
                "all voters are in one region: its loss would stop control",
                fix,
            );
        }
        voters.into_iter().map(|(at, _)| at.value.clone()).collect()
    }

    /// The nodes of a list that exist, each once.
    fn known_nodes<'l, 'n>(
        &mut self,
        list: &'l At<Vec<At<String>>>,
        nodes: &'n [NodeEntry],
    ) -> Vec<(&'l At<String>, &'n NodeEntry)> {
        let mut known: Vec<(&At<String>, &NodeEntry)> = Vec::new();
        for at in &list.value {
            if known.iter().any(|(_, node)| node.name == at.value) {
                self.findings.add(
                    &at.span,
                    at.key,
                    format!("names the node {:?} twice", at.value),
                    "name each node once",
                );
            } else if let Some(node) = nodes.iter().find(|node| node.name == at.value) {
                known.push((at, node));
            } else {
                let fix = suggestion(&at.value, nodes.iter().map(|node| node.name.as_str()));
                self.findings
                    .add(&at.span, at.key, format!("{:?} is not a node of this file", at.value), fix);
            }
        }
        known
    }
}
