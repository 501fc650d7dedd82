//! What is read from a node's replica of the directory.

use api::error::{Code, Error};
use storage::table::{DirectoryTenant, OperatorToken};
use storage::{Direction, Key, Snapshot, Space, Table};

use super::rows::{Operator, OperatorRow, Tenant, TenantRow};
use crate::access::secret;
use crate::machine::reader::{Reader, decode};
use crate::machine::refusal::Fault;

/// Tenants by slug, after a slug, at most `limit`; whether there are more.
pub(crate) fn tenants(snapshot: &Snapshot, after: Option<&str>, limit: usize) -> Result<(Vec<Tenant>, bool), Fault> {
    let space = Space::SYSTEM;
    let mut range = DirectoryTenant::range(space);
    if let Some(slug) = after {
        range = range.after(
            &DirectoryTenant {
                space,
                slug: slug.to_owned(),
            }
            .key(),
        );
    }
    let mut tenants = Vec::new();
    for row in snapshot.scan(range, Direction::Forward) {
        let (raw, bytes) = row?;
        if tenants.len() == limit {
            return Ok((tenants, true));
        }
        tenants.push(parse(&raw, &bytes)?);
    }
    Ok((tenants, false))
}

fn parse(raw: &Key, bytes: &[u8]) -> Result<Tenant, Fault> {
    let key = DirectoryTenant::parse(raw.as_bytes()).map_err(|error| crate::machine::idempotency::bad_key(raw, &error))?;
    let TenantRow::V1(tenant) = decode(&key, bytes)?;
    Ok(tenant)
}

/// The operator behind a secret.
pub(crate) fn operator(snapshot: &Snapshot, text: &str) -> Result<Option<Operator>, Fault> {
    let key = OperatorToken {
        space: Space::SYSTEM,
        hash: secret::hash(text),
    };
    Ok(snapshot.row(&key)?.map(|OperatorRow::V1(operator)| operator))
}

/// The refusal of a slug that is not there.
pub(crate) fn no_tenant(slug: &str) -> Error {
    Error::new(Code::NotFound, format!("there is no tenant {slug:?} in this region"))
}
