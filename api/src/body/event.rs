//! Events: one a change, numbered per tenant without gaps. The attributes are those of CloudEvents 1.0.

use serde::{Deserialize, Serialize};

/// One change of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// Always `1.0`.
    pub specversion: String,
    /// `TENANT/POSITION`: the same however often it is delivered.
    pub id: String,
    /// `/v1/tenants/TENANT`.
    pub source: String,
    /// Such as `record.created`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `COLLECTION/ID`, where it is about a record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// RFC 3339, UTC.
    pub time: String,
    /// The number of the event in its tenant, from 1.
    pub position: u64,
    /// The principal that caused it.
    pub actor: String,
    /// The collection, where it is about a record or a schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// The record or token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// The version that the change made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The file, where it is about one; `collection` and `record` are then what it is attached to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// A rule hides it from who asks: the front leaves it out. Never on the wire.
    #[serde(skip)]
    pub hidden: bool,
}
