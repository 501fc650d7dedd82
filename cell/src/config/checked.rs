//! What the sections mean together: unique names, numbers and addresses, references that exist, quorums that are odd.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;

use super::error::{Findings, suggestion};
use super::raw::{At, RawCell, RawConfig, RawNode, RawPlan, RawSecret, RawTiming};
use super::{CellEntry, CellKind, Config, NodeEntry, Plan, Region, Secret, Timing, TlsFiles};

/// Longest name of a cluster, region, node, cell or plan, in characters: a label of a certificate's name holds no more than 63.
const NAME_CHARS: usize = 40;
/// Shortest heartbeat, in milliseconds: below it the timer itself is the load.
const HEARTBEAT_MIN_MS: u64 = 10;
/// Longest election time, in milliseconds: above it nobody would wait for a leader.
const ELECTION_MAX_MS: u64 = 60_000;
/// The number of the directory's group.
const DIRECTORY_NUMBER: u64 = 1;
/// The name of the directory's group.
const DIRECTORY_NAME: &str = "directory";

/// Checks what was read. The result is whole only if `findings` stayed empty.
pub(super) fn check(raw: &RawConfig, dir: &Path, findings: &mut Findings<'_>) -> Config {
    let mut checker = Checker {
        findings,
        seen: BTreeMap::new(),
    };
    let regions = checker.regions(raw);
    let nodes = checker.nodes(raw, &regions, dir);
    let cells = checker.cells(raw, &regions, &nodes);
    let plans = raw.plans.iter().filter_map(|plan| checker.plan(plan)).collect();
    checker.regions_have_nodes(raw);
    Config {
        cluster: raw.cluster.as_ref().map(|name| checker.name(name)).unwrap_or_default(),
        directory_voters: checker.voters(raw, &regions, &nodes),
        regions,
        nodes,
        cells,
        plans,
        operator_token: raw.operator_token.as_ref().map(|secret| match &secret.value {
            RawSecret::File(path) => Secret::File(dir.join(path)),
            RawSecret::Env(name) => Secret::Env(name.clone()),
        }),
        tls: raw.tls.as_ref().and_then(|tls| {
            let path = |at: &Option<At<String>>| Some(dir.join(&at.as_ref()?.value));
            Some(TlsFiles {
                authority: path(&tls.authority)?,
                certificate: path(&tls.certificate)?,
                key: path(&tls.key)?,
            })
        }),
        timing: checker.timing(&raw.timing),
    }
}

/// Goes through the sections and remembers what is taken.
struct Checker<'c, 'f> {
    findings: &'c mut Findings<'f>,
    /// What must be there only once (kind and value), and where it was first.
    seen: BTreeMap<(&'static str, String), Range<usize>>,
}

impl Checker<'_, '_> {
    /// A name of the right form; reported otherwise, and returned as it is so that references to it are not reported too.
    fn name(&mut self, at: &At<String>) -> String {
        let inner = at
            .value
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let edges = at.value.starts_with(|c: char| c.is_ascii_lowercase()) && !at.value.ends_with('-');
        if !inner || !edges || at.value.len() > NAME_CHARS {
            let fix = format!("use 1 to {NAME_CHARS} of a-z, 0-9 and -, start with a letter and do not end with -");
            self.findings
                .add(&at.span, at.key, format!("{:?} is not a name", at.value), fix);
        }
        at.value.clone()
    }

    /// Reports a value that is there a second time.
    fn once<T>(&mut self, kind: &'static str, value: &str, at: &At<T>, fix: &str) {
        match self.seen.get(&(kind, value.to_owned())) {
            Some(first) => {
                let line = self.findings.line(first);
                self.findings.add(
                    &at.span,
                    at.key,
                    format!("the {kind} {value} is used in line {line} already"),
                    fix,
                );
            }
            None => {
                self.seen.insert((kind, value.to_owned()), at.span.clone());
            }
        }
    }

    fn regions(&mut self, raw: &RawConfig) -> Vec<Region> {
        let mut regions = Vec::new();
        for name in raw.regions.iter().filter_map(|region| region.name.as_ref()) {
            self.once("region", &name.value, name, "give each region one section");
            regions.push(Region { name: self.name(name) });
        }
        regions
    }

    fn regions_have_nodes(&mut self, raw: &RawConfig) {
        for region in raw.regions.iter().filter_map(|region| region.name.as_ref()) {
            let used = raw
                .nodes
                .iter()
                .filter_map(|node| node.region.as_ref())
                .any(|name| name.value == region.value);
            if !used {
                let fix = "add a [[node]] with this region, or comment the region out";
                self.findings.add(
                    &region.span,
                    region.key,
                    format!("the region {:?} has no node", region.value),
                    fix,
                );
            }
        }
    }

