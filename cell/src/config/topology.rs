//! What a cluster consists of: regions, nodes, cells, plans, and who votes in the directory.
//!
//! A file describes it, and the directory holds it: the file is what is wanted, the directory what is. The numbers of nodes and cells
//! are theirs for good, so that what is kept under a number never comes to another.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Regions, nodes, cells and plans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// The regions, in the order of the file.
    pub regions: Vec<Region>,
    /// The nodes, in the order of the file.
    pub nodes: Vec<NodeEntry>,
    /// The cells, in the order of the file.
    pub cells: Vec<CellEntry>,
    /// The plans, in the order of the file; the first is the default. Never empty.
    pub plans: Vec<Plan>,
    /// The nodes that vote in the directory: 1, 3 or 5.
    pub directory_voters: Vec<String>,
    /// Whether they are about to be others; in a file they are not.
    pub directory_changing: bool,
}

/// A residency boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its name, such as `eu-west-1`.
    pub name: String,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEntry {
    /// Its name.
    pub name: String,
    /// Its number, from 1: never given to another node.
    pub number: u64,
    /// Its region.
    pub region: String,
    /// Where it serves its API.
    pub api: SocketAddr,
    /// Where it listens to the other nodes.
    pub peer: SocketAddr,
    /// The base URL under which clients reach its API, without a slash at the end.
    pub endpoint: String,
    /// Its data directory, where the file names one.
    pub data: Option<PathBuf>,
}

/// Whom a cell serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// Many tenants.
    Shared,
    /// One tenant.
    Dedicated,
}

impl CellKind {
    /// The word for it in files and replies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Dedicated => "dedicated",
        }
    }
}

/// How far a cell has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CellState {
    /// Its nodes make a place for it; no tenant comes to it yet.
    Forming,
    /// It serves tenants, and its replicas are about to be others.
    Changing,
    /// It serves tenants.
    #[default]
    Serving,
}

impl CellState {
    /// The word for it in replies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forming => "forming",
            Self::Changing => "changing",
            Self::Serving => "serving",
        }
    }
}

/// A cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellEntry {
    /// Its name.
    pub name: String,
    /// The number of its Raft group: at least 2, because 1 is the directory.
    pub number: u64,
    /// Its region.
    pub region: String,
    /// Whom it serves.
    pub kind: CellKind,
    /// The nodes that hold its replicas: 1, 3 or 5, all in its region. While they are changed: those that leave, too.
    pub nodes: Vec<String>,
    /// How far it has come; in a file it serves.
    pub state: CellState,
    /// Whether the cluster has made it by itself, for a tenant that wanted one; no file names it.
    pub made: bool,
}

/// What a tenant may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// Its share of a node that is busy, against the weights of the others.
    pub weight: u64,
    /// Request units a second.
    pub units_per_second: u64,
    /// Request units that may be used at once after a quiet time.
    pub burst_units: u64,
    /// Storage, in GiB: records and files together.
    pub storage_gib: u64,
    /// Most records; none: as many as fit into the storage.
    pub records: Option<u64>,
    /// Most connections at each node; none: as many as follow from the units.
    pub connections: Option<u64>,
    /// How long events are kept, in days.
    pub events_days: u64,
    /// How long superseded versions are kept, in days.
    pub history_days: u64,
    /// Whether its tenants may have a cell of their own.
    pub dedicated: bool,
}

impl Default for Plan {
    /// What a plan without a word gives.
    fn default() -> Self {
        Self {
            name: String::new(),
            weight: 1,
            units_per_second: 1_000,
            burst_units: 60_000,
            storage_gib: 5,
            records: None,
            connections: None,
            events_days: 7,
            history_days: 30,
            dedicated: false,
        }
    }
}

impl Topology {
    /// The node of a name.
    pub fn node(&self, name: &str) -> Option<&NodeEntry> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The node of a number.
    pub fn numbered(&self, number: u64) -> Option<&NodeEntry> {
        self.nodes.iter().find(|node| node.number == number)
    }

    /// The cell of a number.
    pub fn cell(&self, number: u64) -> Option<&CellEntry> {
        self.cells.iter().find(|cell| cell.number == number)
    }

    /// The nodes of a region, in the order of the file.
    pub fn region_nodes(&self, region: &str) -> Vec<&NodeEntry> {
        self.nodes.iter().filter(|node| node.region == region).collect()
    }

    /// The cells of a region, in the order of the file.
    pub fn region_cells(&self, region: &str) -> Vec<&CellEntry> {
        self.cells.iter().filter(|cell| cell.region == region).collect()
    }

    /// This topology as a file wants it, with the cells that `current` has made by itself: no file names them.
    pub fn keeping_made(mut self, current: &Topology) -> Self {
        let named = |cell: &&CellEntry| {
            self.cells
                .iter()
                .any(|own| own.number == cell.number || own.name == cell.name)
        };
        let kept = current.cells.iter().filter(|cell| cell.made && !named(cell));
        let kept: Vec<CellEntry> = kept.cloned().collect();
        self.cells.extend(kept);
        self
    }

    /// This topology with nothing about to change.
    pub fn settled(mut self) -> Self {
        self.directory_changing = false;
        self.cells.iter_mut().for_each(|cell| cell.state = CellState::Serving);
        self
    }

    /// The numbers of nodes by name. Names that are none are left out.
    pub fn numbers(&self, names: &[String]) -> Vec<u64> {
        names.iter().filter_map(|name| Some(self.node(name)?.number)).collect()
    }

    /// Whether the directory's voters are in several regions, far from each other.
    pub fn directory_is_wide(&self) -> bool {
        let mut regions = self.directory_voters.iter().filter_map(|name| Some(&self.node(name)?.region));
        let first = regions.next();
        regions.any(|region| Some(region) != first)
    }
}
