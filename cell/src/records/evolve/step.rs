//! The command that takes an operation one bounded step further. What it does follows from what is stored.

use serde::{Deserialize, Serialize};
use storage::table;
use uuid::Uuid;

use super::super::collection_define;
use super::super::collection_put;
use super::change::settle;
use super::pending::leftovers;
use super::phases::{clean, erase, fit};
use super::work::{self, Leftovers, Phase, Status, Work};
use crate::machine::catalog::{Catalog, Catalogs};
use crate::machine::dispatch::Command;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::world::World;

/// Takes one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OperationStep {
    /// The operation.
    pub(crate) id: Uuid,
}

/// Where an operation is after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stepped {
    /// Nothing is left to do.
    pub(crate) ended: bool,
}

impl Command for OperationStep {
    type Reply = Stepped;

    fn apply(self, world: &mut World<'_>, catalogs: &Catalogs) -> Result<Stepped, Stop> {
        let version = world.live()?.schema;
        let catalog = catalogs.get(world, world.space, version)?;
        let missing = || Refusal::NotFound {
            what: format!("operation {}", self.id),
        };
        let mut work = work::read(world, world.space, self.id)?.ok_or_else(missing)?;
        world.actor = work.actor.clone();
        match std::mem::replace(&mut work.phase, Phase::Ended) {
            Phase::Fit(after) => {
                work.phase = match fit(world, &catalog, &mut work, after)? {
                    Some(last) => Phase::Fit(Some(last)),
                    None => judge(world, &catalog, &mut work)?,
                }
            }
            Phase::Clean(left) => {
                work.phase = match clean(world, &mut work, left)? {
                    Some(left) => Phase::Clean(left),
                    None => Phase::Ended,
                }
            }
            Phase::Erase(after) => match erase(world, &catalog, &mut work, after)? {
                Some(next) => work.phase = next,
                None => work.status = Status::Done,
            },
            Phase::Ended => return Ok(Stepped { ended: true }),
        }
        work::write(world, &work);
        Ok(Stepped {
            ended: work.phase == Phase::Ended,
        })
    }
}

/// All records have been looked at: the new schema becomes the schema, or the change has failed.
fn judge(world: &mut World<'_>, catalog: &Catalog, work: &mut Work) -> Result<Phase, Stop> {
    if work.failed > 0 {
        return give_up(world, catalog, work, Status::Failed);
    }
    let current = catalog.numbered(work.collection).ok_or(Refusal::Stale)?;
    let pending = catalog.pending(work.collection).ok_or(Refusal::Stale)?;
    let (indexes, fields) = leftovers(current, pending.target());
    settle(world, work.collection);
    collection_put::write(world, pending.target().clone(), false)?;
    collection_define::write(world, work.collection, &pending.change.policy);
    work.status = Status::Done;
    Ok(cleaning(indexes, fields))
}

/// The schema stays as it is; what was made for the new one goes.
pub(super) fn give_up(world: &mut World<'_>, catalog: &Catalog, work: &mut Work, status: Status) -> Result<Phase, Stop> {
    let current = catalog.numbered(work.collection).ok_or(Refusal::Stale)?;
    let pending = catalog.pending(work.collection).ok_or(Refusal::Stale)?;
    let (indexes, fields) = leftovers(pending.target(), current);
    settle(world, work.collection);
    // Numbers are never used again: those of the target are taken.
    let mut kept = current.as_ref().clone();
    kept.next_field = pending.target().next_field;
    kept.next_index = pending.target().next_index;
    let header = world.header_mut()?;
    header.schema = header.schema.saturating_add(1);
    let key = table::CollectionSchema {
        space: world.space,
        collection: work.collection,
    };
    world.put(&key, &super::super::schema::CollectionRow::V1(kept));
    work.status = status;
    Ok(cleaning(indexes, fields))
}

/// What is left to do once the schema is what it stays.
pub(super) fn cleaning(indexes: Vec<u32>, fields: Vec<super::super::schema::FieldSpec>) -> Phase {
    if indexes.is_empty() && fields.is_empty() {
        return Phase::Ended;
    }
    Phase::Clean(Leftovers {
        indexes,
        fields,
        record: None,
    })
}
