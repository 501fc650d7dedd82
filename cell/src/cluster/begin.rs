//! The command that begins to bring a topology about, and what is kept of it meanwhile.

use serde::{Deserialize, Serialize};
use storage::{Space, table};
use uuid::Uuid;

use crate::directory::rows::{self, Operation};
use crate::directory::tenant_delete::put;
use crate::directory::topology::{self, Stored};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Fault, Refusal, Stop};
use crate::machine::world::World;

/// The kind of its operation.
const KIND: &str = "cluster.apply";

/// A topology that is being brought about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// The operation.
    pub(crate) operation: Uuid,
    /// What is wanted.
    pub(crate) topology: Stored,
}

/// Versions of [`Wanted`].
#[derive(Serialize, Deserialize)]
pub(crate) enum WantedRow {
    /// The first.
    V1(Wanted),
}

/// What is being brought about, if anything is.
pub(crate) fn wanted(reader: &impl Reader) -> Result<Option<Wanted>, Fault> {
    let row = reader.row(&table::TopologyWanted { space: Space::SYSTEM })?;
    Ok(row.map(|WantedRow::V1(wanted)| wanted))
}

/// Begins to bring a topology about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ApplyBegin {
    /// The number of changes of the topology that it was decided on.
    pub(crate) after: u64,
    /// The operation and what is wanted.
    pub(crate) wanted: Wanted,
}

impl Command for ApplyBegin {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<(), Stop> {
        if let Some(running) = wanted(world)? {
            let what = format!("an apply under way, operation {}", running.operation);
            return Err(Refusal::AlreadyExists { what }.into());
        }
        let now = topology::read(world)?.map_or(0, |(version, _)| version);
        if now != self.after {
            return Err(Refusal::Stale.into());
        }
        let operation = Operation {
            id: self.wanted.operation,
            kind: KIND.to_owned(),
            tenant: String::new(),
            done: false,
            progress: 0,
            created: world.stamp,
            updated: world.stamp,
        };
        rows::touch(world);
        put(world, &operation);
        world.put(&table::TopologyWanted { space: Space::SYSTEM }, &WantedRow::V1(self.wanted));
        Ok(())
    }
}
