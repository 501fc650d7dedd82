//! Collections: the schema of a tenant's records.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::body::policy::{Rules, Workflow};
use crate::ids::{Id, Name};

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// A text of Unicode characters.
    Text,
    /// A finite IEEE 754 double.
    Number,
    /// An integer of 64 bits with sign.
    Integer,
    /// True or false.
    Bool,
    /// A calendar date, `2026-11-22`.
    Date,
    /// A point in time: RFC 3339, or epoch seconds on the way in.
    Timestamp,
    /// One of `options`.
    Select,
    /// Some of `options`, each at most once.
    MultiSelect,
    /// Short free texts, each at most once.
    Tags,
    /// The id of a record of another collection.
    Reference,
    /// A person: a short opaque text.
    User,
    /// Any JSON value.
    Json,
    /// A number that counts up by itself, never reused.
    Sequence,
    /// A text that several people write at the same time, as a document of Yjs; a record shows its plain text.
    Document,
}

/// What happens to a record when the one that it refers to is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// The deletion is refused.
    #[default]
    Restrict,
    /// The reference becomes null.
    SetNull,
    /// The record is deleted too.
    Cascade,
}

/// One field of a collection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// Whether a record must have it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub required: bool,
    /// What a new record gets that leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value)]
    pub default: Option<Value>,
    /// Whether no two records may have the same value.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unique: bool,
    /// Longest text (characters), largest number of items, or longest JSON (bytes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
    /// Smallest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Largest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The values of `select` and `multi_select`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// The collection that a `reference` points to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<Name>,
    /// What happens to a `reference` when its target is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_delete: Option<OnDelete>,
    /// The reference field that a `sequence` counts within; the whole collection where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Name>,
    /// The field of the schema before whose values it has: the way to rename one. Never part of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub renamed_from: Option<Name>,
}

/// An index over fields, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexSchema {
    /// The fields: at most four. `created_at` and `updated_at` may be among them.
    pub fields: Vec<Name>,
    /// Whether no two records may have the same values.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unique: bool,
}

/// The schema of a collection, as sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CollectionSchema {
    /// The fields by name.
    pub fields: BTreeMap<Name, Field>,
    /// The indexes by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub indexes: BTreeMap<Name, IndexSchema>,
    /// The fields that search looks into.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<Name>,
    /// Who may do what.
    #[serde(default, skip_serializing_if = "Rules::is_empty")]
    pub rules: Rules,
    /// The states of a record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Workflow>,
}

/// A collection as it is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Collection {
    /// Its name.
    pub name: String,
    /// Raised by each change of the schema, from 1; also the ETag.
    pub version: u64,
    /// The schema.
    #[serde(flatten)]
    pub schema: CollectionSchema,
    /// The operation that brings its records along to another schema; left out where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub change: Option<Id>,
}

fn is_false(value: &bool) -> bool {
    !*value
}
