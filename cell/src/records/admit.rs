//! Admission: what stands between an operation and its decision: the guard of its collection, and references to what who asks may not
//! see. What was looked at is pinned: the command carries the version of the record that the guard saw.

use api::body::record::{BatchOperation, BatchVerb};
use api::error::{Code, Error};
use uuid::Uuid;

use super::decide::{Pending, View, intend, missing};
use super::guard::Asker;
use super::schema::{Collection, Kind};
use super::value::{Doc, Record, Value};
use super::write::{Expect, Operation};
use crate::machine::refusal::Refusal;
use crate::service::error::refused;

/// What an operation does, if nothing stands in its way: the guard of its collection, or a reference to what who asks may not see.
pub(super) fn operate(view: &View<'_>, operation: &BatchOperation, pending: &mut Pending, at: &str) -> Result<Operation, Error> {
    let intended = guarded(view, operation, pending, at)?;
    if let (Some(asker), Operation::Store { collection, id, doc, .. }) = (&view.asker, &intended) {
        references(view, asker, *collection, *id, doc)?;
    }
    Ok(intended)
}

/// Refuses a new reference to a record that is hidden from who asks, as if it were not there.
pub(super) fn references(view: &View<'_>, asker: &Asker<'_>, collection: u32, id: Uuid, doc: &Doc) -> Result<(), Error> {
    let Some(collection) = view.catalog.numbered(collection) else {
        return Ok(());
    };
    for field in &collection.fields {
        let (
            Kind::Reference {
                collection: target,
                name,
                ..
            },
            Some(Value::Reference(to)),
        ) = (&field.kind, doc.get(field.number))
        else {
            continue;
        };
        let target = view.catalog.numbered(*target);
        let Some((target, guard)) = target.and_then(|target| Some((target, view.catalog.guard(target)?))) else {
            continue;
        };
        if view
            .stored(target, *to)?
            .is_none_or(|record| guard.shows(asker, *to, &record))
        {
            continue;
        }
        // What was there before it was hidden may stay.
        let old = view.stored(collection, id)?;
        if old.is_none_or(|old| old.doc.get(field.number) != doc.get(field.number)) {
            let (field, collection, id) = (field.name.clone(), name.clone(), *to);
            return Err(refused(&Refusal::ReferenceMissing { field, collection, id }));
        }
    }
    Ok(())
}

/// What an operation does, if the guard of its collection lets it through. What the guard looked at must still hold in apply.
fn guarded(view: &View<'_>, operation: &BatchOperation, pending: &mut Pending, at: &str) -> Result<Operation, Error> {
    let collection = view.collection(operation.collection.as_str())?;
    let Some((guard, asker)) = view.guard(collection) else {
        return intend(view, operation, pending, at);
    };
    let no_id = || Error::new(Code::InvalidFields, "the operation needs the id of a record");
    let id = operation.id.ok_or_else(no_id)?.0;
    let old = match operation.op {
        // Apply refuses an id that is taken.
        BatchVerb::Create => None,
        BatchVerb::Put => before(view, collection, id, pending)?,
        _ if guard.looks_at_records(asker) => before(view, collection, id, pending)?,
        _ => None,
    };
    if let Some((old, _)) = &old
        && !guard.shows(asker, id, old)
    {
        return Err(missing(collection, id));
    }
    let mut intended = intend(view, operation, pending, at)?;
    match (&mut intended, &old) {
        (Operation::Store { doc, .. }, _) if operation.op == BatchVerb::Create => guard.create(asker, collection, id, doc)?,
        (Operation::Store { doc, .. }, None) if operation.op == BatchVerb::Put => guard.create(asker, collection, id, doc)?,
        (Operation::Store { doc, .. }, Some((old, _))) => guard.update(asker, collection, id, old, doc)?,
        (Operation::Delete { .. }, Some((old, _))) => guard.delete(asker, collection, id, old)?,
        _ => {}
    }
    if let Operation::Store { expect, .. } | Operation::Delete { expect, .. } = &mut intended {
        *expect = pinned(*expect, old.map(|(old, is_stored)| is_stored.then_some(old.version)));
    }
    Ok(intended)
}

/// What must hold in apply: no more than was asked for, and that the record is the one that the guard saw.
fn pinned(expect: Expect, seen: Option<Option<u64>>) -> Expect {
    match (expect, seen) {
        (Expect::Any | Expect::Present, Some(Some(version))) => Expect::Read(version),
        (Expect::Any, None) => Expect::Absent,
        (expect, _) => expect,
    }
}

/// A record as an operation finds it, and whether it is stored so; what earlier operations of the batch have made of it is not.
fn before(view: &View<'_>, collection: &Collection, id: Uuid, pending: &Pending) -> Result<Option<(Record, bool)>, Error> {
    let stored = view.stored(collection, id)?;
    let Some(made) = pending.get(&(collection.number, id)) else {
        return Ok(stored.map(|record| (record, true)));
    };
    let Some(doc) = made.clone() else { return Ok(None) };
    let now = view.asker.map_or(0, |asker| asker.now);
    let fresh = Record {
        version: 0,
        created: now,
        updated: now,
        by: crate::machine::rows::Actor::System,
        doc: Doc::default(),
    };
    let base = stored.unwrap_or(fresh);
    Ok(Some((Record { doc, ..base }, false)))
}
