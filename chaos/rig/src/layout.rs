//! Regions, nodes and their addresses, and the `cluster.toml` that says so.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};

use crate::ports::Ports;

/// A budget that no run uses up: measurements find the limit of the machine, not of a plan.
const UNLIMITED: u64 = 1_000_000_000;

/// A node of a [`Layout`].
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name: the region's name and a letter.
    pub name: String,
    /// Its number, from 1.
    pub number: u64,
    /// Its region.
    pub region: String,
    /// Where it serves the API.
    pub api: SocketAddr,
    /// Where it listens for its peers.
    pub peer: SocketAddr,
}

/// What a cluster consists of.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The nodes, region by region.
    pub nodes: Vec<Node>,
    /// The plan that tenants get: its name. It has no limits in practice.
    pub plan: String,
    /// `[timing]`: heartbeat, shortest and longest election time, in milliseconds; `None`: the program's own.
    pub timing: Option<[u64; 3]>,
    /// Whether tenants are kept apart; without for measurements alone.
    pub scheduler: bool,
    /// Shared cells of each region, over all its nodes: at least one.
    pub shared: usize,
    /// Dedicated cells of each region, likewise.
    pub dedicated: usize,
    /// Most voters of the directory, an odd number; the other nodes keep copies of it. `None`: up to five.
    pub voters: Option<usize>,
    /// The keys of each region's `[region.backup]`: lines of the configuration.
    pub backup: Option<String>,
    /// The keys of each region's `[region.files]`, likewise.
    pub files: Option<String>,
    /// Keeps the nodes' ports for them.
    _ports: Arc<Ports>,
}

impl Layout {
    /// Regions by name, each with so many nodes (1, 3 or 5) and one shared cell over all of them. Ports are free ones.
    pub fn new(regions: &[(&str, usize)]) -> Result<Self> {
        let count: usize = regions.iter().map(|(_, nodes)| nodes).sum();
        let ports = Ports::keep(count * 2).context("find free ports")?;
        let mut addresses = ports.addresses().context("look at the ports")?.into_iter();
        let mut nodes = Vec::new();
        for (region, size) in regions {
            for letter in ('a'..='z').take(*size) {
                let (api, peer) = addresses.next().zip(addresses.next()).context("count the ports")?;
                let number = nodes.len() as u64 + 1;
                nodes.push(Node {
                    name: format!("{region}{letter}"),
                    number,
                    region: (*region).to_owned(),
                    api,
                    peer,
                });
            }
        }
        Ok(Self {
            nodes,
            plan: "unlimited".to_owned(),
            timing: None,
            scheduler: true,
            shared: 1,
            dedicated: 0,
            voters: None,
            backup: None,
            files: None,
            _ports: Arc::new(ports),
        })
    }

    /// One region, `eu-west-1`, with so many nodes.
    pub fn one_region(nodes: usize) -> Result<Self> {
        Self::new(&[("eu-west-1", nodes)])
    }

    /// The regions in order, each once.
    pub fn regions(&self) -> Vec<&str> {
        let mut regions: Vec<_> = self.nodes.iter().map(|node| node.region.as_str()).collect();
        regions.dedup();
        regions
    }

    /// A node by name.
    pub fn node(&self, name: &str) -> Result<&Node> {
        self.nodes
            .iter()
            .find(|node| node.name == name)
            .with_context(|| format!("there is no node {name}"))
    }

    /// The voters of the directory: with several regions the first node of each, else all of the one; always an odd number.
    pub fn voters(&self) -> Vec<&str> {
        let regions = self.regions();
        let mut voters: Vec<_> = if regions.len() < 3 {
            self.nodes
                .iter()
                .filter(|node| node.region == regions[0])
                .map(|node| node.name.as_str())
                .collect()
        } else {
            let first = |region: &&str| {
                self.nodes
                    .iter()
                    .find(|node| node.region == **region)
                    .map(|node| node.name.as_str())
            };
            regions.iter().filter_map(first).collect()
        };
        let odd = voters.len() - (voters.len() + 1) % 2;
        voters.truncate(odd.min(self.voters.unwrap_or(5)));
        voters
    }

    /// The text of `cluster.toml` for one node that reaches its peers at other addresses than those where they listen: through
    /// proxies. `seen` says where, by name; the node's own entry stays as it is.
    pub fn to_toml_for(&self, own: &str, seen: &BTreeMap<String, SocketAddr>) -> String {
        let mut layout = self.clone();
        for node in layout.nodes.iter_mut().filter(|node| node.name != own) {
            node.peer = seen.get(&node.name).copied().unwrap_or(node.peer);
        }
        layout.to_toml()
    }

    /// What of it says how a region is backed up.
    pub fn backup_section(&self) -> String {
        let section = |keys| format!("\n[region.backup]\n{keys}\n");
        self.backup.as_ref().map(section).unwrap_or_default()
    }

