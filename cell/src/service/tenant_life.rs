//! Tenants after their creation: listed, shown, changed, and erased as an operation.

use api::body::control::{Operation, Tenant as Body, TenantPatch, TenantStatus};
use api::body::record::Page;
use api::error::{Code, Error, Result};
use api::ids::{Id, Slug};
use api::service::Operator;
use storage::Space;
use uuid::Uuid;

use super::Front;
use super::error::internal;
use super::moving::show_told;
use super::recovery::show_restore;
use super::tenants::is_made;
use crate::directory::moves;
use crate::directory::query::{self, no_tenant};
use crate::directory::restore_tell;
use crate::directory::rows::{self, Status, Tenant};
use crate::directory::tenant_change::TenantChange;
use crate::directory::tenant_delete::TenantDelete;
use crate::directory::tenant_plan::TenantPlan;
use crate::machine::rows::Actor;
use crate::records::time::{format_stamp, now_micros};

impl Front {
    pub(super) async fn list_tenants(&self, limit: usize, cursor: Option<String>) -> Result<Page<Body>> {
        if let Some(cursor) = &cursor
            && cursor.parse::<Slug>().is_err()
        {
            return Err(Error::new(
                Code::InvalidCursor,
                "the cursor is not one that this list gave: start again without it",
            ));
        }
        let fresh = self.platform.freshen_directory().await;
        let snapshot = self.platform.directory.read()?;
        let (tenants, more) = query::tenants(&snapshot, cursor.as_deref(), limit).map_err(|fault| internal(&fault))?;
        if tenants.is_empty() && cursor.is_none() && !fresh {
            return Err(unsure());
        }
        let next_cursor = tenants.last().filter(|_| more).map(|tenant| tenant.slug.clone());
        let items = tenants
            .iter()
            .map(|tenant| self.show_tenant(tenant, None))
            .collect::<Result<_>>()?;
        Ok(Page {
            items,
            next_cursor,
            count: None,
        })
    }

    pub(super) async fn get_tenant(&self, slug: &Slug) -> Result<Body> {
        let fresh = self.platform.freshen_directory().await;
        let absent = || if fresh { no_tenant(slug.as_str()) } else { unsure() };
        let tenant = self.platform.tenant(slug.as_str())?.ok_or_else(absent)?;
        self.show_tenant(&tenant, None)
    }

    pub(super) async fn patch_tenant(&self, operator: &Operator, slug: &Slug, patch: TenantPatch) -> Result<Body> {
        let plan = match &patch.plan {
            Some(plan) => Some(self.plan(Some(plan)).await?),
            None => None,
        };
        if plan.is_none() && patch.cors_origins.is_none() {
            return self.get_tenant(slug).await;
        }
        let actor = Actor::Operator(operator.name.to_string());
        let slug = slug.to_string();
        let tenant = match (plan, patch.cors_origins) {
            // Nodes of an older version know this one.
            (Some(plan), None) => self.platform.at_directory(actor, TenantPlan { slug, plan }).await?,
            (plan, cors_origins) => {
                let change = TenantChange {
                    slug,
                    plan,
                    cors_origins,
                };
                self.platform.at_directory(actor, change).await?
            }
        };
        self.show_tenant(&tenant, None)
    }

    pub(super) async fn delete_tenant(&self, operator: &Operator, slug: &Slug) -> Result<Operation> {
        let actor = Actor::Operator(operator.name.to_string());
        let command = TenantDelete {
            slug: slug.to_string(),
            operation: Uuid::now_v7(),
        };
        Ok(show_operation(&self.platform.at_directory(actor, command).await?))
    }

    pub(super) async fn get_operation(&self, id: Id) -> Result<Operation> {
        let fresh = self.platform.freshen_directory().await;
        let snapshot = self.platform.directory.read()?;
        let restore = restore_tell::read(&snapshot, id.0).map_err(|fault| internal(&fault))?;
        if let Some(restore) = restore {
            let named = rows::tenant(&snapshot, &restore.operation.tenant).map_err(|fault| internal(&fault))?;
            return Ok(show_restore(&restore, named.as_ref(), now_micros()));
        }
        let told = moves::told(&snapshot, id.0).map_err(|fault| internal(&fault))?;
        told.as_ref().map(show_told).ok_or_else(|| match fresh {
            true => Error::new(Code::NotFound, format!("there is no operation {id}")),
            false => unsure(),
        })
    }

    pub(super) fn show_tenant(&self, tenant: &Tenant, admin_token: Option<String>) -> Result<Body> {
        let topology = self.platform.topology();
        let cell = topology.cell(tenant.cell);
        let elsewhere = self
            .platform
            .elsewhere(&tenant.region)
            .filter(|_| tenant.region != self.platform.me.region);
        Ok(Body {
            id: Id(tenant.id),
            slug: tenant.slug.parse().map_err(|error| internal(&error))?,
            region: tenant.region.clone(),
            cell: cell.map_or_else(|| format!("cell {}", tenant.cell), |cell| cell.name.clone()),
            endpoint: elsewhere.map_or_else(|| self.platform.me.endpoint.clone(), |place| place.endpoint),
            plan: tenant.plan.clone(),
            status: match tenant.status {
                Status::Active if self.is_made(tenant) => TenantStatus::Active,
                Status::Active | Status::Arriving => TenantStatus::Creating,
                Status::Deleting => TenantStatus::Deleting,
            },
            created_at: format_stamp(tenant.created),
            cors_origins: self.platform.cors_origins(tenant.uid)?,
            admin_token,
        })
    }

    /// Whether the tenant's space is there, as far as this node can tell.
    fn is_made(&self, tenant: &Tenant) -> bool {
        self.platform
            .cell(tenant.cell)
            .is_none_or(|replica| is_made(replica.moment(Space(tenant.uid)).err()))
    }
}

pub(super) fn show_operation(operation: &rows::Operation) -> Operation {
    Operation {
        id: Id(operation.id),
        kind: operation.kind.clone(),
        tenant: operation.tenant.clone(),
        status: if operation.done { "done" } else { "running" }.to_owned(),
        progress: operation.progress,
        created_at: format_stamp(operation.created),
        updated_at: format_stamp(operation.updated),
        error: None,
        collection: None,
        phase: None,
        failed: None,
        failures: Vec::new(),
        admin_token: None,
    }
}

/// What is not in this node's copy of the directory may be there all the same, where nobody can be asked: a node that lost its data
/// knows of nothing at all.
pub(super) fn unsure() -> Error {
    Error::new(
        Code::Unavailable,
        "this node's copy of the directory does not have it, and the directory cannot be asked now",
    )
}
