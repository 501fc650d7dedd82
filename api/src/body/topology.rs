//! What a cluster consists of, as operators see and change it.

use serde::{Deserialize, Serialize};

use crate::ids::Id;

/// Regions, nodes, cells, plans, and who votes in the directory: what `cluster.toml` says of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// The names of the regions.
    pub regions: Vec<String>,
    /// The nodes.
    pub nodes: Vec<TopologyNode>,
    /// The cells.
    pub cells: Vec<TopologyCell>,
    /// The plans; the first is the default.
    pub plans: Vec<TopologyPlan>,
    /// The names of the nodes that vote in the directory: 1, 3 or 5.
    pub directory_voters: Vec<String>,
    /// Whether they are about to be others.
    #[serde(default)]
    pub directory_changing: bool,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopologyNode {
    /// Its name.
    pub name: String,
    /// Its number: its own for good.
    pub number: u64,
    /// Its region.
    pub region: String,
    /// Where it serves its API: IP address and port.
    pub api: String,
    /// Where it listens to the other nodes: IP address and port.
    pub peer: String,
    /// The base URL under which clients reach it.
    pub endpoint: String,
}

/// A cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopologyCell {
    /// Its name.
    pub name: String,
    /// The number of its group: its own for good, at least 2.
    pub number: u64,
    /// Its region.
    pub region: String,
    /// `shared` or `dedicated`.
    #[schema(pattern = "^(shared|dedicated)$")]
    pub kind: String,
    /// The names of the nodes that hold its replicas: 1, 3 or 5.
    pub nodes: Vec<String>,
    /// `serving`; `forming` before it has its first members; `changing` while its replicas are about to be others.
    #[serde(default = "serving")]
    #[schema(pattern = "^(serving|forming|changing)$")]
    pub state: String,
    /// Whether the cluster has made it by itself, for a tenant that wanted a cell of its own. No file names it, and an apply keeps it.
    #[serde(default)]
    pub made: bool,
}

/// The state of a cell that is as it was wanted.
fn serving() -> String {
    "serving".to_owned()
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopologyPlan {
    /// Its name.
    pub name: String,
    /// Its share of a node that is busy.
    pub weight: u64,
    /// Request units a second.
    pub units_per_second: u64,
    /// Request units that may be used at once after a quiet time.
    pub burst_units: u64,
    /// Storage, in GiB: records and files together.
    pub storage_gib: u64,
    /// Most records; none: as many as fit into the storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// Most connections at each node; none: as many as follow from the units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// How long events are kept, in days.
    pub events_days: u64,
    /// How long superseded versions are kept, in days.
    pub history_days: u64,
    /// Whether its tenants may have a cell of their own.
    pub dedicated: bool,
}

/// The cluster as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Cluster {
    /// How often the topology was changed, from 1.
    pub version: u64,
    /// What it consists of.
    pub topology: Topology,
    /// The change that is under way.
    pub applying: Option<Applying>,
}

/// A change of the topology that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Applying {
    /// Its operation.
    #[schema(value_type = uuid::Uuid)]
    pub operation: Id,
    /// What is wanted.
    pub wanted: Topology,
    /// The next step, in words; null: none is left.
    pub step: Option<String>,
    /// Why the step has not been done so far, as far as the asked node knows.
    pub waiting: Option<String>,
}

/// A change that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTopology {
    /// The version that it was decided on: another one is refused.
    pub after: u64,
    /// What is wanted.
    pub topology: Topology,
}
