//! Control: tenants, regions, cells, nodes and operations, for operators.

use serde::{Deserialize, Serialize};

use crate::ids::{Id, NodeNumber, Slug};

/// A new tenant.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// Its name in URLs.
    pub slug: Slug,
    /// Its display name: at most 200 characters; the slug where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// Its region: where its data stays.
    pub region: String,
    /// Its plan; the first of the configuration where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Whether it gets a cell of its own.
    #[serde(default)]
    pub dedicated: bool,
    /// The template of its collections; none where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// A change of a tenant.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantPatch {
    /// A new plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The origins whose pages may use its API from a browser, such as `https://app.example.com`; `*`: every page. An empty list: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors_origins: Option<Vec<String>>,
}

/// Where a tenant is to be moved: a cell, or any dedicated one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantMove {
    /// A cell of its region, or of the one that is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<String>,
    /// Any dedicated cell of that region that is free.
    #[serde(default)]
    pub dedicated: bool,
    /// The region that it goes to. A tenant leaves its region only where this names another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// How far a tenant's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TenantStatus {
    /// Its space is being made.
    Creating,
    /// It is served.
    Active,
    /// Its data is being erased.
    Deleting,
}

/// A tenant as it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tenant {
    /// Its id: never used again.
    #[schema(value_type = uuid::Uuid)]
    pub id: Id,
    /// Its name in URLs.
    pub slug: Slug,
    /// Its region.
    pub region: String,
    /// Its cell.
    pub cell: String,
    /// The base URL of its API.
    pub endpoint: String,
    /// Its plan.
    pub plan: String,
    /// How far its life has come.
    pub status: TenantStatus,
    /// RFC 3339.
    pub created_at: String,
    /// The origins whose pages may use its API from a browser.
    #[serde(default)]
    pub cors_origins: Vec<String>,
    /// The first admin token, in the reply that creates the tenant and never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_token: Option<String>,
}

/// A region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// The base URL of its API.
    pub endpoint: String,
    /// Its nodes.
    pub nodes: Vec<String>,
    /// Its cells.
    pub cells: Vec<String>,
}

/// A replica of a cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Replica {
    /// Its node's name.
    pub node: String,
    /// Its node's number.
    #[schema(value_type = u64)]
    pub number: NodeNumber,
    /// `leader`, `follower`, `learner`, `stopped` or `repairing`.
    pub role: String,
    /// The last log position that the answering node knows it to hold; null: not known.
    pub matched: Option<u64>,
}

/// A cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Cell {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// `shared`, `dedicated` or `directory`.
    pub kind: String,
    /// False: one replica, `not replicated`.
    pub replicated: bool,
    /// The node that leads it, where known.
    pub leader: Option<String>,
    /// The Raft term, as the answering node knows it.
    pub term: u64,
    /// The last log position of the answering node's replica.
    pub last_log: u64,
    /// The last applied log position of the answering node's replica.
    pub applied: u64,
    /// The log position that is durable in the answering node's store.
    pub durable: u64,
    /// Bytes of log that the answering node keeps of it, to within 256 KiB; of what was written since its process started.
    pub log_bytes: u64,
    /// Tenants pinned to it.
    pub tenants: u64,
    /// The level that all of its replicas have reached: what came with a later one waits for nodes of an older version; null: the
    /// answering node has no replica.
    pub level: Option<u32>,
    /// Its replicas.
    pub replicas: Vec<Replica>,
    /// Why the answering node's replica stopped, where it did; `repairing: …` while it is rebuilt from another one.
    pub stopped: Option<String>,
    /// How its backup stands, where the answering node makes it: the node that leads the cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<super::backup::CellBackup>,
}

/// The hash of all that a replica of a cell holds, at one log position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CellHash {
    /// The cell.
    pub cell: String,
    /// The answering node.
    pub node: String,
    /// The log position.
    pub applied: u64,
    /// BLAKE3 over keys and values, hexadecimal.
    pub hash: String,
    /// How many keys there are.
    pub keys: u64,
}

/// A comparison of all that the replicas of a cell hold, at one log position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Scrub {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: Id,
    /// The cell.
    pub cell: String,
    /// `running`; `equal`: all replicas hold the same; `damaged`: some do not, and are rebuilt from the others; `undecided`: no
    /// majority agrees, and nobody is rebuilt; `incomplete`: not all replicas could be compared, and those that were are equal.
    pub status: String,
    /// The log position; null: not known yet.
    pub position: Option<u64>,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339; null while it runs.
    pub ended_at: Option<String>,
    /// Its replicas.
    pub replicas: Vec<ScrubbedReplica>,
}

/// What a scrub found of a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ScrubbedReplica {
    /// Its node's name.
    pub node: String,
    /// `running`; `equal`: it agrees with the majority; `damaged`: it does not, or its file is wrong; `different`: it differs, and there
    /// is no majority; `missing`: it did not take part.
    pub status: String,
    /// BLAKE3 over its keys and values, hexadecimal.
    pub hash: Option<String>,
    /// How many keys there are.
    pub keys: Option<u64>,
    /// How many blocks of 4 KiB of its file were read from the disk and are right.
    pub blocks: Option<u64>,
    /// What was wrong, where something was.
    pub detail: Option<String>,
}

/// Long work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Operation {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: Id,
    /// Such as `tenant.delete`.
    pub kind: String,
    /// The tenant that it is about.
    pub tenant: String,
    /// The collection that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// `running`, `done`, `failed` or `cancelled`.
    pub status: String,
    /// What it is at, such as `fitting`; left out where it has ended. What is done, failed or cancelled may still be `cleaning` up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Keys or records done so far.
    pub progress: u64,
    /// Records that it failed at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<u64>,
    /// The first hundred of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<OperationFailure>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The first admin token of the tenant that comes of it: shown once, when it begins, and valid when it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_token: Option<String>,
}

/// A record that an operation failed at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OperationFailure {
    /// The record.
    #[schema(value_type = uuid::Uuid)]
    pub record: Id,
    /// What is wrong with it.
    pub message: String,
}

/// What `POST /v1/cluster/initialize` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Initialized {
    /// True: it was done now; false: it had been done before.
    pub initialized: bool,
}
