//! What a step does in each phase of an operation.

use storage::table::{self, IndexEntry, Record as RecordKey, UniqueEntry};
use storage::{Direction, KeyRange, Table};
use uuid::Uuid;

use super::super::documents;
use super::super::entries::{self, Found, Place};
use super::super::history;
use super::super::schema::FieldSpec;
use super::super::value::{Record, RecordRow};
use super::drop::forget_schema;
use super::shape::Shape;
use super::work::{FAILURES, Leftovers, Phase, Work};
use crate::machine::catalog::Catalog;
use crate::machine::envelope::seal;
use crate::machine::idempotency::bad_key;
use crate::machine::limits::APPLY_KEYS;
use crate::machine::reader::{Reader, decode};
use crate::machine::refusal::{Fault, Refusal, Stop};
use crate::machine::world::World;
use crate::mutant::Mutant;

/// Most records of one step. Raised: other writes of the cell wait longer for a step. Lowered: an operation takes longer.
const STEP_RECORDS: usize = 128;
/// Most bytes of records that one step reads.
const STEP_BYTES: usize = 512 * 1024;
/// Most keys that one step removes.
const STEP_KEYS: usize = 2_000;
/// A step ends once it has touched this many keys: one more record still fits into a command.
const FULL_KEYS: usize = APPLY_KEYS / 2;

/// Some records of a collection after one of them.
fn records(world: &World<'_>, collection: u32, after: Option<Uuid>) -> Result<Vec<(Place, Found)>, Fault> {
    let space = world.space;
    let mut range = RecordKey::range(space, collection);
    if let Some(id) = after {
        let place = Place { space, collection, id };
        range = range.after(&place.key().key());
    }
    let (mut some, mut bytes) = (Vec::new(), 0);
    for row in world.scan(range, Direction::Forward).take(STEP_RECORDS) {
        let (raw, value) = row?;
        let key = RecordKey::parse(raw.as_bytes()).map_err(|error| bad_key(&raw, &error))?;
        let RecordRow::V1(record) = decode(&key, &value)?;
        let length = value.len();
        bytes += length;
        let id = Uuid::from_bytes(key.id);
        some.push((Place { space, collection, id }, Found { record, length }));
        if bytes >= STEP_BYTES {
            break;
        }
    }
    Ok(some)
}

/// Brings some records along. Answers the last of them; none: there are no more.
pub(super) fn fit(world: &mut World<'_>, catalog: &Catalog, work: &mut Work, after: Option<Uuid>) -> Result<Option<Uuid>, Stop> {
    let shape = Shape::find(catalog, work.collection)?;
    let mut last = None;
    let some = records(world, work.collection, after)?;
    let end = some.last().map(|(place, _)| place.id);
    for (place, old) in some {
        // What fails, fails: a hundred examples are enough to mend it.
        if work.failures.len() >= FAILURES || world.touched() > FULL_KEYS {
            break;
        }
        last = Some(place.id);
        work.done = work.done.saturating_add(1);
        // Mutant, without a number.
        if Mutant::BackfillSkipsARecord.active() && end == last {
            continue;
        }
        match fit_one(world, &shape, place, old) {
            Ok(()) => {}
            Err(Stop::Refused(refusal)) => work.fail(place.id, refusal),
            Err(stop) => return Err(stop),
        }
    }
    Ok(last)
}

/// Brings one record along. It has the version that it had: nobody has changed it.
fn fit_one(world: &mut World<'_>, shape: &Shape, place: Place, old: Found) -> Result<(), Stop> {
    let doc = shape.bring_along(world, place, &old)?;
    if doc != old.doc {
        let new = Record { doc, ..old.record };
        world.put_counted(&place.key(), seal(&RecordRow::V1(new)).into(), Some(old.length));
    }
    Ok(())
}

