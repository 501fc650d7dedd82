//! What was read back of documents, and of those who wrote them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A document that several clients wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Its record's id.
    pub id: String,
    /// What a client got that had nothing yet, at each node; none: there is no such document.
    pub copies: Vec<PageCopy>,
    /// What searches found.
    pub sought: Vec<PageSought>,
    /// Those who wrote it.
    pub scribes: Vec<Scribe>,
}

/// A document as one node gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageCopy {
    /// The node.
    pub node: String,
    /// Its text.
    pub text: String,
    /// How much of each client of Yjs it has.
    pub clocks: BTreeMap<u64, u32>,
    /// The text as the record shows it at this node.
    pub shown: Option<String>,
}

/// A search for a mark at one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageSought {
    /// The node.
    pub node: String,
    /// The mark.
    pub mark: String,
    /// The ids of what was found.
    pub found: Vec<String>,
}

/// One who wrote, as it was left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scribe {
    /// Its own copy.
    pub text: String,
    /// How much of each client of Yjs that has.
    pub clocks: BTreeMap<u64, u32>,
    /// Changes that nobody had acknowledged, a minute after all was healed.
    pub waiting: usize,
    /// Connections that it took.
    pub connections: u64,
    /// Clients of Yjs that it was, one after the other.
    pub lives: u64,
    /// What was not as it should be besides.
    pub odd: Vec<String>,
}
