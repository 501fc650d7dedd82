//! The command that begins the erasure of a tenant. From then on it is not served; its cell erases its space.

use serde::{Deserialize, Serialize};
use storage::Space;
use storage::table;
use uuid::Uuid;

use super::moves;
use super::rows::{self, Operation, OperationRow, Status};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Fault, Refusal, Stop};
use crate::machine::world::World;

/// Begins the erasure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TenantDelete {
    /// The tenant.
    pub(crate) slug: String,
    /// The id of the operation.
    pub(crate) operation: Uuid,
}

impl Command for TenantDelete {
    type Reply = Operation;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Operation, Stop> {
        let missing = || Refusal::NotFound {
            what: format!("the tenant {}", self.slug),
        };
        let mut tenant = rows::tenant(world, &self.slug)?.ok_or_else(missing)?;
        if let Some(running) = tenant.operation
            && let Some(operation) = read(world, running)?
        {
            return Ok(operation);
        }
        if let Some(moving) = moves::read(world, tenant.uid)? {
            let operation = moving.operation;
            return Err(Refusal::MoveUnderWay { operation }.into());
        }
        let operation = Operation {
            id: self.operation,
            kind: "tenant.delete".to_owned(),
            tenant: self.slug,
            done: false,
            progress: 0,
            created: world.stamp,
            updated: world.stamp,
        };
        rows::touch(world);
        tenant.status = Status::Deleting;
        tenant.operation = Some(operation.id);
        rows::put_tenant(world, &tenant);
        put(world, &operation);
        Ok(operation)
    }
}

/// Reads an operation.
pub(crate) fn read(reader: &impl Reader, id: Uuid) -> Result<Option<Operation>, Fault> {
    let row = reader.row(&table::Operation {
        space: Space::SYSTEM,
        id: id.into_bytes(),
    })?;
    Ok(row.map(|row| match row {
        OperationRow::V1(operation) => operation,
        OperationRow::V2(told) => told.operation,
        OperationRow::V3(restore) => restore.operation,
    }))
}

/// Stores an operation.
pub(crate) fn put(world: &mut World<'_>, operation: &Operation) {
    let key = table::Operation {
        space: Space::SYSTEM,
        id: operation.id.into_bytes(),
    };
    world.put(&key, &OperationRow::V1(operation.clone()));
}
