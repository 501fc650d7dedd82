//! What a tenant may use, and has used.

use serde::{Deserialize, Serialize};

/// What a tenant may use and has used, as the node knows it that was asked. One request unit is what a strong read of a small record costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Usage {
    /// The tenant's plan.
    pub plan: String,
    /// What the plan gives.
    pub limits: UsageLimits,
    /// Request units.
    pub units: UsedUnits,
    /// Requests that the node has served, those that were refused because of a limit among them.
    pub requests: u64,
    /// Requests that the node has refused because of a limit.
    pub refused: u64,
    /// Requests that are under way at the node.
    pub requests_at_once: u64,
    /// Streams of events that the node has open.
    pub event_streams: u64,
    /// Connections of clients that the node has open for the tenant.
    pub connections: u64,
    /// What the tenant stores.
    pub stored: UsedStorage,
    /// For how long the node has counted, in seconds: since the tenant's first request there, after a quiet time.
    pub counted_seconds: u64,
}

/// What a plan gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UsageLimits {
    /// Request units a second, of all nodes together.
    pub units_per_second: u64,
    /// Request units that may be used at once after a quiet time.
    pub burst_units: u64,
    /// The share of a busy node, against the weights of others.
    pub weight: u64,
    /// Requests at a time, at each node.
    pub requests_at_once: u64,
    /// Streams of events at a time, at each node.
    pub event_streams: u64,
    /// Connections at a time, at each node.
    pub connections: u64,
    /// Records; null: as many as fit into the storage.
    pub records: Option<u64>,
    /// Bytes of records and files together; versions may have as many again, and what is free.
    pub storage_bytes: u64,
}

/// What is stored of a tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UsedStorage {
    /// Records; null: they are being counted.
    pub records: Option<u64>,
    /// Bytes of records and documents; null: they are being counted.
    pub records_bytes: Option<u64>,
    /// Bytes of what records were before they were changed or deleted, as long as that is kept; null: they are being counted.
    pub versions_bytes: Option<u64>,
    /// Bytes of all versions of files, and of what is being uploaded.
    pub files_bytes: u64,
}

/// Request units that were used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UsedUnits {
    /// What can be used at once.
    pub left: u64,
    /// What the node has charged.
    pub used: f64,
    /// What other nodes have charged, as far as they have told.
    pub used_elsewhere: f64,
}
