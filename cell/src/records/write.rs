//! The command that changes records: any number of operations over any collections of a tenant, all or none.
//!
//! Each operation first checks everything that could refuse it and only then writes, so that an import can leave one
//! record out and go on with the next.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use storage::table::Sequence;
use uuid::Uuid;

use super::deletion::delete;
use super::entries::{Found, Place};
use super::evolve::shape::Shape;
use super::history;
use super::schema::{Collection, Kind};
use super::value::{Doc, Record, RecordRow, Value};
use crate::machine::catalog::{Catalog, Catalogs};
use crate::machine::dispatch::Command;
use crate::machine::envelope::seal;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Fault, Refusal, Stop};
use crate::machine::rows::{EventKind, Subject};
use crate::machine::world::World;
use crate::mutant::Mutant;

/// What must hold of the record before an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Expect {
    /// Nothing.
    Any,
    /// It is not there.
    Absent,
    /// It is there.
    Present,
    /// `If-Match`: it has this version, or the request is refused.
    Match(u64),
    /// Decide read this version: if it has another one, decide again.
    Read(u64),
    /// It is not there and never was: its id was made for it. Nothing is asked about its history.
    Fresh,
}

/// One operation. Append only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Operation {
    /// Stores a document.
    Store {
        collection: u32,
        id: Uuid,
        expect: Expect,
        doc: Doc,
        /// When it was created, where an import says so.
        created: Option<u64>,
    },
    /// Deletes a record.
    Delete { collection: u32, id: Uuid, expect: Expect },
    /// Changes nothing.
    Check { collection: u32, id: Uuid, expect: Expect },
}

/// Changes records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RecordsWrite {
    pub(crate) operations: Vec<Operation>,
}

/// What one operation did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Written {
    /// The record.
    pub(crate) id: Uuid,
    /// Whether the record is new.
    pub(crate) created: bool,
    /// The record's row after the operation; none: it is gone, or was only checked.
    pub(crate) row: Option<Bytes>,
}

impl Command for RecordsWrite {
    type Reply = Vec<Written>;

    fn apply(self, world: &mut World<'_>, catalogs: &Catalogs) -> Result<Vec<Written>, Stop> {
        let version = world.live()?.schema;
        let catalog = catalogs.get(world, world.space, version)?;
        let many = self.operations.len() > 1;
        let mut written = Vec::with_capacity(self.operations.len());
        for (number, operation) in self.operations.into_iter().enumerate() {
            match operate(world, &catalog, operation) {
                Ok(done) => written.push(done),
                Err(Stop::Refused(refusal)) if many && refusal != Refusal::Stale => {
                    return Err(Refusal::At {
                        operation: number,
                        refusal: Box::new(refusal),
                    }
                    .into());
                }
                Err(stop) => return Err(stop),
            }
            world.check_size()?;
        }
        Ok(written)
    }
}

fn operate(world: &mut World<'_>, catalog: &Catalog, operation: Operation) -> Result<Written, Stop> {
    match operation {
        Operation::Store {
            collection,
            id,
            expect,
            doc,
            created,
        } => {
            let shape = Shape::find(catalog, collection)?;
            let place = Place {
                space: world.space,
                collection,
                id,
            };
            store(world, &shape, place, expect, doc, created)
        }
        Operation::Delete { collection, id, expect } => {
            let shape = Shape::find(catalog, collection)?;
            let place = Place {
                space: world.space,
                collection,
                id,
            };
            expected(world, &shape.collection, place, expect)?;
            delete(world, catalog, place, 0)?;
            Ok(Written {
                id,
                created: false,
                row: None,
            })
        }
        Operation::Check { collection, id, expect } => {
            let shape = Shape::find(catalog, collection)?;
            let place = Place {
                space: world.space,
                collection,
                id,
            };
            expected(world, &shape.collection, place, expect)?;
            Ok(Written {
                id,
                created: false,
                row: None,
            })
        }
    }
}

