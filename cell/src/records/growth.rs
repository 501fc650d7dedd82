//! By how much a decided change makes a tenant's records more, as the leader sees it before it proposes.
//!
//! It is asked only where little room is left ([`crate::service`]'s room): it reads what is there once more, and builds rows to see how long they are.
//! What it says of bytes is what has to fit: a new row, or by how much a record becomes longer. The version that a change supersedes is kept
//! besides; it goes again with time.

use storage::{Snapshot, Space, Table};
use uuid::Uuid;

use super::entries::Place;
use super::totals::Growth;
use super::value::{Doc, Record, RecordRow};
use super::write::Operation;
use crate::machine::envelope::seal;
use crate::machine::refusal::Fault;
use crate::machine::rows::Actor;

/// What some operations add, those that take away counted against it: of records alone, because what is deleted is kept as a version.
pub(crate) fn of_operations(snapshot: &Snapshot, space: Space, operations: &[Operation]) -> Result<Growth, Fault> {
    let mut growth = Growth::default();
    for operation in operations {
        growth = growth.plus(match operation {
            Operation::Store { collection, id, doc, .. } => {
                let place = Place {
                    space,
                    collection: *collection,
                    id: *id,
                };
                of_store(snapshot, place, doc)?
            }
            Operation::Delete { .. } => Growth { records: -1, bytes: 0 },
            Operation::Check { .. } => Growth::default(),
        });
    }
    Ok(growth)
}

/// What it adds to store a document, of a record that may be there.
pub(crate) fn of_store(snapshot: &Snapshot, place: Place, doc: &Doc) -> Result<Growth, Fault> {
    Ok(match place.read(snapshot)? {
        None => of_new(place, doc),
        Some(old) => of_change(&old.doc, doc),
    })
}

/// What a new record adds.
pub(crate) fn of_new(place: Place, doc: &Doc) -> Growth {
    let record = Record {
        version: 1,
        created: u64::MAX >> 14,
        updated: u64::MAX >> 14,
        by: Actor::Token(Uuid::nil()),
        doc: doc.clone(),
    };
    let mut growth = Growth::default();
    growth.put(&place.key().key(), seal(&RecordRow::V1(record)).len(), None);
    growth
}

/// What a change adds that makes one document of another.
pub(crate) fn of_change(old: &Doc, new: &Doc) -> Growth {
    let (old, new) = (seal(old).len(), seal(new).len());
    Growth {
        records: 0,
        bytes: i64::try_from(new.saturating_sub(old)).unwrap_or(i64::MAX),
    }
}
