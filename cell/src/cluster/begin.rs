//! The command that begins to bring a topology about, and what is kept of it meanwhile.

use serde::{Deserialize, Serialize};
use storage::{Space, table};
use uuid::Uuid;

use crate::config::Topology;
use crate::directory::rows::{self, Operation};
use crate::directory::tenant_delete::put;
use crate::directory::topology::{self, PlanLimits, Stored};
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
    /// With what plans got later. From level 2 on.
    V2(Wanted, Vec<PlanLimits>),
}

/// What is being brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnderWay {
    /// The operation.
    pub(crate) operation: Uuid,
    /// What is wanted.
    pub(crate) topology: Topology,
}

/// What is being brought about, if anything is.
pub(crate) fn wanted(reader: &impl Reader) -> Result<Option<UnderWay>, Fault> {
    let row = reader.row(&table::TopologyWanted { space: Space::SYSTEM })?;
    Ok(row.map(|row| {
        let (wanted, limits) = match row {
            WantedRow::V1(wanted) => (wanted, Vec::new()),
            WantedRow::V2(wanted, limits) => (wanted, limits),
        };
        UnderWay {
            operation: wanted.operation,
            topology: PlanLimits::join(wanted.topology, &limits),
        }
    }))
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
        self.begin(world, Vec::new())
    }
}

impl ApplyBegin {
    /// Begins, with what plans got later.
    pub(super) fn begin(self, world: &mut World<'_>, limits: Vec<PlanLimits>) -> Result<(), Stop> {
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
        let row = match limits.is_empty() {
            true => WantedRow::V1(self.wanted),
            false => WantedRow::V2(self.wanted, limits),
        };
        world.put(&table::TopologyWanted { space: Space::SYSTEM }, &row);
        Ok(())
    }
}
