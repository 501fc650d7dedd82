//! What was read back after the faults were healed and everybody was quiet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::history::{Found, Glimpse, Total};

mod pages;
mod presence;

pub use pages::{Page, PageCopy, PageSought, Scribe};
pub use presence::{Call, CallAt, Hearing, Sitting, Visitor};

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
    /// A hash of all that it says.
    pub told: u64,
}

/// The events that a stream was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// All.
    All,
    /// Those about these collections and their records.
    Collections(Vec<String>),
    /// Those about claims whose names end so.
    Claims(String),
}

/// What a consumer of a stream of events got, over all its connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// How it came.
    pub by: String,
    /// What it asked for.
    pub wanted: Wanted,
    /// The position after which it began; none: nobody told it.
    pub began: Option<u64>,
    /// What came, as it came.
    pub events: Vec<Event>,
    /// Connections that it took.
    pub connections: u64,
    /// How many of them ended because the server said so.
    pub resumes: u64,
    /// What was not as it should be besides.
    pub odd: Vec<String>,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its version.
    pub version: u64,
    /// Its fields.
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// An operation on a collection, as a node tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Its id.
    pub id: String,
    /// `running`, `done`, `failed` or `cancelled`.
    pub status: String,
    /// What it is at; none: nothing is left to do.
    pub phase: Option<String>,
}

/// A collection whose schema has changed, as a node tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// The node.
    pub node: String,
    /// The schema.
    pub schema: serde_json::Value,
    /// The tenant's operations.
    pub operations: Vec<Work>,
    /// Lists that an index serves: the field, its value, the ids.
    pub lists: Vec<(String, serde_json::Value, Vec<String>)>,
}

/// A version of a record, as its history tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its number.
    pub version: u64,
    /// The record was deleted.
    pub deleted: bool,
    /// Its fields; none where it was deleted.
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// A file as it was read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its current version.
    pub version: u64,
    /// The record that it is attached to.
    pub attached: Option<String>,
    /// Its versions, the newest first.
    pub versions: Vec<KeptVersion>,
}

/// A version of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptVersion {
    /// Its number.
    pub version: u64,
    /// How long it is said to be.
    pub bytes: u64,
    /// BLAKE3 of it, as it is said.
    pub digest: String,
    /// Disks that all its chunks lay on before anybody read it at the end.
    pub disks: usize,
    /// What each node gave out of it; none: it knew none.
    pub seen: BTreeMap<String, Option<Glimpse>>,
}

/// What a node found for a word, when everybody was quiet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Searched {
    /// The node.
    pub node: String,
    /// The word.
    pub word: String,
    /// What it found, over all pages.
    pub found: Vec<Found>,
    /// How many it said there are.
    pub total: Option<Total>,
    /// How many it said there are of each kind.
    pub facets: Vec<(String, u64)>,
    /// Its index was being built.
    pub building: bool,
}

/// A tenant's data at one position.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TenantEnding {
    /// The position of the export.
    pub position: u64,
    /// By collection and record id.
    pub records: BTreeMap<String, BTreeMap<String, Record>>,
    /// How many the tenant's usage counts, once what is being erased has gone; none: they are not counted yet, or nobody asked.
    #[serde(default)]
    pub counted: Option<u64>,
    /// All events from the first one.
    pub events: Vec<Event>,
    /// Events that a consumer followed live through the run, resuming where it was cut off.
    pub followed: Vec<Event>,
    /// Streams of events that were followed live, resumed where they were cut off.
    pub streams: Vec<Stream>,
    /// The schema as the run left it, of a collection whose schema changed.
    pub left: Option<serde_json::Value>,
    /// The same collection at the very end, on every node, with the indexes that it has got for looking at it.
    pub shapes: Vec<Shape>,
    /// Records of that collection by id, each with its history, the newest version first.
    pub versions: BTreeMap<String, Vec<Version>>,
    /// What every node found.
    pub searches: Vec<Searched>,
    /// Documents that several clients wrote.
    pub pages: Vec<Page>,
    /// What its visitors said and heard.
    pub sittings: Vec<Sitting>,
    /// Who was there when everybody was quiet.
    pub calls: Vec<Call>,
    /// Its files.
    pub files: Vec<Kept>,
    /// Files that were given out though their deletion had been acknowledged: which, and where.
    pub ghosts: Vec<String>,
    /// On how many disks each chunk has to lie: on a majority, but those that a fault has taken something from.
    pub needed_disks: usize,
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

/// Where a node has a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The tenant's slug.
    pub tenant: String,
    /// The node.
    pub node: String,
    /// The cell.
    pub cell: String,
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ending {
    /// In the order of the history's tenants.
    pub tenants: Vec<TenantEnding>,
    /// Where each node of their region has each tenant.
    pub owners: Vec<Owner>,
    /// Every replica of every cell.
    pub replicas: Vec<ReplicaEnding>,
    /// Every node.
    pub nodes: Vec<NodeUse>,
    /// The program keeps a hundredth of the log: one with a bug put back does.
    pub hurried: bool,
}
