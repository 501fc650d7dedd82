//! Backups, and what is restored from them.

use serde::{Deserialize, Serialize};

/// From where a tenant is to be restored: what another one was at a time becomes a new tenant beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantRestore {
    /// The tenant that it was; it may be deleted.
    pub from: String,
    /// The time, RFC 3339; left out: the latest that is archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The plan of the new tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Whether the API keys that there were are valid in the new tenant; else there is one new one.
    #[serde(default)]
    pub keep_tokens: bool,
}

/// To when the tenants of a cell are to be restored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CellRestore {
    /// The time, RFC 3339; left out: the latest that is archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// The backup of a cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CellBackup {
    /// What would be lost with all replicas of the cell, in seconds.
    pub lag_seconds: u64,
    /// The last log position that is archived.
    pub archived: u64,
    /// Chunks of files that were on no replica when they were to be archived, since the node started: a restore has none of them.
    #[serde(default)]
    pub chunks_lacking: u64,
    /// When the newest base was begun, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_at: Option<String>,
    /// Why it did not work last; left out where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
