//! Nodes, as operators see them.

use serde::{Deserialize, Serialize};

use crate::ids::NodeNumber;

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its number.
    #[schema(value_type = u64)]
    pub number: NodeNumber,
    /// Its region.
    pub region: String,
    /// The base URL of its API.
    pub endpoint: String,
    /// Whether the answering node reaches it.
    pub reachable: bool,
    /// Until when the certificate is valid that it proves itself to other nodes with, RFC 3339; null: the answering node has not seen it
    /// since it started.
    pub certificate_expires_at: Option<String>,
    /// Whether it drains; null: it did not say.
    pub draining: Option<bool>,
    /// The version of its program; null: it did not say.
    pub version: Option<String>,
    /// The level that it runs at: the newest that its version knows, or the one before; null: it did not answer.
    pub level: Option<u32>,
    /// What is free on the disk of its data, in bytes; null: it did not say.
    pub disk_free_bytes: Option<u64>,
    /// The size of that disk, in bytes; null: it did not say.
    pub disk_bytes: Option<u64>,
    /// When its process started, RFC 3339; null: it did not say.
    pub started_at: Option<String>,
}

/// What is asked of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeChange {
    /// To hand its leaderships over and not be ready, until it is asked to serve again or starts again.
    Drain,
    /// To serve again.
    Undrain,
    /// To drain and end with exit code 0: whoever supervises it starts it again.
    Restart,
}
