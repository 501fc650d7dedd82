//! API keys and who is asking.

use serde::{Deserialize, Serialize};

use crate::ids::Id;

/// What a principal may do in its tenant; each role may do what those after it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, tokens of owners included.
    Owner,
    /// Schema and tokens, except those of owners.
    Admin,
    /// Reads and writes records.
    Member,
    /// Reads records.
    Guest,
}

impl Role {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Owner => "owner",
            Role::Admin => "admin",
            Role::Member => "member",
            Role::Guest => "guest",
        }
    }
}

/// A new API key.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for: at most 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Collections that it may touch; all where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<crate::ids::Name>>)]
    pub scopes: Option<Vec<String>>,
    /// RFC 3339; never where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
}

/// An API key as it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Token {
    /// Its id: not the secret.
    #[schema(value_type = uuid::Uuid)]
    pub id: Id,
    /// What it is for.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Collections that it may touch; null: all.
    pub scopes: Option<Vec<String>>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339; null: never.
    pub expires_at: Option<String>,
    /// The secret, in the reply that creates it and never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// Who this token is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Me {
    /// The tenant's slug.
    pub tenant: String,
    /// The principal, such as `token:0198…`.
    pub principal: String,
    /// The token's name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Collections that it may touch; null: all.
    pub scopes: Option<Vec<String>>,
    /// RFC 3339; null: never.
    pub expires_at: Option<String>,
}
