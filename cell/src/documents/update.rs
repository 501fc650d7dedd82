//! The command that adds an update to a document. No version and no event: what changes for readers of the record comes with its text.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rows::{UpdateRow, key, last};
use crate::machine::catalog::{Catalog, Catalogs};
use crate::machine::dispatch::Command;
use crate::machine::envelope::seal;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::world::World;
use crate::records::entries::Place;
use crate::records::schema::Kind;

/// Adds an update. Decided on the schema version that the command carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DocumentUpdate {
    pub(crate) collection: u32,
    pub(crate) id: Uuid,
    pub(crate) field: u16,
    /// The version that the record had when it was asked whether this may be; another one: it is asked again.
    pub(crate) version: u64,
    /// What a client sent.
    pub(crate) update: Vec<u8>,
}

impl Command for DocumentUpdate {
    /// The number of the update.
    type Reply = u64;

    fn apply(self, world: &mut World<'_>, catalogs: &Catalogs) -> Result<u64, Stop> {
        let version = world.live()?.schema;
        let catalog = catalogs.get(world, world.space, version)?;
        let place = document(world, &catalog, self.collection, self.id, self.field)?;
        let record = place.read(world)?;
        if record.is_none_or(|record| record.version != self.version) {
            return Err(Refusal::Stale.into());
        }
        let number = last(world, place, self.field)?.map_or(1, |last| last.saturating_add(1));
        let row = seal(&UpdateRow::V1(self.update));
        world.put_counted(&key(place, self.field, number), row.into(), None);
        Ok(number)
    }
}

/// The record whose field is a document.
pub(super) fn document(world: &World<'_>, catalog: &Catalog, collection: u32, id: Uuid, field: u16) -> Result<Place, Refusal> {
    let found = catalog.numbered(collection).filter(|collection| !collection.dropped);
    let found = found.and_then(|collection| collection.field_numbered(field));
    if !found.is_some_and(|field| field.kind == Kind::Document) {
        return Err(Refusal::Stale);
    }
    let space = world.space;
    Ok(Place { space, collection, id })
}
