//! By how much a decided change makes a tenant's records more, as the leader sees it before it proposes.
//!
//! It is asked only where little room is left ([`crate::service`]'s room): it reads what is there once more, and builds rows to see how
//! long they are.
//! The operations of one command follow each other: each is looked at as those before it leave the record, so that a record that is
//! deleted and made again is one, and one that is made and changed at once is no more than that.
//!
//! What a deletion takes along or lets go of is not counted, nor what the machine fills in where the operation is applied.

use std::collections::BTreeMap;

use storage::{Snapshot, Space, Table};
use uuid::Uuid;

use super::entries::{Found, Place};
use super::totals::Growth;
use super::value::{Doc, Record, RecordRow};
use super::write::Operation;
use crate::machine::envelope::seal;
use crate::machine::refusal::Fault;
use crate::machine::rows::Actor;

/// What the row of a version has beyond that of its record, in bytes: the number of the version in its key, when and by whom it was
/// superseded.
const VERSION_MORE: usize = 64;

/// How long the row of a record is, and the document in it, in bytes.
#[derive(Clone, Copy)]
struct Length {
    row: usize,
    doc: usize,
}

impl Length {
    fn of(found: &Found) -> Self {
        Self {
            row: found.length,
            doc: seal(&found.record.doc).len(),
        }
    }

    fn of_new(doc: &Doc) -> Self {
        let record = Record {
            version: 1,
            created: u64::MAX >> 14,
            updated: u64::MAX >> 14,
            by: Actor::Token(Uuid::nil()),
            doc: doc.clone(),
        };
        Self {
            row: seal(&RecordRow::V1(record)).len(),
            doc: seal(doc).len(),
        }
    }

    /// With another document.
    fn with(self, doc: &Doc) -> Self {
        let doc = seal(doc).len();
        Self {
            row: (self.row + doc).saturating_sub(self.doc),
            doc,
        }
    }
}

/// What some operations of one command add, those that take away counted against it.
pub(crate) fn of_operations(snapshot: &Snapshot, space: Space, operations: &[Operation]) -> Result<Growth, Fault> {
    let (mut growth, mut records) = (Growth::default(), BTreeMap::new());
    for operation in operations {
        let (collection, id, doc) = match operation {
            Operation::Store { collection, id, doc, .. } => (*collection, *id, Some(doc)),
            Operation::Delete { collection, id, .. } => (*collection, *id, None),
            Operation::Check { .. } => continue,
        };
        let place = Place { space, collection, id };
        let before = match records.get(&place) {
            Some(known) => *known,
            None => place.find(snapshot)?.map(|found| Length::of(&found)),
        };
        let after = match (doc, before) {
            (None, _) => None,
            (Some(doc), Some(before)) => Some(before.with(doc)),
            (Some(doc), None) => Some(Length::of_new(doc)),
        };
        growth = growth.plus(between(place, before, after));
        records.insert(place, after);
    }
    Ok(growth)
}

/// What a new record adds.
pub(crate) fn of_new(place: Place, doc: &Doc) -> Growth {
    between(place, None, Some(Length::of_new(doc)))
}

/// What a change adds that makes of a record's document another one. It may still be refused, so that one that becomes shorter gives
/// nothing back.
pub(crate) fn of_change(place: Place, old: &Found, new: &Doc) -> Growth {
    let before = Length::of(old);
    let growth = between(place, Some(before), Some(before.with(new)));
    Growth {
        bytes: growth.bytes.max(0),
        ..growth
    }
}

/// What it adds that one row of a record comes in the place of another; none: there is no record. What was there becomes a version.
fn between(place: Place, before: Option<Length>, after: Option<Length>) -> Growth {
    let (key, mut growth) = (place.key().key(), Growth::default());
    let was = before.map(|before| before.row);
    match (was, after) {
        (_, Some(after)) => growth.put(&key, after.row, was),
        (Some(was), None) => growth.delete(&key, was),
        (None, None) => {}
    }
    if let Some(was) = was {
        let version = key.as_bytes().len() + was + VERSION_MORE;
        growth.versions = i64::try_from(version).unwrap_or(i64::MAX);
    }
    growth
}
