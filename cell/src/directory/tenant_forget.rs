//! The command that ends the erasure of a tenant: its name is free again, its number never is.

use serde::{Deserialize, Serialize};
use storage::Space;
use storage::table::{DirectoryTenant, DirectoryTenantUid};

use super::rows::{self, CellCount, Status};
use super::tenant_delete::{put, read};
use super::tenant_reserve::{count, put_count};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::Stop;
use crate::machine::world::World;

/// Forgets a tenant whose space is erased.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TenantForget {
    /// The tenant.
    pub(crate) uid: u64,
    /// How many keys its space had.
    pub(crate) keys: u64,
}

impl Command for TenantForget {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<(), Stop> {
        let Some(tenant) = rows::tenant_by_uid(world, self.uid)? else {
            return Ok(());
        };
        if tenant.status != Status::Deleting {
            return Ok(());
        }
        let space = Space::SYSTEM;
        rows::touch(world);
        let tenants = count(world, tenant.cell)?.tenants.saturating_sub(1);
        put_count(world, tenant.cell, CellCount { tenants });
        world.delete(&DirectoryTenant {
            space,
            slug: tenant.slug,
        });
        world.delete(&DirectoryTenantUid { space, uid: tenant.uid });
        rows::put_cors(world, tenant.uid, Vec::new())?;
        if let Some(id) = tenant.operation
            && let Some(mut operation) = read(world, id)?
        {
            operation.done = true;
            operation.progress = operation.progress.max(self.keys);
            operation.updated = world.stamp;
            put(world, &operation);
        }
        Ok(())
    }
}
