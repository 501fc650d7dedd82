//! How busy the cells of a region are, and which tenants to move.

use serde::{Deserialize, Serialize};

/// How busy the shared cells of a region are, and what would make them even.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Balance {
    /// The region.
    pub region: String,
    /// Its shared cells whose leaders answered.
    pub cells: Vec<CellLoad>,
    /// Moves that would help, in this order; none: no cell is hot, or nothing helps.
    pub moves: Vec<ProposedMove>,
}

/// How busy and how full a cell is, as its leader says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CellLoad {
    /// The cell.
    pub cell: String,
    /// Tenants pinned to it.
    pub tenants: u64,
    /// Writes a second: a mean of which half is of the last 30 seconds.
    pub writes_per_second: f64,
    /// Bytes of its leader's store.
    pub stored_bytes: u64,
    /// What is free on its leader's disk, in bytes; null: not known.
    pub disk_free_bytes: Option<u64>,
}

/// A tenant that would better be elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProposedMove {
    /// The tenant.
    pub tenant: String,
    /// The cell that it is in.
    pub from: String,
    /// The cell to move it to; null: it makes most of its cell's load, and only a dedicated cell would help.
    pub to: Option<String>,
    /// Its writes a second.
    pub writes_per_second: f64,
}
