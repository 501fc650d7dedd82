//! The operations of a tenant: how far each is.

use api::body::control::{Operation, OperationFailure};
use api::ids::Id;
use serde::{Deserialize, Serialize};
use storage::table;
use storage::{Direction, Space, Table};
use uuid::Uuid;

use super::super::schema::FieldSpec;
use super::super::time::format_stamp;
use crate::machine::idempotency::bad_key;
use crate::machine::reader::{Reader, decode};
use crate::machine::refusal::{Fault, Refusal};
use crate::machine::rows::Actor;
use crate::machine::world::World;
use crate::service::error::refused;

/// Failures that an operation lists.
pub(super) const FAILURES: usize = 100;
/// Operations of a tenant that are remembered.
const REMEMBERED: usize = 100;

/// An operation. Stored: see [`WorkRow`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Work {
    /// Its id.
    pub(crate) id: Uuid,
    /// What it does.
    pub(crate) kind: WorkKind,
    /// The number of the collection.
    pub(crate) collection: u32,
    /// Its name.
    pub(crate) name: String,
    /// Who wants it.
    pub(crate) actor: Actor,
    /// Whether it goes on, and how it ended.
    pub(crate) status: Status,
    /// What its next step does.
    pub(crate) phase: Phase,
    /// Records, and keys, done so far.
    pub(crate) done: u64,
    /// Records that do not fit.
    pub(crate) failed: u64,
    /// The first of them, and why. What the refusals say is part of the state: their words are as stable as their format.
    pub(crate) failures: Vec<(Uuid, Refusal)>,
    /// Microseconds since the epoch.
    pub(crate) created: u64,
    /// Microseconds since the epoch.
    pub(crate) updated: u64,
}

/// Versions of [`Work`].
#[derive(Serialize, Deserialize)]
pub(crate) enum WorkRow {
    /// The first.
    V1(Work),
}

/// What an operation does. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WorkKind {
    /// Gives a collection another schema.
    Change,
    /// Deletes a collection with its records.
    Drop,
}

/// How an operation stands. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    /// It is not decided yet.
    Running,
    /// It has done what it was to do.
    Done,
    /// Records do not fit: nothing has changed.
    Failed,
    /// Somebody did not want it any more: nothing has changed.
    Cancelled,
}

/// What the next step does. Append only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Brings records along, after this one.
    Fit(Option<Uuid>),
    /// Takes away what is not used any more.
    Clean(Leftovers),
    /// Erases the records of the collection, after this one.
    Erase(Option<Uuid>),
    /// Nothing.
    Ended,
}

/// What is not used any more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Leftovers {
    /// Indexes whose entries go.
    pub(crate) indexes: Vec<u32>,
    /// Fields whose values go.
    pub(crate) fields: Vec<FieldSpec>,
    /// The last record whose values were looked at.
    pub(crate) record: Option<Uuid>,
}

impl Work {
    /// Notes a record that does not fit.
    pub(super) fn fail(&mut self, id: Uuid, refusal: Refusal) {
        self.failed = self.failed.saturating_add(1);
        if self.failures.len() < FAILURES {
            self.failures.push((id, refusal));
        }
    }

    /// As users see it.
    pub(crate) fn to_api(&self, tenant: &str) -> Operation {
        let kind = match self.kind {
            WorkKind::Change => "collection.change",
            WorkKind::Drop => "collection.delete",
        };
        let status = match self.status {
            Status::Running => "running",
            Status::Done => "done",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        };
        let phase = match self.phase {
            Phase::Fit(_) => Some("fitting"),
            Phase::Clean(_) => Some("cleaning"),
            Phase::Erase(_) => Some("erasing"),
            Phase::Ended => None,
        };
        let error = (self.status == Status::Failed).then(|| {
            format!(
                "{} records of {} do not fit the new schema; nothing has changed: mend them, and put the schema again",
                self.failed, self.name
            )
        });
        Operation {
            id: Id(self.id),
            kind: kind.to_owned(),
            tenant: tenant.to_owned(),
            collection: Some(self.name.clone()),
            status: status.to_owned(),
            phase: phase.map(str::to_owned),
            progress: self.done,
            failed: (self.failed > 0).then_some(self.failed),
            failures: self.failures.iter().map(failure).collect(),
            admin_token: None,
            created_at: format_stamp(self.created),
            updated_at: format_stamp(self.updated),
            error,
        }
    }
}

fn failure((id, refusal): &(Uuid, Refusal)) -> OperationFailure {
    OperationFailure {
        record: Id(*id),
        message: refused(refusal).detail,
    }
}

fn key(space: Space, id: Uuid) -> table::Operation {
    table::Operation {
        space,
        id: id.into_bytes(),
    }
}

/// An operation.
pub(crate) fn read(reader: &impl Reader, space: Space, id: Uuid) -> Result<Option<Work>, Fault> {
    Ok(reader.row(&key(space, id))?.map(|WorkRow::V1(work)| work))
}

/// All operations that are remembered, by id: the oldest first.
pub(crate) fn list(reader: &impl Reader, space: Space) -> Result<Vec<Work>, Fault> {
    let mut all = Vec::new();
    for row in reader.scan(table::Operation::range(space), Direction::Forward) {
        let (raw, bytes) = row?;
        let key = table::Operation::parse(raw.as_bytes()).map_err(|error| bad_key(&raw, &error))?;
        let WorkRow::V1(work) = decode(&key, &bytes)?;
        all.push(work);
    }
    Ok(all)
}

/// Stores an operation.
pub(super) fn write(world: &mut World<'_>, work: &Work) {
    let mut work = work.clone();
    work.updated = world.stamp;
    world.put(&key(world.space, work.id), &WorkRow::V1(work));
}

/// Stores a new operation, and forgets the oldest that have ended where there are many.
pub(super) fn begin(world: &mut World<'_>, work: &Work) -> Result<(), Fault> {
    let all = list(world, world.space)?;
    let ended = all.iter().filter(|work| work.phase == Phase::Ended);
    for old in ended.take(all.len().saturating_sub(REMEMBERED - 1)) {
        world.delete(&key(world.space, old.id));
    }
    write(world, work);
    Ok(())
}
