//! The command that creates a collection or replaces its schema.

use serde::{Deserialize, Serialize};
use storage::Direction;
use storage::table::{self, CollectionName};

use super::schema::{Collection, CollectionRow};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::rows::{EventKind, Subject};
use crate::machine::world::World;

/// Creates or replaces a collection. Decided on the schema version that the command carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CollectionPut {
    /// What to store.
    pub(crate) collection: Collection,
    /// Whether it is new.
    pub(crate) created: bool,
    /// Whether it may only be stored while there are no records.
    pub(crate) needs_empty: bool,
}

impl Command for CollectionPut {
    type Reply = Collection;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Collection, Stop> {
        world.live()?;
        let (space, number) = (world.space, self.collection.number);
        if self.needs_empty
            && world
                .scan(table::Record::range(space, number), Direction::Forward)
                .next()
                .transpose()?
                .is_some()
        {
            return Err(Refusal::NotEmpty {
                collection: self.collection.name,
            }
            .into());
        }
        write(world, self.collection.clone(), self.created)?;
        Ok(self.collection)
    }
}

/// Stores a collection with its event. Also what the creation of a space does with its template.
pub(crate) fn write(world: &mut World<'_>, collection: Collection, created: bool) -> Result<(), Refusal> {
    let (space, number) = (world.space, collection.number);
    let header = world.header_mut()?;
    header.schema = header.schema.saturating_add(1);
    header.next = header.next.max(u64::from(number).saturating_add(1));
    let kind = if created {
        EventKind::CollectionCreated
    } else {
        EventKind::CollectionUpdated
    };
    world.event(kind, Subject::Collection(collection.name.clone(), collection.version))?;
    world.put(
        &CollectionName {
            space,
            name: collection.name.clone(),
        },
        &number,
    );
    world.put(
        &table::CollectionSchema {
            space,
            collection: number,
        },
        &CollectionRow::V1(collection),
    );
    Ok(())
}
