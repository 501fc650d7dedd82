//! The entries that a record has in other tables: secondary indexes, unique values, references.
//!
//! One function lists them for a record; a change removes those that only the old record has and adds those that only the
//! new one has.

use storage::table::{IndexEntry, ReferenceEntry, UniqueEntry};
use storage::{Element, Space, Table};
use uuid::Uuid;

use super::schema::{Collection, FieldSpec, Kind};
use super::value::{Record, RecordRow, Value};
use crate::machine::envelope::EnvelopeError;
use crate::machine::reader::{Reader, decode};
use crate::machine::refusal::{Fault, Refusal, Stop};
use crate::machine::world::World;
use crate::mutant::Mutant;

/// Longest key of an entry, in bytes; the store takes keys up to 16 KiB.
pub(super) const KEY_BYTES: usize = 12 * 1024;

/// Where a record is: its collection and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) space: Space,
    pub(crate) collection: u32,
    pub(crate) id: Uuid,
}

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    /// The record.
    pub(crate) record: Record,
    /// How long its value is, in bytes: what changes the record counts what it takes (`totals`).
    pub(crate) length: usize,
}

impl std::ops::Deref for Found {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

impl Place {
    /// The record's key.
    pub(crate) fn key(self) -> storage::table::Record {
        storage::table::Record {
            space: self.space,
            collection: self.collection,
            id: self.id.into_bytes(),
        }
    }

    /// Reads the record.
    pub(crate) fn read(self, reader: &impl Reader) -> Result<Option<Record>, Fault> {
        Ok(self.find(reader)?.map(|found| found.record))
    }

