//! The command that creates a collection or changes its schema: at once where no record could mind, else as an operation.

use serde::{Deserialize, Serialize};
use storage::Direction;
use storage::table::{self, CollectionPending};
use uuid::Uuid;

use super::super::collection_define::CollectionDefine;
use super::super::schema::Collection;
use super::pending::{Change, ChangeRow, Pending, leftovers};
use super::step::cleaning;
use super::work::{self, Phase, Status, Work, WorkKind};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::world::World;

/// Creates or changes a collection. Decided on the schema version that the command carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CollectionChange {
    /// What is to be stored.
    pub(crate) define: CollectionDefine,
    /// Fields that take over the values of another: their numbers, and the numbers of those.
    pub(crate) moved: Vec<(u16, u16)>,
    /// The id of the operation, should there have to be one.
    pub(crate) operation: Uuid,
}

/// What a change came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Changed {
    /// It is stored.
    Stored(Box<CollectionDefine>),
    /// An operation is to bring the records along.
    Begun(Box<Work>),
}

impl Command for CollectionChange {
    type Reply = Changed;

    fn apply(self, world: &mut World<'_>, catalogs: &Catalogs) -> Result<Changed, Stop> {
        let version = world.live()?.schema;
        let space = world.space;
        let catalog = catalogs.get(world, space, version)?;
        let number = self.define.put.collection.number;
        if catalog.pending(number).is_some() {
            return Err(Refusal::Stale.into());
        }
        let current = catalog
            .numbered(number)
            .filter(|found| !found.dropped && !self.define.put.created);
        let (Some(current), true) = (current, has_records(world, number)?) else {
            return self
                .define
                .apply(world, catalogs)
                .map(|defined| Changed::Stored(Box::new(defined)));
        };
        let target = self.define.put.collection.clone();
        let (indexes, fields) = leftovers(current, &target);
        let change = Change {
            operation: self.operation,
            target,
            policy: self.define.policy.clone(),
            moved: self.moved.clone(),
        };
        let pending = Pending::new(change, current);
        let phase = if pending.asks_records() {
            Phase::Fit(None)
        } else {
            cleaning(indexes, fields)
        };
        if phase == Phase::Ended {
            let defined = self.define.apply(world, catalogs)?;
            return Ok(Changed::Stored(Box::new(defined)));
        }
        let work = new_work(world, WorkKind::Change, self.operation, current, phase);
        let work = match &work.phase {
            Phase::Fit(_) => {
                let key = CollectionPending {
                    space,
                    collection: number,
                };
                world.put(&key, &ChangeRow::V1(pending.change));
                let header = world.header_mut()?;
                header.schema = header.schema.saturating_add(1);
                work
            }
            _ => {
                self.define.apply(world, catalogs)?;
                Work {
                    status: Status::Done,
                    ..work
                }
            }
        };
        work::begin(world, &work)?;
        Ok(Changed::Begun(Box::new(work)))
    }
}

/// A new operation.
pub(super) fn new_work(world: &World<'_>, kind: WorkKind, id: Uuid, collection: &Collection, phase: Phase) -> Work {
    Work {
        id,
        kind,
        collection: collection.number,
        name: collection.name.clone(),
        actor: world.actor.clone(),
        status: Status::Running,
        phase,
        done: 0,
        failed: 0,
        failures: Vec::new(),
        created: world.stamp,
        updated: world.stamp,
    }
}

/// Whether a collection has records.
pub(super) fn has_records(world: &World<'_>, number: u32) -> Result<bool, Stop> {
    let mut records = world.scan(table::Record::range(world.space, number), Direction::Forward);
    Ok(records.next().transpose()?.is_some())
}

/// There is no change of a collection any more.
pub(super) fn settle(world: &mut World<'_>, collection: u32) {
    let space = world.space;
    world.delete(&CollectionPending { space, collection });
}
