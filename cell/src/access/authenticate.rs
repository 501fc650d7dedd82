//! From a secret to the principal behind it.

use std::sync::Arc;

use api::ids::Id;
use api::service::Principal;
use storage::table::TokenSecret;
use storage::{Snapshot, Space};
use uuid::Uuid;

use super::secret;
use super::token_row;
use crate::machine::reader::Reader;
use crate::machine::refusal::Fault;
use crate::machine::rows::Header;

/// The principal of a tenant's secret; none: no such token, or it has expired.
pub(crate) fn principal(snapshot: &Snapshot, space: Space, header: &Header, text: &str, now: u64) -> Result<Option<Principal>, Fault> {
    let key = TokenSecret { space, hash: secret::hash(text) };
    let Some(id) = snapshot.row::<_, Uuid>(&key)? else { return Ok(None) };
    let Some(row) = token_row::read(snapshot, space, id)? else { return Ok(None) };
    if row.expires.is_some_and(|expires| expires <= now) {
        return Ok(None);
    }
    Ok(Some(Principal {
        token: Id(row.id),
        version: header.access,
        name: Arc::from(row.name),
        role: row.role.into(),
        scopes: row.scopes.map(Arc::from),
        expires_at: row.expires,
    }))
}
