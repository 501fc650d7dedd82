//! The command that enters a new tenant: its name, its number and its cell.

use serde::{Deserialize, Serialize};
use storage::Space;
use storage::table::DirectoryCell;
use uuid::Uuid;

use super::rows::{self, CellCount, CellRow, Status, Tenant};
use super::topology;
use crate::config::{CellState, Topology};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::world::World;

/// Enters a tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TenantReserve {
    /// The public id.
    pub(crate) id: Uuid,
    /// The name in URLs.
    pub(crate) slug: String,
    /// The region.
    pub(crate) region: String,
    /// The number of the cell.
    pub(crate) cell: u64,
    /// Whether the cell must have no other tenant.
    pub(crate) dedicated: bool,
    /// The plan.
    pub(crate) plan: String,
    /// The template.
    pub(crate) template: Option<String>,
}

impl Command for TenantReserve {
    type Reply = Tenant;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Tenant, Stop> {
        self.enter(world, Status::Active)
    }
}

impl TenantReserve {
    /// Enters the tenant, with how far its life has come by that.
    pub(super) fn enter(self, world: &mut World<'_>, status: Status) -> Result<Tenant, Stop> {
        if rows::tenant(world, &self.slug)?.is_some() {
            return Err(Refusal::AlreadyExists {
                what: format!("the tenant {}", self.slug),
            }
            .into());
        }
        let known = topology::read(world)?;
        let serves = |(_, topology): &(u64, Topology)| {
            let cell = topology.cell(self.cell);
            cell.is_some_and(|cell| cell.region == self.region && cell.state != CellState::Forming)
        };
        if known.as_ref().is_some_and(|known| !serves(known)) {
            return Err(Refusal::Stale.into());
        }
        let count = count(world, self.cell)?;
        if self.dedicated && count.tenants > 0 {
            return Err(Refusal::Stale.into());
        }
        let created = world.stamp;
        let header = rows::touch(world);
        let uid = header.next;
        header.next = header.next.saturating_add(1);
        let tenant = Tenant {
            id: self.id,
            uid,
            slug: self.slug,
            region: self.region,
            cell: self.cell,
            epoch: 1,
            plan: self.plan,
            template: self.template,
            status,
            created,
            operation: None,
        };
        rows::put_tenant(world, &tenant);
        put_count(
            world,
            tenant.cell,
            CellCount {
                tenants: count.tenants.saturating_add(1),
            },
        );
        Ok(tenant)
    }
}

/// What is counted of a cell.
pub(crate) fn count(reader: &impl Reader, cell: u64) -> Result<CellCount, crate::machine::refusal::Fault> {
    let row = reader.row(&DirectoryCell {
        space: Space::SYSTEM,
        cell,
    })?;
    Ok(row.map_or_else(CellCount::default, |CellRow::V1(count)| count))
}

/// Stores what is counted of a cell.
pub(crate) fn put_count(world: &mut World<'_>, cell: u64, count: CellCount) {
    world.put(
        &DirectoryCell {
            space: Space::SYSTEM,
            cell,
        },
        &CellRow::V1(count),
    );
}