/// Reads a record and compares it with what is expected.
fn expected(world: &World<'_>, collection: &Collection, place: Place, expect: Expect) -> Result<Option<Found>, Stop> {
    let expect = match expect {
        Expect::Match(_) | Expect::Read(_) if Mutant::VersionNotCompared.active() => Expect::Present, // Mutant: lost updates.
        expect => expect,
    };
    let old = place.find(world)?;
    let what = || format!("{}/{}", collection.name, place.id);
    match (expect, old.as_ref().map(|record| record.version)) {
        (Expect::Any, _) | (Expect::Absent | Expect::Fresh, None) | (Expect::Present, Some(_)) => Ok(old),
        (Expect::Absent | Expect::Fresh, Some(_)) => Err(Refusal::AlreadyExists { what: what() }.into()),
        (Expect::Match(wanted), Some(current)) if wanted != current => Err(Refusal::VersionMismatch { current }.into()),
        // An earlier operation of this very command changed it (a deletion that lets go of references): deciding again would
        // end the same way.
        (Expect::Read(read), Some(current)) if current != read && old.as_ref().is_some_and(|old| old.updated == world.stamp) => {
            Err(Refusal::VersionMismatch { current }.into())
        }
        (Expect::Read(read), current) if current != Some(read) => Err(Refusal::Stale.into()),
        (Expect::Present | Expect::Match(_), None) => Err(Refusal::NotFound { what: what() }.into()),
        (Expect::Match(_) | Expect::Read(_), _) => Ok(old),
    }
}

/// Stores one record with its entries, its sequences and its event.
pub(crate) fn store(
    world: &mut World<'_>,
    shape: &Shape,
    place: Place,
    expect: Expect,
    mut doc: Doc,
    created: Option<u64>,
) -> Result<Written, Stop> {
    let old = expected(world, &shape.collection, place, expect)?;
    let counters = shape.complete(world, place, old.as_deref(), &mut doc)?;
    let new = Record {
        version: match &old {
            Some(old) => old.version.saturating_add(1),
            None if expect == Expect::Fresh => 1,
            None => history::first_version(world, place)?,
        },
        created: old.as_ref().map(|old| old.created).or(created).unwrap_or(world.stamp),
        updated: world.stamp,
        by: old.as_ref().map_or_else(|| world.actor.clone(), |old| old.by.clone()),
        doc,
    };
    shape.check(world, place, old.as_deref(), &new)?;
    for (key, last) in counters {
        world.put(&key, &last);
    }
    let row = put(world, shape, place, old.as_ref(), new)?;
    Ok(Written {
        id: place.id,
        created: old.is_none(),
        row: Some(row),
    })
}

/// Writes a checked record.
pub(crate) fn put(world: &mut World<'_>, shape: &Shape, place: Place, old: Option<&Found>, new: Record) -> Result<Bytes, Stop> {
    let kind = if old.is_some() {
        EventKind::RecordUpdated
    } else {
        EventKind::RecordCreated
    };
    world.event(kind, Subject::Record(place.collection, place.id, new.version))?;
    if let Some(old) = old {
        history::supersede(world, place, old, false);
    }
    shape.replace(world, place, old.map(|old| &old.record), Some(&new))?;
    let row = Bytes::from(seal(&RecordRow::V1(new)));
    world.put_counted(&place.key(), row.clone(), old.map(|old| old.length));
    Ok(row)
}

/// Fills in the texts of documents, which are kept, and sequences: kept from the old record, raised by a number that the request gives, otherwise the next one. Returns
/// the counters to store. Numbers are never used again, because a counter never goes down.
pub(super) fn number(
    world: &World<'_>,
    collection: &Collection,
    place: Place,
    old: Option<&Record>,
    doc: &mut Doc,
) -> Result<Vec<(Sequence, i64)>, Fault> {
    let mut counters = Vec::new();
    for field in &collection.fields {
        if field.kind == Kind::Document {
            // What its document says is said by nobody else.
            doc.set(field.number, old.and_then(|old| old.doc.get(field.number)).cloned());
        }
        let Kind::Sequence { per } = &field.kind else { continue };
        if doc.get(field.number).is_none()
            && let Some(kept) = old.and_then(|old| old.doc.get(field.number))
        {
            doc.set(field.number, Some(kept.clone()));
            continue;
        }
        let scope = match per.and_then(|per| doc.get(per)) {
            Some(Value::Reference(id)) => id.into_bytes(),
            _ => [0; 16],
        };
        let key = Sequence {
            space: place.space,
            collection: place.collection,
            field: u32::from(field.number),
            scope,
        };
        let last: i64 = world.row(&key)?.unwrap_or(0);
        let given = match doc.get(field.number) {
            Some(Value::Integer(given)) => *given,
            _ => last.saturating_add(1),
        };
        doc.set(field.number, Some(Value::Integer(given)));
        // Mutant: one number in eight is given twice.
        let forgotten = Mutant::SequenceReused.active() && world.stamp.is_multiple_of(8);
        if given > last && !forgotten {
            counters.push((key, given));
        }
    }
    Ok(counters)
}
