//! What was read back after the faults were healed and everybody was quiet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An event as a consumer got it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number.
    pub position: u64,
    /// `record.created`, `record.updated`, `record.deleted`, and those of other things.
    pub kind: String,
    /// The collection that it is about.
    pub collection: Option<String>,
    /// The record that it is about.
    pub id: Option<String>,
    /// The version that it made.
    pub version: Option<u64>,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its version.
    pub version: u64,
    /// Its fields.
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// A tenant's data at one position.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantEnding {
    /// The position of the export.
    pub position: u64,
    /// By collection and record id.
    pub records: BTreeMap<String, BTreeMap<String, Record>>,
    /// All events from the first one.
    pub events: Vec<Event>,
    /// Events that a consumer followed live through the run, resuming where it was cut off.
    pub followed: Vec<Event>,
    /// The raw export holds another tenant's tag: which.
    pub foreign_tags: Vec<String>,
}

/// One replica of a cell at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaEnding {
    /// The cell.
    pub cell: String,
    /// The node.
    pub node: String,
    /// Its log position.
    pub applied: u64,
    /// The hash of all that it holds there.
    pub hash: String,
    /// Keys.
    pub keys: u64,
    /// The same after every node was killed with SIGKILL and started again: what replay made of the log.
    pub hash_after_replay: Option<String>,
}

/// What a node used while the run went on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeUse {
    /// The node.
    pub node: String,
    /// Most bytes of its log directory.
    pub log_bytes: u64,
    /// Most bytes of log that it kept of one group.
    pub kept_bytes: u64,
    /// Most resident bytes.
    pub resident_bytes: u64,
}

/// The end of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// In the order of the history's tenants.
    pub tenants: Vec<TenantEnding>,
    /// Every replica of every cell.
    pub replicas: Vec<ReplicaEnding>,
    /// Every node.
    pub nodes: Vec<NodeUse>,
    /// The program keeps a hundredth of the log: one with a bug put back does.
    pub hurried: bool,
}
