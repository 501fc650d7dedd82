//! Search: what is asked for in words, and what was found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::ids::Name;

/// What to search for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchQuery {
    /// Words, all of which a record must have: `"words in quotes"` one after the other, `-word` not, `word*` or the last word: as a beginning.
    pub q: String,
    /// Collections to look into; none: all that have fields to search.
    pub collections: Option<Vec<Name>>,
    /// A CEL expression over the names of fields: only records of which it is true.
    pub filter: Option<String>,
    /// What to count the values of: fields of choices or tags, or `collection`.
    pub facets: Vec<String>,
    /// Whether to show where the words are.
    pub highlight: bool,
    /// Most records of the page.
    pub limit: usize,
    /// Where the page starts: what the page before answered.
    pub cursor: Option<String>,
}

/// A page of what was found, the best first.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SearchReply {
    /// The records. A page may have fewer than were asked for although there are more.
    pub items: Vec<SearchItem>,
    /// Pass it as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
    /// How many there are that the caller may read. With the first page only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<SearchTotal>,
    /// How often each value comes among them, by the names that `facets` gave, the most frequent first. With the first page only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facets: BTreeMap<String, Vec<FacetCount>>,
    /// The tenant's position that the index showed.
    pub indexed: u64,
    /// The index is being built: not everything is found yet.
    pub building: bool,
}

/// One record that was found.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SearchItem {
    /// The record, as it is now.
    pub record: Record,
    /// Excerpts of its fields, by their names, as HTML: everything is escaped, and what was found is in `<mark>`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub highlights: BTreeMap<String, String>,
}

/// How many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SearchTotal {
    /// So many.
    pub value: u64,
    /// Exactly, or at least.
    pub relation: Relation,
}

/// What a number is to the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// It is that many.
    Eq,
    /// It is that many or more: counting ended at its budget, and facets are of what was counted.
    Gte,
}

/// How often a value comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FacetCount {
    /// The value.
    pub value: String,
    /// In so many records.
    pub count: u64,
}

/// How a tenant's records are searched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchSettings {
    /// The language of its texts, such as `en`, `de` or `fr` (ISO 639-1), by which other forms of a word are known; null: none.
    pub language: Option<String>,
}
