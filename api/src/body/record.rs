//! Records: what a tenant's users work on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::ids::{Id, Name};

/// Fields by name, as sent.
pub type Fields = Map<String, Value>;

/// A new record.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRecord {
    /// The client's own id; one is made where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub id: Option<Id>,
    /// Its fields.
    #[schema(value_type = Object)]
    pub fields: Fields,
}

/// Fields to replace (PUT) or to merge (PATCH, RFC 7396).
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldsBody {
    /// The fields.
    #[schema(value_type = Object)]
    pub fields: Fields,
}

/// A record as it is answered.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Record {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: Id,
    /// Its collection.
    pub collection: String,
    /// Raised by each change, from 1; also the ETag.
    pub version: u64,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// RFC 3339, UTC.
    pub updated_at: String,
    /// The principal that created it, such as `token:0198…` or `import`.
    pub created_by: String,
    /// Its fields, in the order of the schema; null values are left out.
    #[schema(value_type = Object)]
    pub fields: Box<RawValue>,
    /// The records that `expand` asked for, by the name of the field that refers to them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(no_recursion)]
    pub expand: BTreeMap<String, Record>,
}

/// A version of a record: what it was, from when on, and by whom.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RecordVersion {
    /// Its number; what a restore takes.
    pub version: u64,
    /// When it became what the record is or was: RFC 3339, UTC.
    pub changed_at: String,
    /// The principal that made it so; left out where that is no longer known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<String>,
    /// The record was deleted: there are no fields.
    pub deleted: bool,
    /// Its fields, as today's schema shows them; left out where it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub fields: Option<Box<RawValue>>,
}

/// Which version a record is to have the fields of again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// A version that the record's history shows.
    pub version: u64,
}

/// One page of a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Pass it as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
    /// How many there are in all, where `count=true` asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// Which records to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct ListQuery {
    /// Most records of the page.
    pub limit: usize,
    /// Where the page starts: what the page before answered.
    pub cursor: Option<String>,
    /// Field and direction, such as `-created_at,title`; empty: by id.
    pub order: Option<String>,
    /// Equalities over fields, as `field=value` parameters of the query.
    pub equals: Vec<(String, String)>,
    /// A CEL expression over the names of fields: only records of which it is true.
    pub filter: Option<String>,
    /// Fields to answer; all where it is left out.
    pub fields: Option<Vec<String>>,
    /// References whose records are to come with them.
    pub expand: Vec<String>,
    /// Whether to count.
    pub count: bool,
}

/// What an operation of a batch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchVerb {
    /// A new record.
    Create,
    /// Creates or replaces.
    Put,
    /// Merges into an existing record.
    Patch,
    /// Deletes an existing record.
    Delete,
    /// Changes nothing: fails the batch unless the record exists (at `if_match`, where given).
    Check,
}

/// One operation of a batch.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchOperation {
    /// What it does.
    pub op: BatchVerb,
    /// The collection.
    pub collection: Name,
    /// The record; may be left out for `create`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub id: Option<Id>,
    /// The version that the record must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_match: Option<u64>,
    /// The fields of `create`, `put` and `patch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub fields: Option<Fields>,
}

/// Operations that happen all or not at all.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// At most 1,000, in order.
    #[schema(max_items = 1_000)]
    pub operations: Vec<BatchOperation>,
}

/// What one operation of a batch did.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BatchResult {
    /// The verb.
    pub op: BatchVerb,
    /// The record.
    #[schema(value_type = uuid::Uuid)]
    pub id: Id,
    /// The record after the batch; absent after `delete` and `check`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
}

/// What a batch did, in the order of its operations.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BatchReply {
    /// One an operation.
    pub results: Vec<BatchResult>,
}
