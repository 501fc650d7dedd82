//! From a secret to the principal behind it.

use std::sync::Arc;

use api::ids::Id;
use api::service::Principal;
use storage::table::TokenSecret;
use storage::{Snapshot, Space};
use uuid::Uuid;

use super::token_row;
use crate::machine::reader::Reader;
use crate::machine::refusal::Fault;
use crate::machine::rows::Header;

/// Whose a secret is.
pub(crate) enum Identity {
    /// This principal's.
    Known(Principal),
    /// It was a token of this tenant, and is no longer: revoked or expired.
    Ended,
    /// None of this tenant's: somebody else's, or nobody's.
    Foreign,
}

/// Whose a tenant's secret is.
pub(crate) fn identity(snapshot: &Snapshot, space: Space, header: &Header, hash: [u8; 32], now: u64) -> Result<Identity, Fault> {
    let key = TokenSecret { space, hash };
    let Some(id) = snapshot.row::<_, Uuid>(&key)? else {
        return Ok(Identity::Foreign);
    };
    let Some(row) = token_row::read(snapshot, space, id)? else {
        return Ok(Identity::Ended);
    };
    if row.expires.is_some_and(|expires| expires <= now) {
        return Ok(Identity::Ended);
    }
    Ok(Identity::Known(Principal {
        token: Id(row.id),
        version: header.access,
        name: Arc::from(row.name),
        role: row.role.into(),
        scopes: row.scopes.map(Arc::from),
        expires_at: row.expires,
    }))
}
