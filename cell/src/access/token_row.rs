//! The rows of API keys, and how they are listed.

use api::body::token::{Role, Token as Body};
use api::error::Error;
use api::ids::Id;
use serde::{Deserialize, Serialize};
use storage::table::{Token, TokenSecret};
use storage::{Direction, Snapshot, Space, Table};
use uuid::Uuid;

use crate::machine::reader::{Reader, decode};
use crate::machine::refusal::{Fault, Refusal};
use crate::machine::rows::{EventKind, Subject};
use crate::machine::world::World;
use crate::records::time::format_stamp;
use crate::service::error::internal;

/// An API key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenRow {
    /// Its id.
    pub(crate) id: Uuid,
    /// The hash of its secret.
    pub(crate) hash: [u8; 32],
    /// What it is for.
    pub(crate) name: String,
    /// Its role.
    pub(crate) role: StoredRole,
    /// Collections that it may touch; none: all.
    pub(crate) scopes: Option<Vec<String>>,
    /// Microseconds since the epoch; 0 until it is applied.
    pub(crate) created: u64,
    /// Microseconds since the epoch; none: never.
    pub(crate) expires: Option<u64>,
}

/// Versions of [`TokenRow`].
#[derive(Serialize, Deserialize)]
pub(crate) enum TokenVersion {
    /// The first.
    V1(TokenRow),
}

/// A role as it is stored. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StoredRole {
    Owner,
    Admin,
    Member,
    Guest,
}

impl From<Role> for StoredRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Admin => Self::Admin,
            Role::Member => Self::Member,
            Role::Guest => Self::Guest,
        }
    }
}

impl From<StoredRole> for Role {
    fn from(role: StoredRole) -> Self {
        match role {
            StoredRole::Owner => Self::Owner,
            StoredRole::Admin => Self::Admin,
            StoredRole::Member => Self::Member,
            StoredRole::Guest => Self::Guest,
        }
    }
}

/// Stores a token with its event.
pub(crate) fn write(world: &mut World<'_>, mut row: TokenRow) -> Result<(), Refusal> {
    let space = world.space;
    row.created = world.stamp;
    let header = world.header_mut()?;
    header.access = header.access.saturating_add(1);
    world.event(EventKind::TokenCreated, Subject::Token(row.id))?;
    world.put(&TokenSecret { space, hash: row.hash }, &row.id);
    world.put(
        &Token {
            space,
            id: row.id.into_bytes(),
        },
        &TokenVersion::V1(row),
    );
    Ok(())
}

/// Whether a table is one of tokens.
pub(crate) fn is_of_tokens(tag: u8) -> bool {
    matches!(tag, Token::TAG | TokenSecret::TAG)
}

/// Reads a token.
pub(crate) fn read(reader: &impl Reader, space: Space, id: Uuid) -> Result<Option<TokenRow>, Fault> {
    Ok(reader
        .row(&Token {
            space,
            id: id.into_bytes(),
        })?
        .map(|TokenVersion::V1(row)| row))
}

/// All tokens of a tenant, without secrets.
pub(crate) fn list(snapshot: &Snapshot, space: Space) -> Result<Vec<Body>, Error> {
    let mut tokens = Vec::new();
    for row in snapshot.scan(Token::range(space), Direction::Forward) {
        let (raw, bytes) = row.map_err(|error| internal(&error))?;
        let key = Token::parse(raw.as_bytes()).map_err(|error| internal(&error))?;
        let TokenVersion::V1(row) = decode(&key, &bytes).map_err(|fault| internal(&fault))?;
        tokens.push(show(&row, None));
    }
    Ok(tokens)
}

/// A token as users see it.
pub(crate) fn show(row: &TokenRow, secret: Option<String>) -> Body {
    Body {
        id: Id(row.id),
        name: row.name.clone(),
        role: row.role.into(),
        scopes: row.scopes.clone(),
        created_at: format_stamp(row.created),
        expires_at: row.expires.map(format_stamp),
        secret,
    }
}
