//! Files with versions, uploads that go on after they broke off, and links.

use serde::{Deserialize, Deserializer, Serialize};

use crate::ids::Id;

/// The record that a file is attached to: who may read it may read the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachedTo {
    /// Its collection.
    #[schema(value_type = crate::ids::Name)]
    pub collection: String,
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub record: Id,
}

/// A file, with what its current version is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct File {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: Id,
    /// What it is called.
    pub name: String,
    /// The media type of its current version.
    pub content_type: String,
    /// The length of its current version, in bytes.
    pub size: u64,
    /// The number of its current version.
    pub version: u64,
    /// Raised by each change of the file, its name included; also the ETag.
    pub revision: u64,
    /// BLAKE3 of its current version, in hexadecimal; also the ETag of its content.
    pub blake3: String,
    /// SHA-256 of its current version, in hexadecimal.
    pub sha256: String,
    /// The record that it is attached to; null: none.
    pub attached_to: Option<AttachedTo>,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// The principal that made it.
    pub created_by: String,
    /// RFC 3339, UTC.
    pub updated_at: String,
    /// The principal that changed it last.
    pub updated_by: String,
}

/// A version of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FileVersion {
    /// Its number; never used again.
    pub version: u64,
    /// Whether it is the one that the file has.
    pub current: bool,
    /// Its media type.
    pub content_type: String,
    /// Its length, in bytes.
    pub size: u64,
    /// BLAKE3 of it, in hexadecimal.
    pub blake3: String,
    /// SHA-256 of it, in hexadecimal.
    pub sha256: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// The principal that made it.
    pub created_by: String,
}

/// What is to be said of a file from now on; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FilePatch {
    /// Its name: 1 to 255 bytes, and no path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub name: Option<String>,
    /// The record to attach it to; null: none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<AttachedTo>)]
    pub attached_to: Option<Option<AttachedTo>>,
}

/// Null is something other than nothing.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A link that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLink {
    /// For how many seconds it can be used: up to 30 days.
    #[schema(minimum = 1, maximum = 2592000)]
    pub expires_in: u64,
    /// The version that it leads to; whichever is current where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub version: Option<u64>,
}

/// A link to the content of a file that needs no token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Link {
    /// Path and query: put the address of the API before it.
    pub path: String,
    /// RFC 3339, UTC: from then on it leads nowhere.
    pub expires_at: String,
}

/// An upload that goes on after it broke off (tus 1.0).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Upload {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: Id,
    /// How long it is as a whole, in bytes.
    pub length: u64,
    /// How much of it has come, in bytes: it goes on from there.
    pub offset: u64,
    /// What the client said of it, as it said it.
    pub metadata: String,
    /// RFC 3339, UTC: from then on it is forgotten, unless it gets further before.
    pub expires_at: String,
    /// The file that it has become; null: not all of it has come.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub file: Option<Id>,
}
