//! What operations are made of: what is done to records and files, and what came of files and of searches.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::Content;

/// What is done to a record of a collection whose schema changes meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// It is made, with these fields.
    Create(serde_json::Map<String, Value>),
    /// It gets these fields.
    Patch(serde_json::Map<String, Value>),
    /// It is deleted.
    Delete,
    /// It gets the fields of this version again.
    Restore(u64),
}

/// What is done to a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// It is made, in one request.
    Create(Content),
    /// It is made by an upload in pieces.
    Upload(Content),
    /// It gets a new version, in one request.
    Replace(Content),
    /// It gets a new version by an upload in pieces.
    Renew(Content),
    /// This version becomes the newest.
    Restore(u64),
    /// It belongs to this project from now on.
    Attach(String),
    /// It is deleted with all its versions.
    Delete,
}

/// What is done with a mark in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stroke {
    /// It is written at the end, as far as its client knows.
    Append,
    /// It is written between two others.
    Insert,
    /// It is taken away.
    Erase,
}

/// What came of a file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glimpse {
    /// How many bytes.
    pub bytes: u64,
    /// BLAKE3 of them.
    pub digest: String,
}

/// A record that a search found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its collection.
    pub collection: String,
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: u64,
    /// Its text.
    pub text: String,
    /// Its kind.
    pub kind: String,
}

/// How many a search says there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// So many.
    pub count: u64,
    /// No more than that.
    pub exact: bool,
}
