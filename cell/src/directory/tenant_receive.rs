//! The command that enters a tenant which is to come from an archive: placed and counted as any other, and served nowhere until all of it
//! has come. [`super::tenant_land`] says how that ended.

use serde::{Deserialize, Serialize};

use super::rows::{Status, Tenant};
use super::tenant_reserve::TenantReserve;
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::Stop;
use crate::machine::world::World;

/// Enters a tenant that is to come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TenantReceive {
    /// The entry.
    pub(crate) reserve: TenantReserve,
}

impl Command for TenantReceive {
    type Reply = Tenant;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Tenant, Stop> {
        self.reserve.enter(world, Status::Arriving)
    }
}