/// Takes away some of what is not used any more. Answers what is left; none: nothing.
pub(super) fn clean(world: &mut World<'_>, work: &mut Work, mut left: Leftovers) -> Result<Option<Leftovers>, Stop> {
    let (space, collection) = (world.space, work.collection);
    if let Some(index) = left.indexes.first().copied() {
        let entries = IndexEntry::range(space, collection, index, &[]);
        let unique = UniqueEntry::range(space, collection, index);
        let removed = remove(world, [entries, unique])?;
        work.done = work.done.saturating_add(removed as u64);
        if removed < STEP_KEYS {
            left.indexes.remove(0);
        }
        return Ok(Some(left));
    }
    if left.fields.is_empty() {
        return Ok(None);
    }
    let some = records(world, collection, left.record)?;
    let Some((last, _)) = some.last() else {
        // Each field of many has few counters, or is one of few.
        let counters = left
            .fields
            .iter()
            .map(|field| table::Sequence::of_field(space, collection, u32::from(field.number)));
        if remove(world, counters)? == STEP_KEYS {
            return Ok(Some(left));
        }
        // The catalog knows of them no more.
        let header = world.header_mut()?;
        header.schema = header.schema.saturating_add(1);
        return Ok(None);
    };
    left.record = Some(last.id);
    for (place, old) in some {
        work.done = work.done.saturating_add(1);
        forget_fields(world, place, old, &left.fields)?;
    }
    Ok(Some(left))
}

/// Takes the values of some fields out of a record, and the references that they were.
fn forget_fields(world: &mut World<'_>, place: Place, old: Found, fields: &[FieldSpec]) -> Result<(), Stop> {
    documents::forget(world, place, fields)?;
    let mut new = old.record.clone();
    fields.iter().for_each(|field| new.doc.set(field.number, None));
    if new.doc == old.doc {
        return Ok(());
    }
    entries::forget_references(world, fields, place, &old);
    world.put_counted(&place.key(), seal(&RecordRow::V1(new)).into(), Some(old.length));
    Ok(())
}

/// Erases some of a collection, after a record that has gone. Answers where to go on; none: that was all.
pub(super) fn erase(
    world: &mut World<'_>,
    catalog: &Catalog,
    work: &mut Work,
    after: Option<Uuid>,
) -> Result<Option<Phase>, Stop> {
    let (space, number) = (world.space, work.collection);
    let collection = catalog.numbered(number).ok_or(Refusal::Stale)?;
    let some = records(world, number, after)?;
    if !some.is_empty() {
        let mut last = after;
        for (place, old) in some {
            if world.touched() > FULL_KEYS {
                break;
            }
            entries::replace(world, collection, place, Some(&old), None);
            documents::forget(world, place, &collection.fields)?;
            if let Some(fields) = catalog.retired(number) {
                entries::forget_references(world, fields, place, &old);
            }
            world.delete_counted(place.key().key(), old.length);
            work.done = work.done.saturating_add(1);
            last = Some(place.id);
        }
        return Ok(Some(Phase::Erase(last)));
    }
    let counters = table::Sequence::of_collection(space, number);
    if erase_history(world, number)? || remove(world, [counters])? == STEP_KEYS {
        return Ok(Some(Phase::Erase(after)));
    }
    forget_schema(world, collection.as_ref().clone());
    let header = world.header_mut()?;
    header.schema = header.schema.saturating_add(1);
    Ok(None)
}

/// Erases some superseded versions of a collection. False: there are none.
fn erase_history(world: &mut World<'_>, collection: u32) -> Result<bool, Stop> {
    let space = world.space;
    let range = table::History::of_collection(space, collection);
    let some: Vec<_> = world
        .scan(range, Direction::Forward)
        .take(STEP_KEYS / 2)
        .collect::<Result<_, _>>()?;
    let any = !some.is_empty();
    for (raw, bytes) in some {
        let key = table::History::parse(raw.as_bytes()).map_err(|error| bad_key(&raw, &error))?;
        world.delete(&history::age(&key, &bytes)?);
        world.delete_counted(raw, bytes.len());
    }
    Ok(any)
}

/// Removes keys of some ranges; how many.
fn remove(world: &mut World<'_>, ranges: impl IntoIterator<Item = KeyRange>) -> Result<usize, Stop> {
    let mut keys = Vec::new();
    for range in ranges {
        let left = STEP_KEYS - keys.len();
        for row in world.scan(range, Direction::Forward).take(left) {
            keys.push(row?.0);
        }
    }
    let count = keys.len();
    keys.into_iter().for_each(|key| world.delete_raw(key));
    Ok(count)
}
