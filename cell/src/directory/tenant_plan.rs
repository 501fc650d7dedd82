//! The command that changes a tenant's plan.

use serde::{Deserialize, Serialize};

use super::rows::{self, Tenant};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::world::World;

/// Changes the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TenantPlan {
    /// The tenant.
    pub(crate) slug: String,
    /// The plan.
    pub(crate) plan: String,
}

impl Command for TenantPlan {
    type Reply = Tenant;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Tenant, Stop> {
        let missing = || Refusal::NotFound {
            what: format!("the tenant {}", self.slug),
        };
        let mut tenant = rows::tenant(world, &self.slug)?.ok_or_else(missing)?;
        rows::touch(world);
        tenant.plan = self.plan;
        rows::put_tenant(world, &tenant);
        Ok(tenant)
    }
}
