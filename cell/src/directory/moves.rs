//! The rows of moves: a tenant that moves has one beside its own, so that its own says at any time where it is served, and nothing else.

use serde::{Deserialize, Serialize};
use storage::table::{self, DirectoryMove};
use storage::{Direction, KeyRange, Snapshot, Space, Table};
use uuid::Uuid;

use super::rows::{Operation, OperationRow};
use crate::machine::reader::{Reader, decode};
use crate::machine::refusal::Fault;
use crate::machine::world::World;

/// How far a move has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// The tenant is served where it was; the other cell gets what it has.
    Copying,
    /// The tenant stays where it is; what the other cell has got is erased.
    CalledOff,
    /// The tenant is served in the other cell; where it was, it is erased.
    Departing,
}

/// A tenant on its way to another cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Move {
    /// The operation that tells of it.
    pub(crate) operation: Uuid,
    /// The tenant.
    pub(crate) uid: u64,
    /// Its public id.
    pub(crate) tenant: Uuid,
    /// Its name in URLs.
    pub(crate) slug: String,
    /// The cell that it leaves.
    pub(crate) from: u64,
    /// The cell that it goes to.
    pub(crate) to: u64,
    /// The epoch that it has there.
    pub(crate) epoch: u64,
    /// The attempt that may switch; higher than all before, of this move and of others.
    pub(crate) attempt: u64,
    /// How far it has come.
    pub(crate) stage: Stage,
}

/// Versions of [`Move`].
#[derive(Serialize, Deserialize)]
pub(crate) enum MoveRow {
    /// The first.
    V1(Move),
}

/// An operation, and what a move says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// The operation.
    pub(crate) operation: Operation,
    /// What it is at; none: it has ended.
    pub(crate) phase: Option<Phase>,
    /// Whether it was called off.
    pub(crate) is_called_off: bool,
}

/// What a move is at. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Nobody has begun yet.
    Waiting,
    /// What is left of an earlier stay is erased in the other cell.
    Clearing,
    /// Rows are copied.
    Copying,
    /// What was changed meanwhile is repeated.
    Following,
    /// Writes wait.
    Holding,
    /// What is left behind is erased.
    Erasing,
}

impl Phase {
    /// Its name on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Phase::Waiting => "waiting",
            Phase::Clearing => "clearing",
            Phase::Copying => "copying",
            Phase::Following => "following",
            Phase::Holding => "holding",
            Phase::Erasing => "erasing",
        }
    }
}

/// The move of a tenant, if it is under way.
pub(crate) fn read(reader: &impl Reader, uid: u64) -> Result<Option<Move>, Fault> {
    let space = Space::SYSTEM;
    Ok(reader.row(&DirectoryMove { space, uid })?.map(|MoveRow::V1(moving)| moving))
}

/// All moves that are under way.
pub(crate) fn all(snapshot: &Snapshot) -> Result<Vec<Move>, Fault> {
    let range = KeyRange::table(Space::SYSTEM, DirectoryMove::TAG);
    let rows = snapshot.scan(range, Direction::Forward);
    let read = |row: Result<(storage::Key, storage::Bytes), storage::Error>| {
        let (raw, bytes) = row?;
        let key = DirectoryMove::parse(raw.as_bytes()).map_err(|error| crate::machine::idempotency::bad_key(&raw, &error))?;
        let MoveRow::V1(moving) = decode(&key, &bytes)?;
        Ok(moving)
    };
    rows.map(read).collect()
}

/// Stores a move.
pub(super) fn put(world: &mut World<'_>, moving: Move) {
    let key = DirectoryMove {
        space: Space::SYSTEM,
        uid: moving.uid,
    };
    world.put(&key, &MoveRow::V1(moving));
}

/// An operation with what it says of itself.
pub(crate) fn told(reader: &impl Reader, id: Uuid) -> Result<Option<Told>, Fault> {
    let row = reader.row(&table::Operation {
        space: Space::SYSTEM,
        id: id.into_bytes(),
    })?;
    Ok(row.map(|row| match row {
        OperationRow::V1(operation) => Told {
            operation,
            phase: None,
            is_called_off: false,
        },
        OperationRow::V2(told) => told,
        OperationRow::V3(restore) => Told {
            operation: restore.operation,
            phase: None,
            is_called_off: false,
        },
    }))
}

/// Stores an operation with what it says of itself.
pub(super) fn put_told(world: &mut World<'_>, told: Told) {
    let key = table::Operation {
        space: Space::SYSTEM,
        id: told.operation.id.into_bytes(),
    };
    world.put(&key, &OperationRow::V2(told));
}
