//! The command that deletes a collection: at once where it has no records, else as an operation that erases them.
//!
//! Its name is free at once. Its number and name stay known, for the events that speak of it, and so does its policy: what its rules hid
//! stays hidden.

use serde::{Deserialize, Serialize};
use storage::table::{self, CollectionName};
use uuid::Uuid;

use super::super::collection_delete::refers;
use super::super::schema::{Collection, CollectionRow};
use super::change::{has_records, new_work};
use super::work::{self, Phase, Work, WorkKind};
use crate::machine::catalog::{Catalog, Catalogs};
use crate::machine::dispatch::Command;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::rows::{EventKind, Subject};
use crate::machine::world::World;

/// Deletes a collection. Decided on the schema version that the command carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CollectionDrop {
    /// Its number.
    pub(crate) number: u32,
    /// The version that it must have.
    pub(crate) if_match: Option<u64>,
    /// The id of the operation, should there have to be one.
    pub(crate) operation: Uuid,
}

impl Command for CollectionDrop {
    type Reply = Option<Work>;

    fn apply(self, world: &mut World<'_>, catalogs: &Catalogs) -> Result<Option<Work>, Stop> {
        let version = world.live()?.schema;
        let space = world.space;
        let catalog = catalogs.get(world, space, version)?;
        let found = catalog.numbered(self.number).filter(|collection| !collection.dropped);
        let collection = found.ok_or(Refusal::Stale)?;
        if self.if_match.is_some_and(|wanted| wanted != collection.version) {
            let current = collection.version;
            return Err(Refusal::VersionMismatch { current }.into());
        }
        check_unused(&catalog, collection)?;
        let has_records = has_records(world, self.number)?;
        let header = world.header_mut()?;
        header.schema = header.schema.saturating_add(1);
        let name = collection.name.clone();
        let next = collection.version.saturating_add(1);
        world.event(EventKind::CollectionDeleted, Subject::Collection(name.clone(), next))?;
        world.delete(&CollectionName { space, name });
        let gone = Collection {
            version: next,
            dropped: true,
            ..Collection::clone(collection)
        };
        if !has_records {
            forget_schema(world, gone);
            return Ok(None);
        }
        let work = new_work(world, WorkKind::Drop, self.operation, collection, Phase::Erase(None));
        work::begin(world, &work)?;
        // What its records have in other tables follows from its schema: that stays until they are gone.
        write(world, gone);
        Ok(Some(work))
    }
}

/// Refuses a collection that is being changed, or that another one refers to or is to refer to.
fn check_unused(catalog: &Catalog, collection: &Collection) -> Result<(), Refusal> {
    if catalog.pending(collection.number).is_some() {
        let what = format!("a change of {} under way: cancel it, or wait for it", collection.name);
        return Err(Refusal::AlreadyExists { what });
    }
    let others = catalog.iter().filter(|other| other.number != collection.number);
    for other in others {
        let pending = catalog.pending(other.number);
        if refers(other, collection.number) || pending.is_some_and(|pending| refers(pending.target(), collection.number)) {
            let what = format!("the schema of {}, which refers to {}", other.name, collection.name);
            return Err(Refusal::AlreadyExists { what });
        }
    }
    Ok(())
}

/// Keeps nothing of a collection that is gone but its name.
pub(super) fn forget_schema(world: &mut World<'_>, gone: Collection) {
    let bare = Collection {
        fields: Vec::new(),
        indexes: Vec::new(),
        search: Vec::new(),
        ..gone
    };
    write(world, bare);
}

fn write(world: &mut World<'_>, collection: Collection) {
    let key = table::CollectionSchema {
        space: world.space,
        collection: collection.number,
    };
    world.put(&key, &CollectionRow::V1(collection));
}
