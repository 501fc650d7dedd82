//! Import: lines become commands of some hundred records each; the import's checkpoint is in the same commit.
//!
//! A line that is wrong is reported with its number and stops nothing else. The checkpoint makes a second attempt under the
//! same `Import-Id` skip what is stored: a command whose lines are below it changes nothing.
//!
//! With `upsert` a line changes the record that has its value of a unique field, and makes one where there is none. Which of the two it is
//! is found out where it is applied, in the order of the lines.

use api::error::{Code, Error};
use serde::{Deserialize, Serialize};
use storage::table::UniqueEntry;
use storage::{Snapshot, Space};

use super::admit::references;
use super::decide::View;
use super::entries::{Place, holder, unique_violation};
use super::evolve::shape::Shape;
use super::growth;
use super::import::{Imported, Span, advance};
use super::line::Line;
use super::schema::Collection;
use super::totals::Growth;
use super::value::Record;
use super::write::{Expect, store};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Fault, Refusal, Stop};
use crate::machine::world::World;
use crate::service::error::internal;

/// Most lines of one command.
pub(crate) const CHUNK_LINES: usize = 500;
/// Most bytes of lines of one command: together with the larger of two lines still below the limit of a command.
pub(crate) const CHUNK_BYTES: usize = 512 * 1024;

/// Stores some lines of an import, and keeps what they supersede.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ImportLines {
    /// The digest of the import's name.
    pub(crate) import: [u8; 32],
    /// The collection.
    pub(crate) collection: u32,
    /// The unique field by which lines find the records that they change.
    pub(crate) upsert: Option<u16>,
    /// The checkpoint that these lines follow.
    pub(crate) after: u64,
    /// The checkpoint after them.
    pub(crate) last: u64,
    /// The lines, in their order.
    pub(crate) lines: Vec<Line>,
    /// Lines between `after` and `last` that were refused before the log.
    pub(crate) refused: u64,
}

impl Command for ImportLines {
    type Reply = Imported;

    fn apply(self, world: &mut World<'_>, catalogs: &Catalogs) -> Result<Imported, Stop> {
        let version = world.live()?.schema;
        world.keep_history();
        let catalog = catalogs.get(world, world.space, version)?;
        let shape = Shape::find(&catalog, self.collection)?;
        let span = Span {
            import: self.import,
            after: self.after,
            last: self.last,
            refused: self.refused,
        };
        let upsert = self.upsert;
        let lines = self.lines.into_iter().map(|line| (line.number, line));
        advance(world, span, lines, |world, line| take(world, &shape, upsert, line))
    }
}

/// Stores one line.
fn take(world: &mut World<'_>, shape: &Shape, upsert: Option<u16>, line: Line) -> Result<(), Stop> {
    let place = Place {
        space: world.space,
        collection: shape.collection.number,
        id: line.id,
    };
    // Rules were asked about a record that was not there: if there is one now, its value is taken.
    if let Some(there) = there(world, &shape.collection, place, upsert, &line)?
        && line.expect != Expect::Absent
        && let Some(change) = &line.change
        && let Some(old) = there.place.read(world)?
    {
        if line.own_id && there.place.id != line.id {
            return Err(unique_violation(&shape.collection, there.index, there.place.id).into());
        }
        let doc = change.apply(&old.doc);
        return store(world, shape, there.place, line.expect, doc, None).map(|_| ());
    }
    let doc = line.whole.map_err(|errors| Refusal::Invalid { errors })?;
    let expect = if line.own_id { Expect::Absent } else { Expect::Fresh };
    store(world, shape, place, expect, doc, line.created).map(|_| ())
}

/// What a line adds to a tenant's records. One that is refused adds nothing.
pub(crate) fn growth_of(
    snapshot: &Snapshot,
    space: Space,
    collection: &Collection,
    upsert: Option<u16>,
    line: &Line,
) -> Result<Growth, Fault> {
    let place = Place {
        space,
        collection: collection.number,
        id: line.id,
    };
    if let Some(there) = there(snapshot, collection, place, upsert, line)?
        && let Some(change) = &line.change
        && let Some(old) = there.place.find(snapshot)?
    {
        return Ok(growth::of_change(there.place, &old, &change.apply(&old.doc)));
    }
    match &line.whole {
        Ok(_) if line.own_id && place.read(snapshot)?.is_some() => Ok(Growth::default()),
        Ok(doc) => Ok(growth::of_new(place, doc)),
        Err(_) => Ok(Growth::default()),
    }
}

/// The record that a line changes, and the index that it was found by.
struct There {
    place: Place,
    index: u32,
}

fn there(
    reader: &impl Reader,
    collection: &Collection,
    place: Place,
    upsert: Option<u16>,
    line: &Line,
) -> Result<Option<There>, Fault> {
    let field = upsert.and_then(|number| collection.field_numbered(number));
    let Some((field, index)) = field.and_then(|field| Some((field, field.unique?))) else {
        return Ok(None);
    };
    let Some(value) = line.change.as_ref().and_then(|change| change.value(field.number)) else {
        return Ok(None);
    };
    let entry = UniqueEntry {
        space: place.space,
        collection: collection.number,
        index,
        values: vec![value.element()],
    };
    let Some(bytes) = reader.get(&entry)? else { return Ok(None) };
    let id = holder(&entry, &bytes)?;
    Ok(Some(There {
        place: Place { id, ..place },
        index,
    }))
}

/// The unique field that lines find their records by.
pub(crate) fn upsert_field(collection: &Collection, name: &str) -> Result<u16, Error> {
    let field = collection.field(name).filter(|field| field.unique.is_some());
    field.map(|field| field.number).ok_or_else(|| {
        let unique = collection.fields.iter().filter(|field| field.unique.is_some());
        let unique: Vec<_> = unique.map(|field| field.name.as_str()).collect();
        let has = match unique.as_slice() {
            [] => "it has none".to_owned(),
            unique => format!("it has: {}", unique.join(", ")),
        };
        let detail = format!("upsert: {name:?} is not a unique field of {}; {has}", collection.name);
        Error::new(Code::InvalidParameter, detail)
    })
}

/// Refuses a line that rules do not let through. What they looked at must still hold where it is applied.
pub(crate) fn admit(view: &View<'_>, collection: &Collection, upsert: Option<u16>, line: &mut Line) -> Result<(), Error> {
    let Some(asker) = view.asker.as_ref().filter(|asker| asker.is_bound()) else {
        return Ok(());
    };
    let fault = |fault: Fault| internal(&fault);
    let there = there(view.snapshot, collection, view.place(collection, line.id), upsert, line).map_err(fault)?;
    let old = match &there {
        Some(there) => there.place.read(view.snapshot).map_err(fault)?,
        None => None,
    };
    let guard = view.guard(collection).map(|(guard, _)| guard);
    let id = there.map_or(line.id, |there| there.place.id);
    let sees = |record: &Record| guard.is_none_or(|guard| guard.shows(asker, id, record));
    match (old.filter(sees), &line.change) {
        (Some(old), Some(change)) => {
            let doc = change.apply(&old.doc);
            if let Some(guard) = guard {
                guard.update(asker, collection, id, &old, &doc)?;
            }
            line.expect = Expect::Read(old.version);
            references(view, asker, collection.number, id, &doc)
        }
        _ => {
            line.expect = Expect::Absent;
            // What is not whole is refused where it is applied.
            let Ok(doc) = &line.whole else { return Ok(()) };
            if let Some(guard) = guard {
                guard.import(asker, collection, line.id, doc)?;
            }
            references(view, asker, collection.number, line.id, doc)
        }
    }
}
