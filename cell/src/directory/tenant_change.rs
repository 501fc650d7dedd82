//! The command that changes what operators decide about a tenant: its plan, and whose pages may use its API.

use serde::{Deserialize, Serialize};

use super::rows::{self, Tenant};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::world::World;

/// Changes a tenant. What is none stays as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TenantChange {
    /// The tenant.
    pub(crate) slug: String,
    /// The plan.
    pub(crate) plan: Option<String>,
    /// The origins whose pages may use the API; an empty list: none.
    pub(crate) cors_origins: Option<Vec<String>>,
}

impl Command for TenantChange {
    type Reply = Tenant;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Tenant, Stop> {
        let missing = || Refusal::NotFound {
            what: format!("the tenant {}", self.slug),
        };
        let mut tenant = rows::tenant(world, &self.slug)?.ok_or_else(missing)?;
        rows::touch(world);
        if let Some(plan) = self.plan {
            tenant.plan = plan;
            rows::put_tenant(world, &tenant);
        }
        if let Some(origins) = self.cors_origins {
            rows::put_cors(world, tenant.uid, origins)?;
        }
        Ok(tenant)
    }
}

#[cfg(test)]
mod tests {
    use storage::Space;
    use uuid::Uuid;

    use super::*;
    use crate::directory::tenant_delete::TenantDelete;
    use crate::directory::tenant_forget::TenantForget;
    use crate::directory::tenant_plan::TenantPlan;
    use crate::directory::tenant_reserve::TenantReserve;
    use crate::machine::stage::Stage;

    fn change(plan: Option<&str>, origins: Option<&[&str]>) -> TenantChange {
        TenantChange {
            slug: "acme".to_owned(),
            plan: plan.map(str::to_owned),
            cors_origins: origins.map(|origins| origins.iter().map(|&origin| origin.to_owned()).collect()),
        }
    }

    fn reserve(stage: &mut Stage) -> u64 {
        let reserve = TenantReserve {
            id: Uuid::from_u128(1),
            slug: "acme".to_owned(),
            region: "one".to_owned(),
            cell: 2,
            dedicated: false,
            plan: "free".to_owned(),
            template: None,
        };
        stage.apply(reserve).result.expect("reserved").uid
    }

    #[test]
    fn what_is_named_changes_and_the_rest_stays() {
        let mut stage = Stage::of(Space::SYSTEM);
        assert!(matches!(
            stage.apply(change(None, Some(&["*"]))).result,
            Err(Refusal::NotFound { .. })
        ));
        let uid = reserve(&mut stage);
        let now = |stage: &Stage| {
            let snapshot = stage.snapshot();
            let tenant = rows::tenant(&snapshot, "acme").expect("no fault").expect("a tenant");
            (tenant.plan, rows::cors(&snapshot, uid).expect("no fault"))
        };
        assert_eq!(now(&stage), ("free".to_owned(), vec![]));
        stage
            .apply(change(None, Some(&["https://a.example", "*"])))
            .result
            .expect("changed");
        assert_eq!(
            now(&stage),
            ("free".to_owned(), vec!["https://a.example".to_owned(), "*".to_owned()])
        );
        stage.apply(change(Some("team"), None)).result.expect("changed");
        let older = TenantPlan {
            slug: "acme".to_owned(),
            plan: "enterprise".to_owned(),
        };
        stage.apply(older).result.expect("changed");
        assert_eq!(now(&stage).0, "enterprise");
        assert_eq!(now(&stage).1.len(), 2, "a change of the plan keeps them");
        let lists = |stage: &Stage| stage.keys().iter().filter(|key| key.starts_with("directory_cors")).count();
        assert_eq!(lists(&stage), 1);
        stage.apply(change(None, Some(&[]))).result.expect("changed");
        assert_eq!((now(&stage).1, lists(&stage)), (vec![], 0), "no list is no row");
    }

    #[test]
    fn nothing_of_a_tenant_that_is_forgotten_stays() {
        let mut stage = Stage::of(Space::SYSTEM);
        let uid = reserve(&mut stage);
        stage.apply(change(None, Some(&["*"]))).result.expect("changed");
        let delete = TenantDelete {
            slug: "acme".to_owned(),
            operation: Uuid::from_u128(2),
        };
        stage.apply(delete).result.expect("begun");
        stage.apply(TenantForget { uid, keys: 3 }).result.expect("forgotten");
        assert_eq!(rows::cors(&stage.snapshot(), uid).expect("no fault"), Vec::<String>::new());
    }
}
