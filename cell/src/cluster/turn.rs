//! The command that says how far a topology has been brought about: one step, or the end.

use serde::{Deserialize, Serialize};
use storage::{Space, table};
use uuid::Uuid;

use super::begin::wanted;
use crate::config::Topology;
use crate::directory::rows;
use crate::directory::tenant_delete::{put, read};
use crate::directory::tenant_reserve::count;
use crate::directory::topology::{self, PlanLimits, Stored, write};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::world::World;

/// Tells a step, or the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ApplyTurn {
    /// The operation that it belongs to.
    pub(crate) operation: Uuid,
    /// The number of changes of the topology that it was decided on.
    pub(crate) after: u64,
    /// What it is from now on; none: there is nothing left to do, or the operation is called off.
    pub(crate) then: Option<Stored>,
}

impl Command for ApplyTurn {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<(), Stop> {
        self.turn(world, Vec::new())
    }
}

impl ApplyTurn {
    /// Tells it, with what plans got later.
    pub(super) fn turn(self, world: &mut World<'_>, limits: Vec<PlanLimits>) -> Result<(), Stop> {
        if wanted(world)?.is_none_or(|wanted| wanted.operation != self.operation) {
            return Err(Refusal::NotFound {
                what: "the apply: it has ended".to_owned(),
            }
            .into());
        }
        let (version, current) = topology::read(world)?.unwrap_or_default();
        if version != self.after {
            return Err(Refusal::Stale.into());
        }
        let ends = self.then.is_none();
        if let Some(then) = self.then {
            let next: Topology = then.clone().into();
            for cell in current.cells.iter().filter(|cell| next.cell(cell.number).is_none()) {
                if count(world, cell.number)?.tenants > 0 {
                    let collection = format!("the cell {}", cell.name);
                    return Err(Refusal::NotEmpty { collection }.into());
                }
            }
            write(world, version.saturating_add(1), then, limits);
        }
        rows::touch(world);
        if ends {
            world.delete(&table::TopologyWanted { space: Space::SYSTEM });
        }
        if let Some(mut operation) = read(world, self.operation)? {
            operation.done |= ends;
            operation.progress = operation.progress.saturating_add(u64::from(!ends));
            operation.updated = world.stamp;
            put(world, &operation);
        }
        Ok(())
    }
}
