//! The command that stores a new API key.

use api::body::token::NewToken;
use api::error::{Error, FieldError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::secret;
use super::token_row::{self, TokenRow};
use crate::machine::catalog::{Catalog, Catalogs};
use crate::machine::dispatch::Command;
use crate::machine::refusal::Stop;
use crate::machine::world::World;
use crate::records::time;

/// Most collections of a token's scopes.
const SCOPES: usize = 50;
/// Most tokens of a tenant.
pub(crate) const TOKENS: usize = 1_000;
/// Longest name of a token, in characters.
const NAME_CHARS: usize = 100;

/// Stores a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TokenCreate {
    /// The token; its time of creation is that of the command.
    pub(crate) row: TokenRow,
}

impl Command for TokenCreate {
    type Reply = TokenRow;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<TokenRow, Stop> {
        world.live()?;
        let created = world.stamp;
        token_row::write(world, self.row.clone())?;
        Ok(TokenRow {
            created,
            hash: [0; 32],
            ..self.row
        })
    }
}

/// Decides a new token with its secret.
pub(crate) fn decide(catalog: &Catalog, new: &NewToken, id: Uuid, text: &str, now: u64) -> Result<TokenCreate, Error> {
    let mut errors = Vec::new();
    let mut wrong = |pointer: &str, message: String| {
        errors.push(FieldError {
            pointer: pointer.to_owned(),
            message,
        })
    };
    let chars = new.name.chars().count();
    if chars == 0 || chars > NAME_CHARS {
        wrong("/name", format!("is {chars} characters long, 1 to {NAME_CHARS} are allowed"));
    }
    if new.scopes.as_ref().is_some_and(|scopes| scopes.len() > SCOPES) {
        wrong("/scopes", format!("has more than {SCOPES} collections: leave it out for all"));
    }
    for (at, scope) in new.scopes.iter().flatten().enumerate() {
        if catalog.named(scope).is_none() {
            wrong(&format!("/scopes/{at}"), format!("there is no collection {scope:?}"));
        }
    }
    let expires = new
        .expires_at
        .as_deref()
        .map(|text| time::parse_timestamp(text).and_then(|micros| u64::try_from(micros).ok()));
    match expires {
        Some(None) => wrong("/expires_at", "must be a time such as \"2026-11-22T21:17:00Z\"".to_owned()),
        Some(Some(at)) if at <= now => wrong("/expires_at", "is in the past".to_owned()),
        _ => {}
    }
    if !errors.is_empty() {
        return Err(Error::fields(errors));
    }
    let row = TokenRow {
        id,
        hash: secret::hash(text),
        name: new.name.clone(),
        role: new.role.into(),
        scopes: new.scopes.clone(),
        created: 0,
        expires: expires.flatten(),
    };
    Ok(TokenCreate { row })
}
