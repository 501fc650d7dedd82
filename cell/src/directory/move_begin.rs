//! The commands that begin to move a tenant to another cell: of its region, or, where that was said, of another one. The cell counts it
//! from now on, so that a dedicated one is not given to anybody else.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::moves::{self, Move, Phase, Stage, Told};
use super::rows::{self, CellCount, Operation, Status};
use super::tenant_reserve::{count, put_count};
use super::topology;
use crate::config::{CellState, Topology};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::world::World;

/// What the operation of a move is called.
pub(crate) const KIND: &str = "tenant.move";

/// Begins a move within a region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MoveBegin {
    /// The tenant.
    pub(crate) slug: String,
    /// The cell that it goes to.
    pub(crate) to: u64,
    /// Whether that cell must have no other tenant.
    pub(crate) dedicated: bool,
    /// The id of the operation.
    pub(crate) operation: Uuid,
}

impl Command for MoveBegin {
    /// The operation; that of the move which is under way, where there is one.
    type Reply = Told;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Told, Stop> {
        self.begin(world, None)
    }
}

/// Begins a move to a cell of another region, which the tenant's content then leaves: only where somebody has said so by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MoveAcross {
    /// The move.
    pub(crate) begin: MoveBegin,
    /// The region that it goes to.
    pub(crate) region: String,
}

impl Command for MoveAcross {
    /// As that of [`MoveBegin`].
    type Reply = Told;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Told, Stop> {
        self.begin.begin(world, Some(self.region))
    }
}

impl MoveBegin {
    /// Begins it: within the tenant's region, or to the one that is named.
    fn begin(self, world: &mut World<'_>, across: Option<String>) -> Result<Told, Stop> {
        let tenant = rows::tenant(world, &self.slug)?.filter(|tenant| tenant.status == Status::Active);
        let tenant = tenant.ok_or_else(|| Refusal::NotFound {
            what: format!("the tenant {}", self.slug),
        })?;
        if let Some(running) = moves::read(world, tenant.uid)?
            && let Some(told) = moves::told(world, running.operation)?
        {
            return Ok(told);
        }
        let known = topology::read(world)?;
        let region = across.as_ref().unwrap_or(&tenant.region);
        let serves = |(_, topology): &(u64, Topology)| {
            let cell = topology.cell(self.to);
            cell.is_some_and(|cell| cell.region == *region && cell.state != CellState::Forming)
        };
        if known.as_ref().map_or(across.is_some(), |known| !serves(known)) {
            return Err(wrong("is not a cell of that region, or serves no tenants yet").into());
        }
        let tenants = count(world, self.to)?.tenants;
        if tenant.cell == self.to {
            return Err(wrong("is where the tenant is").into());
        }
        if self.dedicated && tenants > 0 {
            return Err(wrong("is a dedicated cell that has a tenant").into());
        }
        let operation = Operation {
            id: self.operation,
            kind: KIND.to_owned(),
            tenant: self.slug,
            done: false,
            progress: 0,
            created: world.stamp,
            updated: world.stamp,
        };
        let told = Told {
            operation,
            phase: Some(Phase::Waiting),
            is_called_off: false,
        };
        let attempt = rows::touch(world).position;
        let tenants = tenants.saturating_add(1);
        put_count(world, self.to, CellCount { tenants });
        let moving = Move {
            operation: self.operation,
            uid: tenant.uid,
            tenant: tenant.id,
            slug: tenant.slug,
            from: tenant.cell,
            to: self.to,
            epoch: tenant.epoch.saturating_add(1),
            attempt,
            stage: Stage::Copying,
        };
        moves::put(world, moving);
        moves::put_told(world, told.clone());
        Ok(told)
    }
}

/// The refusal of a cell.
pub(crate) fn wrong(message: &str) -> Refusal {
    Refusal::Invalid {
        errors: vec![("/cell".to_owned(), message.to_owned())],
    }
}
