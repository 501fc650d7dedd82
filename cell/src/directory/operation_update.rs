//! The command that says how far an operation is.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rows;
use super::tenant_delete::{put, read};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::Stop;
use crate::machine::world::World;

/// Says how far an operation is. Unknown operations are passed over: they have ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OperationUpdate {
    /// The operation.
    pub(crate) id: Uuid,
    /// What has been done so far; it never goes back.
    pub(crate) progress: u64,
}

impl Command for OperationUpdate {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<(), Stop> {
        if let Some(mut operation) = read(world, self.id)? {
            operation.progress = operation.progress.max(self.progress);
            operation.updated = world.stamp;
            rows::touch(world);
            put(world, &operation);
        }
        Ok(())
    }
}
