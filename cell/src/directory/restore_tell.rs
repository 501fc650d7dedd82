//! The command that tells of the restore of a tenant from a backup: that it goes on, and how it ended.
//!
//! Who restores tells so every few seconds. One that has not been heard of for a while has gone with its node, and nothing of the new tenant is
//! left: that is seen from the time of the last word, so that nobody need end it.

use serde::{Deserialize, Serialize};
use storage::{Space, table};
use uuid::Uuid;

use super::rows::{self, Operation, OperationRow};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Fault, Stop};
use crate::machine::world::World;

/// What an operation is called that brings back a tenant, and one that brings back the tenants of a cell.
pub(crate) const KINDS: [&str; 2] = ["tenant.restore", "cell.restore"];
/// A restore that was not heard of for so long is over, in microseconds. More than a few words apart.
pub(crate) const LOST_MICROS: u64 = 60_000_000;

/// Tells of a restore. What has ended stays ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RestoreTell {
    /// The operation.
    pub(crate) operation: Uuid,
    /// Whether it is of a whole cell.
    pub(crate) is_of_cell: bool,
    /// The tenant or the cell that it is about.
    pub(crate) subject: String,
    /// Bytes of the backup that were read so far, or tenants of the cell that are back.
    pub(crate) progress: u64,
    /// How it ended; none: it goes on.
    pub(crate) ended: Option<Ended>,
}

/// How a restore ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ended {
    /// All of it is there.
    Done,
    /// Why it is not.
    Failed(String),
}

/// What a restore says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restore {
    /// The operation.
    pub(crate) operation: Operation,
    /// Why it failed, if it did.
    pub(crate) error: Option<String>,
}

/// Reads a restore; none: there is none of this id.
pub(crate) fn read(reader: &impl Reader, id: Uuid) -> Result<Option<Restore>, Fault> {
    let space = Space::SYSTEM;
    let id = id.into_bytes();
    Ok(reader.row(&table::Operation { space, id })?.and_then(|row| match row {
        OperationRow::V3(restore) => Some(restore),
        OperationRow::V1(_) | OperationRow::V2(_) => None,
    }))
}

impl Command for RestoreTell {
    type Reply = Operation;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Operation, Stop> {
        let stamp = world.stamp;
        let mut restore = read(world, self.operation)?.unwrap_or_else(|| Restore {
            operation: Operation {
                id: self.operation,
                kind: KINDS[usize::from(self.is_of_cell)].to_owned(),
                tenant: self.subject,
                done: false,
                progress: 0,
                created: stamp,
                updated: stamp,
            },
            error: None,
        });
        let operation = &mut restore.operation;
        if !operation.done {
            operation.progress = operation.progress.max(self.progress);
            operation.updated = stamp;
            operation.done = self.ended.is_some();
            if let Some(Ended::Failed(why)) = self.ended {
                restore.error = Some(why);
            }
            let key = table::Operation {
                space: Space::SYSTEM,
                id: self.operation.into_bytes(),
            };
            rows::touch(world);
            world.put(&key, &OperationRow::V3(restore.clone()));
        }
        Ok(restore.operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::stage::Stage;

    #[test]
    fn what_has_ended_stays_ended() {
        let mut stage = Stage::of(Space::SYSTEM);
        let mut tell = |progress, ended| {
            let told = RestoreTell {
                operation: Uuid::from_u128(1),
                is_of_cell: false,
                subject: "acme".to_owned(),
                progress,
                ended,
            };
            let told = stage.apply(told).result.expect("taken");
            let read = read(&stage.snapshot(), Uuid::from_u128(1)).expect("no fault").expect("there");
            (told.kind, told.progress, told.done, read.error)
        };
        let kind = || "tenant.restore".to_owned();
        assert_eq!(tell(0, None), (kind(), 0, false, None));
        assert_eq!(tell(7, None), (kind(), 7, false, None));
        let why = || Some("damaged".to_owned());
        assert_eq!(tell(6, Some(Ended::Failed("damaged".to_owned()))), (kind(), 7, true, why()));
        assert_eq!(
            tell(9, Some(Ended::Done)),
            (kind(), 7, true, why()),
            "a late word changes nothing"
        );
    }
}
