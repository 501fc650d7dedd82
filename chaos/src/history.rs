//! What clients asked and what they were told: the record of a run that every checker reads.
//!
//! One [`Operation`] for each request that a client meant (its retries are part of it), with the times of one monotonic clock
//! between which it took effect, if it did. Processes are sequential: a process whose operation ended [`Outcome::Unknown`] is
//! never used again. Every value that the workload writes is unique in its run and starts with its tenant's tag.

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod parts;

pub use parts::{Act, Deed, Found, Glimpse, Stroke, Total};

/// How an operation ended, as far as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was acknowledged.
    Ok,
    /// It had no effect, for certain: refused, or `not_applied`.
    Failed,
    /// It may have had its effect, or may still have it.
    Unknown,
}

/// What was asked, and what the reply said. Fields that only a reply gives are empty unless the outcome is [`Outcome::Ok`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// PUT of a register: create or replace, unconditionally.
    Write {
        /// The register's record id.
        key: String,
        /// Unique in the run.
        value: String,
    },
    /// Strong read of a register.
    Read {
        /// The register's record id.
        key: String,
        /// What it held; none: 404.
        seen: Option<String>,
    },
    /// Read of a register at a position that a write of this client was given (`at-least`), on another node than its own.
    ReadAt {
        /// The register's record id.
        key: String,
        /// The position that was asked for.
        asked: u64,
    },
    /// One batch over lists, each appended to under the version that was read: atomic or refused.
    /// Without appends: one strong list request over all lists.
    Transaction {
        /// Lists as they were read: record id, elements.
        reads: Vec<(String, Vec<u64>)>,
        /// What was appended: record id, element. Elements are unique in the run.
        appends: Vec<(String, u64)>,
    },
    /// Create of a record in a collection with a unique field.
    Claim {
        /// The unique value.
        name: String,
        /// The record's id.
        id: String,
    },
    /// Delete of such a record.
    Release {
        /// The record's id.
        id: String,
    },
    /// Create of a record that gets the next number of a sequence.
    Number {
        /// The record that the sequence is per.
        project: String,
        /// The new record's id.
        id: String,
        /// The number that it got.
        number: Option<i64>,
    },
    /// Create without an id of the client's, under an idempotency key, sent `attempts` times (also after it was answered).
    Once {
        /// The idempotency key; also the field `key` of the record.
        key: String,
        /// How often it was sent.
        attempts: u32,
        /// The record ids that the replies named, each once.
        ids: Vec<String>,
    },
    /// Create of a comment on a task (reference, `on_delete` cascade).
    Comment {
        /// The comment's id.
        id: String,
        /// The task's id.
        task: String,
    },
    /// Delete of a task, and with it of its comments.
    RemoveTask {
        /// The task's id.
        task: String,
    },
    /// Change of the state of a task that is this client's own.
    Go {
        /// The task's id.
        task: String,
        /// The state that it is to have.
        to: String,
        /// It was refused because the workflow does not allow it.
        refused: bool,
    },
    /// Import of lines under an `Import-Id`, which is sent again until it is answered.
    Import {
        /// Its id.
        id: String,
        /// Lines that were sent.
        lines: u32,
        /// Lines that the answer says are stored.
        stored: Option<u64>,
    },
    /// Revocation of an API key that every node knew, and a strong read with it on every node once that was acknowledged.
    Revoke {
        /// The key's id.
        key: String,
        /// Nodes, by place, that still accepted it.
        accepted: Vec<usize>,
        /// How many nodes refused it.
        refused: u32,
    },
    /// A change of a record of a collection whose schema changes, or of one that is dropped and made again, by the one client that
    /// changes it. After one of which nobody knows, it is left alone.
    Craft {
        /// The collection.
        collection: String,
        /// The record's id.
        id: String,
        /// What is done to it.
        act: Act,
        /// The version that it made.
        version: Option<u64>,
        /// The code of the refusal.
        refused: Option<String>,
    },
    /// A change of a collection's schema, and what was seen of its operation.
    Reshape {
        /// The collection.
        collection: String,
        /// What it is for.
        change: String,
        /// The schema as it is to be; null: the collection is dropped.
        schema: Value,
        /// The operation that it began; none: it was done at once.
        operation: Option<String>,
        /// How that ended; none: nobody saw it.
        status: Option<String>,
        /// The records that do not fit, as far as they are listed.
        listed: Vec<String>,
        /// It was asked to be cancelled.
        cancelled: bool,
        /// It was sent more than once, and an earlier attempt may still be waiting somewhere.
        doubt: bool,
    },
    /// A change of a file by the one client that changes it. After one of which nobody knows, it is left alone.
    Shelve {
        /// Its name, which no other file has.
        file: String,
        /// Its id, once it is known.
        id: Option<String>,
        /// What is done to it.
        deed: Deed,
        /// The version that it has then, where the reply says it.
        version: Option<u64>,
    },
    /// A read of a file's content, or of a part of it, on any node.
    Peek {
        /// Its name.
        file: String,
        /// The version; none: the current one.
        version: Option<u64>,
        /// The first and the last byte that were asked for; none: all.
        range: Option<(u64, u64)>,
        /// What came; none: there is no such file, or no such version.
        seen: Option<Glimpse>,
    },
    /// A change of a document, over the connection of a client of Yjs or while it had none. Acknowledged: a later answer has it.
    Scribe {
        /// The document's record.
        page: String,
        /// The number of the client of Yjs, which writes one after the other.
        client: u64,
        /// A word that no other change writes.
        mark: String,
        /// What is done with it.
        stroke: Stroke,
    },
    /// A search for one word, on any node.
    Search {
        /// The word.
        word: String,
        /// It was to show every write that was acknowledged before.
        strong: bool,
        /// What was found.
        found: Vec<Found>,
        /// That is all of it, and the index was not being built.
        whole: bool,
        /// How many it said there are.
        total: Option<Total>,
        /// How many it said there are of each kind of note, where that was asked for.
        facets: Option<Vec<(String, u64)>>,
    },
    /// A strong read of another tenant with this tenant's key, on every node.
    Trespass {
        /// The other tenant's slug.
        there: String,
        /// Nodes, by place, that accepted it.
        accepted: Vec<usize>,
        /// How many nodes refused it.
        refused: u32,
    },
}

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// The sequential process that did it.
    pub process: u64,
    /// The tenant's place in [`History::tenants`].
    pub tenant: usize,
    /// What.
    #[serde(flatten)]
    pub action: Action,
    /// Microseconds since the run began, before the first byte was sent.
    pub invoked_us: u64,
    /// Microseconds since the run began, after the reply was read (or the client gave up).
    pub completed_us: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// `CloudNest-Position` of the reply.
    pub position: Option<u64>,
}

/// A tenant of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its slug.
    pub slug: String,
    /// What each of its values starts with; never a part of another tenant's.
    pub tag: String,
}

/// The record of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The tenants.
    pub tenants: Vec<Tenant>,
    /// In order of [`Operation::invoked_us`].
    pub operations: Vec<Operation>,
    /// Bodies in which the tag of another tenant was seen: what was asked, whose tag.
    pub foreign_tags: Vec<String>,
}
