//! The command that ends the arrival of a tenant from an archive: it is served from now on, or is erased. The tenant is named by its
//! number, so that whoever is late decides nothing about another one of the same name.

use serde::{Deserialize, Serialize};

use super::rows::{self, Status, Tenant};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::world::World;

/// Ends an arrival. What has been decided stays decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TenantLand {
    /// The tenant.
    pub(crate) uid: u64,
    /// Whether all of it has come.
    pub(crate) is_whole: bool,
}

impl Command for TenantLand {
    type Reply = Tenant;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Tenant, Stop> {
        let missing = || Refusal::NotFound {
            what: "a tenant that arrives under this number".to_owned(),
        };
        let mut tenant = rows::tenant_by_uid(world, self.uid)?.ok_or_else(missing)?;
        let status = if self.is_whole { Status::Active } else { Status::Deleting };
        match tenant.status {
            Status::Arriving => {
                rows::touch(world);
                tenant.status = status;
                rows::put_tenant(world, &tenant);
                Ok(tenant)
            }
            now if now == status => Ok(tenant),
            _ => Err(Refusal::Stale.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use storage::Space;
    use uuid::Uuid;

    use super::*;
    use crate::directory::move_begin::MoveBegin;
    use crate::directory::tenant_forget::TenantForget;
    use crate::directory::tenant_receive::TenantReceive;
    use crate::directory::tenant_reserve::{TenantReserve, count};
    use crate::machine::stage::Stage;

    fn receive(stage: &mut Stage) -> Result<Tenant, Refusal> {
        let reserve = TenantReserve {
            id: Uuid::from_u128(1),
            slug: "acme".to_owned(),
            region: "one".to_owned(),
            cell: 2,
            dedicated: false,
            plan: "free".to_owned(),
            template: None,
        };
        stage.apply(TenantReceive { reserve }).result
    }

    fn land(stage: &mut Stage, uid: u64, is_whole: bool) -> Result<Status, Refusal> {
        stage.apply(TenantLand { uid, is_whole }).result.map(|tenant| tenant.status)
    }

    #[test]
    fn what_has_come_is_served_and_not_given_up_any_more() {
        let mut stage = Stage::of(Space::SYSTEM);
        let tenant = receive(&mut stage).expect("entered");
        assert_eq!(tenant.status, Status::Arriving);
        assert!(
            matches!(receive(&mut stage), Err(Refusal::AlreadyExists { .. })),
            "its name is taken"
        );
        let moving = MoveBegin {
            slug: "acme".to_owned(),
            to: 3,
            dedicated: false,
            operation: Uuid::from_u128(2),
        };
        assert!(
            matches!(stage.apply(moving).result, Err(Refusal::NotFound { .. })),
            "it is nowhere yet"
        );
        for _ in 0..2 {
            assert_eq!(land(&mut stage, tenant.uid, true), Ok(Status::Active));
        }
        assert_eq!(land(&mut stage, tenant.uid, false), Err(Refusal::Stale));
        assert!(matches!(
            land(&mut stage, tenant.uid + 1, true),
            Err(Refusal::NotFound { .. })
        ));
    }

    #[test]
    fn what_was_given_up_is_erased_and_its_name_is_free_again() {
        let mut stage = Stage::of(Space::SYSTEM);
        let tenant = receive(&mut stage).expect("entered");
        for _ in 0..2 {
            assert_eq!(land(&mut stage, tenant.uid, false), Ok(Status::Deleting));
        }
        assert_eq!(
            land(&mut stage, tenant.uid, true),
            Err(Refusal::Stale),
            "nothing brings it back"
        );
        let uid = tenant.uid;
        stage.apply(TenantForget { uid, keys: 0 }).result.expect("forgotten");
        assert_eq!(count(&stage.snapshot(), 2).expect("no fault").tenants, 0);
        let again = receive(&mut stage).expect("entered");
        assert_ne!(again.uid, uid, "a number is never used again");
        assert!(matches!(land(&mut stage, uid, false), Err(Refusal::NotFound { .. })));
    }
}