    fn region(&mut self, at: &At<String>, regions: &[Region]) -> String {
        if !regions.iter().any(|region| region.name == at.value) {
            let fix = suggestion(&at.value, regions.iter().map(|region| region.name.as_str()));
            self.findings
                .add(&at.span, at.key, format!("{:?} is not a region of this file", at.value), fix);
        }
        at.value.clone()
    }

    fn nodes(&mut self, raw: &RawConfig, regions: &[Region], dir: &Path) -> Vec<NodeEntry> {
        raw.nodes.iter().filter_map(|node| self.node(node, regions, dir)).collect()
    }

    /// A node, as far as it can be understood: one with a name is known to the cells even if the rest of it is wrong.
    fn node(&mut self, raw: &RawNode, regions: &[Region], dir: &Path) -> Option<NodeEntry> {
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
        let endpoint = self.endpoint(raw, api);
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

    fn endpoint(&mut self, raw: &RawNode, api: Option<SocketAddr>) -> String {
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
                    let fix = "add endpoint = \"http://…\" with the address that clients use";
                    self.findings.add(
                        &at.span,
                        at.key,
                        format!("{api} is every address of a machine: no client can use it"),
                        fix,
                    );
                }
                format!("http://{api}")
            }
            (None, None) => String::new(),
        }
    }

    fn cells(&mut self, raw: &RawConfig, regions: &[Region], nodes: &[NodeEntry]) -> Vec<CellEntry> {
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

    fn voters(&mut self, raw: &RawConfig, regions: &[Region], nodes: &[NodeEntry]) -> Vec<String> {
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
        if count > 1 && voters.len() == count && one_region && regions.len() > 1 {
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

    fn plan(&mut self, raw: &RawPlan) -> Option<Plan> {
        let mut limit = |at: &Option<At<u64>>, default: u64| {
            if let Some(at) = at
                && at.value == 0
            {
                self.findings.add(
                    &at.span,
                    at.key,
                    "0 would allow nothing",
                    "write 1 or more, or leave the key out",
                );
            }
            at.as_ref().map_or(default, |at| at.value)
        };
        let units_per_second = limit(&raw.units_per_second, 100);
        let mut plan = Plan {
            name: String::new(),
            weight: limit(&raw.weight, 1),
            units_per_second,
            burst_units: limit(&raw.burst_units, units_per_second.saturating_mul(10)),
            storage_gib: limit(&raw.storage_gib, 5),
            events_days: limit(&raw.events_days, 7),
            history_days: limit(&raw.history_days, 30),
            dedicated: raw.dedicated.as_ref().is_some_and(|at| at.value),
        };
        let name = raw.name.as_ref()?;
        self.once("plan", &name.value, name, "give each plan one section");
        plan.name = self.name(name);
        Some(plan)
    }

    fn timing(&mut self, raw: &RawTiming) -> Timing {
        let default = Timing::default();
        let of = |at: &Option<At<u64>>, default: u64| at.as_ref().map_or(default, |at| at.value);
        let timing = Timing {
            heartbeat_ms: of(&raw.heartbeat_ms, default.heartbeat_ms),
            election_min_ms: of(&raw.election_min_ms, default.election_min_ms),
            election_max_ms: of(&raw.election_max_ms, default.election_max_ms),
        };
        let place = |first: &Option<At<u64>>, second: &Option<At<u64>>| {
            first
                .as_ref()
                .or(second.as_ref())
                .map(|at| (at.span.clone(), at.key))
                .unwrap_or((0..0, "timing"))
        };
        if timing.heartbeat_ms < HEARTBEAT_MIN_MS {
            let (span, key) = place(&raw.heartbeat_ms, &None);
            let fix = format!("write {HEARTBEAT_MIN_MS} or more");
            self.findings.add(
                &span,
                key,
                format!("a heartbeat every {} ms is too often", timing.heartbeat_ms),
                fix,
            );
        }
        if timing.election_min_ms < timing.heartbeat_ms.saturating_mul(2) {
            let (span, key) = place(&raw.election_min_ms, &raw.heartbeat_ms);
            let what = format!(
                "an election after {} ms, with a heartbeat every {} ms",
                timing.election_min_ms, timing.heartbeat_ms
            );
            self.findings
                .add(&span, key, what, "make it at least twice the heartbeat, better three times");
        }
        if timing.election_max_ms <= timing.election_min_ms || timing.election_max_ms > ELECTION_MAX_MS {
            let (span, key) = place(&raw.election_max_ms, &raw.election_min_ms);
            let fix = format!(
                "make it larger than election_min_ms ({}) and at most {ELECTION_MAX_MS}",
                timing.election_min_ms
            );
            self.findings
                .add(&span, key, format!("{} ms do not fit", timing.election_max_ms), fix);
        }
        timing
    }
}
