//! What a run plays on: three nodes of one region, each with a process, a `cluster.toml` and, where a fault asks for it, a disk of
//! its own, and a proxy on every link between them. Or several regions of nodes with ordinary directories, and proxies on the links
//! from one region to another.
//!
//! The cluster is first brought up as an operator would (`cluster up`, which makes certificates and initialises it), then its
//! nodes are run one by one, each with a configuration in which the others are where its proxies listen.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use rig::cluster::{Cluster, Options, Own};
use rig::layout::Layout;
use rig::nursery;

use crate::disks::{self, Disk, PREFIX};
use crate::ending::NodeUse;
use crate::faults::Fault;
use crate::proxy::Network;
use crate::workload::Controls;

/// Nodes of a region.
pub const NODES: usize = 3;

/// See the module. The order of the fields is the order in which they go away.
pub struct Stage {
    /// The nodes.
    pub cluster: Cluster,
    /// The network between them.
    pub network: Network,
    /// A disk a node, or none.
    pub disks: Vec<Disk>,
    _directory: tempfile::TempDir,
}

impl Stage {
    /// Brings everything up for a run with these faults: one region.
    pub fn set(binary: PathBuf, mutant: Option<&str>, faults: &[&'static dyn Fault]) -> Result<Self> {
        let mut layout = Layout::one_region(NODES)?;
        if faults.iter().any(|fault| fault.needs_another_cell()) {
            layout.shared = 2;
        }
        let mut options = Options::new(layout, binary);
        options.environment.extend(put_back(mutant));
        Self::of(options, faults, |_, _| true)
    }

    /// Brings several regions up, with a proxy on every link from one to another and, where it is not zero, so much of a way between them.
    pub fn over(layout: Layout, binary: PathBuf, mutant: Option<&str>, distance: Duration) -> Result<Self> {
        let mut options = Options::new(layout, binary);
        options.environment.extend(put_back(mutant));
        Self::apart(options, distance)
    }

    /// The same with whatever else the nodes are started with.
    pub fn apart(options: Options, distance: Duration) -> Result<Self> {
        let regions: Vec<_> = options.layout.nodes.iter().map(|node| node.region.clone()).collect();
        let is_far = |from: usize, to: usize| regions[from] != regions[to];
        let stage = Self::of(options, &[], is_far)?;
        if !distance.is_zero() {
            for (one, other) in (0..regions.len()).flat_map(|one| (0..one).map(move |other| (one, other))) {
                stage.network.part(one, other, distance);
            }
        }
        Ok(stage)
    }

    fn of(mut options: Options, faults: &[&'static dyn Fault], proxied: impl Fn(usize, usize) -> bool) -> Result<Self> {
        disks::sweep();
        let layout = &options.layout;
        let directory = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir()
            .context("make a directory for the run")?;
        let data = directory.path().join("data");
        let mut own_disks = Vec::new();
        if faults.iter().any(|fault| fault.needs_disks()) {
            for node in &layout.nodes {
                let image = directory.path().join(format!("{}.img", node.name));
                own_disks.push(Disk::new(image, data.join(&node.name))?);
            }
        }
        let peers: Vec<_> = layout.nodes.iter().map(|node| node.peer).collect();
        // The proxies get ports of their own, not those that the nodes are about to take.
        let own = layout.nodes.iter().flat_map(|node| [node.api, node.peer]);
        let held = own.map(TcpListener::bind).collect::<std::io::Result<Vec<_>>>();
        let held = held.context("hold the ports of the nodes")?;
        let network = Network::start_between(&peers, proxied)?;
        drop(held);
        options.data = Some(data);
        let cluster = Cluster::up(options)?;
        let mut stage = Self {
            cluster,
            network,
            disks: own_disks,
            _directory: directory,
        };
        stage.separate(faults)?;
        Ok(stage)
    }

    /// From here on every node runs by itself and reaches its peers through the proxies.
    fn separate(&mut self, faults: &[&'static dyn Fault]) -> Result<()> {
        let layout = self.cluster.layout().clone();
        let config = self.cluster.config();
        let beside = config.parent().context("find the run's directory")?;
        for (place, node) in layout.nodes.iter().enumerate() {
            let seen: BTreeMap<_, _> = layout
                .nodes
                .iter()
                .enumerate()
                .filter_map(|(to, peer)| Some((peer.name.clone(), self.network.address(place, to)?)))
                .collect();
            let environment = faults
                .iter()
                .flat_map(|fault| fault.environment(beside, &node.name))
                .collect();
            let own = Own {
                config: Some(layout.to_toml_for(&node.name, &seen)),
                environment,
                ..Own::default()
            };
            self.cluster.give(&node.name, own);
        }
        self.cluster.detach()
    }

    /// Something that remembers the most that each node used.
    pub fn sampler(&self) -> Sampler {
        let used = |node: &rig::layout::Node| NodeUse {
            node: node.name.clone(),
            log_bytes: 0,
            kept_bytes: 0,
            resident_bytes: 0,
        };
        Sampler(self.cluster.nodes().iter().map(used).collect())
    }

    /// What a run says about the program that it ran.
    pub fn version(&self) -> String {
        let mut command = nursery::command(self.cluster.binary());
        command.arg("version");
        let output = command.output().map(|output| output.stdout).unwrap_or_default();
        let text = String::from_utf8_lossy(&output);
        text.lines().next().unwrap_or("unknown").to_owned()
    }
}

/// The variable that puts a bug back.
fn put_back(mutant: Option<&str>) -> Option<(String, String)> {
    mutant.map(|name| ("CLOUDNEST_MUTANT".to_owned(), name.to_owned()))
}

/// What nodes use: see [`Stage::sampler`].
pub struct Sampler(Vec<NodeUse>);

impl Sampler {
    /// Looks at what the nodes use now.
    pub fn sample(&mut self, cluster: &Cluster, controls: &Controls) {
        for (place, used) in self.0.iter_mut().enumerate() {
            used.kept_bytes = controls.kept_bytes(place);
            let directory = cluster.data().join(&used.node);
            if let Ok(seen) = rig::probe::disk_use(&directory) {
                used.log_bytes = used.log_bytes.max(seen.log_bytes);
            }
            let resident = cluster.pid(&used.node).and_then(rig::probe::resident_bytes);
            used.resident_bytes = used.resident_bytes.max(resident.unwrap_or(0));
        }
    }

    /// The most of all samples.
    pub fn most(&self) -> Vec<NodeUse> {
        self.0.clone()
    }
}
