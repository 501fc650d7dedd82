//! The command that deletes an empty collection. Its number and name stay known, for the events that speak of it, and so does its policy:
//! what its rules hid stays hidden.

use serde::{Deserialize, Serialize};
use storage::Direction;
use storage::table::{self, CollectionName};

use super::schema::{Collection, CollectionRow, Kind};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::rows::{EventKind, Subject};
use crate::machine::world::World;

/// Deletes a collection. Decided on the schema version that the command carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CollectionDelete {
    /// Its number.
    pub(crate) number: u32,
    /// The version that it must have.
    pub(crate) if_match: Option<u64>,
}

impl Command for CollectionDelete {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, catalogs: &Catalogs) -> Result<(), Stop> {
        let version = world.live()?.schema;
        let space = world.space;
        let catalog = catalogs.get(world, space, version)?;
        let found = catalog.numbered(self.number).filter(|collection| !collection.dropped);
        let collection = found.ok_or(Refusal::Stale)?;
        if self.if_match.is_some_and(|wanted| wanted != collection.version) {
            return Err(Refusal::VersionMismatch {
                current: collection.version,
            }
            .into());
        }
        if world
            .scan(table::Record::range(space, self.number), Direction::Forward)
            .next()
            .transpose()?
            .is_some()
        {
            return Err(Refusal::NotEmpty {
                collection: collection.name.clone(),
            }
            .into());
        }
        if let Some(other) = catalog
            .iter()
            .find(|other| other.number != self.number && refers(other, self.number))
        {
            let what = format!("the schema of {}, which refers to {}", other.name, collection.name);
            return Err(Refusal::AlreadyExists { what }.into());
        }
        let header = world.header_mut()?;
        header.schema = header.schema.saturating_add(1);
        let name = collection.name.clone();
        let next = collection.version.saturating_add(1);
        world.event(EventKind::CollectionDeleted, Subject::Collection(name.clone(), next))?;
        let gone = Collection {
            version: next,
            dropped: true,
            fields: Vec::new(),
            indexes: Vec::new(),
            search: Vec::new(),
            ..Collection::clone(collection)
        };
        world.delete(&CollectionName { space, name });
        world.put(
            &table::CollectionSchema {
                space,
                collection: self.number,
            },
            &CollectionRow::V1(gone),
        );
        Ok(())
    }
}

/// Whether a field of a collection refers to another.
pub(super) fn refers(collection: &Collection, number: u32) -> bool {
    collection
        .fields
        .iter()
        .any(|field| matches!(&field.kind, Kind::Reference { collection, .. } if *collection == number))
}
