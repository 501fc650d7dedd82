//! The command that ends a change of a schema which is still bringing records along: the schema stays as it is.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::step::give_up;
use super::work::{self, Phase, Status, Work, WorkKind};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::world::World;

/// Cancels an operation. One that is cancelled already stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OperationCancel {
    /// The operation.
    pub(crate) id: Uuid,
}

impl Command for OperationCancel {
    type Reply = Work;

    fn apply(self, world: &mut World<'_>, catalogs: &Catalogs) -> Result<Work, Stop> {
        let version = world.live()?.schema;
        let catalog = catalogs.get(world, world.space, version)?;
        let missing = || Refusal::NotFound {
            what: format!("operation {}", self.id),
        };
        let mut work = work::read(world, world.space, self.id)?.ok_or_else(missing)?;
        if work.status == Status::Cancelled {
            return Ok(work);
        }
        if work.kind != WorkKind::Change || !matches!(work.phase, Phase::Fit(_)) {
            let what = format!("operation {} beyond the point from which it could be called back", self.id);
            return Err(Refusal::AlreadyExists { what }.into());
        }
        work.phase = give_up(world, &catalog, &mut work, Status::Cancelled)?;
        work::write(world, &work);
        Ok(work)
    }
}