    /// The text of `cluster.toml`.
    pub fn to_toml(&self) -> String {
        let list = |names: &[&str]| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let mut out = format!("cluster = \"rig\"\n\n[directory]\nvoters = [{}]\n", list(&self.voters()));
        if !self.scheduler {
            out.push_str("\n[scheduler]\nenabled = false\n");
        }
        if let Some([heartbeat, min, max]) = self.timing {
            let _ = write!(
                out,
                "\n[timing]\nheartbeat_ms = {heartbeat}\nelection_min_ms = {min}\nelection_max_ms = {max}\n"
            );
        }
        for (at, region) in self.regions().into_iter().enumerate() {
            let members: Vec<_> = self.nodes.iter().filter(|node| node.region == region).collect();
            let names: Vec<_> = members.iter().map(|node| node.name.as_str()).collect();
            let _ = write!(out, "\n[[region]]\nname = {region:?}\n");
            out.push_str(&self.backup_section());
            out.extend(self.files.iter().map(|keys| format!("\n[region.files]\n{keys}\n")));
            for node in &members {
                let Node {
                    name, number, api, peer, ..
                } = node;
                let _ = write!(
                    out,
                    "\n[[node]]\nname = {name:?}\nnumber = {number}\nregion = {region:?}\napi = \"{api}\"\npeer = \"{peer}\"\n"
                );
            }
            let (cell, number) = (format!("{region}-shared"), at + 2);
            let _ = write!(
                out,
                "\n[[cell]]\nname = {cell:?}\nnumber = {number}\nregion = {region:?}\nnodes = [{}]\n",
                list(&names)
            );
            let more = self.dedicated + self.shared.saturating_sub(1);
            for place in 0..more {
                let number = self.regions().len() + 2 + at * more + place;
                let kind = if place < self.dedicated { "dedicated" } else { "shared" };
                let which = if place < self.dedicated {
                    place
                } else {
                    place + 1 - self.dedicated
                };
                let _ = write!(
                    out,
                    "\n[[cell]]\nname = \"{region}-{kind}-{which}\"\nkind = \"{kind}\"\nnumber = {number}\nregion = {region:?}\nnodes = [{}]\n",
                    list(&names)
                );
            }
        }
        let _ = write!(
            out,
            "\n[[plan]]\nname = {:?}\nweight = 1\nunits_per_second = {UNLIMITED}\nburst_units = {UNLIMITED}\nstorage_gib = 1000\n",
            self.plan
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_of_three_has_three_voters_and_a_cell_over_all() {
        let layout = Layout::one_region(3).unwrap();
        assert_eq!(layout.voters(), ["eu-west-1a", "eu-west-1b", "eu-west-1c"]);
        let text = layout.to_toml();
        assert!(
            text.contains("nodes = [\"eu-west-1a\", \"eu-west-1b\", \"eu-west-1c\"]"),
            "{text}"
        );
        assert!(text.contains(&format!("api = \"{}\"", layout.nodes[2].api)), "{text}");
        assert_eq!(text.matches("[[node]]").count(), 3);
    }

    #[test]
    fn every_cell_of_every_region_has_a_number_of_its_own() {
        let mut layout = Layout::new(&[("one", 1), ("two", 1)]).unwrap();
        (layout.shared, layout.dedicated) = (2, 1);
        let text = layout.to_toml();
        for (name, number) in [
            ("one-shared", 2),
            ("two-shared", 3),
            ("one-dedicated-0", 4),
            ("one-shared-1", 5),
            ("two-shared-1", 7),
        ] {
            let line = text.lines().skip_while(|line| *line != format!("name = {name:?}"));
            let found = line.take(3).any(|line| line == format!("number = {number}"));
            assert!(found, "{name}: {text}");
        }
    }

    #[test]
    fn a_node_behind_proxies_sees_its_own_address_and_those_of_the_proxies() {
        let layout = Layout::one_region(3).unwrap();
        let [a, b, c] = [&layout.nodes[0], &layout.nodes[1], &layout.nodes[2]];
        let proxy: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let text = layout.to_toml_for(&a.name, &BTreeMap::from([(a.name.clone(), proxy), (b.name.clone(), proxy)]));
        for (address, times) in [(a.peer, 1), (b.peer, 0), (c.peer, 1), (proxy, 1)] {
            assert_eq!(text.matches(&format!("peer = \"{address}\"")).count(), times, "{text}");
        }
    }

    #[test]
    fn the_directory_spreads_over_regions_and_stays_odd() {
        let voters = |regions: &[(&str, usize)]| {
            Layout::new(regions)
                .unwrap()
                .voters()
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(voters(&[("one", 3), ("two", 3), ("three", 3)]), ["onea", "twoa", "threea"]);
        assert_eq!(voters(&[("one", 1), ("two", 3)]), ["onea"]);
        assert_eq!(
            voters(&[("one", 1), ("two", 1), ("three", 1), ("four", 1)]),
            ["onea", "twoa", "threea"]
        );
    }
}