    /// Reads the record, to change it.
    pub(crate) fn find(self, reader: &impl Reader) -> Result<Option<Found>, Fault> {
        let key = self.key();
        let Some(bytes) = reader.get(&key)? else { return Ok(None) };
        let RecordRow::V1(record) = decode(&key, &bytes)?;
        let length = bytes.len();
        Ok(Some(Found { record, length }))
    }
}

/// The entries of the non-unique indexes.
pub(super) fn index_entries(collection: &Collection, place: Place, record: &Record) -> Vec<IndexEntry> {
    let Place {
        space,
        collection: number,
        id,
    } = place;
    let plain = collection.indexes.iter().filter(|index| !index.unique);
    plain
        .map(|index| IndexEntry {
            space,
            collection: number,
            index: index.number,
            values: index.values(record),
            id: id.into_bytes(),
        })
        .collect()
}

/// The keys of the unique indexes; values with a null are not compared and have none.
pub(super) fn unique_entries(collection: &Collection, place: Place, record: &Record) -> Vec<UniqueEntry> {
    let unique = collection.indexes.iter().filter(|index| index.unique);
    unique
        .map(|index| (index.number, index.values(record)))
        .filter(|(_, values)| !values.contains(&Element::Null))
        .map(|(index, values)| UniqueEntry {
            space: place.space,
            collection: place.collection,
            index,
            values,
        })
        .collect()
}

/// The entries at the targets of references.
pub(super) fn reference_entries(collection: &Collection, place: Place, record: &Record) -> Vec<ReferenceEntry> {
    references_of(&collection.fields, place, record)
}

fn references_of(fields: &[FieldSpec], place: Place, record: &Record) -> Vec<ReferenceEntry> {
    let references = fields
        .iter()
        .filter_map(|field| match (&field.kind, record.doc.get(field.number)) {
            (Kind::Reference { collection, .. }, Some(Value::Reference(target))) => Some((*collection, field.number, *target)),
            _ => None,
        });
    references
        .map(|(target_collection, field, target)| ReferenceEntry {
            space: place.space,
            target_collection,
            target: target.into_bytes(),
            source_collection: place.collection,
            field: u32::from(field),
            source: place.id.into_bytes(),
        })
        .collect()
}

/// The keys of all entries of a record.
#[cfg(test)]
pub(super) fn all(collection: &Collection, place: Place, record: &Record) -> Vec<storage::Key> {
    let index = index_entries(collection, place, record)
        .iter()
        .map(Table::key)
        .collect::<Vec<_>>();
    let unique = unique_entries(collection, place, record)
        .iter()
        .map(Table::key)
        .collect::<Vec<_>>();
    let references = reference_entries(collection, place, record)
        .iter()
        .map(Table::key)
        .collect::<Vec<_>>();
    [index, unique, references].concat()
}

/// Refuses a record whose unique values are taken or whose references point nowhere. Writes nothing.
pub(crate) fn check(
    world: &World<'_>,
    collection: &Collection,
    place: Place,
    old: Option<&Record>,
    new: &Record,
) -> Result<(), Stop> {
    check_values(world, collection, place, new)?;
    check_references(world, collection, place, old, new)
}

/// Refuses a record whose unique values are taken. Writes nothing.
pub(super) fn check_values(world: &World<'_>, collection: &Collection, place: Place, new: &Record) -> Result<(), Stop> {
    for key in index_entries(collection, place, new)
        .iter()
        .map(Table::key)
        .chain(unique_entries(collection, place, new).iter().map(Table::key))
    {
        // Decide bounds the texts of an index; what the log holds must not stop a replica even where it did not.
        if key.as_bytes().len() > KEY_BYTES {
            let what = format!("the indexed values of the record make a key of more than {KEY_BYTES} bytes: shorten them");
            return Err(Refusal::TooLarge { what }.into());
        }
    }
    for entry in unique_entries(collection, place, new) {
        if let Some(bytes) = world.get(&entry)? {
            let holder = holder(&entry, &bytes)?;
            // Mutant, B17.
            if holder != place.id && !Mutant::UniqueNotChecked.active() {
                return Err(unique_violation(collection, entry.index, holder).into());
            }
        }
    }
    Ok(())
}

/// Refuses new references that point nowhere.
pub(super) fn check_references(
    world: &World<'_>,
    collection: &Collection,
    place: Place,
    old: Option<&Record>,
    new: &Record,
) -> Result<(), Stop> {
    for field in &collection.fields {
        let Kind::Reference {
            collection: target,
            name,
            ..
        } = &field.kind
        else {
            continue;
        };
        let Some(Value::Reference(id)) = new.doc.get(field.number) else {
            continue;
        };
        let unchanged = old.is_some_and(|old| old.doc.get(field.number) == new.doc.get(field.number));
        let itself = *target == place.collection && *id == place.id;
        // Mutant, B17, at the end.
        if unchanged || itself || Mutant::ReferenceNotChecked.active() {
            continue;
        }
        if world
            .get(
                &Place {
                    space: place.space,
                    collection: *target,
                    id: *id,
                }
                .key(),
            )?
            .is_none()
        {
            return Err(Refusal::ReferenceMissing {
                field: field.name.clone(),
                collection: name.clone(),
                id: *id,
            }
            .into());
        }
    }
    Ok(())
}

/// Replaces the entries of the old record by those of the new one.
pub(crate) fn replace(world: &mut World<'_>, collection: &Collection, place: Place, old: Option<&Record>, new: Option<&Record>) {
    let list = |entries: fn(&Collection, Place, &Record) -> Vec<IndexEntry>, record: Option<&Record>| {
        record.map_or_else(Vec::new, |record| entries(collection, place, record))
    };
    let (before, after) = (list(index_entries, old), list(index_entries, new));
    swap(world, &before, &after, |world, entry| world.put_key(entry));
    let list = |entries: fn(&Collection, Place, &Record) -> Vec<UniqueEntry>, record: Option<&Record>| {
        record.map_or_else(Vec::new, |record| entries(collection, place, record))
    };
    let (before, after) = (list(unique_entries, old), list(unique_entries, new));
    swap(world, &before, &after, |world, entry| world.put(entry, &place.id));
    let list = |entries: fn(&Collection, Place, &Record) -> Vec<ReferenceEntry>, record: Option<&Record>| {
        record.map_or_else(Vec::new, |record| entries(collection, place, record))
    };
    let (before, after) = (list(reference_entries, old), list(reference_entries, new));
    swap(world, &before, &after, |world, entry| world.put_key(entry));
}

/// Removes the entries of references that are no fields any more.
pub(super) fn forget_references(world: &mut World<'_>, fields: &[FieldSpec], place: Place, old: &Record) {
    for entry in references_of(fields, place, old) {
        world.delete(&entry);
    }
}

/// Removes what is only before, and adds what is only after.
fn swap<T: Table + PartialEq>(world: &mut World<'_>, before: &[T], after: &[T], add: impl Fn(&mut World<'_>, &T)) {
    for entry in before.iter().filter(|entry| !after.contains(entry)) {
        world.delete(entry);
    }
    for entry in after.iter().filter(|entry| !before.contains(entry)) {
        add(world, entry);
    }
}

/// The record that holds a unique value.
pub(super) fn holder(entry: &UniqueEntry, bytes: &[u8]) -> Result<Uuid, Fault> {
    crate::machine::envelope::open(bytes).map_err(|error: EnvelopeError| Fault::Row(entry.key().to_string(), error))
}

pub(super) fn unique_violation(collection: &Collection, index: u32, holder: Uuid) -> Refusal {
    let parts = collection
        .indexes
        .iter()
        .find(|spec| spec.number == index)
        .map(|spec| spec.parts.as_slice());
    let fields = parts
        .unwrap_or_default()
        .iter()
        .map(|part| collection.part_name(*part).to_owned())
        .collect();
    Refusal::Unique {
        collection: collection.name.clone(),
        fields,
        holder,
    }
}
