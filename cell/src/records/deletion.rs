//! Deleting a record, and what its deletion does to those that refer to it: refuse, let go, or go too.

use storage::table::ReferenceEntry;
use storage::{Direction, Table};
use uuid::Uuid;

use super::entries::Place;
use super::evolve::shape::Shape;
use super::history;
use super::schema::{Deletion, Kind};
use super::write::put;
use crate::machine::catalog::Catalog;
use crate::machine::idempotency::bad_key;
use crate::machine::limits::{APPLY_KEYS, CASCADE_DEPTH};
use crate::machine::reader::Reader;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::rows::{EventKind, Subject};
use crate::machine::world::World;

/// Deletes a record that is there, and does to those that refer to it what their fields say.
pub(super) fn delete(world: &mut World<'_>, catalog: &Catalog, place: Place, depth: usize) -> Result<(), Stop> {
    let shape = Shape::find(catalog, place.collection)?;
    // A cycle of cascades comes back to a record that is gone already.
    let Some(old) = place.find(world)? else { return Ok(()) };
    if depth > CASCADE_DEPTH {
        let what = format!("the deletion cascades through more than {CASCADE_DEPTH} records: delete from the other end");
        return Err(Refusal::TooLarge { what }.into());
    }
    shape.replace(world, place, Some(&old), None)?;
    history::supersede(world, place, &old, true);
    world.delete_counted(place.key().key(), old.length);
    world.event(
        EventKind::RecordDeleted,
        Subject::Record(place.collection, place.id, old.version.saturating_add(1)),
    )?;
    world.check_size()?;
    for entry in referrers(world, place)? {
        release(world, catalog, &entry, depth)?;
    }
    Ok(())
}

/// The references to a record, as far as one command may follow them.
fn referrers(world: &World<'_>, place: Place) -> Result<Vec<ReferenceEntry>, Stop> {
    let range = ReferenceEntry::range(place.space, place.collection, place.id.into_bytes());
    let mut entries = Vec::new();
    for row in world.scan(range, Direction::Forward).take(APPLY_KEYS) {
        let (key, _) = row?;
        entries.push(ReferenceEntry::parse(key.as_bytes()).map_err(|error| bad_key(&key, &error))?);
    }
    Ok(entries)
}

/// Does what one reference says when its target goes.
fn release(world: &mut World<'_>, catalog: &Catalog, entry: &ReferenceEntry, depth: usize) -> Result<(), Stop> {
    let shape = Shape::find(catalog, entry.source_collection)?;
    let collection = &shape.collection;
    let place = Place {
        space: entry.space,
        collection: entry.source_collection,
        id: Uuid::from_bytes(entry.source),
    };
    let field = collection.fields.iter().find(|field| u32::from(field.number) == entry.field);
    let Some(Kind::Reference { on_delete, .. }) = field.map(|field| &field.kind) else {
        return Ok(());
    };
    // The record may be gone already: it was reached through another reference of the same deletion.
    let Some(old) = place.find(world)? else { return Ok(()) };
    match on_delete {
        Deletion::Restrict => Err(Refusal::Referenced {
            collection: collection.name.clone(),
            id: place.id,
        }
        .into()),
        Deletion::Cascade => delete(world, catalog, place, depth + 1),
        Deletion::SetNull => {
            let mut new = old.record.clone();
            new.doc.set(u16::try_from(entry.field).unwrap_or(u16::MAX), None);
            new.version = old.version.saturating_add(1);
            new.updated = world.stamp;
            shape.refit(world, place, &old, &mut new.doc)?;
            put(world, &shape, place, Some(&old), new)?;
            world.check_size()?;
            Ok(())
        }
    }
}
