//! The entries that a record has only for the schema that its collection is to have.
//!
//! They differ from those of the schema itself in one thing: a record that has not been brought along has none yet, and may be about to
//! have a unique value that another record has already. What another holds is neither taken from it nor overwritten.

use storage::Table;
use storage::table::UniqueEntry;

use super::super::entries::{self, KEY_BYTES, Place, holder, index_entries, reference_entries, unique_entries, unique_violation};
use super::super::schema::Collection;
use super::super::value::Record;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Fault, Stop};
use crate::machine::world::World;

/// Refuses new values that are taken, and new references that point nowhere. What the record has had all along waits for its turn.
pub(super) fn check(world: &World<'_>, extra: &Collection, place: Place, old: Option<&Record>, new: &Record) -> Result<(), Stop> {
    let before = old.map_or_else(Vec::new, |old| unique_entries(extra, place, old));
    for entry in short(unique_entries(extra, place, new)) {
        if !before.contains(&entry)
            && let Some(other) = held_by(world, &entry)?.filter(|holder| *holder != place.id)
        {
            return Err(unique_violation(extra, entry.index, other).into());
        }
    }
    entries::check_references(world, extra, place, old, new)
}

/// Replaces the entries of the old record by those of the new one.
pub(super) fn replace(
    world: &mut World<'_>,
    extra: &Collection,
    place: Place,
    old: Option<&Record>,
    new: Option<&Record>,
) -> Result<(), Stop> {
    let list = |record: Option<&Record>| record.map_or_else(Vec::new, |record| unique_entries(extra, place, record));
    let (before, after) = (list(old), list(new));
    for entry in short(before).filter(|entry| !after.contains(entry)) {
        if held_by(world, &entry)? == Some(place.id) {
            world.delete(&entry);
        }
    }
    for entry in short(after) {
        if held_by(world, &entry)?.is_none() {
            world.put(&entry, &place.id);
        }
    }
    let list = |record: Option<&Record>| record.map_or_else(Vec::new, |record| index_entries(extra, place, record));
    swap(world, list(old), list(new));
    let list = |record: Option<&Record>| record.map_or_else(Vec::new, |record| reference_entries(extra, place, record));
    swap(world, list(old), list(new));
    Ok(())
}

/// Removes what is only before, and puts all that is after: it may not be there yet, although nothing has changed.
fn swap<T: Table + PartialEq>(world: &mut World<'_>, before: Vec<T>, after: Vec<T>) {
    for entry in short(before).filter(|entry| !after.contains(entry)) {
        world.delete(&entry);
    }
    for entry in short(after) {
        world.put_key(&entry);
    }
}

/// Without those that no key can hold: their records do not fit, and have not been brought along.
fn short<T: Table>(entries: Vec<T>) -> impl Iterator<Item = T> {
    entries.into_iter().filter(|entry| entry.key().as_bytes().len() <= KEY_BYTES)
}

fn held_by(world: &World<'_>, entry: &UniqueEntry) -> Result<Option<uuid::Uuid>, Fault> {
    world.get(entry)?.map(|bytes| holder(entry, &bytes)).transpose()
}
